//! A real Vault, and Vault as its admin sees it: plain requests with the root token, for looking at what an operator
//! left there and for spoiling it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::control_plane::trusting;
use super::process::{Process, Scratch, free_port};
use super::{Fallible, eventually, servers, unique};

/// One Vault in memory, with its `kubernetes` auth plugin and an audit file; it ends when this is dropped.
pub struct VaultServer {
    process: Process,
    scratch: Scratch,
    address: String,
    root_token: String,
    ca: Option<String>,
}

/// One request as Vault's audit file tells it.
#[derive(Debug, Clone)]
pub struct VaultRequest {
    /// `read`, `create`, `update`, `patch`, `delete` or `list`.
    pub operation: String,
    pub path: String,
    /// Who: `root`, or the login's display name; empty where no token is needed, so in logins.
    pub display_name: String,
    /// Vault's error text; empty when it went well.
    pub error: String,
}

impl VaultRequest {
    pub fn is_login(&self) -> bool {
        self.path.starts_with("auth/") && self.path.ends_with("/login")
    }

    /// Whether it asked for a change of anything but the token that made it.
    pub fn is_write(&self) -> bool {
        !matches!(self.operation.as_str(), "read" | "list") && !self.is_login() && !self.path.starts_with("auth/token/")
    }
}

