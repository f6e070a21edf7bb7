//! KV secrets of both versions: written on top of a version, patched by key, marked, deleted, and told apart.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use vault_jwt_operator::api::names::MountPath;
use vault_jwt_operator::vault::{KvSecret, KvVersion, VaultError};

use super::{error, limited, mount, path, root, shared};
use crate::lab::unique;

async fn engine(kind: &str) -> MountPath {
    let mount = mount(&unique("kv"));
    shared().await.api().enable(&format!("mounts/{mount}"), kind).await;
    mount
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from(*value))).collect()
}

fn plain(secret: Option<KvSecret>) -> (u64, Vec<(String, String)>) {
    let secret = secret.expect("a secret");
    let data = secret.data.iter().map(|(key, value)| (key.clone(), value.expose_secret().to_owned()));
    (secret.revision.version, data.collect())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_secret_is_written_on_top_of_the_version_that_was_seen() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a/b"));
    assert!(vault.kv_read(&kv, &at).await.unwrap().is_none());
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap(), None);
    assert_eq!(vault.kv_write(&kv, &at, &data(&[("k", "1"), ("empty", "")]), 0).await.unwrap().version, 1);
    assert_eq!(plain(vault.kv_read(&kv, &at).await.unwrap()), (1, pairs(&[("empty", ""), ("k", "1")])));
    for cas in [0, 2] {
        let refused = error(vault.kv_write(&kv, &at, &data(&[("k", "2")]), cas).await);
        assert!(matches!(refused, VaultError::CasMismatch { .. }), "{refused:?}");
    }
    assert_eq!(vault.kv_write(&kv, &at, &data(&[("k", "2")]), 1).await.unwrap().version, 2);
    assert_eq!(plain(vault.kv_read(&kv, &at).await.unwrap()), (2, pairs(&[("k", "2")])));
}

#[tokio::test]
async fn a_patch_changes_its_keys_and_leaves_the_others() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a"));
    let change = BTreeMap::from([("new".to_owned(), Some(SecretString::from("n"))), ("gone".to_owned(), None)]);
    let absent = error(vault.kv_patch(&kv, &at, &change, 0).await);
    assert!(matches!(absent, VaultError::CasMismatch { .. }), "{absent:?}");
    vault.kv_write(&kv, &at, &data(&[("theirs", "t"), ("gone", "g")]), 0).await.unwrap();
    let stale = error(vault.kv_patch(&kv, &at, &change, 7).await);
    assert!(matches!(stale, VaultError::CasMismatch { .. }), "{stale:?}");
    assert_eq!(vault.kv_patch(&kv, &at, &change, 1).await.unwrap().version, 2);
    assert_eq!(plain(vault.kv_read(&kv, &at).await.unwrap()), (2, pairs(&[("new", "n"), ("theirs", "t")])));
    let (status, _) = shared().await.api().delete(&format!("{kv}/data/a")).await;
    assert_eq!(status, 204);
    let deleted = error(vault.kv_patch(&kv, &at, &change, 2).await);
    assert!(matches!(deleted, VaultError::CasMismatch { .. }), "{deleted:?}");
}

#[tokio::test]
async fn a_deleted_or_destroyed_version_is_absent_but_its_number_counts() {
    let (vault, kv, api) = (root().await, engine("kv-v2").await, shared().await.api());
    for name in ["deleted", "destroyed"] {
        let at = path(name);
        vault.kv_write(&kv, &at, &data(&[("k", "1")]), 0).await.unwrap();
        assert!(!vault.kv_metadata(&kv, &at).await.unwrap().unwrap().deleted);
        if name == "deleted" {
            api.delete(&format!("{kv}/data/{name}")).await;
        } else {
            api.write(&format!("{kv}/destroy/{name}"), &json!({"versions": [1]})).await;
        }
        assert!(vault.kv_read(&kv, &at).await.unwrap().is_none(), "{name}");
        let metadata = vault.kv_metadata(&kv, &at).await.unwrap().unwrap();
        assert!(metadata.deleted && metadata.current.version == 1, "{name}: {metadata:?}");
        assert!(matches!(error(vault.kv_write(&kv, &at, &data(&[]), 0).await), VaultError::CasMismatch { .. }));
        assert_eq!(vault.kv_write(&kv, &at, &data(&[("k", "2")]), 1).await.unwrap().version, 2);
    }
}

