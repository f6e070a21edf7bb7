//! Roles of a jwt mount. A write merges, except that it resets `role_type` and `bound_claims_type` when they are left
//! out, so a writer sends every field, empty ones too.

use reqwest::Method;
use serde_json::Value;

use super::canon::{self, Fields, Kind};
use super::error::VaultError;
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::{MountPath, RoleName};

/// The fields of a role that a binding owns, and how each is compared.
pub const FIELDS: &[(&str, Kind)] = &[
    ("role_type", Kind::TextOr("jwt")),
    ("bound_audiences", Kind::Set),
    ("bound_subject", Kind::Text),
    ("bound_claims", Kind::Claims),
    ("bound_claims_type", Kind::TextOr("string")),
    ("user_claim", Kind::Text),
    ("user_claim_json_pointer", Kind::Bool),
    ("groups_claim", Kind::Text),
    ("claim_mappings", Kind::Map),
    ("allowed_redirect_uris", Kind::Set),
    ("oidc_scopes", Kind::Set),
    ("verbose_oidc_logging", Kind::Bool),
    ("max_age", Kind::Seconds),
    ("expiration_leeway", Kind::Seconds),
    ("not_before_leeway", Kind::Seconds),
    ("clock_skew_leeway", Kind::Seconds),
    ("token_ttl", Kind::Seconds),
    ("token_max_ttl", Kind::Seconds),
    ("token_explicit_max_ttl", Kind::Seconds),
    ("token_period", Kind::Seconds),
    ("token_policies", Kind::Set),
    ("token_bound_cidrs", Kind::Cidrs),
    ("token_no_default_policy", Kind::Bool),
    ("token_num_uses", Kind::Integer),
    ("token_type", Kind::TextOr("default")),
];

/// Older names, which Vault returns only when a role was last written with them. They are then in what is read, and so
/// differ from what is desired; a write of the `token_` names clears them.
pub const LEGACY_FIELDS: &[(&str, Kind)] = &[
    ("policies", Kind::Set),
    ("ttl", Kind::Seconds),
    ("max_ttl", Kind::Seconds),
    ("period", Kind::Seconds),
    ("num_uses", Kind::Integer),
    ("bound_cidrs", Kind::Cidrs),
];

impl Vault {
    /// Reads a role: every owned field in the form that is compared.
    ///
    /// # Errors
    /// `NoMount` when no jwt method is mounted there, and as every call.
    pub async fn read_role(&self, mount: &MountPath, name: &RoleName) -> Result<Option<Fields>, VaultError> {
        let Some(found) = self.read(self.request("read", Method::GET, ApiPath::role(mount, name))).await? else {
            return Ok(None);
        };
        let Some(Value::Object(data)) = found.get("data") else { return Ok(None) };
        let mut fields = canon::normalise(FIELDS, data);
        for &(alias, kind) in LEGACY_FIELDS {
            if let Some(value) = data.get(alias) {
                fields.insert(alias, kind.normalise(Some(value)));
            }
        }
        Ok(Some(fields))
    }

    /// Writes a role: only the fields given are changed.
    ///
    /// # Errors
    /// `Rejected` when Vault refuses a value, and as every call.
    pub async fn write_role(&self, mount: &MountPath, name: &RoleName, fields: &Fields) -> Result<(), VaultError> {
        let request = self.request("write", Method::POST, ApiPath::role(mount, name)).body(canon::body(fields));
        self.write(request).await.map(drop)
    }

    /// Deletes a role; one that is not there is deleted already. Tokens issued from it live on.
    ///
    /// # Errors
    /// As every call.
    pub async fn delete_role(&self, mount: &MountPath, name: &RoleName) -> Result<(), VaultError> {
        self.write(self.request("delete", Method::DELETE, ApiPath::role(mount, name))).await.map(drop)
    }
}
