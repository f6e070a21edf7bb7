//! A Vault that is sealed, absent, slow, or not one at all: each has its own error, and nothing leaks on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use vault_jwt_operator::vault::{ConnectFailure, Credentials, Server, ServerSettings, Vault, VaultError};

use super::limits::{json as answer, session, stand_in};
use super::{error, impatient, mount, policy, server, settings, with_token};
use crate::lab::process::free_port;
use crate::lab::{VaultServer, eventually};

async fn look(vault: &Vault) -> VaultError {
    error(vault.read_policy(&policy("p")).await)
}

/// A stand-in that takes the token and then answers with this.
async fn after_login<A: Future<Output = Response> + Send>(
    answers: impl Fn(Uri) -> A + Clone + Send + Sync + 'static,
) -> String {
    stand_in(move |uri: Uri| {
        let answers = answers.clone();
        async move {
            if uri.path().ends_with("lookup-self") {
                answer(200, r#"{"data": {"ttl": 0}}"#)
            } else {
                answers(uri).await
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_sealed_vault_says_so_and_is_used_again_when_it_is_unsealed() {
    let own = VaultServer::start(false).await.unwrap();
    let vault = with_token(&own, own.root_token());
    vault.authenticate().await.unwrap();
    let patience = Duration::from_secs(30);
    let key = own.unseal_key().await.unwrap();
    own.api().write("sys/seal", &json!({})).await;
    let sealed = look(&vault).await;
    assert!(matches!(sealed, VaultError::Sealed { .. }) && sealed.is_transient(), "{sealed:?}");
    assert!(vault.server().health().await.unwrap().sealed);
    let fresh = with_token(&own, own.root_token());
    assert!(matches!(error(fresh.authenticate().await), VaultError::Sealed { .. }));
    own.api().write("sys/unseal", &json!({"key": key})).await;
    eventually(patience, "both sessions work again", async || {
        let policy = policy("p");
        (vault.read_policy(&policy).await.is_ok() && fresh.read_policy(&policy).await.is_ok()).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_absent_vault_is_told_from_a_host_without_a_name() {
    let nobody = server(&format!("http://127.0.0.1:{}", free_port().unwrap()));
    let nowhere = server("http://vault.invalid:8200");
    for (server, expected) in [(nobody, ConnectFailure::Refused), (nowhere, ConnectFailure::Dns)] {
        let vault = Vault::new(server, Credentials::Token("t".into()));
        for refused in [look(&vault).await, error(vault.server().health().await)] {
            assert!(
                matches!(refused, VaultError::Unreachable { reason, .. } if reason == expected)
                    && refused.is_transient(),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_left_at_the_deadline() {
    let address = stand_in(async |_| std::future::pending().await).await;
    let vault = Vault::new(impatient(&address), Credentials::Token("t".into()));
    let start = Instant::now();
    assert!(matches!(look(&vault).await, VaultError::TimedOut { .. }));
    assert!(matches!(error(vault.server().health().await), VaultError::TimedOut { .. }));
    vault.close().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_that_drips_is_left_at_the_deadline_too() {
    let address = after_login(async |_| {
        let drops = futures::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        });
        Body::from_stream(drops).into_response()
    });
    let vault = Vault::new(impatient(&address.await), Credentials::Token("t".into()));
    assert!(matches!(look(&vault).await, VaultError::TimedOut { .. }));
}

#[tokio::test]
async fn a_config_write_has_its_own_longer_deadline() {
    let address = after_login(async |_| {
        tokio::time::sleep(Duration::from_millis(450)).await;
        answer(200, r#"{"data": {}}"#)
    });
    let vault = Vault::new(impatient(&address.await), Credentials::Token("t".into()));
    let mount = mount("jwt");
    assert!(matches!(error(vault.read_config(&mount).await), VaultError::TimedOut { .. }));
    vault.write_config(&mount, &[].into()).await.unwrap();
}

#[tokio::test]
async fn html_is_not_vault_whatever_its_status() {
    for status in [200, 301, 302, 401, 403, 404] {
        let address = stand_in(move |_| async move {
            let page = "<html>Please sign in: internal-secret</html>";
            (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "text/html")], page).into_response()
        });
        let vault = session(settings(&address.await));
        for refused in [look(&vault).await, error(vault.server().health().await)] {
            assert!(matches!(refused, VaultError::NotVault { .. }), "{status}: {refused:?}");
            assert!(!format!("{refused} {refused:?}").contains("internal-secret"));
        }
    }
    let gateway = stand_in(async |_| (StatusCode::BAD_GATEWAY, "<html>").into_response());
    let vault = session(settings(&gateway.await));
    assert!(matches!(look(&vault).await, VaultError::Unavailable { status: 502, .. }));
}

#[tokio::test]
async fn a_page_that_stands_in_for_a_missing_object_does_not_make_it_absent() {
    let address = after_login(async |_| (StatusCode::NOT_FOUND, "no such page").into_response()).await;
    let vault = session(settings(&address));
    assert!(matches!(look(&vault).await, VaultError::NotVault { status: 404, .. }));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_the_end() {
    let address = after_login(async |_| {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
        Body::from_stream(endless).into_response()
    });
    assert!(matches!(look(&session(settings(&address.await))).await, VaultError::TooLarge { .. }));
}

#[tokio::test]
async fn a_redirect_is_a_standby_and_the_token_does_not_follow_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    let elsewhere = {
        let asked = Arc::clone(&asked);
        stand_in(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { answer(200, r#"{"data": {"policy": "x", "ttl": 0}}"#) }
        })
        .await
    };
    let address = stand_in(move |uri: Uri| {
        let location = format!("{elsewhere}{}", uri.path());
        async move { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response() }
    });
    let vault = session(settings(&address.await));
    assert!(matches!(look(&vault).await, VaultError::Standby { .. }));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_that_ends_early_is_unreachable() {
    for part in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.readable().await;
                let _ = stream.try_read(&mut request);
                let _ = stream.write_all(part.as_bytes()).await;
            }
        });
        let ended = look(&session(settings(&address))).await;
        assert!(matches!(ended, VaultError::Unreachable { reason: ConnectFailure::Closed, .. }), "{part:?}: {ended:?}");
    }
}

#[tokio::test]
async fn every_health_of_a_node_is_read() {
    for (status, sealed, standby) in [
        (200, false, false),
        (429, false, true),
        (472, false, true),
        (473, false, true),
        (501, true, true),
        (503, true, true),
    ] {
        let body: &'static str = match (sealed, standby) {
            (false, false) => {
                r#"{"initialized":true,"sealed":false,"standby":false,"version":"1.21.1+ent","enterprise":true,"server_time_utc":5}"#
            }
            (false, true) => {
                r#"{"initialized":true,"sealed":false,"standby":true,"version":"1.21.1+ent","enterprise":true,"server_time_utc":5}"#
            }
            _ => {
                r#"{"initialized":false,"sealed":true,"standby":true,"version":"1.21.1+ent","enterprise":true,"server_time_utc":5}"#
            }
        };
        let address = stand_in(move |_| async move { answer(status, body) }).await;
        let health = server(&address).health().await.unwrap();
        assert_eq!((health.sealed, health.standby, health.server_time_utc), (sealed, standby, 5), "{status}");
        assert_eq!((health.version.as_str(), health.enterprise), ("1.21.1+ent", Some(true)));
    }
}

#[tokio::test]
async fn a_namespace_is_sent_where_there_are_namespaces_but_not_with_health() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(async |uri: Uri, headers: axum::http::HeaderMap| {
        let namespace = headers.get("x-vault-namespace").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(headers["x-vault-request"], "true");
        match (uri.path(), namespace.as_deref()) {
            ("/v1/sys/health", None) => answer(
                200,
                r#"{"initialized":true,"sealed":false,"standby":false,"version":"1.21.1+ent","enterprise":true}"#,
            ),
            (path, Some("team-a/b")) if path != "/v1/sys/health" => {
                answer(200, r#"{"data": {"policy": "x", "ttl": 0}}"#)
            }
            _ => answer(400, r#"{"errors": ["wrong namespace"]}"#),
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let vault = session(ServerSettings { namespace: Some("team-a/b/".to_owned()), ..settings(&address) });
    assert_eq!(vault.read_policy(&policy("p")).await.unwrap().as_deref(), Some("x"));
    assert_eq!(vault.read_policy(&policy("p")).await.unwrap().as_deref(), Some("x"));
    assert_eq!(vault.server().requests_sent(), 4, "health once, the token once, and two reads");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused_before_anything_is_sent() {
    let usable = "https://vault.example:8200";
    let bad = [
        ServerSettings { address: "vault.example:8200".to_owned(), ..settings(usable) },
        ServerSettings { address: "ftp://vault.example".to_owned(), ..settings(usable) },
        ServerSettings { address: "https://user:pass@vault.example".to_owned(), ..settings(usable) },
        ServerSettings { address: "https://vault.example/?a=b".to_owned(), ..settings(usable) },
        ServerSettings { address: String::new(), ..settings(usable) },
        ServerSettings { namespace: Some("a\nb".to_owned()), ..settings(usable) },
        ServerSettings { ca_pem: Some(b"no certificate".to_vec()), ..settings(usable) },
        ServerSettings { ca_pem: Some(Vec::new()), ..settings(usable) },
        ServerSettings { client_identity_pem: Some("no certificate".into()), ..settings(usable) },
        ServerSettings { server_name: Some("not a name".to_owned()), ..settings(usable) },
        ServerSettings { server_name: Some("10.0.0.1".to_owned()), ..settings(usable) },
        ServerSettings { server_name: Some("a/b".to_owned()), ..settings(usable) },
    ];
    for settings in bad {
        let refused = Server::new(settings).err();
        let Some(VaultError::InvalidRequest { problem }) = &refused else { panic!("{refused:?}") };
        assert!(!problem.contains("pass"), "{problem}");
    }
    assert!(Server::new(settings(usable)).is_ok());
}
