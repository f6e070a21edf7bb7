//! Whether a policy's rules lie inside what is granted, judged by the operator and by the real Vault. Whenever the
//! operator says "inside", no token with the rule's policy may do on any path what one with the grant's may not.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use vault_jwt_operator::api::binding::{Capability, RuleSpec};
use vault_jwt_operator::api::connection::RuleGrant;
use vault_jwt_operator::desired::grants::rule_is_inside;

use crate::lab::{VaultApi, VaultServer};

const CASES: usize = 400;
/// So few words that patterns meet often.
const WORDS: [&str; 4] = ["a", "b", "ab", "c"];

#[derive(Debug, Clone)]
struct Case {
    granted: Vec<RuleGrant>,
    rule: RuleSpec,
}

/// A path of up to four segments: words, `+`, and at the end perhaps `/` or `*`.
fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![5 => prop::sample::select(&WORDS[..]), 2 => Just("+")];
    (prop::collection::vec(segment, 1..4), 0..6_u8).prop_map(|(segments, end)| {
        let path = segments.join("/");
        match end {
            0 | 1 => format!("{path}/*"),
            2 if !path.ends_with('+') => format!("{path}*"),
            3 => format!("{path}/"),
            _ => path,
        }
    })
}

fn capabilities() -> impl Strategy<Value = Vec<Capability>> {
    use Capability::{Create, Delete, List, Patch, Read, Sudo, Update};
    let some = prop::sample::subsequence(vec![Create, Read, Update, Patch, Delete, List, Sudo], 1..=2);
    prop_oneof![20 => some, 1 => Just(vec![Capability::Deny])]
}

/// A granted pattern, now and then with one that is denied, and a rule: half of them made from the granted pattern by
/// making it narrower in one place.
fn case() -> impl Strategy<Value = Case> {
    use Capability::{Create, Delete, List, Patch, Read, Sudo, Update};
    let most = prop::sample::subsequence(vec![Create, Read, Update, Patch, Delete, List, Sudo], 4..=7);
    let granted = (pattern(), most).prop_map(|(path, capabilities)| RuleGrant { path, capabilities });
    let denied = pattern().prop_map(|path| RuleGrant { path, capabilities: vec![Capability::Deny] });
    let denied = prop::option::weighted(0.3, denied);
    let word = prop::sample::select(&WORDS[..]);
    (granted, denied, pattern(), capabilities(), any::<bool>(), (word, prop::bool::weighted(0.2))).prop_map(
        |(granted, denied, path, capabilities, near, (word, star))| {
            let path = if near { narrowed(&granted.path, word, &path, star) } else { path };
            let granted = [granted].into_iter().chain(denied).collect();
            Case { granted, rule: RuleSpec { path, capabilities } }
        },
    )
}

/// One `+` filled in, the end of a prefix filled in; `star` makes it a prefix (which is wider where it was none).
fn narrowed(granted: &str, word: &str, tail: &str, star: bool) -> String {
    let narrower = granted.replacen('+', word, 1);
    let narrower = narrower.strip_suffix('*').map_or(narrower.clone(), |prefix| format!("{prefix}{tail}"));
    if star && !narrower.ends_with(['*', '+']) { format!("{narrower}*") } else { narrower }
}

/// The same policy as the operator would write it, but for the order.
fn policy<'a>(rules: impl IntoIterator<Item = (&'a str, &'a [Capability])>) -> String {
    let mut merged: BTreeMap<&str, BTreeSet<Capability>> = BTreeMap::new();
    for (path, capabilities) in rules {
        merged.entry(path).or_default().extend(capabilities);
    }
    let paths: serde_json::Map<_, _> = merged
        .into_iter()
        .map(|(path, capabilities)| (path.to_owned(), json!({ "capabilities": capabilities })))
        .collect();
    json!({ "path": paths }).to_string()
}

