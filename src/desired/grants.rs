//! What the grants of a `VaultConnection` allow a namespace. Each unit (a role with all it hands out, a policy with all
//! its rules, …) must be allowed by one grant alone: two halves in two grants allow nothing. Denials speak of the
//! binding's own wish only, and tell nothing of what is granted to others.

use std::collections::BTreeMap;

use crate::api::binding::{Capability, RuleSpec};
use crate::api::connection::{AuthMountGrant, Grant, KvGrant, NamespaceSelection, RuleGrant};
use crate::api::names::{KvPath, MountPath};
use crate::api::status::ObjectKind;

use super::ObjectId;
use super::issuer_url::IssuerUrl;
use super::rule_path::RulePath;

/// The grants that apply to a binding.
#[derive(Clone, Debug)]
pub struct Granted<'a> {
    /// None: a person's own token and no `VaultConnection`; Vault alone decides.
    grants: Option<Vec<&'a Grant>>,
    namespace: String,
}

impl<'a> Granted<'a> {
    /// The grants that select a namespace, by its name or its labels.
    #[must_use]
    pub fn select(grants: &'a [Grant], namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        let selected = grants.iter().filter(|grant| selects(&grant.namespaces, namespace, labels)).collect();
        Self { grants: Some(selected), namespace: namespace.to_owned() }
    }

    /// Everything but `root`: for the command line with a person's own token and without a `VaultConnection`.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { grants: None, namespace: String::new() }
    }

    /// Whether a grant allows an object of this name, whatever is in it. Mounts and their configs are not asked about.
    #[must_use]
    pub fn allows_name(&self, id: &ObjectId) -> bool {
        let allows = |grant: &Grant| match id.kind {
            ObjectKind::AuthMount | ObjectKind::JwtConfig => true,
            ObjectKind::Policy => any_name(&grant.policies, &id.path),
            ObjectKind::Role => id.path.rsplit_once('/').is_some_and(|(mount, name)| {
                grant.auth_mounts.iter().any(|granted| granted.path == mount) && any_name(&grant.roles, name)
            }),
            ObjectKind::Kv => grant.kv.iter().any(|granted| {
                let path = id.path.strip_prefix(&granted.mount).and_then(|rest| rest.strip_prefix('/'));
                path.is_some_and(|path| any_name(&granted.paths, path))
            }),
        };
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(|grant| allows(grant)))
    }

    /// The field and the message of each demand that keeps `demands` from being allowed, by the grant that comes
    /// nearest. `demands` begins with what names the object: a grant for that is nearer than one for the rest.
    pub(super) fn denials(&self, demands: &[Demand<'_>]) -> Vec<(String, String)> {
        let Some(grants) = &self.grants else { return Vec::new() };
        let unmet = |grant: &Grant| -> Vec<bool> { demands.iter().map(|demand| !(demand.met)(grant)).collect() };
        let Some(nearest) = grants.iter().map(|grant| unmet(grant)).min() else {
            let named =
                demands.first().map(|demand| (demand.field.clone(), demand.denied_without_grant(&self.namespace)));
            return named.into_iter().collect();
        };
        let denied = demands.iter().zip(nearest).filter(|(_, unmet)| *unmet);
        denied.map(|(demand, _)| (demand.field.clone(), demand.denied(&self.namespace))).collect()
    }
}

fn selects(selection: &NamespaceSelection, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    // An empty selector selects nothing: forgetting the labels must not open Vault to every namespace.
    let by_labels = selection.selector.as_ref().is_some_and(|selector| {
        !selector.match_labels.is_empty()
            && selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    });
    by_labels || selection.names.iter().any(|name| name == namespace)
}

type Met<'d> = Box<dyn Fn(&Grant) -> bool + 'd>;

/// One thing that a grant must allow.
pub(super) struct Demand<'d> {
    field: String,
    /// What is demanded, e.g. `the role 'x'`.
    what: String,
    /// The list or switch of the grant that would allow it.
    list: &'static str,
    met: Met<'d>,
}

impl<'d> Demand<'d> {
    fn new(field: impl Into<String>, what: String, list: &'static str, met: impl Fn(&Grant) -> bool + 'd) -> Self {
        Self { field: field.into(), what, list, met: Box::new(met) }
    }

    fn denied(&self, namespace: &str) -> String {
        format!(
            "namespace '{namespace}' is not granted {}: ask whoever runs Vault to extend '{}' of its grant in the \
             VaultConnection (one grant must allow all parts of an object)",
            self.what, self.list
        )
    }

    fn denied_without_grant(&self, namespace: &str) -> String {
        format!(
            "the VaultConnection has no grant for namespace '{namespace}', so {} is not allowed: ask whoever runs Vault to \
             add a grant with '{}'",
            self.what, self.list
        )
    }

    fn on_mount(
        field: &str,
        what: String,
        list: &'static str,
        mount: &'d MountPath,
        also: fn(&AuthMountGrant) -> bool,
    ) -> Self {
        Self::new(field, what, list, move |grant| {
            grant.auth_mounts.iter().any(|granted| granted.path == mount.as_str() && also(granted))
        })
    }

    /// The use of an auth mount.
    pub(super) fn mount(field: &str, mount: &'d MountPath) -> Self {
        Self::on_mount(field, format!("the auth mount '{mount}'"), "authMounts", mount, |_| true)
    }

    /// Enabling an auth mount.
    pub(super) fn enable(field: &str, mount: &'d MountPath) -> Self {
        let what = format!("enabling the auth mount '{mount}'");
        Self::on_mount(field, what, "authMounts[].enable", mount, |granted| granted.enable)
    }

