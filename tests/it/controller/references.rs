//! Secrets and ConfigMaps that a binding refers to: waited for, acted on when they change, and never a reason to take
//! something away.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::scenario::{Scenario, condition, message};
use crate::lab::VaultServer;

impl Scenario {
    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    async fn config_map(&self, name: &str, data: &Value) {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        let api = Api::<ConfigMap>::namespaced(self.kube.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&map)).await.unwrap();
    }

    async fn stored(&self) -> Value {
        self.vault.get(&format!("{}/data/app/tfc-token", self.kv)).await.1["data"]["data"]["Badal_devex"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_waited_for_and_acted_on_when_it_comes() {
    let world = Scenario::start().await;
    world.secrets().delete("tfc-token", &DeleteParams::default()).await.unwrap();
    world.apply("backend", &world.spec()).await;
    let binding = world.not_ready("backend", "ReferenceNotFound").await;
    assert_eq!(condition(&binding, "ResolvedRefs"), Some(("False".into(), "ReferenceNotFound".into())));
    assert_eq!(condition(&binding, "Stalled"), None);
    assert_eq!(condition(&binding, "Accepted"), Some(("True".into(), "Succeeded".into())));
    let said = message(&binding, "ResolvedRefs");
    assert!(said.contains("spec.kv[0].data[0].secretKeyRef") && said.contains("'tfc-token'"), "{said}");
    assert_eq!(world.role("backend").await.0, 200, "what needs no secret is made");

    world.secret("tfc-token", &json!({"other": "x"})).await;
    world.wait("backend", "the key is missing", |b| message(b, "ResolvedRefs").contains("has no key 'token'")).await;
    world.secret("tfc-token", &json!({"token": "s3cr3t-late"})).await;
    world.ready("backend").await;
    assert_eq!(world.stored().await, "s3cr3t-late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_secret_is_acted_on_at_once_and_one_that_goes_changes_nothing() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    world.secret("tfc-token", &json!({"token": "s3cr3t-rotated"})).await;
    world.eventually("the new value is in Vault", async || world.stored().await == "s3cr3t-rotated").await;
    let updated = world.events_soon("backend", "Updated").await.join("\n");
    assert!(updated.contains("app/tfc-token") && !updated.contains("s3cr3t"), "{updated}");
    assert!(world.events("backend", "DriftCorrected").await.is_empty(), "a rotation is no drift");

    world.secrets().delete("tfc-token", &DeleteParams::default()).await.unwrap();
    let binding = world.not_ready("backend", "ReferenceNotFound").await;
    assert_eq!(world.stored().await, "s3cr3t-rotated");
    assert_eq!(binding.status.unwrap().managed_objects.len(), 5);
    // What it made is still its own.
    world.delete("backend").await;
    assert_eq!(world.vault.get(&format!("{}/metadata/app/tfc-token", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_are_stored_as_they_are_or_refused_with_the_reason() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let put = async |value: Vec<u8>| {
        let secret = Secret {
            data: Some([("token".to_owned(), k8s_openapi::ByteString(value))].into()),
            metadata: kube::api::ObjectMeta { name: Some("tfc-token".into()), ..Default::default() },
            ..Default::default()
        };
        world.secrets().replace("tfc-token", &PostParams::default(), &secret).await.unwrap();
    };
    for value in ["", " leading and trailing \n", "\u{0}\u{1f600}\"\\'{{}}", &"x".repeat(900_000)] {
        put(value.as_bytes().to_vec()).await;
        world.eventually("the value is in Vault", async || world.stored().await == value).await;
    }
    let kept = world.stored().await;
    put(vec![0xff, 0xfe, b'x']).await;
    let binding = world.not_ready("backend", "ReferenceInvalid").await;
    assert!(message(&binding, "ResolvedRefs").contains("UTF-8"), "{}", message(&binding, "ResolvedRefs"));
    put(vec![b'x'; 1024 * 1024]).await;
    let binding =
        world.wait("backend", "it is too large", |b| message(b, "ResolvedRefs").contains("at most 1000000")).await;
    assert_eq!(condition(&binding, "Stalled"), Some(("True".into(), "ReferenceInvalid".into())));
    assert_eq!(world.stored().await, kept, "the last good value stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_from_a_config_map_is_waited_for_and_followed() {
    let world = Scenario::start().await;
    // Any certificates will do: the issuer itself is asked over HTTP.
    let (one, two) = tokio::try_join!(VaultServer::start(true), VaultServer::start(true)).unwrap();
    let (one, two) = (one.ca().unwrap().to_owned(), two.ca().unwrap().to_owned());
    let mut spec = world.spec();
    spec["auth"]["config"]["jwksCaRef"] = json!({"kind": "ConfigMap", "name": "issuer-ca", "key": "ca.crt"});
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "ReferenceNotFound").await;
    assert!(message(&binding, "Ready").contains("ConfigMap 'issuer-ca'"), "{}", message(&binding, "Ready"));
    let ca = async || world.vault.get(&format!("auth/{}/config", world.mount)).await.1["data"]["jwks_ca_pem"].clone();
    for pem in [&one, &two] {
        world.config_map("issuer-ca", &json!({"ca.crt": pem})).await;
        world.eventually("Vault has the CA", async || ca().await.as_str().map(str::trim) == Some(pem.trim())).await;
        world.ready("backend").await;
    }
    world.config_map("issuer-ca", &json!({"ca.crt": "no certificate"})).await;
    world.not_ready("backend", "ReferenceInvalid").await;
    assert_eq!(ca().await.as_str().map(str::trim), Some(two.trim()));
}