/// Concrete paths that the rule matches, and some around them.
fn paths(rule: &str) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    for filler in WORDS {
        let filled: Vec<_> = rule.split('/').map(|segment| if segment == "+" { filler } else { segment }).collect();
        let filled = filled.join("/");
        let Some(prefix) = filled.strip_suffix('*') else {
            paths.extend([filled.clone(), format!("{filled}/{filler}"), format!("{filled}{filler}")]);
            paths.extend([format!("{filled}/"), filled.trim_end_matches('/').to_owned()]);
            continue;
        };
        for tail in ["", "x", "/", "a", "b/c", "ab/", "a/b/c", "c/a/b/ab"] {
            paths.insert(format!("{prefix}{tail}"));
        }
    }
    // Vault redirects such a request and never answers it.
    paths.into_iter().filter(|path| !path.is_empty() && !path.contains("//")).collect()
}

/// What a token with this policy may do, by path.
async fn allowed(vault: &VaultServer, name: &str, policy: &str, paths: &BTreeSet<String>) -> Value {
    let root = vault.api();
    root.write(&format!("sys/policies/acl/{name}"), &json!({ "policy": policy })).await;
    let (status, answer) =
        root.post("auth/token/create", &json!({"policies": [name], "no_default_policy": true, "type": "batch"})).await;
    assert_eq!(status, 200, "{answer}");
    let token = answer["auth"]["client_token"].as_str().unwrap();
    capabilities_of(&root, token, paths).await
}

async fn capabilities_of(root: &VaultApi, token: &str, paths: &BTreeSet<String>) -> Value {
    let (status, answer) = root.post("sys/capabilities", &json!({"token": token, "paths": paths})).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"].clone()
}

/// The capabilities that Vault would act on. It answers as for a LIST, for which rules for `a/b` decide on `a/b/` too;
/// on such a path only that one capability is what it really does.
fn effective(answer: &Value, path: &str) -> BTreeSet<String> {
    let names = answer[path].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.filter(|name| *name != "deny" && (*name == "list" || !path.ends_with('/'))).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_rule_inside_its_grant_opens_nothing_in_vault_that_the_grant_does_not() {
    let vault = VaultServer::start(false).await.unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let cases: Vec<Case> = (0..CASES).map(|_| case().new_tree(&mut runner).unwrap().current()).collect();
    let inside: Vec<_> = cases.iter().filter(|case| rule_is_inside(&case.rule, &case.granted)).collect();

    let checks = inside.iter().enumerate().map(|(index, case)| check(&vault, index, case));
    let opened: usize = futures::stream::iter(checks).buffer_unordered(8).collect::<Vec<_>>().await.into_iter().sum();

    // Not vacuous: many rules are inside, they open something, and many are outside.
    assert!(inside.len() > CASES / 5, "only {} of {CASES} are inside", inside.len());
    assert!(inside.len() < CASES * 4 / 5, "{} of {CASES} are inside", inside.len());
    assert!(opened > inside.len(), "{opened} paths are open");
}

/// How many paths the rule opens, after none of them was found to be opened further than the grant does.
async fn check(vault: &VaultServer, index: usize, case: &Case) -> usize {
    let paths = paths(&case.rule.path);
    let rule = policy([(case.rule.path.as_str(), &case.rule.capabilities[..])]);
    let grant = policy(case.granted.iter().map(|grant| (grant.path.as_str(), &grant.capabilities[..])));
    let by_rule = allowed(vault, &format!("rule-{index}"), &rule, &paths).await;
    let by_grant = allowed(vault, &format!("grant-{index}"), &grant, &paths).await;
    let mut opened = 0;
    for path in &paths {
        let got = effective(&by_rule, path);
        let may = effective(&by_grant, path);
        assert!(got.is_subset(&may), "{path}: the rule gives {got:?}, the grant {may:?}: {case:?}");
        opened += usize::from(!got.is_empty());
    }
    opened
}