#[tokio::test]
async fn a_version_that_will_be_deleted_later_is_still_there() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a"));
    shared().await.api().write(&format!("{kv}/config"), &json!({"delete_version_after": "1h"})).await;
    vault.kv_write(&kv, &at, &data(&[("k", "1")]), 0).await.unwrap();
    assert!(!vault.kv_metadata(&kv, &at).await.unwrap().unwrap().deleted);
    assert_eq!(plain(vault.kv_read(&kv, &at).await.unwrap()).0, 1);
}

#[tokio::test]
async fn marks_can_stand_before_the_first_version_and_leave_others_alone() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a"));
    let marks = |pairs: &[(&str, Option<&str>)]| -> BTreeMap<String, Option<String>> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect()
    };
    vault.kv_patch_metadata(&kv, &at, &marks(&[("owner", None)])).await.unwrap();
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap(), None, "taking a mark away makes nothing");
    vault.kv_patch_metadata(&kv, &at, &marks(&[("owner", Some("us"))])).await.unwrap();
    let metadata = vault.kv_metadata(&kv, &at).await.unwrap().unwrap();
    assert!(metadata.deleted && metadata.current.version == 0, "{metadata:?}");
    assert!(vault.kv_read(&kv, &at).await.unwrap().is_none());
    assert_eq!(vault.kv_write(&kv, &at, &data(&[("k", "1")]), 0).await.unwrap().version, 1);
    vault.kv_patch_metadata(&kv, &at, &marks(&[("theirs", Some("t"))])).await.unwrap();
    let both = [("owner".to_owned(), "us".to_owned()), ("theirs".to_owned(), "t".to_owned())].into();
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap().unwrap().custom_metadata, both);
    vault.kv_patch_metadata(&kv, &at, &marks(&[("owner", None)])).await.unwrap();
    let theirs = [("theirs".to_owned(), "t".to_owned())].into();
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap().unwrap().custom_metadata, theirs);
    vault.kv_write_metadata(&kv, &at, &marks(&[("owner", Some("us"))])).await.unwrap();
    let ours = [("owner".to_owned(), "us".to_owned())].into();
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap().unwrap().custom_metadata, ours);
    vault.kv_delete_metadata(&kv, &at).await.unwrap();
    vault.kv_delete_metadata(&kv, &at).await.unwrap();
    assert_eq!(vault.kv_metadata(&kv, &at).await.unwrap(), None);
}

