//! A real etcd and kube-apiserver, with a controller-manager on request. Every request is in the audit log, so that
//! tests count what a client did and not what it says it did.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::{Process, Scratch, free_port};
use super::{Fallible, eventually, servers, unique};

const READY: Duration = Duration::from_secs(60);
const ADMIN: &str = "admin";
/// The name by which the apiserver knows the operator, so that its requests are told from the tests' own.
pub const OPERATOR: &str = "operator";

/// Everything but reads of health and schema, whole requests only, without bodies.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [{"level": "None", "nonResourceURLs": ["/*"]}, {"level": "Metadata"}]}"#;

/// The control plane of one lab; what it consists of ends when this is dropped.
pub struct ControlPlane {
    _controller_manager: Option<Process>,
    api_server: Mutex<Process>,
    _etcd: Process,
    etcd_url: String,
    token: String,
    scratch: Scratch,
    url: String,
    ca: String,
}

/// One request as the apiserver's audit log tells it.
#[derive(Debug, Clone)]
pub struct KubeRequest {
    pub verb: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub user: String,
    pub code: u64,
}

impl KubeRequest {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl ControlPlane {
    /// Starts it; `controller_manager` also deletes the contents of namespaces and collects orphans.
    pub async fn start(controller_manager: bool) -> Fallible<Self> {
        let bin = servers()?;
        let scratch = Scratch::new()?;
        let (etcd, etcd_url) = start_etcd(bin, scratch.path()).await?;
        let (token, operator_token) = (unique("admin"), unique("operator"));
        write_static_files(scratch.path(), &[(ADMIN, &token), (OPERATOR, &operator_token)])?;
        let (api_server, url, ca) = start_api_server(bin, scratch.path(), &etcd_url, &token, None).await?;
        fs::write(scratch.path().join("kubeconfig"), kubeconfig(&url, &ca, ADMIN, &token))?;
        fs::write(scratch.path().join("kubeconfig.operator"), kubeconfig(&url, &ca, OPERATOR, &operator_token))?;
        let controller_manager =
            controller_manager.then(|| start_controller_manager(bin, scratch.path())).transpose()?;
        let api_server = Mutex::new(api_server);
        Ok(Self { _controller_manager: controller_manager, api_server, _etcd: etcd, etcd_url, token, scratch, url, ca })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority of the apiserver, PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    /// The operator's kubeconfig: the same rights under its own name.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig.operator")
    }

    /// Kills the apiserver and starts it again at the same address, `meanwhile` in between.
    pub async fn restart_api_server(&self, meanwhile: impl AsyncFnOnce()) -> Fallible<()> {
        // Told to end it would wait a minute for the watches of others.
        self.api_server.lock().expect("no panic").signal("KILL")?;
        eventually(READY, "the apiserver is gone", async || self.api_server.lock().expect("no panic").exited()).await?;
        meanwhile().await;
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        let (server, ..) = start_api_server(servers()?, self.scratch.path(), &self.etcd_url, &self.token, port).await?;
        *self.api_server.lock().expect("no panic") = server;
        Ok(())
    }

    /// A place in the audit log; `requests_since` tells what came after it.
    pub fn mark(&self) -> u64 {
        fs::metadata(self.scratch.path().join("audit.log")).map(|log| log.len()).unwrap_or_default()
    }

