//! The ACL policies of a binding. Structured rules become HCL with each string written by a JSON serializer, from a set
//! of characters in which HCL and JSON agree; HCL and not JSON, because a policy in JSON cannot begin with the comment
//! that marks its owner. Rules and capabilities are sorted, so that another order in Git is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::api::binding::{Capability, PolicySpec};
use crate::api::names::PolicyName;
use crate::api::status::ObjectKind;

use super::grants::{Demand, capability_name};
use super::rule_path::RulePath;
use super::{Check, Context, Object, ObjectId, Policy, Problem};

/// The longest raw text, far above what people write and far below what Vault takes.
const HCL_LIMIT: usize = 65_536;

pub(super) fn desired(context: Context<'_>, problems: &mut Vec<Problem>) -> Vec<Object> {
    let mut seen = BTreeSet::new();
    let policies = context.spec.policies.iter().enumerate();
    policies
        .filter_map(|(index, policy)| {
            let field = format!("spec.policies[{index}]");
            let mut check = Check::new(Some(ObjectId::new(ObjectKind::Policy, policy.name.as_str())), problems);
            if !seen.insert(&policy.name) {
                check.invalid(format!("{field}.name"), format!("must not name the policy '{}' twice", policy.name));
            }
            one(context, policy, &field, &mut check)
        })
        .collect()
}

fn one(context: Context<'_>, policy: &PolicySpec, field: &str, check: &mut Check<'_>) -> Option<Object> {
    let name = check.valid(format!("{field}.name"), PolicyName::new(&policy.name));
    let text = match (&policy.hcl, policy.rules.is_empty()) {
        (Some(_), false) => {
            check.invalid(field, "must have either 'rules' or 'hcl', not both");
            None
        }
        (None, true) => {
            check.invalid(field, "must have 'rules' (or 'hcl' where the grant has rawPolicies)");
            None
        }
        (Some(hcl), true) => raw(hcl, &format!("{field}.hcl"), check),
        (None, false) => structured(policy, field, check),
    };
    // Grants are asked even when the form is wrong, so that the author meets all problems at once.
    let mut demands = vec![Demand::policy(&format!("{field}.name"), &policy.name)];
    if policy.hcl.is_some() {
        demands.push(Demand::raw_policy(&format!("{field}.hcl")));
    }
    let readable = policy.rules.iter().enumerate().filter(|(_, rule)| RulePath::new(&rule.path).is_ok());
    demands.extend(readable.map(|(index, rule)| Demand::rule(&format!("{field}.rules[{index}]"), rule)));
    if name.is_some() {
        check.granted(context.granted, &demands);
    }
    let (name, text) = name.zip(text)?;
    check.passed().then_some(Object::Policy(Policy { name, text }))
}

fn raw(hcl: &str, field: &str, check: &mut Check<'_>) -> Option<String> {
    if hcl.trim().is_empty() {
        check.invalid(field, "must not be blank: Vault would take it for a policy that opens nothing");
    } else if hcl.len() > HCL_LIMIT {
        check.invalid(field, format!("must be at most {HCL_LIMIT} bytes long"));
    } else if hcl.contains('\0') {
        check.invalid(field, "must not contain NUL characters");
    } else {
        return Some(hcl.to_owned());
    }
    None
}

fn structured(policy: &PolicySpec, field: &str, check: &mut Check<'_>) -> Option<String> {
    let mut rules = BTreeMap::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let field = format!("{field}.rules[{index}]");
        check.valid(format!("{field}.path"), RulePath::new(&rule.path));
        if rule.capabilities.is_empty() {
            check.invalid(format!("{field}.capabilities"), "must name at least one capability");
        }
        let capabilities: BTreeSet<_> = rule.capabilities.iter().copied().collect();
        if rules.insert(rule.path.as_str(), capabilities).is_some() {
            let message = format!("must not have the path '{}' twice: put its capabilities into one rule", rule.path);
            check.invalid(format!("{field}.path"), message);
        }
    }
    check.passed().then(|| text(&rules))
}

fn text(rules: &BTreeMap<&str, BTreeSet<Capability>>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut hcl = String::new();
    for (index, (path, capabilities)) in rules.iter().enumerate() {
        let names: Vec<_> = capabilities.iter().map(|capability| quoted(capability_name(*capability))).collect();
        let gap = if index == 0 { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = write!(hcl, "{gap}path {} {{\n  capabilities = [{}]\n}}\n", quoted(path), names.join(", "));
    }
    hcl
}
