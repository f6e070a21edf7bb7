//! The demonstration: a team's binding makes a login work, Vault is spoilt by hand four times and put right four
//! times, and when the binding goes, what it made goes too. Every step is checked; the first that fails ends it.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::lab::operator::Operator;
use crate::lab::{Fallible, Issuer, Lab, eventually};
use crate::resources::{self, KV_MOUNT, NAMESPACE, OPERATOR_NAMESPACE};
use crate::terminal::{heading, quiet, success, typed};

const CONFIG: &str = "auth/jwt/config";
const ROLE: &str = "auth/jwt/role/backstage-backend";
const USER_ROLE: &str = "auth/jwt/role/backstage-user";
const POLICY: &str = "sys/policies/acl/backend-service";
const USER_POLICY: &str = "sys/policies/acl/backstage-user";
const KV: &str = "backstage/backend/data/terraform-state-plugin/tfc-token";
const KV_VALUE: &str = "a-terraform-cloud-token";
const KV_METADATA: &str = "backstage/backend/metadata/terraform-state-plugin/tfc-token";

/// Tells the whole story; an error when a step does not hold.
pub async fn run() -> Fallible<()> {
    println!("{}", heading("A control plane, a Vault, a JWT issuer and the operator start on loopback"));
    let lab = Lab::start(false).await?;
    let issuer = Issuer::start()?;
    let kube = lab.kube().await;
    resources::namespace(&kube, NAMESPACE).await?;
    resources::namespace(&kube, OPERATOR_NAMESPACE).await?;
    let role = lab.operator_account(OPERATOR_NAMESPACE).await?;
    let account = format!("{OPERATOR_NAMESPACE}/operator");
    let operator = Operator::start(&lab, &["--service-account", &account])?;
    println!("{}", success(&format!("kube-apiserver {}", lab.control_plane.url())));
    println!("{}", success(&format!("Vault {}", lab.vault_server.address())));
    println!("{}", success(&format!("issuer {}", issuer.url())));

    let outcome = tokio::select! {
        outcome = story(&lab, &kube, &issuer, &role) => outcome,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    if let Err(error) = outcome {
        let log = operator.log();
        let lines: Vec<&str> = log.lines().collect();
        println!("{}", quiet(&lines[lines.len().saturating_sub(20)..].join("\n")));
        return Err(error);
    }
    goodbye(&lab, operator).await
}

async fn story(lab: &Lab, kube: &kube::Client, issuer: &Issuer, role: &str) -> Fallible<()> {
    let binding = resources::binding(issuer)?;
    connect(lab, kube, issuer, role).await?;
    bind(lab, kube, issuer, &binding).await?;
    log_in(lab, issuer).await?;
    for spoiling in spoilings() {
        spoil(lab, kube, &binding, &spoiling).await?;
    }
    log_in(lab, issuer).await?;
    unbind(lab, kube, &binding, issuer).await
}

async fn connect(lab: &Lab, kube: &kube::Client, issuer: &Issuer, role: &str) -> Fallible<()> {
    println!("{}", heading("Vault's owner says where Vault is, and what the team may do there"));
    lab.vault().enable(&format!("mounts/{KV_MOUNT}"), "kv-v2").await;
    println!("{}", typed(&format!("vault secrets enable -path={KV_MOUNT} -version=2 kv")));
    let connection = resources::connection(lab, role, &issuer.host())?;
    println!("{}", typed("kubectl apply -f manifests/samples/vaultconnection.yaml"));
    resources::apply(kube, &connection).await?;
    println!("{}", success(&format!("VaultConnection main: {}", resources::ready(kube, &connection).await?)));
    Ok(())
}

async fn bind(lab: &Lab, kube: &kube::Client, issuer: &Issuer, binding: &Value) -> Fallible<()> {
    let vault = lab.vault();
    println!("{}", heading("The team says what its service needs"));
    resources::secret(kube, "tfc-token", "token", KV_VALUE).await?;
    let jwt = issuer.token("backstage-backend", "backstage", &json!({}));
    resources::secret(kube, "backstage-service-token", "jwt", &jwt).await?;
    println!("{}", typed("kubectl apply -f manifests/samples/vaultjwtbinding.yaml"));
    let start = Instant::now();
    resources::apply(kube, binding).await?;
    let message = resources::ready(kube, binding).await?;
    println!("{}", success(&format!("VaultJwtBinding backstage-backend after {:.1?}: {message}", start.elapsed())));
    let config = vault.read(CONFIG).await;
    println!("{}", success(&format!("{CONFIG}: keys from {}", config["jwks_url"].as_str().unwrap_or_default())));
    let role = vault.read(ROLE).await;
    let leeways = ["clock_skew_leeway", "expiration_leeway", "not_before_leeway"];
    let leeways: Vec<String> = leeways.iter().map(|name| format!("{name} {}s", role[name])).collect();
    println!("{}", success(&format!("{ROLE}: {}", leeways.join(", "))));
    let policy = vault.read(POLICY).await;
    println!("{}\n{}", success(POLICY), quiet(policy["policy"].as_str().unwrap_or_default().trim()));
    let keys = vault.read(KV).await["data"].as_object().map(|data| data.keys().cloned().collect::<Vec<_>>());
    println!("{}", success(&format!("{KV}: {}", keys.unwrap_or_default().join(", "))));
    show(lab, &["get", "vaultconnections,vaultjwtbindings", "--all-namespaces"]);
    Ok(())
}

/// What kubectl says, where there is one.
fn show(lab: &Lab, arguments: &[&str]) {
    let answer = Command::new("kubectl").args(arguments).env("KUBECONFIG", lab.kubeconfig()).output();
    if let Ok(answer) = answer
        && answer.status.success()
    {
        println!("{}", typed(&format!("kubectl {}", arguments.join(" "))));
        println!("{}", quiet(&String::from_utf8_lossy(&answer.stdout)));
    }
}

async fn log_in(lab: &Lab, issuer: &Issuer) -> Fallible<()> {
    println!("{}", heading("The service logs in with a token of its issuer, and reads its secret"));
    let jwt = issuer.token("backstage-backend", "backstage", &json!({}));
    let nobody = lab.vault_server.as_token("");
    let (status, answer) = nobody.login("jwt", "backstage-backend", &jwt).await;
    let token = answer["auth"]["client_token"].as_str().ok_or_else(|| format!("login: {status} {answer}"))?;
    println!("{}", success(&format!("logged in with the policies {}", answer["auth"]["token_policies"])));
    let service = lab.vault_server.as_token(token);
    let (status, answer) = service.get(KV).await;
    expect(answer["data"]["data"]["Badal_devex"] == KV_VALUE, &format!("{KV}: {status} {answer}"))?;
    println!("{}", success("read Badal_devex"));
    let (status, _) = service.get(CONFIG).await;
    expect(status == 403, "the service may read more than its policy says")?;
    println!("{}", success("and may not read anything else"));
    Ok(())
}

/// Something that an admin does to Vault by hand, and what must be as before in the end.
struct Spoiling {
    what: &'static str,
    command: &'static str,
    path: &'static str,
    /// Where in the answer's data the part is that must come back.
    part: &'static str,
    body: Value,
    merge_patch: bool,
}

fn spoilings() -> [Spoiling; 4] {
    [
        Spoiling {
            what: "the mount's config: another issuer",
            command: "vault write auth/jwt/config jwks_url=… bound_issuer=http://intruder",
            path: CONFIG,
            part: "",
            body: json!({"bound_issuer": "http://intruder"}),
            merge_patch: false,
        },
        Spoiling {
            what: "the role: a leeway of one second",
            command: "vault write auth/jwt/role/backstage-backend role_type=jwt clock_skew_leeway=1",
            path: ROLE,
            part: "",
            body: json!({"role_type": "jwt", "clock_skew_leeway": 1}),
            merge_patch: false,
        },
        Spoiling {
            what: "the policy: everything is open",
            command: "vault policy write backend-service everything.hcl",
            path: POLICY,
            part: "/policy",
            body: json!({"policy": "path \"*\" { capabilities = [\"read\", \"list\"] }"}),
            merge_patch: false,
        },
        Spoiling {
            what: "the KV entry: another value",
            command: "vault kv patch backstage/backend/terraform-state-plugin/tfc-token Badal_devex=wrong",
            path: KV,
            part: "/data",
            body: json!({"data": {"Badal_devex": "wrong"}}),
            merge_patch: true,
        },
    ]
}

async fn spoil(lab: &Lab, kube: &kube::Client, binding: &Value, spoiling: &Spoiling) -> Fallible<()> {
    println!("{}", heading(&format!("An admin spoils {}", spoiling.what)));
    println!("{}", typed(spoiling.command));
    let vault = lab.vault();
    let look = async || vault.read(spoiling.path).await.pointer(spoiling.part).cloned().unwrap_or_default();
    let before = look().await;
    let events = events(kube, binding).await?;
    let mut body = spoiling.body.clone();
    if spoiling.path == CONFIG {
        // A config is written as a whole.
        body["jwks_url"] = before["jwks_url"].clone();
    }
    let (status, answer) = if spoiling.merge_patch {
        vault.patch(spoiling.path, &body).await
    } else {
        vault.post(spoiling.path, &body).await
    };
    expect(status < 300, &format!("the admin's own write fails: {answer}"))?;
    let spoilt = look().await;
    expect(spoilt != before, "the admin's write changed nothing")?;
    let start = Instant::now();
    resources::nudge(kube, binding).await?;
    eventually(Duration::from_secs(30), &format!("{} is put back", spoiling.path), async || {
        (look().await == before).then_some(())
    })
    .await?;
    println!("{}", success(&format!("put back after {:.1?}", start.elapsed())));
    let said = eventually(Duration::from_secs(10), "an event says so", async || {
        let now = self::events(kube, binding).await.ok()?;
        now.into_iter().find(|event| !events.contains(event))
    });
    let (reason, message, _) = said.await?;
    println!("{}", success(&format!("event {reason}: {message}")));
    Ok(())
}

async fn unbind(lab: &Lab, kube: &kube::Client, binding: &Value, issuer: &Issuer) -> Fallible<()> {
    println!("{}", heading("The team deletes the binding"));
    println!("{}", typed("kubectl delete vaultjwtbinding backstage-backend"));
    let api = resources::api_of(kube, binding);
    api.delete(resources::name_of(binding), &DeleteParams::default()).await?;
    eventually(Duration::from_secs(30), "the binding is gone", async || {
        api.get_opt(resources::name_of(binding)).await.ok()?.is_none().then_some(())
    })
    .await?;
    let vault = lab.vault();
    for path in [ROLE, USER_ROLE, POLICY, USER_POLICY, KV_METADATA] {
        let (status, answer) = vault.get(path).await;
        expect(status == 404, &format!("{path} is still there: {status} {answer}"))?;
        println!("{}", success(&format!("{path} is gone")));
    }
    expect(vault.get(CONFIG).await.0 == 200, "the mount is gone, and with it everybody's tokens")?;
    println!("{}", success("the mount stays: disabling it would end every token that came from it"));
    let jwt = issuer.token("backstage-backend", "backstage", &json!({}));
    let (status, answer) = lab.vault_server.as_token("").login("jwt", "backstage-backend", &jwt).await;
    expect(status == 400, &format!("the service can still log in: {answer}"))?;
    println!("{}", success("the service can no longer log in"));
    Ok(())
}

async fn goodbye(lab: &Lab, operator: Operator) -> Fallible<()> {
    println!("{}", heading("The operator is told to stop"));
    let (status, log) = operator.stop().await?;
    expect(status == 0, &format!("it ends with status {status}:\n{log}"))?;
    println!("{}", success("it ended in order"));
    let left = lab.vault_server.tokens_of("auth/kubernetes/login").await;
    expect(left == 0, &format!("it left {left} tokens in Vault"))?;
    println!("{}", success("and left no token of its own in Vault"));
    Ok(())
}

/// The events of a binding: reason, message, count.
async fn events(kube: &kube::Client, binding: &Value) -> Fallible<Vec<(String, String, i32)>> {
    let events: Api<Event> = Api::namespaced(kube.clone(), NAMESPACE);
    let name = resources::name_of(binding);
    let found = events.list(&ListParams::default().fields(&format!("involvedObject.name={name}"))).await?;
    let each = found.items.into_iter().map(|event| {
        let count = event.series.and_then(|series| series.count).or(event.count).unwrap_or_default();
        (event.reason.unwrap_or_default(), event.message.unwrap_or_default(), count)
    });
    Ok(each.collect())
}

fn expect(holds: bool, otherwise: &str) -> Fallible<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