    /// Owning the config of an auth mount.
    pub(super) fn manage_config(field: &str, mount: &'d MountPath) -> Self {
        let what = format!("managing the config of the auth mount '{mount}'");
        Self::on_mount(field, what, "authMounts[].manageConfig", mount, |granted| granted.manage_config)
    }

    /// Sending Vault or the operator to a URL.
    pub(super) fn url(field: &str, url: &'d IssuerUrl) -> Vec<Self> {
        let host = Self::new(field, format!("the host '{}'", url.host_and_port()), "issuerHosts", |grant: &Grant| {
            grant.issuer_hosts.iter().any(|entry| url.is_at(entry))
        });
        let http = (!url.is_https()).then(|| {
            Self::new(field, "'http:' instead of 'https:'".to_owned(), "allowHttp", |grant: &Grant| grant.allow_http)
        });
        [host].into_iter().chain(http).collect()
    }

    /// Owning a role.
    pub(super) fn role(field: &str, name: &'d str) -> Self {
        Self::new(field, format!("the role '{name}'"), "roles", move |grant| any_name(&grant.roles, name))
    }

    /// Owning a policy.
    pub(super) fn policy(field: &str, name: &'d str) -> Self {
        Self::new(field, format!("the policy '{name}'"), "policies", move |grant| any_name(&grant.policies, name))
    }

    /// Handing out a policy.
    pub(super) fn attach(field: &str, name: &'d str) -> Self {
        let what = format!("handing out the policy '{name}'");
        Self::new(field, what, "attachablePolicies", move |grant| any_name(&grant.attachable_policies, name))
    }

    /// A rule of an owned policy.
    pub(super) fn rule(field: &str, rule: &'d RuleSpec) -> Self {
        let what = format!("a rule that opens '{}' with {}", rule.path, capability_list(&rule.capabilities));
        Self::new(field, what, "policyRules", move |grant| rule_is_inside(rule, &grant.policy_rules))
    }

    /// A policy as raw text.
    pub(super) fn raw_policy(field: &str) -> Self {
        Self::new(field, "policies as raw 'hcl'".to_owned(), "rawPolicies", |grant| grant.raw_policies)
    }

    /// A KV entry.
    pub(super) fn kv(field: &str, mount: &'d MountPath, path: &'d KvPath) -> Self {
        let what = format!("the KV entry '{path}' on the mount '{mount}'");
        let allows =
            move |granted: &KvGrant| granted.mount == mount.as_str() && any_name(&granted.paths, path.as_str());
        Self::new(field, what, "kv", move |grant| grant.kv.iter().any(allows))
    }

    /// A life of issued tokens of this many seconds.
    pub(super) fn token_life(field: &str, seconds: i64) -> Self {
        let what = format!("tokens that live for {seconds} s (set less)");
        Self::new(field, what, "maxTokenTtl", move |grant| {
            // A bound that cannot be read bounds everything.
            grant.max_token_ttl.as_ref().is_none_or(|longest| longest.seconds().is_ok_and(|longest| seconds <= longest))
        })
    }

    /// A role that leaves the life of its tokens to the mount.
    pub(super) fn unbounded_life(field: &str) -> Self {
        let what = "tokens without a bound of their own (set tokenMaxTtl, tokenExplicitMaxTtl or tokenPeriod)";
        Self::new(field, what.to_owned(), "maxTokenTtl", |grant| grant.max_token_ttl.is_none())
    }
}

/// Whether one of `patterns` stands for `name`: the same, or `*` as its last character and the same beginning.
fn any_name(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => !prefix.contains('*') && name.starts_with(prefix),
        None => pattern == name,
    })
}

/// Whether everything that `rule` opens lies inside one of `granted`. A granted `deny` is an exclusion, as it would be
/// in a policy: nothing that overlaps it is inside.
#[must_use]
pub fn rule_is_inside(rule: &RuleSpec, granted: &[RuleGrant]) -> bool {
    // In Vault `deny` beats whatever stands beside it, so such a rule opens nothing.
    if rule.capabilities.contains(&Capability::Deny) {
        return true;
    }
    let Ok(path) = RulePath::new(&rule.path) else { return false };
    let lists = rule.capabilities.contains(&Capability::List);
    let excluded = granted.iter().filter(|grant| grant.capabilities.contains(&Capability::Deny));
    // An exclusion that cannot be read excludes everything.
    if excluded.into_iter().any(|grant| RulePath::new(&grant.path).map_or(true, |denied| denied.overlaps(&path, lists)))
    {
        return false;
    }
    granted.iter().any(|grant| {
        rule.capabilities.iter().all(|capability| grant.capabilities.contains(capability))
            && RulePath::new(&grant.path).is_ok_and(|granted| granted.covers(&path))
    })
}

/// `[read, list]`.
pub(super) fn capability_list(capabilities: &[Capability]) -> String {
    let names: Vec<_> = capabilities.iter().map(|capability| capability_name(*capability)).collect();
    format!("[{}]", names.join(", "))
}

/// Vault's name of a capability.
pub(super) const fn capability_name(capability: Capability) -> &'static str {
    match capability {
        Capability::Create => "create",
        Capability::Read => "read",
        Capability::Update => "update",
        Capability::Patch => "patch",
        Capability::Delete => "delete",
        Capability::List => "list",
        Capability::Sudo => "sudo",
        Capability::Deny => "deny",
    }
}
