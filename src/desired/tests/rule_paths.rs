//! Containment and overlap of rule paths against a plain matcher over all short paths: exact in both directions.

use proptest::prelude::*;

use crate::desired::rule_path::RulePath;

/// Vault's matching of one path by one rule, word for word.
fn matches(rule: &str, path: &str) -> bool {
    let (rule, prefix) = rule.strip_suffix('*').map_or((rule, false), |rule| (rule, true));
    let rule: Vec<_> = rule.split('/').collect();
    let path: Vec<_> = path.split('/').collect();
    let long_enough = if prefix { path.len() >= rule.len() } else { path.len() == rule.len() };
    long_enough
        && rule.iter().zip(&path).enumerate().all(|(index, (rule_part, path_part))| {
            let last = prefix && index == rule.len() - 1;
            *rule_part == "+" || rule_part == path_part || (last && path_part.starts_with(rule_part))
        })
}

/// All paths of up to four segments; `z` is in no rule and so stands for everything else.
fn all_paths() -> Vec<String> {
    let words = ["", "a", "ab", "abz", "b", "z"];
    let mut paths: Vec<String> = words.iter().map(ToString::to_string).collect();
    let mut from = 0;
    for _ in 0..3 {
        let to = paths.len();
        for index in from..to {
            paths.extend(words.iter().map(|word| format!("{}/{word}", paths[index])).collect::<Vec<_>>());
        }
        from = to;
    }
    paths
}

fn rule() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "ab", "b", "+"]);
    (prop::collection::vec(segment, 0..3), prop::sample::select(vec!["a", "ab", "b", "+", "", "*", "a*", "ab*"]))
        .prop_map(|(mut segments, last)| {
            segments.push(if segments.is_empty() && last.is_empty() { "a" } else { last });
            segments.join("/")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn containment_and_overlap_are_exact(granted in rule(), wanted in rule()) {
        let (outer, inner) = (RulePath::new(&granted).unwrap(), RulePath::new(&wanted).unwrap());
        let (mut inside, mut meets) = (true, false);
        for path in all_paths() {
            if matches(&wanted, &path) {
                inside &= matches(&granted, &path);
                meets |= matches(&granted, &path);
            }
        }
        prop_assert_eq!(outer.covers(&inner), inside);
        prop_assert_eq!(outer.overlaps(&inner, false), meets);
        prop_assert_eq!(inner.overlaps(&outer, false), meets);
    }
}

#[test]
fn containment_by_example() {
    for (granted, wanted, inside) in [
        ("kv/data/team/*", "kv/data/team/*", true),
        ("kv/data/team/*", "kv/data/team/x", true),
        ("kv/data/team/*", "kv/data/team/+/y", true),
        ("kv/data/team/*", "kv/data/team", false),
        ("kv/data/team/*", "kv/data/team*", false),
        ("kv/data/team/*", "kv/data/team-2/x", false),
        ("kv/data/team/*", "kv/data/+/x", false),
        ("kv/data/team/*", "+/data/team/x", false),
        ("kv/data/team/*", "*", false),
        ("kv/data/team*", "kv/data/team-2/x", true),
        ("kv/data/+/x", "kv/data/a/x", true),
        ("kv/data/+/x", "kv/data/a/b/x", false),
        ("kv/data/+/x", "kv/data/a/x*", false),
        ("kv/data/+/x/*", "kv/data/+/x/+", true),
        ("kv/data/+/x/*", "kv/data/a/x/*", true),
        ("*", "sys/auth", true),
        ("kv/data/users/*", "kv/data/users/{{identity.entity.name}}", true),
        ("kv/data/users/*", "kv/data/users/{{identity.entity.name}}/*", true),
        ("kv/data/users*", "kv/data/users-{{identity.entity.name}}", true),
        ("kv/data/users/*", "kv/data/{{identity.entity.name}}/x", false),
        ("kv/data/users/+", "kv/data/users/{{identity.entity.name}}", false),
        ("kv/+/users/*", "kv/data/users/{{identity.entity.name}}/x", true),
        ("kv/data/users/{{identity.entity.name}}/*", "kv/data/users/{{identity.entity.name}}/x", false),
        ("kv/data/users/{{identity.entity.name}}/*", "kv/data/users/x", false),
    ] {
        let (outer, inner) = (RulePath::new(granted).unwrap(), RulePath::new(wanted).unwrap());
        assert_eq!(outer.covers(&inner), inside, "{granted} covers {wanted}");
    }
}

#[test]
fn a_denied_path_excludes_the_list_of_its_folder_too() {
    let overlaps =
        |denied, wanted, lists| RulePath::new(denied).unwrap().overlaps(&RulePath::new(wanted).unwrap(), lists);
    for (denied, wanted) in [("a/b", "a/b/"), ("+/b", "a/b/*"), ("a", "a/+"), ("a/b/", "a/b"), ("a/*", "a")] {
        assert!(overlaps(denied, wanted, true), "{denied} {wanted}");
        assert!(!overlaps(denied, wanted, false), "{denied} {wanted}");
    }
    assert!(!overlaps("a/b", "a/c/", true));
}
