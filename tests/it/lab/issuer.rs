//! A JWT issuer: a real HTTP server on loopback with a key set, that counts who asks and can be made to fail, and the
//! keys that sign tokens for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Fallible;

/// Where the key set is, below the issuer's address; the path is Backstage's.
pub const JWKS_PATH: &str = "/api/auth/.well-known/jwks.json";

/// What the issuer answers to whoever asks for its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Keys,
    NotFound,
    /// 200 with a page, as a login portal in front answers.
    Html,
    /// Takes the request and never answers.
    Hang,
}

struct Desk {
    address: Mutex<String>,
    behaviour: Mutex<Behaviour>,
    keys: Mutex<Vec<SigningKey>>,
    asked: AtomicUsize,
}

/// The server; it ends when this is dropped. It has a thread of its own, so that it answers while a test blocks.
pub struct Issuer {
    desk: Arc<Desk>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Issuer {
    /// Starts it with one new key.
    pub fn start() -> Fallible<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let desk = Arc::new(Desk {
            address: Mutex::new(format!("http://{}", listener.local_addr()?)),
            behaviour: Mutex::new(Behaviour::Keys),
            keys: Mutex::new(vec![SigningKey::generate()?]),
            asked: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&desk));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    result = axum::serve(listener, app) => result.expect("the issuer serves"),
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Ok(Self { desk, stop: Some(stop), thread: Some(thread) })
    }

    /// Its address, which is also the `iss` of its tokens.
    pub fn url(&self) -> String {
        self.desk.address.lock().expect("no panic").clone()
    }

    pub fn jwks_url(&self) -> String {
        format!("{}{JWKS_PATH}", self.url())
    }

    /// Host and port, as a grant's `issuerHosts` name it.
    pub fn host(&self) -> String {
        self.url().trim_start_matches("http://").to_owned()
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.desk.behaviour.lock().expect("no panic") = behaviour;
    }

    /// How many requests have come for the keys or the discovery document.
    pub fn asked(&self) -> usize {
        self.desk.asked.load(Ordering::SeqCst)
    }

    /// The key that signs now: the newest.
    pub fn key(&self) -> SigningKey {
        self.desk.keys.lock().expect("no panic").last().expect("a key").clone()
    }

    /// Takes all keys away and publishes a new one: tokens of the old ones are no longer valid.
    pub fn replace_keys(&self) -> Fallible<()> {
        *self.desk.keys.lock().expect("no panic") = vec![SigningKey::generate()?];
        Ok(())
    }

    /// A token as Backstage makes one for a service, changed by `claims` (null takes a claim away).
    pub fn token(&self, subject: &str, audience: &str, claims: &Value) -> String {
        let now = now();
        let mut all = json!({
            "iss": self.url(), "sub": subject, "aud": audience, "iat": now, "exp": now + 3600,
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        all.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        self.key().sign(&all)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let issuer = desk.address.lock().expect("no panic").clone();
    let document = match uri.path() {
        JWKS_PATH => {
            let keys = desk.keys.lock().expect("no panic").iter().map(|key| key.public.clone()).collect();
            serde_json::to_string(&JwkSet { keys }).expect("a key set")
        }
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}{JWKS_PATH}"),
            "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
        .to_string(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    desk.asked.fetch_add(1, Ordering::SeqCst);
    let behaviour = *desk.behaviour.lock().expect("no panic");
    match behaviour {
        Behaviour::Keys => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        Behaviour::NotFound => (StatusCode::NOT_FOUND, "no such page").into_response(),
        Behaviour::Html => ([(header::CONTENT_TYPE, "text/html")], "<html>Please sign in</html>").into_response(),
        Behaviour::Hang => std::future::pending().await,
    }
}

/// An ES256 key pair with the id under which it is published.
#[derive(Clone)]
pub struct SigningKey {
    pkcs8: Vec<u8>,
    public: Jwk,
}

impl SigningKey {
    pub fn generate() -> Fallible<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let pkcs8 = pair.to_pkcs8v1()?.as_ref().to_vec();
        let mut public = Jwk::from_encoding_key(&EncodingKey::from_ec_der(&pkcs8), Algorithm::ES256)?;
        public.common.key_id = Some(super::unique("key"));
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { pkcs8, public })
    }

    pub fn id(&self) -> String {
        self.public.common.key_id.clone().unwrap_or_default()
    }

    /// The private key, PKCS #8 PEM: what a `login.token.signingKey` Secret holds.
    pub fn private_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// The public key alone, as a JWK.
    pub fn public_jwk(&self) -> Value {
        serde_json::to_value(&self.public).expect("a JWK")
    }

    /// Signs these claims as they are, with `kid` in the header.
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id()), ..Header::new(Algorithm::ES256) };
        self.sign_with(&header, claims)
    }

    /// Signs under a header of the caller's choice, even a wrong one.
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).expect("an ES256 signature")
    }
}

/// A new RSA key, PKCS #8 PEM, as the apiserver signs service account tokens with.
pub fn rsa_key_pem() -> Fallible<String> {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)?;
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'static> = pair.as_der()?;
    Ok(pem("PRIVATE KEY", pkcs8.as_ref()))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|elapsed| elapsed.as_secs()).unwrap_or_default()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
