//! The roles of a binding, all of type `jwt`: what binds a token to them and what the issued Vault tokens may do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::duration::{DurationString, LeewaySetting};
use super::super::names::RoleName;
use super::super::schema::{
    Address, AttachedPolicy, ClaimScalar, ClockSkewLeeway, List, MissingTimeLeeway, Set, Text, Ttl, at_most,
    is_positive,
};

/// A role of type `jwt`. Fields left out are written empty, so that nothing another writer left behind stays in force.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("!self.userClaimJsonPointer || self.userClaim.startsWith('/')")
    .message("must begin with '/' when `userClaimJsonPointer` is true")
    .field_path(".userClaim"))]
#[x_kube(validation = Rule::new(at_most("tokenTtl", "tokenMaxTtl"))
    .message("must be less than or equal to `tokenMaxTtl`")
    .field_path(".tokenTtl"))]
#[x_kube(validation = Rule::new(at_most("tokenTtl", "tokenExplicitMaxTtl"))
    .message("must be less than or equal to `tokenExplicitMaxTtl`")
    .field_path(".tokenTtl"))]
#[x_kube(validation = Rule::new(format!("self.tokenType != 'Batch' || !{}", is_positive("tokenPeriod")))
    .message("may not be specified when `tokenType` is 'Batch'")
    .field_path(".tokenPeriod")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("self.tokenType != 'Batch' || self.tokenNumUses == 0")
    .message("must be 0 when `tokenType` is 'Batch'")
    .field_path(".tokenNumUses"))]
#[x_kube(validation = Rule::new("!has(self.claimMappings) || self.claimMappings.all(m, self.claimMappings.exists_one(n, n.metadataKey == m.metadataKey))")
    .message("must not map two claims to one `metadataKey`")
    .field_path(".claimMappings"))]
#[serde(rename_all = "camelCase")]
pub struct RoleSpec {
    /// name of the role.
    #[schemars(with = "RoleName")]
    pub name: String,
    /// boundAudiences: the token's `aud` must hold one of these. Use an audience of Vault's own, not that of a real
    /// plugin, whose recipients could replay the token.
    #[schemars(with = "Set<Text<1024>, 1, 32>")]
    pub bound_audiences: Vec<String>,
    /// boundSubject that the token's `sub` must equal.
    #[schemars(with = "Text<1024>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_subject: Option<String>,
    /// boundClaims that the token must carry, all of them.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_claims: Vec<BoundClaim>,
    /// boundClaimsType: `String` compares typed values; `Glob` lets `*` stand for anything, and then each value of
    /// boundClaims must be a string.
    #[serde(default)]
    pub bound_claims_type: BoundClaimsType,
    /// userClaim that names the entity alias; must be in the token, as a string.
    #[schemars(with = "Text<256>")]
    pub user_claim: String,
    /// userClaimJsonPointer: userClaim is a JSON pointer.
    #[serde(default)]
    pub user_claim_json_pointer: bool,
    /// groupsClaim that names the groups; a token without it is refused.
    #[schemars(with = "Text<256>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// claimMappings copy string claims to the metadata of the token.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_mappings: Vec<ClaimMapping>,
    /// tokenPolicies that issued tokens carry.
    #[schemars(with = "Set<AttachedPolicy, 0, 64>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_policies: Vec<String>,
    /// tokenTtl of issued tokens; the mount's default when left out.
    #[schemars(with = "Ttl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<DurationString>,
    /// tokenMaxTtl up to which issued tokens can be renewed.
    #[schemars(with = "Ttl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_max_ttl: Option<DurationString>,
    /// tokenExplicitMaxTtl that issued tokens never outlive.
    #[schemars(with = "Ttl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_explicit_max_ttl: Option<DurationString>,
    /// tokenPeriod makes issued tokens periodic.
    #[schemars(with = "Ttl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_period: Option<DurationString>,
    /// tokenBoundCidrs that logins and issued tokens may come from.
    #[schemars(with = "Set<Address, 0, 64>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_bound_cidrs: Vec<String>,
    /// tokenNoDefaultPolicy leaves the policy `default` off issued tokens.
    #[serde(default)]
    pub token_no_default_policy: bool,
    /// tokenNumUses bounds how often an issued token can be used; 0 for no bound.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    #[serde(default)]
    pub token_num_uses: i64,
    /// tokenType of issued tokens: `Default` (the mount's), `Service` or `Batch`.
    #[serde(default)]
    pub token_type: TokenType,
    /// clockSkewLeeway added when `nbf`, `exp` and `iat` are compared with the clock: a duration, `Default` (60 s) or
    /// `Off`.
    #[schemars(with = "ClockSkewLeeway")]
    #[serde(default = "default_leeway")]
    pub clock_skew_leeway: LeewaySetting,
    /// expirationLeeway used only for a token without `exp`: a duration, `Default` (150 s) or `Off`.
    #[schemars(with = "MissingTimeLeeway")]
    #[serde(default = "default_leeway")]
    pub expiration_leeway: LeewaySetting,
    /// notBeforeLeeway used only for a token with neither `nbf` nor `iat`: a duration, `Default` (150 s) or `Off`.
    #[schemars(with = "MissingTimeLeeway")]
    #[serde(default = "default_leeway")]
    pub not_before_leeway: LeewaySetting,
}

/// A claim and the values it may have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BoundClaim {
    /// claim by name at the top level, or a JSON pointer if it begins with `/`.
    #[schemars(with = "Text<256>")]
    pub claim: String,
    /// values, one of which the claim must have: strings, whole numbers or booleans, compared with their type. A fraction
    /// could never match: Vault cuts it off the token's claim.
    #[schemars(with = "List<ClaimScalar, 1, 128>")]
    pub values: Vec<Value>,
}

/// How bound claims are compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundClaimsType {
    /// Typed equality.
    #[default]
    String,
    /// `*` in a string value stands for anything.
    Glob,
}

/// A claim that is copied to the token's metadata.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.metadataKey != 'role'")
    .message("must not be 'role': Vault puts the name of the role there")
    .field_path(".metadataKey"))]
#[serde(rename_all = "camelCase")]
pub struct ClaimMapping {
    /// claim to copy.
    #[schemars(with = "Text<256>")]
    pub claim: String,
    /// metadataKey to copy it to; not `role`.
    #[schemars(with = "Text<256>")]
    pub metadata_key: String,
}

/// The type of issued tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// The mount's default.
    #[default]
    Default,
    /// Service tokens: renewable and revocable.
    Service,
    /// Batch tokens: neither.
    Batch,
}

fn default_leeway() -> LeewaySetting {
    LeewaySetting("Default".to_owned())
}

impl Default for LeewaySetting {
    fn default() -> Self {
        default_leeway()
    }
}
