//! An apiserver that answers what a test says, for the faults that a real one cannot be asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use kube::{Client, Config};
use serde_json::Value;

type Answers = Arc<Mutex<HashMap<String, (u16, Value)>>>;

pub(crate) struct ApiServer {
    address: String,
    answers: Answers,
    /// Method, path and body of each request.
    pub(crate) requests: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { address, answers: Answers::default(), requests: Arc::default() };
        let (answers, requests) = (server.answers.clone(), server.requests.clone());
        let router = Router::new().fallback(async move |request: Request| {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
            requests.lock().unwrap().push((method, path.clone(), serde_json::from_slice(&body).unwrap_or_default()));
            let (status, body) = answers.lock().unwrap().get(&path).cloned().unwrap_or((500, Value::Null));
            let json = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::from_u16(status).unwrap(), json, body.to_string()).into_response()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// What is answered to requests for a path from now on.
    pub(crate) fn answer(&self, path: &str, status: u16, body: &Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.clone()));
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.address.parse().unwrap());
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }
}
