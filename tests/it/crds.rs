//! The custom resources at a real apiserver: what it accepts, and with which words it refuses the rest.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, Request};
use serde_json::{Value, json};
use vault_jwt_operator::api::names::{KvPath, MountPath, PolicyName, RoleName};
use vault_jwt_operator::api::schema;

use crate::lab::{ControlPlane, Lab, eventually, unique};

mod immutable;
mod refused;

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

#[tokio::test]
async fn the_definitions_are_accepted_without_a_warning() {
    let server = ControlPlane::start(false).await.unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    for crd in schema::crds() {
        let name = crd.metadata.name.clone().unwrap();
        let request = Request::new("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
            .create(&PostParams::default(), serde_json::to_vec(&crd).unwrap())
            .unwrap();
        let answer = client.send(request.map(Body::from)).await.unwrap();
        let warnings: Vec<_> = answer.headers().get_all("warning").iter().collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(answer.status().is_success(), "{}: {:?}", name, answer.into_body().collect_bytes().await);

        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let what = format!("{name} is established");
        let conditions = eventually(Duration::from_secs(30), &what, async || {
            let conditions = crds.get(&name).await.ok()?.status?.conditions?;
            conditions.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(conditions)
        });
        let conditions = conditions.await.unwrap();
        assert!(!conditions.iter().any(|c| c.type_ == "NonStructuralSchema"), "{conditions:?}");
    }
}

#[tokio::test]
async fn the_samples_are_accepted_and_nothing_of_them_is_lost() {
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
    for kind in ["VaultConnection", "VaultJwtBinding"] {
        let object = named(kind, &unique("sample"), &namespace);

        let first = apply(&client, &object, false).await.unwrap();
        let again = apply(&client, &object, false).await.unwrap();

        assert_eq!(first.metadata.generation, Some(1));
        assert_eq!(again.metadata.resource_version, first.metadata.resource_version, "a second apply changes nothing");
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
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
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
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
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
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
    for (pointer, check) in kinds {
        for name in NAMES {
            let mut binding = named("VaultJwtBinding", "names", &namespace);
            *binding.pointer_mut(pointer).unwrap() = name.into();
            let applied = apply(&client, &binding, true).await;
            assert_eq!(applied.is_ok(), check(name), "{pointer} {name:?}: {:?}", applied.err());
        }
    }
}
