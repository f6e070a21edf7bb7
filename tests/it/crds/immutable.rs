//! Fields that name what a binding made in Vault never change: not by another value, not by leaving them out, and not by
//! leaving them out first and putting another in later.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Server, api, apply, named};

/// The field, and the objects around it that could be left out with it.
const FIELDS: [(&str, &[&str]); 2] = [
    ("/spec/connectionRef/name", &["/spec/connectionRef/name", "/spec/connectionRef", "/spec"]),
    ("/spec/auth/mount", &["/spec/auth/mount", "/spec/auth", "/spec"]),
];

#[tokio::test]
async fn immutable_fields_stay_whatever_is_tried() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let binding = named("VaultJwtBinding", "immutable", &namespace);
    apply(&client, &binding, false).await.unwrap();
    let bindings = api(client.clone(), &binding);
    let patch = async |operations: Value| {
        let operations: json_patch::Patch = serde_json::from_value(operations).unwrap();
        let params = PatchParams::default();
        let patched = bindings.patch("immutable", &params, &Patch::Json::<()>(operations)).await;
        patched.map(|_| ()).map_err(|error| error.to_string())
    };
    for (field, removals) in FIELDS {
        let dotted = field[1..].replace('/', ".");
        let before = binding.pointer(field).unwrap();

        // Changed, by a patch and by an apply.
        let refusal = patch(json!([{"op": "replace", "path": field, "value": "other"}])).await.unwrap_err();
        assert!(refusal.contains(&format!("{dotted}: Invalid value")), "{refusal}");
        assert!(refusal.contains("must not be changed"), "{refusal}");
        let mut other = binding.clone();
        *other.pointer_mut(field).unwrap() = "other".into();
        let refusal = apply(&client, &other, false).await.unwrap_err();
        assert!(refusal.contains("must not be changed"), "{refusal}");

        // Removed, which would open the way to another value in a second step.
        for removed in removals {
            let refusal = patch(json!([{"op": "remove", "path": removed}])).await.unwrap_err();
            let required = format!("{}: Required value", removed[1..].replace('/', "."));
            assert!(refusal.contains(&required), "{refusal}");
            let second = patch(json!([{"op": "add", "path": field, "value": "other"}])).await.unwrap_err();
            assert!(second.contains("must not be changed"), "{second}");
        }

        // Removed and added in one step.
        let both = json!([{"op": "remove", "path": field}, {"op": "add", "path": field, "value": "other"}]);
        let refusal = patch(both).await.unwrap_err();
        assert!(refusal.contains("must not be changed"), "{refusal}");

        let stands = bindings.get("immutable").await.unwrap();
        let stands = json!({"spec": stands.data["spec"]});
        assert_eq!(stands.pointer(field), Some(before));
    }
}

#[tokio::test]
async fn everything_else_may_change() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let mut binding = named("VaultJwtBinding", "mutable", &namespace);
    apply(&client, &binding, false).await.unwrap();
    binding["spec"]["roles"][0]["name"] = "backstage-renamed".into();
    binding["spec"]["kv"][0]["path"] = "terraform-state-plugin/other".into();
    binding["spec"]["deletionPolicy"] = "Orphan".into();
    binding["spec"]["auth"]["config"] = json!({"oidcDiscoveryUrl": "https://issuer.example"});
    let changed = apply(&client, &binding, false).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
}
