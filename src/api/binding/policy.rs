//! The ACL policies of a binding.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::PolicyName;
use super::super::schema::{Hcl, RulePath, Set};

/// An ACL policy: structured rules, or raw HCL where the grant allows it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.hcl) != (has(self.rules) && self.rules.size() > 0)")
    .message("must have exactly one of `rules` and `hcl`"))]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// name of the policy.
    #[schemars(with = "PolicyName")]
    pub name: String,
    /// rules of the policy.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
    /// hcl is the policy's text, in place of rules.
    #[schemars(with = "Hcl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hcl: Option<String>,
}

/// A rule of a policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleSpec {
    /// path in Vault's own notation: `*` as the last character, `+` for one whole segment.
    #[schemars(with = "RulePath")]
    pub path: String,
    /// capabilities given on it.
    #[schemars(with = "Set<Capability, 1, 8>")]
    pub capabilities: Vec<Capability>,
}

/// A capability of an ACL rule.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Vault's own names")]
pub enum Capability {
    Create,
    Read,
    Update,
    Patch,
    Delete,
    List,
    Sudo,
    Deny,
}
