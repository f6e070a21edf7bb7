//! Condition types and reasons: two closed lists. A condition's meaning is API; its message is not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The condition types of a binding and of a connection.
#[derive(IntoStaticStr, Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum ConditionType {
    /// The summary of all others.
    Ready,
    /// Work goes on; present only while true (kstatus).
    Reconciling,
    /// No retry will help, a person must act; present only while true (kstatus).
    Stalled,
    /// The spec is valid, granted and in conflict with nobody.
    Accepted,
    /// Every referenced object was found.
    ResolvedRefs,
    /// Vault equals the spec.
    Synced,
    /// A login works.
    LoginHealthy,
    /// Vault answers.
    Reachable,
    /// Vault let the operator log in.
    Authenticated,
}

/// The status of a condition.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "Kubernetes' own names")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

/// Why a condition has its status.
#[derive(IntoStaticStr, Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum Reason {
    /// All is as it should be.
    Succeeded,
    /// The first pass of this generation is under way.
    Progressing,
    /// The last pass failed and is tried again.
    ProgressingWithRetry,
    /// `suspend: true`.
    Suspended,
    /// The spec cannot be right; change it.
    Invalid,
    /// The object cannot be decoded by this version of the operator.
    Undecodable,
    /// No grant of the connection allows it.
    NotGranted,
    /// Another binding, or somebody outside the cluster, owns it.
    Conflict,
    /// A referenced Secret or `ConfigMap`, or a key of it, does not exist yet.
    ReferenceNotFound,
    /// A referenced value cannot be used.
    ReferenceInvalid,
    /// The connection does not exist yet.
    ConnectionNotFound,
    /// The connection is not ready.
    ConnectionNotReady,
    /// The auth mount does not exist and may not or must not be enabled.
    MountNotFound,
    /// Something else than expected is mounted there.
    MountTypeMismatch,
    /// Vault's policies refuse it.
    VaultDenied,
    /// Vault refuses the content; change the spec.
    VaultRejected,
    /// Vault is sealed.
    VaultSealed,
    /// Vault cannot be reached, is a standby, or fails.
    VaultUnavailable,
    /// Vault cannot fetch the issuer's keys.
    IssuerUnreachable,
    /// Vault differs from the spec, and that is left as it is.
    DriftDetected,
    /// What was written does not read back the same.
    ReadBackDiffers,
    /// This edition of Vault would ignore the namespace.
    NamespaceUnsupported,
    /// Vault refused the login.
    LoginRefused,
    /// Nothing was tried yet.
    Pending,
    /// The login probe is not asked for.
    NotRequested,
    /// The login was not probed.
    NotProbed,
    /// The pass took longer than `timeout`.
    TimedOut,
    /// A defect of the operator ended the pass.
    InternalError,
}

impl ConditionType {
    /// The type as it stands in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Reason {
    /// The reason as it stands in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One condition of a resource, as Kubernetes defines it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// type of the condition.
    #[schemars(
        length(max = 316),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
        )
    )]
    #[serde(rename = "type")]
    pub type_: String,
    /// status: True, False or Unknown.
    pub status: ConditionStatus,
    /// reason for the status, from a closed list.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// message for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// lastTransitionTime at which the status changed.
    pub last_transition_time: Time,
    /// observedGeneration of the spec that the condition speaks of.
    #[schemars(range(min = 0))]
    #[serde(default)]
    pub observed_generation: i64,
}

#[cfg(test)]
mod tests {
    use strum::VariantNames;

    use super::*;

    /// The names in the first column of the table under this heading of the docs.
    fn documented(heading: &str) -> Vec<&'static str> {
        let page = include_str!("../../docs/conditions.md");
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| row.split('`').next().unwrap()).collect()
    }

    #[test]
    fn the_docs_list_exactly_these_types_and_reasons_in_this_order() {
        assert_eq!(documented("Types"), ConditionType::VARIANTS);
        assert_eq!(documented("Reasons"), Reason::VARIANTS);
    }
}