    /// The finished requests since the mark; a watch is logged when it ends.
    pub fn requests_since(&self, mark: u64) -> Vec<KubeRequest> {
        let text =
            |entry: &Value, pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        super::json_lines(&self.scratch.path().join("audit.log"), mark)
            .iter()
            .map(|entry| KubeRequest {
                verb: text(entry, "/verb"),
                resource: text(entry, "/objectRef/resource"),
                subresource: text(entry, "/objectRef/subresource"),
                namespace: text(entry, "/objectRef/namespace"),
                name: text(entry, "/objectRef/name"),
                user: text(entry, "/user/username"),
                code: entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
            })
            .collect()
    }
}

async fn start_etcd(bin: &Path, folder: &Path) -> Fallible<(Process, String)> {
    // The name proves that it is ours that answers, and not one that took the port first.
    let name = unique("etcd");
    let http = reqwest::Client::new();
    loop {
        let url = format!("http://127.0.0.1:{}", free_port()?);
        let arguments = [
            format!("--name={name}"),
            format!("--data-dir={}", folder.join("etcd").display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            "--listen-peer-urls=http://127.0.0.1:0".into(),
            format!("--initial-cluster={name}=http://localhost:2380"),
            "--unsafe-no-fsync".into(),
        ];
        let etcd = Process::start(folder, "etcd", &bin.join("etcd"), &arguments, &[])?;
        let ready = etcd.wait_ready(READY, async || {
            let members = http.post(format!("{url}/v3/cluster/member/list")).json(&json!({})).send().await;
            match members {
                Ok(answer) => answer.text().await.is_ok_and(|text| text.contains(&name)),
                Err(_) => false,
            }
        });
        match ready.await {
            Ok(()) => return Ok((etcd, url)),
            Err(_) if etcd.lost_its_port() => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_static_files(folder: &Path, tokens: &[(&str, &str)]) -> Fallible<()> {
    let key = super::issuer::rsa_key_pem()?;
    fs::write(folder.join("service-account.key"), key)?;
    let lines = tokens.iter().map(|(user, token)| format!("{token},{user},{user},\"system:masters\""));
    fs::write(folder.join("tokens.csv"), lines.collect::<Vec<_>>().join("\n"))?;
    Ok(fs::write(folder.join("audit-policy.json"), AUDIT_POLICY)?)
}

async fn start_api_server(
    bin: &Path,
    folder: &Path,
    etcd_url: &str,
    token: &str,
    port: Option<u16>,
) -> Fallible<(Process, String, String)> {
    let file = |name: &str| folder.join(name).display().to_string();
    loop {
        let port = port.map_or_else(free_port, Ok)?;
        let url = format!("https://127.0.0.1:{port}");
        let arguments = [
            format!("--etcd-servers={etcd_url}"),
            format!("--cert-dir={}", file("certificates")),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--service-account-key-file={}", file("service-account.key")),
            format!("--service-account-signing-key-file={}", file("service-account.key")),
            format!("--service-account-issuer={url}"),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--allow-privileged=true".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            format!("--audit-policy-file={}", file("audit-policy.json")),
            format!("--audit-log-path={}", file("audit.log")),
            "--audit-log-mode=blocking".into(),
        ];
        let server = Process::start(folder, "kube-apiserver", &bin.join("kube-apiserver"), &arguments, &[])?;
        let certificate = folder.join("certificates/apiserver.crt");
        let ready = server.wait_ready(READY, async || {
            // The token and the certificate are ours alone, so an answer can only be from this server.
            let Some(http) = fs::read(&certificate).ok().and_then(|pem| trusting(&pem).ok()) else { return false };
            let answer = http.get(format!("{url}/readyz")).bearer_auth(token).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        });
        match ready.await {
            Ok(()) => return Ok((server, url, fs::read_to_string(certificate)?)),
            Err(_) if server.lost_its_port() => {}
            Err(error) => return Err(error),
        }
    }
}

fn start_controller_manager(bin: &Path, folder: &Path) -> Fallible<Process> {
    let arguments = [
        format!("--kubeconfig={}", folder.join("kubeconfig").display()),
        "--secure-port=0".into(),
        "--leader-elect=false".into(),
        "--controllers=namespace-controller,garbage-collector-controller,serviceaccount-controller".into(),
    ];
    let program = bin.join("kube-controller-manager");
    Process::start(folder, "kube-controller-manager", &program, &arguments, &[])
}

/// An HTTP client that trusts only the certificates of `pem`, and keeps no connection beyond its request.
pub fn trusting(pem: &[u8]) -> Fallible<reqwest::Client> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem)?;
    Ok(reqwest::Client::builder().tls_certs_only(certificates).pool_max_idle_per_host(0).build()?)
}

fn kubeconfig(url: &str, ca: &str, user: &str, token: &str) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": url, "certificate-authority-data": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
    })
    .to_string()
}