impl VaultServer {
    /// Starts it over plain HTTP, or with `tls` under a certificate of a private authority (see `ca`).
    pub async fn start(tls: bool) -> Fallible<Self> {
        let bin = servers()?;
        let scratch = Scratch::new()?;
        let folder = scratch.path();
        let root_token = unique("root");
        let ca_file = folder.join("vault-ca.pem");
        let scheme = if tls { "https" } else { "http" };
        loop {
            let listen = format!("127.0.0.1:{}", free_port()?);
            let mut arguments = vec![
                "server".into(),
                "-dev".into(),
                "-dev-no-store-token".into(),
                format!("-dev-root-token-id={root_token}"),
                format!("-dev-listen-address={listen}"),
                format!("-dev-plugin-dir={}", bin.join("plugins").canonicalize()?.display()),
            ];
            if tls {
                arguments.extend(["-dev-tls".into(), format!("-dev-tls-cert-dir={}", folder.display())]);
            }
            let process = Process::start(folder, "vault", &bin.join("vault"), &arguments, &[])?;
            let address = format!("{scheme}://{listen}");
            let ready = process.wait_ready(Duration::from_secs(60), async || {
                let Ok(ca) = tls.then(|| fs::read(&ca_file)).transpose() else { return false };
                let Ok(client) = client(ca.as_deref()) else { return false };
                // The token is ours alone, so an answer can only be from this server.
                let lookup = client.get(format!("{address}/v1/auth/token/lookup-self"));
                let answer = lookup.header("X-Vault-Token", &root_token).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            });
            match ready.await {
                Ok(()) => {}
                Err(_) if process.lost_its_port() => continue,
                Err(error) => return Err(error),
            }
            let ca = tls.then(|| fs::read_to_string(&ca_file)).transpose()?;
            let vault = Self { process, scratch, address, root_token, ca };
            let options = json!({"file_path": vault.audit_file(), "hmac_accessor": "false"});
            vault.api().done(Method::POST, "sys/audit/file", &json!({"type": "file", "options": options})).await;
            return Ok(vault);
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The authority that signed its certificate, PEM; only with `tls`.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// The key that unseals it after `PUT sys/seal`. Vault prints it some time after it answers.
    pub async fn unseal_key(&self) -> Fallible<String> {
        eventually(Duration::from_secs(60), "the unseal key is printed", async || {
            self.process.log().lines().find_map(|line| line.strip_prefix("Unseal Key: ")).map(str::to_owned)
        })
        .await
    }

    /// The server itself, to be stopped and continued.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Vault with the root token.
    pub fn api(&self) -> VaultApi {
        self.as_token(&self.root_token)
    }

    /// Vault with this token.
    pub fn as_token(&self, token: &str) -> VaultApi {
        let client = client(self.ca.as_ref().map(String::as_bytes)).expect("an HTTP client");
        VaultApi { client, address: self.address.clone(), token: token.into() }
    }

    /// A place in the audit file; `requests_since` tells what came after it.
    pub fn mark(&self) -> u64 {
        fs::metadata(self.audit_file()).map(|log| log.len()).unwrap_or_default()
    }

    /// The finished requests since the mark. Vault does not audit `sys/health` and `sys/seal-status`.
    pub fn requests_since(&self, mark: u64) -> Vec<VaultRequest> {
        let text =
            |entry: &Value, pointer| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        super::json_lines(&self.audit_file(), mark)
            .iter()
            .filter(|entry| entry["type"] == "response")
            .map(|entry| VaultRequest {
                operation: text(entry, "/request/operation"),
                path: text(entry, "/request/path"),
                display_name: text(entry, "/auth/display_name"),
                error: text(entry, "/error"),
            })
            .collect()
    }

    /// How many tokens live that came from this login (`auth/kubernetes/login`).
    pub async fn tokens_of(&self, login: &str) -> usize {
        let (vault, mut live) = (self.api(), 0);
        let (status, answer) = vault.list("auth/token/accessors").await;
        assert_eq!(status, 200, "{answer}");
        for accessor in answer["data"]["keys"].as_array().into_iter().flatten() {
            // Gone between the two requests is gone.
            let (_, token) = vault.post("auth/token/lookup-accessor", &json!({"accessor": accessor})).await;
            live += usize::from(token["data"]["path"] == login);
        }
        live
    }

    fn audit_file(&self) -> PathBuf {
        self.scratch.path().join("audit.log")
    }
}

fn client(ca: Option<&[u8]>) -> Fallible<reqwest::Client> {
    match ca {
        Some(pem) => trusting(pem),
        // A kept connection belongs to the runtime of the test that opened it, which may be gone.
        None => Ok(reqwest::Client::builder().pool_max_idle_per_host(0).build()?),
    }
}

/// Requests to one Vault with one token. Paths are Vault's, without `v1/`. Answers are (status, body).
#[derive(Clone)]
pub struct VaultApi {
    client: reqwest::Client,
    address: String,
    token: String,
}

impl VaultApi {
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub async fn list(&self, path: &str) -> (u16, Value) {
        self.send(Method::from_bytes(b"LIST").expect("a method"), path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body)).await
    }

    /// A JSON merge patch, as KV v2 takes it.
    pub async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None).await
    }

    /// A write that must go well.
    pub async fn write(&self, path: &str, body: &Value) {
        self.done(Method::POST, path, body).await;
    }

    /// A read that must go well: the answer's `data`.
    pub async fn read(&self, path: &str) -> Value {
        let (status, mut answer) = self.get(path).await;
        assert_eq!(status, 200, "read {path}: {answer}");
        answer["data"].take()
    }

    /// Logs in with a JWT; (status, body), where `auth.client_token` is the token.
    pub async fn login(&self, mount: &str, role: &str, jwt: &str) -> (u16, Value) {
        self.post(&format!("auth/{mount}/login"), &json!({"role": role, "jwt": jwt})).await
    }

    /// Enables an auth method or a secrets engine (`auth/jwt`, `mounts/kv`): the last part is its path.
    pub async fn enable(&self, at: &str, kind: &str) {
        let options = if kind == "kv-v2" { json!({"version": "2"}) } else { json!({}) };
        let kind = kind.trim_end_matches("-v2").trim_end_matches("-v1");
        self.write(&format!("sys/{at}"), &json!({"type": kind, "options": options})).await;
    }

    async fn done(&self, method: Method, path: &str, body: &Value) {
        let (status, answer) = self.send(method.clone(), path, Some(body)).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let merge_patch = method == Method::PATCH;
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.address));
        if !self.token.is_empty() {
            request = request.header("X-Vault-Token", &self.token);
        }
        if let Some(body) = body {
            let kind = if merge_patch { "application/merge-patch+json" } else { "application/json" };
            request = request.header("Content-Type", kind).body(body.to_string());
        }
        let answer = request.send().await.expect("Vault answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("Vault's answer has a body or none");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}
