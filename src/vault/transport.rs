//! One request and its answer: a deadline on the whole exchange, a bound on the body, and no retry. What the answer
//! means is `refusal`'s business.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::connect;
use super::error::{Call, VaultError};
use super::limits::Lane;
use super::path::ApiPath;
use super::server::Server;

/// No answer that is expected comes near this.
const LONGEST_BODY: usize = 4 * 1024 * 1024;
/// `Retry-After` beyond this is not believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is sent.
pub(super) struct Request {
    pub(super) call: Call,
    pub(super) method: Method,
    pub(super) path: ApiPath,
    pub(super) body: Option<Value>,
    pub(super) lane: Lane,
    pub(super) deadline: Duration,
}

impl Request {
    pub(super) fn new(verb: &'static str, method: Method, path: ApiPath, deadline: Duration) -> Self {
        let call = Call { verb, path: path.as_str().to_owned() };
        Self { call, method, path, body: None, lane: Lane::Normal, deadline }
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Body,
    pub(super) retry_after: Option<Duration>,
}

/// The body of an answer. It may hold secrets, so it has no `Debug`.
pub(super) enum Body {
    /// None.
    Empty,
    /// JSON, as all of Vault's are.
    Json(Value),
    /// Something else: not Vault's.
    Foreign,
}

impl Server {
    /// Sends a request when the limits allow, and reads the answer. A call that may hang waits for
    /// its place no longer than its deadline, and then has all of it for the exchange: a write cut short is undone.
    pub(super) async fn send(&self, request: &Request, token: Option<&SecretString>) -> Result<Answer, VaultError> {
        self.send_unless(request, token, || false).await
    }

    /// As [`Self::send`], but `closed` is asked when its turn has come: what waited for a place is then not sent.
    pub(super) async fn send_unless(
        &self,
        request: &Request,
        token: Option<&SecretString>,
        closed: impl Fn() -> bool,
    ) -> Result<Answer, VaultError> {
        let url = request.path.url(self.base())?;
        let mut builder = self.http().request(request.method.clone(), url);
        if let Some(namespace) = self.namespace()
            && request.path != ApiPath::health()
        {
            builder = builder.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| VaultError::invalid("the Vault token has characters that no header may have"))?;
            value.set_sensitive(true);
            builder = builder.header("X-Vault-Token", value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.to_string()).header(CONTENT_TYPE, content_type(&request.method));
        }
        let exchange = async {
            if closed() {
                return Err(VaultError::Closed);
            }
            self.count();
            match tokio::time::timeout(request.deadline, exchange(builder, &request.call)).await {
                Ok(answer) => answer,
                Err(_) => Err(VaultError::TimedOut { call: request.call.clone(), after: request.deadline }),
            }
        };
        let Some(answer) = self.limits().run(&request.lane, request.deadline, exchange).await else {
            return Err(VaultError::NoTurn { call: request.call.clone(), after: request.deadline });
        };
        let answer = answer?;
        tracing::trace!(verb = request.call.verb, path = request.call.path, status = answer.status, "asked Vault");
        Ok(answer)
    }
}

fn content_type(method: &Method) -> HeaderValue {
    // Vault refuses any other on PATCH.
    HeaderValue::from_static(if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" })
}

async fn exchange(builder: reqwest::RequestBuilder, call: &Call) -> Result<Answer, VaultError> {
    let unreachable =
        |error: reqwest::Error| VaultError::Unreachable { call: call.clone(), reason: connect::classify(&error) };
    let mut response = builder.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let bytes = read(&mut response, call, unreachable).await?;
    let body =
        if bytes.is_empty() { Body::Empty } else { serde_json::from_slice(&bytes).map_or(Body::Foreign, Body::Json) };
    Ok(Answer { status, body, retry_after })
}

async fn read(
    response: &mut Response,
    call: &Call,
    unreachable: impl Fn(reqwest::Error) -> VaultError,
) -> Result<Vec<u8>, VaultError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&unreachable)? {
        if bytes.len() + chunk.len() > LONGEST_BODY {
            return Err(VaultError::TooLarge { call: call.clone() });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Seconds; the form with a date is not one that Vault sends.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}
