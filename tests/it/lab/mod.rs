//! Real servers for tests, demo and benchmark: etcd, kube-apiserver and Vault on free loopback ports, a JWT issuer, and
//! the operator itself as a child. Nothing here outlives the process that started it, however that ends.

pub mod control_plane;
pub mod issuer;
pub mod operator;
pub mod process;
pub mod vault;

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use control_plane::ControlPlane;
pub use issuer::Issuer;
pub use vault::{VaultApi, VaultServer};

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where every lab's Vault has its `kubernetes` auth method.
pub const KUBERNETES_AUTH: &str = "kubernetes";

/// A control plane with the CRDs installed, and a Vault that trusts its service accounts.
pub struct Lab {
    pub control_plane: ControlPlane,
    pub vault_server: VaultServer,
}

impl Lab {
    /// The one lab that all tests of this process share; isolate by `namespace` and `unique`.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<Lab, String>> = OnceCell::const_new();
        let lab = SHARED.get_or_init(async || Self::start(false).await.map_err(|error| error.to_string()));
        lab.await.as_ref().unwrap_or_else(|error| panic!("the lab does not start: {error}"))
    }

    /// A lab of one's own, for tests that break it; `controller_manager` makes deleted namespaces vanish.
    pub async fn start(controller_manager: bool) -> Fallible<Self> {
        let (control_plane, vault_server) =
            tokio::try_join!(ControlPlane::start(controller_manager), VaultServer::start(false))?;
        Self::of(control_plane, vault_server).await
    }

    /// The lab of servers that were started otherwise, as a Vault with TLS.
    pub async fn of(control_plane: ControlPlane, vault_server: VaultServer) -> Fallible<Self> {
        let lab = Self { control_plane, vault_server };
        lab.install_crds().await?;
        lab.trust_service_accounts().await?;
        Ok(lab)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig()
    }

    /// A client with the admin's rights. It lives on the caller's runtime: make one per test.
    pub async fn kube(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).expect("the lab's kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("the lab's kubeconfig is whole")).expect("a client")
    }

    /// Vault with the root token.
    pub fn vault(&self) -> VaultApi {
        self.vault_server.api()
    }

    /// A fresh namespace; its name.
    pub async fn namespace(&self) -> Fallible<String> {
        let name = unique("test");
        let namespace =
            Namespace { metadata: ObjectMeta { name: Some(name.clone()), ..Default::default() }, ..Default::default() };
        Api::all(self.kube().await).create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// Creates a ServiceAccount and a role at Vault's `kubernetes` auth method that gives it these policies; the
    /// role's name.
    pub async fn service_account(&self, namespace: &str, name: &str, policies: &[&str]) -> Fallible<String> {
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..Default::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.kube().await, namespace);
        accounts.create(&PostParams::default(), &account).await?;
        let role = format!("{namespace}-{name}");
        let body = json!({
            "bound_service_account_names": [name], "bound_service_account_namespaces": [namespace],
            // The apiserver's own, which a token has that was asked for without an audience.
            "audience": self.control_plane.url(), "token_policies": policies, "token_ttl": "1h",
        });
        self.vault().write(&format!("auth/{KUBERNETES_AUTH}/role/{role}"), &body).await;
        Ok(role)
    }

    /// A ServiceAccount `operator` in this namespace that may do everything in Vault; the name of its role at Vault's
    /// `kubernetes` auth method. Run the operator with `--service-account <namespace>/operator`.
    pub async fn operator_account(&self, namespace: &str) -> Fallible<String> {
        let all = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }"#;
        self.vault().write("sys/policies/acl/lab-operator", &json!({"policy": all})).await;
        self.service_account(namespace, "operator", &["lab-operator"]).await
    }

    /// A token of a ServiceAccount for this audience, made by the apiserver; without one, for the apiserver itself.
    pub async fn token_of(&self, namespace: &str, name: &str, audience: Option<&str>) -> Fallible<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audience.into_iter().map(str::to_owned).collect(),
                expiration_seconds: Some(24 * 3600),
                ..Default::default()
            },
            ..Default::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.kube().await, namespace);
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        Ok(answer.status.ok_or("the apiserver gave no token")?.token)
    }

    async fn install_crds(&self) -> Fallible<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let crds: Api<CustomResourceDefinition> = Api::all(self.kube().await);
        for file in fs::read_dir(folder).into_iter().flatten() {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let crd: CustomResourceDefinition = serde_yaml::from_slice(&fs::read(path)?)?;
            let name = crds.create(&PostParams::default(), &crd).await?.metadata.name.unwrap_or_default();
            eventually(Duration::from_secs(30), &format!("{name} is established"), async || {
                let conditions = crds.get(&name).await.ok()?.status?.conditions?;
                conditions.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// Lets Vault review tokens: a reviewer account at the apiserver, and Vault's auth method that uses it.
    async fn trust_service_accounts(&self) -> Fallible<()> {
        let kube = self.kube().await;
        let (namespace, name) = ("default", "token-reviewer");
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..Default::default()
        };
        Api::namespaced(kube.clone(), namespace).create(&PostParams::default(), &account).await?;
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(name.into()), ..Default::default() },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".into(),
                kind: "ClusterRole".into(),
                name: "system:auth-delegator".into(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".into(),
                name: name.into(),
                namespace: Some(namespace.into()),
                ..Default::default()
            }]),
        };
        Api::all(kube).create(&PostParams::default(), &binding).await?;
        let vault = self.vault();
        vault.enable(&format!("auth/{KUBERNETES_AUTH}"), "kubernetes").await;
        let config = json!({
            "kubernetes_host": self.control_plane.url(), "kubernetes_ca_cert": self.control_plane.ca(),
            "token_reviewer_jwt": self.token_of(namespace, name, None).await?, "disable_local_ca_jwt": true,
        });
        vault.write(&format!("auth/{KUBERNETES_AUTH}/config"), &config).await;
        Ok(())
    }
}

/// The folder of the server binaries, found or built by `hack/servers.sh`, once per process.
pub fn servers() -> Fallible<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/servers.sh");
        let output = Command::new("bash")
            .arg(script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().last() {
            Some(folder) if output.status.success() => Ok(folder.into()),
            _ => Err(format!("hack/servers.sh ended with {}", output.status)),
        }
    });
    folder.as_deref().map_err(|error| error.clone().into())
}

/// A name that nothing else in this lab has, fit for Kubernetes and for Vault: `<prefix>-<process>-<number>`.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}-{:x}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks again and again until there is an answer; an error that says what did not come after `patience`.
pub async fn eventually<T>(patience: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Fallible<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if start.elapsed() > patience {
            return Err(format!("not within {patience:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The JSON objects, one a line, from this byte of a log on.
fn json_lines(file: &Path, from: u64) -> Vec<Value> {
    let mut text = Vec::new();
    let read = fs::File::open(file).and_then(|mut log| {
        log.seek(SeekFrom::Start(from))?;
        log.read_to_end(&mut text)
    });
    read.map(|_| text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
        .unwrap_or_default()
}
