//! An apiserver with the definitions and without an operator, so that objects stay as the tests wrote them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use tokio::sync::OnceCell;
use vault_jwt_operator::api::schema;

use crate::lab::{ControlPlane, eventually, unique};

pub struct Server {
    control_plane: ControlPlane,
    /// What the apiserver warned of when it accepted the definitions.
    pub warnings: Vec<String>,
}

impl Server {
    /// The one that all tests of the definitions share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        SHARED
            .get_or_init(async || {
                let control_plane = ControlPlane::start(false).await.unwrap();
                let mut server = Self { control_plane, warnings: Vec::new() };
                for crd in schema::crds() {
                    server.install(&crd).await;
                }
                server
            })
            .await
    }

    async fn install(&mut self, crd: &CustomResourceDefinition) {
        let client = self.kube().await;
        let request = Request::new("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
            .create(&PostParams::default(), serde_json::to_vec(crd).unwrap())
            .unwrap();
        let answer = client.send(request.map(Body::from)).await.unwrap();
        let warnings = answer.headers().get_all("warning").iter();
        self.warnings.extend(warnings.map(|warning| format!("{warning:?}")));
        let status = answer.status();
        let body = answer.into_body().collect_bytes().await.unwrap();
        assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));

        let crds: Api<CustomResourceDefinition> = Api::all(client);
        let name = crd.metadata.name.as_deref().unwrap();
        let what = format!("{name} is established");
        let conditions = eventually(Duration::from_secs(30), &what, async || {
            let conditions = crds.get(name).await.ok()?.status?.conditions?;
            conditions.iter().any(|c| c.type_ == "Established" && c.status == "True").then_some(conditions)
        });
        let problems = conditions.await.unwrap().into_iter().filter(|c| c.type_ == "NonStructuralSchema");
        self.warnings.extend(problems.filter_map(|problem| problem.message));
    }

    /// A client with the admin's rights. It lives on the caller's runtime: make one per test.
    pub async fn kube(&self) -> kube::Client {
        let kubeconfig = Kubeconfig::read_from(self.control_plane.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.unwrap()).unwrap()
    }

    /// A client, and a fresh namespace.
    pub async fn namespace(&self) -> (kube::Client, String) {
        let (client, name) = (self.kube().await, unique("test"));
        let metadata = ObjectMeta { name: Some(name.clone()), ..Default::default() };
        let namespace = Namespace { metadata, ..Default::default() };
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        (client, name)
    }
}
