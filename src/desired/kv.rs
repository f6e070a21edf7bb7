//! The KV entries of a binding: that each path is a logical one, that its values are there and fit to be stored, and
//! that no key is named twice.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use secrecy::SecretString;

use crate::api::binding::KvSpec;
use crate::api::names::{KvPath, MountPath};
use crate::api::status::ObjectKind;

use super::grants::Demand;
use super::{Check, Context, KvEntry, Object, ObjectId, Problem, ProblemKind, Reference};

/// Vault's integrated storage takes entries of up to 1 MiB; this leaves room for what Vault adds to the JSON.
const ENTRY_LIMIT: usize = 1_000_000;
/// The owner of each key is marked in the secret's custom metadata, whose keys Vault bounds at 128 bytes and 64 in number.
const KEY_LIMIT: usize = 100;
const KEYS_LIMIT: usize = 64;

pub(super) fn desired(context: Context<'_>, problems: &mut Vec<Problem>) -> Vec<Object> {
    let mut seen = BTreeSet::new();
    let entries = context.spec.kv.iter().enumerate();
    entries
        .filter_map(|(index, entry)| {
            let field = format!("spec.kv[{index}]");
            let id = ObjectId::new(ObjectKind::Kv, format!("{}/{}", entry.mount, entry.path));
            let mut check = Check::new(Some(id.clone()), problems);
            if !seen.insert(id) {
                let message = format!("must not name the entry '{}' twice: put its keys into one", entry.path);
                check.invalid(format!("{field}.path"), message);
            }
            one(context, entry, &field, &mut check)
        })
        .collect()
}

fn one(context: Context<'_>, entry: &KvSpec, field: &str, check: &mut Check<'_>) -> Option<Object> {
    let mount = check.valid(format!("{field}.mount"), MountPath::new(&entry.mount));
    let path = path(entry, &format!("{field}.path"), check);
    if let (Some(mount), Some(path)) = (&mount, &path) {
        check.granted(context.granted, &[Demand::kv(&format!("{field}.path"), mount, path)]);
    }
    let data = data(context, entry, field, check);
    let (mount, path) = mount.zip(path)?;
    check.passed().then_some(Object::Kv(KvEntry { mount, path, ownership: entry.ownership, data }))
}

fn path(entry: &KvSpec, field: &str, check: &mut Check<'_>) -> Option<KvPath> {
    if let Some(below) = entry.path.strip_prefix(entry.mount.as_str()).and_then(|rest| rest.strip_prefix('/')) {
        let logical = below.strip_prefix("data/").unwrap_or(below);
        check.invalid(field, format!("must not begin with the mount '{}': write '{logical}'", entry.mount));
        return None;
    }
    KvPath::new(&entry.path)
        .map_err(|error| {
            let logical = entry.path.strip_prefix("data/").or_else(|| entry.path.strip_prefix("metadata/"));
            let hint = logical.filter(|logical| KvPath::new(logical).is_ok());
            let hint = hint.map(|logical| format!(": write '{logical}'")).unwrap_or_default();
            check.invalid(field, format!("{error}{hint}"));
        })
        .ok()
}

fn data(context: Context<'_>, entry: &KvSpec, field: &str, check: &mut Check<'_>) -> BTreeMap<String, SecretString> {
    let mut data = BTreeMap::new();
    let mut size = 2;
    if entry.data.is_empty() {
        check.invalid(format!("{field}.data"), "must name at least one key");
    } else if entry.data.len() > KEYS_LIMIT {
        check.invalid(
            format!("{field}.data"),
            format!("must name at most {KEYS_LIMIT} keys: spread them over several entries"),
        );
    }
    let mut keys = BTreeSet::new();
    for (index, item) in entry.data.iter().enumerate() {
        let field = format!("{field}.data[{index}]");
        check_key(&item.key, &format!("{field}.key"), check);
        if !keys.insert(&item.key) {
            check.invalid(format!("{field}.key"), format!("must not name the key '{}' twice", item.key));
        }
        let reference = Reference::from(&item.secret_key_ref);
        if let Some(value) = reference.resolve(context.references, &format!("{field}.secretKeyRef"), check) {
            size += json_length(&item.key) + json_length(value) + 2;
            data.insert(item.key.clone(), SecretString::from(value));
        }
    }
    if size > ENTRY_LIMIT {
        let message = format!(
            "the values come to {size} bytes, and a Vault entry holds at most {ENTRY_LIMIT}: spread them over several entries"
        );
        check.problem(ProblemKind::ReferenceInvalid, format!("{field}.data"), message);
    }
    data
}

fn check_key(key: &str, field: &str, check: &mut Check<'_>) {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_-./:@".contains(&c);
    if key.is_empty() || key.len() > KEY_LIMIT || !key.bytes().all(allowed) {
        let message = format!("must be 1 to {KEY_LIMIT} letters, digits and the characters _ - . / : @");
        check.invalid(field, message);
    }
}

/// How long a text is as JSON, the form in which Vault stores it. Counted without a copy of what may be a secret.
fn json_length(text: &str) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, text).map_or(usize::MAX, |()| count.0)
}
