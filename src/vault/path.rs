//! The one place that builds a path of Vault's API. Names come as checked types, and the finished URL is compared with
//! what was meant: whatever the URL parser would have changed is refused and not sent.

use reqwest::Url;

use super::error::VaultError;
use crate::api::names::{KvPath, MountPath, PolicyName, RoleName};

/// A path below `v1/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiPath(String);

impl ApiPath {
    pub(super) fn health() -> Self {
        Self("sys/health".to_owned())
    }

    pub(super) fn auth_mounts() -> Self {
        Self("sys/auth".to_owned())
    }

    pub(super) fn auth_mount(mount: &MountPath) -> Self {
        Self(format!("sys/auth/{mount}"))
    }

    pub(super) fn login(mount: &MountPath) -> Self {
        Self(format!("auth/{mount}/login"))
    }

    pub(super) fn config(mount: &MountPath) -> Self {
        Self(format!("auth/{mount}/config"))
    }

    pub(super) fn role(mount: &MountPath, name: &RoleName) -> Self {
        Self(format!("auth/{mount}/role/{name}"))
    }

    pub(super) fn policy(name: &PolicyName) -> Self {
        Self(format!("sys/policies/acl/{name}"))
    }

    /// What a secrets mount is; the one way to learn it that needs no rights on `sys/mounts`.
    pub(super) fn mount_info(mount: &MountPath) -> Self {
        Self(format!("sys/internal/ui/mounts/{mount}"))
    }

    pub(super) fn kv_data(mount: &MountPath, path: &KvPath) -> Self {
        Self(format!("{mount}/data/{path}"))
    }

    pub(super) fn kv_metadata(mount: &MountPath, path: &KvPath) -> Self {
        Self(format!("{mount}/metadata/{path}"))
    }

    /// KV version 1: the secret lies directly below the mount.
    pub(super) fn kv_plain(mount: &MountPath, path: &KvPath) -> Self {
        Self(format!("{mount}/{path}"))
    }

    /// `lookup-self`, `renew-self` or `revoke-self`.
    pub(super) fn token(operation: TokenOperation) -> Self {
        Self(format!("auth/token/{}", operation.segment()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL below the address of a server, which may have a path of its own.
    pub(super) fn url(&self, base: &Url) -> Result<Url, VaultError> {
        let expected = format!("{}/v1/{}", base.path().trim_end_matches('/'), self.0);
        let mut url = base.clone();
        url.set_path(&expected);
        let clean = self.0.split('/').all(|segment| !segment.is_empty() && segment != "." && segment != "..");
        if !clean || url.path() != expected || url.origin() != base.origin() || url.query().is_some() {
            return Err(VaultError::invalid(format!("{:?} is not a usable Vault path", self.0)));
        }
        Ok(url)
    }
}

/// What a token can do with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenOperation {
    Lookup,
    Renew,
    Revoke,
}

impl TokenOperation {
    const fn segment(self) -> &'static str {
        match self {
            Self::Lookup => "lookup-self",
            Self::Renew => "renew-self",
            Self::Revoke => "revoke-self",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        Url::parse("https://vault.example:8200/").unwrap()
    }

    #[test]
    fn a_path_in_front_of_the_api_is_kept() {
        let url = |base: &str| ApiPath::health().url(&Url::parse(base).unwrap()).unwrap().to_string();
        assert_eq!(url("http://h:1"), "http://h:1/v1/sys/health");
        assert_eq!(url("http://h:1/vault/"), "http://h:1/vault/v1/sys/health");
        assert_eq!(url("http://[::1]:1/a/b"), "http://[::1]:1/a/b/v1/sys/health");
    }

    #[test]
    fn what_a_url_would_change_is_refused() {
        for text in [
            "a/../b",
            "a/./b",
            "a//b",
            "/a",
            "a/",
            "",
            "a b",
            "a?b",
            "a#b",
            "a\\b",
            "a/%2e%2e/b",
            "é",
            "a\tb",
            "a\nb",
            "..",
        ] {
            let refused = ApiPath(text.to_owned()).url(&base());
            assert!(matches!(refused, Err(VaultError::InvalidRequest { .. })), "{text:?} became {refused:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_stays_inside_its_segment(mount in ".{0,20}", role in "[a-z0-9_./%?#\\\\ -]{0,20}") {
            let (Ok(mount), Ok(role)) = (MountPath::new(&mount), RoleName::new(&role)) else { return Ok(()) };
            let url = ApiPath::role(&mount, &role).url(&base()).unwrap();
            prop_assert_eq!(url.as_str(), format!("https://vault.example:8200/v1/auth/{mount}/role/{role}"));
        }
    }
}