#[tokio::test]
async fn values_that_are_no_strings_are_read_as_json_text() {
    let (vault, kv, api) = (root().await, engine("kv-v2").await, shared().await.api());
    api.write(&format!("{kv}/data/a"), &json!({"data": {"n": 1, "o": {"x": [true]}, "z": null, "s": "1"}})).await;
    let expected = pairs(&[("n", "1"), ("o", r#"{"x":[true]}"#), ("s", "1"), ("z", "null")]);
    assert_eq!(plain(vault.kv_read(&kv, &path("a")).await.unwrap()), (1, expected));
    api.write(&format!("{kv}/data/b"), &json!({"data": null})).await;
    assert_eq!(plain(vault.kv_read(&kv, &path("b")).await.unwrap()), (1, vec![]));
}

#[tokio::test]
async fn the_longest_value_is_kept_and_a_longer_one_refused() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a"));
    // The most that a Kubernetes Secret can hold.
    let long = "x".repeat(1024 * 1024);
    vault.kv_write(&kv, &at, &data(&[("k", &long)]), 0).await.unwrap();
    assert_eq!(plain(vault.kv_read(&kv, &at).await.unwrap()).1, pairs(&[("k", &long)]));
    let longer = error(vault.kv_write(&kv, &at, &data(&[("k", &"x".repeat(2 * 1024 * 1024))]), 1).await);
    assert!(matches!(longer, VaultError::Rejected { .. }), "{longer:?}");
}

#[tokio::test]
async fn version_1_is_written_whole() {
    let (vault, kv, at) = (root().await, engine("kv-v1").await, path("a/b"));
    assert!(vault.kv_read_v1(&kv, &at).await.unwrap().is_none());
    vault.kv_write_v1(&kv, &at, &data(&[("a", "1"), ("b", "2")])).await.unwrap();
    assert_eq!(plain(vault.kv_read_v1(&kv, &at).await.unwrap()), (0, pairs(&[("a", "1"), ("b", "2")])));
    vault.kv_write_v1(&kv, &at, &data(&[("a", "3")])).await.unwrap();
    assert_eq!(plain(vault.kv_read_v1(&kv, &at).await.unwrap()), (0, pairs(&[("a", "3")])));
    let nothing = error(vault.kv_write_v1(&kv, &at, &data(&[])).await);
    assert!(matches!(nothing, VaultError::Rejected { .. }), "{nothing:?}");
    vault.kv_delete_v1(&kv, &at).await.unwrap();
    vault.kv_delete_v1(&kv, &at).await.unwrap();
    assert!(vault.kv_read_v1(&kv, &at).await.unwrap().is_none());
}

#[tokio::test]
async fn the_version_of_a_mount_is_asked_once_until_it_is_forgotten() {
    let (vault, kv) = (root().await, engine("kv-v1").await);
    assert_eq!(vault.kv_version(&kv).await.unwrap(), KvVersion::V1);
    let asked = vault.server().requests_sent();
    assert_eq!(vault.kv_version(&kv).await.unwrap(), KvVersion::V1);
    assert_eq!(vault.server().requests_sent(), asked);
    shared().await.api().write(&format!("sys/mounts/{kv}/tune"), &json!({"options": {"version": "2"}})).await;
    assert_eq!(vault.kv_version(&kv).await.unwrap(), KvVersion::V1, "from memory");
    let found = error(vault.kv_read_v1(&kv, &path("a")).await);
    assert!(
        matches!(found, VaultError::Rejected { .. }),
        "the other version's path is not an absent secret: {found:?}"
    );
    vault.forget_kv_version(&kv);
    assert_eq!(vault.kv_version(&kv).await.unwrap(), KvVersion::V2);
}

#[tokio::test]
async fn what_is_no_kv_mount_has_no_version() {
    let (vault, kv) = (root().await, engine("kv-v2").await);
    let below = mount(&format!("{kv}/below"));
    assert!(matches!(error(vault.kv_version(&below).await), VaultError::NoMount { .. }), "the mount is above it");
    let transit = mount(&unique("transit"));
    shared().await.api().enable(&format!("mounts/{transit}"), "transit").await;
    assert!(matches!(error(vault.kv_version(&transit).await), VaultError::NoMount { .. }));
    let nowhere = error(vault.kv_version(&mount(&unique("nowhere"))).await);
    assert!(matches!(&nowhere, VaultError::Denied { detail: Some(_), .. }), "{nowhere:?}");
    let unseen = limited("path \"nothing\" { capabilities = [\"read\"] }").await;
    assert!(matches!(error(unseen.kv_version(&kv).await), VaultError::Denied { .. }));
    let nowhere = mount(&unique("nowhere"));
    assert!(matches!(error(vault.kv_read(&nowhere, &path("a")).await), VaultError::NoMount { .. }));
    assert!(matches!(error(vault.kv_write(&nowhere, &path("a"), &data(&[]), 0).await), VaultError::NoMount { .. }));
}

#[tokio::test]
async fn denied_is_not_absent() {
    let kv = engine("kv-v2").await;
    let vault = limited(&format!("path \"{kv}/data/mine\" {{ capabilities = [\"read\"] }}")).await;
    assert_eq!(vault.kv_version(&kv).await.unwrap(), KvVersion::V2, "any right below the mount is enough");
    assert!(vault.kv_read(&kv, &path("mine")).await.unwrap().is_none());
    for refused in [
        vault.kv_read(&kv, &path("theirs")).await.err(),
        vault.kv_metadata(&kv, &path("mine")).await.err(),
        vault.kv_write(&kv, &path("mine"), &data(&[]), 0).await.err(),
    ] {
        assert!(matches!(refused, Some(VaultError::Denied { detail: None, .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_secret_is_not_in_what_is_printed_of_it() {
    let (vault, kv, at) = (root().await, engine("kv-v2").await, path("a"));
    vault.kv_write(&kv, &at, &data(&[("k", "hidden-value")]), 0).await.unwrap();
    let read = vault.kv_read(&kv, &at).await.unwrap();
    assert!(!format!("{read:?}").contains("hidden-value"));
}
