//! The auth mount of a binding: that it is a valid path which the namespace may use, and may enable if it asks to.

use crate::api::names::MountPath;
use crate::api::status::ObjectKind;

use super::grants::Demand;
use super::{AuthMount, Check, Context, Object, ObjectId, Problem};

pub(super) fn desired(context: Context<'_>, problems: &mut Vec<Problem>) -> Option<Object> {
    let auth = &context.spec.auth;
    let mut check = Check::new(Some(ObjectId::new(ObjectKind::AuthMount, auth.mount.as_str())), problems);
    let mount = check.valid("spec.auth.mount", MountPath::new(&auth.mount))?;
    let enable = auth.enable.then(|| Demand::enable("spec.auth.enable", &mount));
    check.granted(
        context.granted,
        &[Demand::mount("spec.auth.mount", &mount)].into_iter().chain(enable).collect::<Vec<_>>(),
    );
    check.passed().then_some(Object::AuthMount(AuthMount { mount, enable: auth.enable }))
}

/// The mount for what lies on it, or the problem that the mount itself is invalid.
pub(super) fn of(context: Context<'_>, field: &str, check: &mut Check<'_>) -> Option<MountPath> {
    let mount = MountPath::new(&context.spec.auth.mount).ok();
    if mount.is_none() {
        check.invalid(field, "cannot be on an invalid mount: correct spec.auth.mount");
    }
    mount
}
