//! The roles of a binding. A role write merges, so every field of a jwt-type role is here in the form in which Vault
//! reads it back, empty ones too; and what Vault would refuse or silently bend is refused first.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::binding::{BoundClaimsType, RoleSpec, TokenType};
use crate::api::names::{NameError, PolicyName, RoleName};
use crate::api::status::ObjectKind;

use super::grants::Demand;
use super::{Check, Context, Fields, Object, ObjectId, Problem, Role, auth_mount};

mod bindings;
mod lifetime;

use lifetime::Lifetime;

pub(super) fn desired(context: Context<'_>, problems: &mut Vec<Problem>) -> Vec<Object> {
    let mount = &context.spec.auth.mount;
    let mut seen = BTreeSet::new();
    let roles = context.spec.roles.iter().enumerate();
    roles
        .filter_map(|(index, role)| {
            let field = format!("spec.roles[{index}]");
            let id = ObjectId::new(ObjectKind::Role, format!("{mount}/{}", role.name));
            let mut check = Check::new(Some(id), problems);
            if !seen.insert(&role.name) {
                check.invalid(format!("{field}.name"), format!("must not name the role '{}' twice", role.name));
            }
            one(context, role, &field, &mut check)
        })
        .collect()
}

fn one(context: Context<'_>, role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Option<Object> {
    let mount = auth_mount::of(context, field, check);
    let name = check.valid(format!("{field}.name"), RoleName::new(&role.name));
    let mut policies = BTreeSet::new();
    for (index, policy) in role.token_policies.iter().enumerate() {
        let valid = check.valid(format!("{field}.tokenPolicies[{index}]"), attachable(policy)).is_some();
        policies.extend(valid.then_some((index, policy.as_str())));
    }
    let bindings = bindings::fields(role, field, check);
    let lifetime = Lifetime::new(role, field, check);
    if let (Some(mount), Some(_)) = (&mount, &name) {
        let mut demands =
            vec![Demand::mount("spec.auth.mount", mount), Demand::role(&format!("{field}.name"), &role.name)];
        let attach =
            policies.iter().map(|(index, policy)| Demand::attach(&format!("{field}.tokenPolicies[{index}]"), policy));
        demands.extend(attach);
        demands.extend(lifetime.demands(field));
        check.granted(context.granted, &demands);
    }
    let fields = fields(role, bindings, &lifetime, policies.into_iter().map(|(_, policy)| policy));
    check.passed().then_some(Object::Role(Role { mount: mount?, name: name?, fields }))
}

/// A policy that a role may hand out: any but `root`. `default` is on most tokens anyway.
fn attachable(policy: &str) -> Result<(), NameError> {
    if policy == "default" { Ok(()) } else { PolicyName::new(policy).map(|_| ()) }
}

fn fields<'r>(
    role: &RoleSpec,
    bindings: Fields,
    lifetime: &Lifetime,
    policies: impl Iterator<Item = &'r str>,
) -> Fields {
    let policies: BTreeSet<_> = policies.collect();
    let token_type = match role.token_type {
        TokenType::Default => "default",
        TokenType::Service => "service",
        TokenType::Batch => "batch",
    };
    let mut fields = bindings;
    fields.extend(lifetime.fields());
    fields.extend([
        ("role_type", Value::from("jwt")),
        ("token_no_default_policy", role.token_no_default_policy.into()),
        ("token_num_uses", role.token_num_uses.into()),
        ("token_policies", policies.into_iter().collect()),
        ("token_type", token_type.into()),
        ("user_claim", role.user_claim.as_str().into()),
        ("user_claim_json_pointer", role.user_claim_json_pointer.into()),
        ("bound_claims_type", bound_claims_type(role.bound_claims_type).into()),
        // Only the OIDC flow uses these. They are written so that nothing another left behind stays.
        ("allowed_redirect_uris", json!([])),
        ("max_age", 0.into()),
        ("oidc_scopes", json!([])),
        ("verbose_oidc_logging", false.into()),
    ]);
    fields
}

const fn bound_claims_type(kind: BoundClaimsType) -> &'static str {
    match kind {
        BoundClaimsType::String => "string",
        BoundClaimsType::Glob => "glob",
    }
}
