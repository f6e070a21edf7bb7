//! ACL policies. Vault keeps the text byte for byte, so it can be compared as it is; the exception, a text that is
//! itself base64 and comes back decoded, is no policy that anyone writes.

use reqwest::Method;
use serde_json::{Value, json};

use super::error::VaultError;
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::PolicyName;

impl Vault {
    /// Reads the text of a policy.
    ///
    /// # Errors
    /// As every call.
    pub async fn read_policy(&self, name: &PolicyName) -> Result<Option<String>, VaultError> {
        let request = self.request("read", Method::GET, ApiPath::policy(name));
        let call = request.call.clone();
        let Some(found) = self.read(request).await? else { return Ok(None) };
        match found.get("data").and_then(|data| data.get("policy")).and_then(Value::as_str) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(VaultError::NotVault { call, status: 200 }),
        }
    }

    /// Writes a policy.
    ///
    /// # Errors
    /// `Rejected` when it is not a policy, and as every call.
    pub async fn write_policy(&self, name: &PolicyName, text: &str) -> Result<(), VaultError> {
        let request = self.request("write", Method::POST, ApiPath::policy(name)).body(json!({"policy": text}));
        self.write(request).await.map(drop)
    }

    /// Deletes a policy; one that is not there is deleted already.
    ///
    /// # Errors
    /// As every call.
    pub async fn delete_policy(&self, name: &PolicyName) -> Result<(), VaultError> {
        self.write(self.request("delete", Method::DELETE, ApiPath::policy(name))).await.map(drop)
    }
}
