//! What holds for every field of both definitions, and that the files in `crds/` are what the types say.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{crds, yaml};

/// Calls `look` with the path and the schema of every property, item and map value.
fn walk(look: &mut impl FnMut(&str, &Value)) {
    fn descend(path: &str, schema: &Value, look: &mut impl FnMut(&str, &Value)) {
        look(path, schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            descend(&format!("{path}.{name}"), property, look);
        }
        for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
            if schema[key].is_object() {
                descend(&format!("{path}{suffix}"), &schema[key], look);
            }
        }
    }
    for crd in crds() {
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
            descend(&crd.spec.names.kind, &schema["openAPIV3Schema"], look);
        }
    }
}

#[test]
fn every_field_is_described_beginning_with_its_name() {
    let mut wrong = Vec::new();
    walk(&mut |path, schema| {
        let Some((parent, name)) = path.rsplit_once('.') else { return };
        if name.ends_with("[]") || name.ends_with("{}") {
            return;
        }
        let text = schema["description"].as_str().unwrap_or_default();
        let first = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        // `spec` and `status` have their types' descriptions.
        let named = first == name || !parent.contains('.');
        if !named || !text.ends_with('.') {
            wrong.push(format!("{path}: {text:?}"));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_value_is_bounded_and_every_list_says_how_it_is_merged() {
    let mut wrong = Vec::new();
    walk(&mut |path, schema| {
        let has = |key: &str| schema.get(key).is_some();
        let bounded = match schema["type"].as_str() {
            Some("string") => has("maxLength") || has("enum") || schema["format"] == "date-time",
            Some("integer") => {
                let format = schema["format"].as_str();
                matches!(format, Some("int32" | "int64")) && has("minimum")
            }
            Some("array") => has("maxItems") && has("items") && has("x-kubernetes-list-type"),
            Some("object") if has("additionalProperties") => has("maxProperties"),
            Some("object") => has("properties"),
            Some("boolean") => true,
            None => has("maxLength") && has("maxItems") && has("maxProperties"),
            Some(_) => false,
        };
        if !bounded || has("nullable") || has("oneOf") || has("not") {
            wrong.push(format!("{path}: {schema}"));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_message_follows_the_grammar() {
    let mut wrong = Vec::new();
    walk(&mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            let begins = ["must ", "must not ", "may not ", "may only "].iter().any(|begin| message.starts_with(begin));
            // `<`, `>` and `=` would be inequalities; a final stop would end a sentence that the apiserver goes on with.
            let clean = !message.contains(['<', '>', '\n']) && !message.contains("should") && !message.ends_with('.');
            let named = rule["reason"].is_string();
            if !(begins && clean && named && !message.contains("  ")) {
                wrong.push(format!("{path}: {rule}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_rule_about_one_field_of_an_object_points_at_it() {
    let mut wrong = Vec::new();
    walk(&mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            let union = message.starts_with("must have exactly one of");
            if schema["type"] == "object" && !union && rule["fieldPath"].is_null() {
                wrong.push(format!("{path}: {rule}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_object_nobody_has_met_is_not_taken_for_finished() {
    for crd in crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let status = &schema["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(status["default"]["observedGeneration"], -1, "{}", crd.spec.names.kind);
    }
}

/// Run with `UPDATE_CRDS=1` to write them.
#[test]
fn the_files_of_the_definitions_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for crd in crds() {
        let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
        let text = yaml(&crd).unwrap();
        if std::env::var_os("UPDATE_CRDS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "{} is not current: run `UPDATE_CRDS=1 cargo test --lib schema`", file.display());
    }
}

#[test]
fn the_yaml_says_the_same_to_an_old_reader() {
    for crd in crds() {
        let text = yaml(&crd).unwrap();
        let read: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&crd).unwrap());
        for line in text.lines() {
            let value = line.rsplit_once(": ").map_or(line.trim_start_matches([' ', '-']), |(_, value)| value);
            let ambiguous = ["y", "n", "yes", "no", "on", "off", "null", "~"];
            assert!(!ambiguous.contains(&value.to_ascii_lowercase().as_str()), "{line:?}");
        }
    }
}
