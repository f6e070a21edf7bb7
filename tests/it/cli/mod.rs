//! The command line as a person uses it: the built binary, files, and a real Vault.

mod apply;
mod bad_input;
mod connect;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use crate::lab::operator::binary;
use crate::lab::process::Scratch;
use crate::lab::{Issuer, VaultServer, unique};

/// Stands in the Secret of every case, and must be nowhere else.
const SECRET: &str = "hunter2-tfc-value";

/// The Vault that all tests of this theme share; each has names of its own there.
async fn vault() -> &'static VaultServer {
    static SHARED: OnceCell<VaultServer> = OnceCell::const_new();
    SHARED.get_or_init(async || VaultServer::start(false).await.expect("a Vault")).await
}

/// What a command printed.
struct Printed {
    code: i32,
    out: String,
    err: String,
}

impl Printed {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// All of these are somewhere in the output.
    #[track_caller]
    fn says(&self, texts: &[&str]) -> &Self {
        let all = format!("{}{}", self.out, self.err);
        for text in texts {
            assert!(all.contains(text), "no `{text}` in\n{self}");
        }
        self
    }

    #[track_caller]
    fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl std::fmt::Display for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n--- out\n{}--- err\n{}", self.code, self.out, self.err)
    }
}

/// Runs the binary with this environment and no other.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Printed {
    run_with_input(arguments, environment, "").await
}

/// The same with something on its standard input.
async fn run_with_input(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Printed {
    let mut child = tokio::process::Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary runs");
    // A command that does not read may end before it is written to.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.expect("the binary ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let printed =
        Printed { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert!(!format!("{printed}").contains(SECRET), "a secret was printed: {printed}");
    assert!(!printed.out.contains('\u{1b}'), "colours without a terminal: {printed}");
    printed
}

/// The founding case with names of its own: files in a folder, an issuer, and a KV mount in Vault.
struct Case {
    scratch: Scratch,
    issuer: Issuer,
    vault: &'static VaultServer,
    /// In all names: of the auth mount, the role, the policy and the KV mount.
    id: String,
}

impl Case {
    async fn new() -> Self {
        let (vault, id) = (vault().await, unique("case"));
        vault.api().enable(&format!("mounts/{id}/kv"), "kv-v2").await;
        let case =
            Self { scratch: Scratch::new().expect("a folder"), issuer: Issuer::start().expect("an issuer"), vault, id };
        case.write("binding.yaml", &case.binding());
        case.write("secret.yaml", &case.secret());
        case
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn folder(&self) -> &Path {
        self.scratch.path()
    }

    fn binding(&self) -> String {
        let (id, jwks, issuer) = (&self.id, self.issuer.jwks_url(), self.issuer.url());
        format!(
            "apiVersion: vault.badal.io/v1alpha1
kind: VaultJwtBinding
metadata: {{name: backstage-backend, namespace: {id}}}
spec:
  connectionRef: {{name: main}}
  auth:
    mount: {id}/jwt
    enable: true
    config:
      jwksUrl: {jwks}
      boundIssuer: {issuer}
      defaultRole: backend
      supportedAlgorithms: [ES256]
  roles:
  - name: backend
    boundAudiences: [backstage]
    boundSubject: backstage-backend
    userClaim: sub
    tokenPolicies: [{id}]
    tokenTtl: 1h
    tokenMaxTtl: 24h
    clockSkewLeeway: 60s
  policies:
  - name: {id}
    rules: [{{path: {id}/kv/data/terraform/*, capabilities: [read]}}]
  kv:
  - mount: {id}/kv
    path: terraform/tfc-token
    data: [{{key: Badal_devex, secretKeyRef: {{name: tfc-token, key: token}}}}]
"
        )
    }

    fn secret(&self) -> String {
        format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: tfc-token, namespace: {}}}
stringData: {{token: {SECRET}}}
",
            self.id
        )
    }

    fn connection(&self, auth: &str) -> String {
        let (id, address, host) = (&self.id, self.vault.address(), self.issuer.host());
        format!(
            "apiVersion: vault.badal.io/v1alpha1
kind: VaultConnection
metadata: {{name: main}}
spec:
  address: {address}
  auth: {auth}
  grants:
  - namespaces: {{names: [{id}]}}
    authMounts: [{{path: {id}/jwt, manageConfig: true, enable: true}}]
    roles: [backend]
    policies: [{id}]
    attachablePolicies: [{id}]
    policyRules: [{{path: {id}/kv/*, capabilities: [read]}}]
    kv: [{{mount: {id}/kv, paths: [\"terraform/*\"]}}]
    issuerHosts: [\"{host}\"]
    allowHttp: true
    maxTokenTtl: 24h
"
        )
    }

    /// Runs a command on the folder with the root token, as a person would.
    async fn run(&self, command: &str, arguments: &[&str]) -> Printed {
        let folder = self.folder().display().to_string();
        let all: Vec<&str> = [command, "-f", &folder].into_iter().chain(arguments.iter().copied()).collect();
        run(&all, &[("VAULT_ADDR", self.vault.address()), ("VAULT_TOKEN", self.vault.root_token())]).await
    }

    /// The requests to Vault since the mark that concern this case, or log in.
    fn writes_since(&self, mark: u64) -> Vec<String> {
        let requests = self.vault.requests_since(mark).into_iter();
        requests.filter(|r| r.is_write() && r.path.contains(&self.id)).map(|r| r.path).collect()
    }
}
