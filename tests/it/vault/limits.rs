//! What is asked of one Vault at a time: a stand-in counts, since a real Vault does not say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use secrecy::SecretString;
use vault_jwt_operator::vault::{Credentials, Deadlines, Server, ServerSettings, Vault, VaultError};

use super::{error, mount, policy, settings};

/// A stand-in that answers with this; its address.
pub(super) async fn stand_in<A: Future<Output = Response> + Send>(
    answer: impl Fn(Uri) -> A + Clone + Send + Sync + 'static,
) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(move |uri: Uri| answer(uri));
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

pub(super) fn json(status: u16, body: &'static str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

pub(super) fn session(settings: ServerSettings) -> Vault {
    Vault::new(Server::new(settings).unwrap(), Credentials::Token("t".into()))
}

async fn look(vault: &Vault) -> Result<Option<String>, VaultError> {
    vault.read_policy(&policy("p")).await
}

#[tokio::test]
async fn no_more_requests_run_at_a_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let address = stand_in(move |_| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            json(200, r#"{"data": {"policy": "x", "ttl": 0}}"#)
        }
    });
    let vault = session(ServerSettings { concurrent_requests: 3, ..settings(&address.await) });
    for outcome in join_all((0..20).map(|_| look(&vault))).await {
        outcome.unwrap();
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(vault.server().requests_sent(), 21);
}

#[tokio::test]
async fn no_more_requests_are_sent_per_second_than_allowed() {
    let address = stand_in(async |_| json(200, r#"{"data": {"policy": "x", "ttl": 0}}"#)).await;
    let vault = session(ServerSettings { requests_per_second: 20, ..settings(&address) });
    let start = Instant::now();
    for outcome in join_all((0..50).map(|_| look(&vault))).await {
        outcome.unwrap();
    }
    // A second's worth at once, and the other 31 at the rate.
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn calls_that_hang_on_an_issuer_leave_the_others_their_places() {
    let address = stand_in(async |uri| {
        if uri.path().ends_with("/config") {
            std::future::pending::<()>().await;
        }
        json(200, r#"{"data": {"policy": "x", "ttl": 0}}"#)
    });
    let vault = session(ServerSettings { concurrent_requests: 1, ..settings(&address.await) });
    vault.authenticate().await.unwrap();
    let hanging = mount("a");
    let hang = join_all((0..5).map(|_| vault.read_config(&hanging)));
    let others = async {
        // The first two of the mount take the only place for a moment each; the other three wait for those two.
        for _ in 0..10 {
            look(&vault).await.unwrap();
        }
    };
    tokio::select! {
        () = others => {}
        _ = hang => panic!("a hanging call does not end first"),
    }
}

#[tokio::test]
async fn a_call_that_may_hang_waits_for_its_turn_no_longer_than_for_an_answer() {
    let address = stand_in(async |_| std::future::pending().await).await;
    let deadlines = Deadlines { call: Duration::from_millis(300), ..Deadlines::default() };
    let server = Server::with_deadlines(settings(&address), deadlines).unwrap();
    let secret_id = "s".into();
    let (hanging, role_id) = (mount("a"), "r".to_owned());
    let login = |_| {
        let credentials = Credentials::AppRole {
            mount: hanging.clone(),
            role_id: role_id.clone(),
            secret_id: SecretString::clone(&secret_id),
        };
        Vault::new(server.clone(), credentials)
    };
    let identities: Vec<Vault> = (0..8).map(login).collect();
    let outcomes = join_all(identities.iter().map(Vault::authenticate)).await;
    let had_no_turn = |outcome: &Result<(), VaultError>| matches!(outcome, Err(VaultError::NoTurn { .. }));
    let without = outcomes.iter().filter(|outcome| had_no_turn(outcome)).count();
    assert!(without >= 4, "two at a time, for 300 ms each: {outcomes:?}");
    assert_eq!(server.requests_sent(), 8 - u64::try_from(without).unwrap(), "what had no turn is not sent");
}

#[tokio::test]
async fn what_waits_for_a_place_when_the_session_ends_is_not_sent() {
    let address = stand_in(async |uri: Uri| {
        if uri.path().ends_with("/p") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        json(200, r#"{"data": {"policy": "x", "ttl": 0}}"#)
    });
    let vault = session(ServerSettings { concurrent_requests: 1, ..settings(&address.await) });
    vault.authenticate().await.unwrap();
    let sent = vault.server().requests_sent();
    let closes = async {
        crate::lab::eventually(Duration::from_secs(5), "the first is on its way", async || {
            (vault.server().requests_sent() > sent).then_some(())
        })
        .await
        .unwrap();
        vault.close().await;
    };
    let (outcomes, ()) = tokio::join!(join_all((0..5).map(|_| look(&vault))), closes);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "the one on its way is answered");
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| *error == VaultError::Closed));
    assert_eq!(vault.server().requests_sent(), sent + 1);
}

#[tokio::test]
async fn a_pause_that_vault_asks_for_is_told_but_not_believed_without_end() {
    for (asked, told) in [("7", Some(7)), ("1000000", Some(300)), ("soon", None)] {
        let address = stand_in(move |uri: Uri| async move {
            let body = r#"{"errors": ["request path \"p\": rate limit quota exceeded"]}"#;
            if uri.path().ends_with("lookup-self") {
                return json(200, r#"{"data": {"ttl": 0}}"#);
            }
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, asked)], body).into_response()
        });
        let limited = error(look(&session(settings(&address.await))).await);
        assert!(matches!(limited, VaultError::RateLimited { .. }), "{limited:?}");
        assert_eq!(limited.retry_after(), told.map(Duration::from_secs));
    }
}
