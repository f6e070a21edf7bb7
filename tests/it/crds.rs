//! The custom resources at a real apiserver: what it accepts, and with which words it refuses the rest.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, Request};
use serde_json::{Value, json};
use vault_jwt_operator::api::names::{KvPath, MountPath, PolicyName, RoleName};

use crate::lab::unique;

mod immutable;
mod refused;
mod server;

use server::Server;

/// One of the samples that the repository ships.
fn sample(kind: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/samples");
    let text = std::fs::read_to_string(format!("{folder}/{}.yaml", kind.to_lowercase())).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// A sample with another name, in another namespace.
fn named(kind: &str, name: &str, namespace: &str) -> Value {
    let mut object = sample(kind);
    object["metadata"] = json!({"name": name});
    if kind == "VaultJwtBinding" {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn api(client: kube::Client, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().unwrap();
    let resource = ApiResource {
        group: "vault.badal.io".into(),
        version: "v1alpha1".into(),
        api_version: "vault.badal.io/v1alpha1".into(),
        kind: kind.into(),
        plural: format!("{}s", kind.to_lowercase()),
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}

/// Applies an object as `kubectl apply --server-side` does; the refusal's message.
async fn apply(client: &kube::Client, object: &Value, dry_run: bool) -> Result<DynamicObject, String> {
    let name = object["metadata"]["name"].as_str().unwrap();
    let mut params = PatchParams::apply("test").force().validation_strict();
    params.dry_run = dry_run;
    let applied = api(client.clone(), object).patch(name, &params, &Patch::Apply(object)).await;
    applied.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })
}

/// Creates an object for trial as `kubectl apply` does; the refusal's message.
async fn create(client: &kube::Client, object: &Value) -> Result<Value, String> {
    let path = format!("{}?dryRun=All&fieldValidation=Strict", api(client.clone(), object).resource_url());
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(object).unwrap()).unwrap();
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    })
}

#[tokio::test]
async fn the_definitions_are_accepted_without_a_warning() {
    let server = Server::shared().await;
    assert!(server.warnings.is_empty(), "{:?}", server.warnings);
}

#[tokio::test]
async fn the_samples_are_accepted_and_nothing_of_them_is_lost() {
    let (client, namespace) = Server::shared().await.namespace().await;
    for kind in ["VaultConnection", "VaultJwtBinding"] {
        let object = named(kind, &unique("sample"), &namespace);

        let first = apply(&client, &object, false).await.unwrap();
        // The default of the status is stored with the first write after the creation.
        let second = apply(&client, &object, false).await.unwrap();
        let third = apply(&client, &object, false).await.unwrap();

        assert_eq!(second.metadata.generation, Some(1));
        assert_eq!(third.metadata.resource_version, second.metadata.resource_version, "the same again writes nothing");
        assert_eq!(first.data["status"], json!({"observedGeneration": -1}));
        assert_contains(&first.data["spec"], &object["spec"], "spec");
    }
}

/// Everything in `part` is in `whole`, which may have defaults besides.
fn assert_contains(whole: &Value, part: &Value, path: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                assert_contains(whole.get(key).unwrap_or(&Value::Null), value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert_eq!(whole.len(), part.len(), "{path}");
            for (index, (whole, part)) in whole.iter().zip(part).enumerate() {
                assert_contains(whole, part, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(whole, part, "{path}"),
    }
}

#[tokio::test]
async fn bindings_are_found_by_connection_and_by_mount() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let connection = unique("connection");
    for mount in ["jwt-a", "jwt-b"] {
        let mut binding = named("VaultJwtBinding", mount, &namespace);
        binding["spec"]["connectionRef"]["name"] = connection.as_str().into();
        binding["spec"]["auth"]["mount"] = mount.into();
        apply(&client, &binding, false).await.unwrap();
    }
    let bindings = api(client, &named("VaultJwtBinding", "any", &namespace));
    for (selector, expected) in [
        (format!("spec.connectionRef.name={connection}"), vec!["jwt-a", "jwt-b"]),
        ("spec.auth.mount=jwt-b".to_owned(), vec!["jwt-b"]),
        ("spec.connectionRef.name=other".to_owned(), vec![]),
    ] {
        let found = bindings.list(&kube::api::ListParams::default().fields(&selector)).await.unwrap();
        let names: Vec<_> = found.items.iter().filter_map(|item| item.metadata.name.as_deref()).collect();
        assert_eq!(names, expected, "{selector}");
    }
}

#[tokio::test]
async fn a_table_shows_what_matters() {
    let (client, namespace) = Server::shared().await.namespace().await;
    for (kind, expected) in [
        ("VaultConnection", vec!["Name", "READY", "STATUS", "ADDRESS", "AGE"]),
        ("VaultJwtBinding", vec!["Name", "READY", "STATUS", "CONNECTION", "MOUNT", "LOGIN", "AGE"]),
    ] {
        let object = named(kind, "any", &namespace);
        let url = api(client.clone(), &object).resource_url().to_owned();
        let mut request = Request::new(url).list(&kube::api::ListParams::default()).unwrap();
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap();
        request.headers_mut().insert("accept", accept);
        let table: Value = client.request(request).await.unwrap();
        let columns = table["columnDefinitions"].as_array().unwrap();
        let names: Vec<_> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
        assert_eq!(names, expected);
    }
}

/// Names that a Vault path could be made of, and names that somebody could try to break out with.
const NAMES: [&str; 38] = [
    "a",
    "_",
    "a-b",
    "a.b",
    "backstage-backend",
    "A",
    "Backstage",
    "a b",
    " a",
    "a ",
    "a\t",
    "a\n",
    "",
    "..",
    "a..b",
    ".a",
    "a.",
    "-a",
    "a-",
    "a/b",
    "/a",
    "a/",
    "a//b",
    "a/../b",
    "a/./b",
    "é",
    "a%2e",
    "a?b",
    "a#b",
    "a*",
    "a+",
    "{{a}}",
    "root",
    "default",
    "data/a",
    "metadata/a/b",
    "data",
    "dataset/a",
];

#[tokio::test]
async fn the_apiserver_and_the_path_builder_agree_on_names() {
    type Check = fn(&str) -> bool;
    let kinds: [(&str, Check); 4] = [
        ("/spec/roles/0/name", |name| RoleName::new(name).is_ok()),
        ("/spec/policies/0/name", |name| PolicyName::new(name).is_ok()),
        ("/spec/auth/mount", |name| MountPath::new(name).is_ok()),
        ("/spec/kv/0/path", |name| KvPath::new(name).is_ok()),
    ];
    let (client, namespace) = Server::shared().await.namespace().await;
    for (pointer, check) in kinds {
        for name in NAMES {
            let mut binding = named("VaultJwtBinding", "names", &namespace);
            *binding.pointer_mut(pointer).unwrap() = name.into();
            let applied = apply(&client, &binding, true).await;
            assert_eq!(applied.is_ok(), check(name), "{pointer} {name:?}: {:?}", applied.err());
        }
    }
}
