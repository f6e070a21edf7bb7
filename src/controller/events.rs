//! Events on transitions: what was put right, what broke, what recovered, what was let go. An event is news for people;
//! failing to write one changes nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Longest note of an event, in bytes.
const NOTE: usize = 1000;

/// Writes events.
#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    reporter: Reporter,
}

/// An event before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

impl News {
    pub(crate) fn normal(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, action, note: note.into() }
    }

    pub(crate) fn warning(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, reason, action, note: note.into() }
    }
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "vault-jwt-operator".to_owned(), instance: None };
        Self { client, reporter }
    }

    /// Writes an event about an object.
    pub(crate) async fn publish(&self, about: &ObjectReference, news: News) {
        let mut note = news.note;
        if note.len() > NOTE {
            let end = (0..=NOTE - 3).rev().find(|&end| note.is_char_boundary(end)).unwrap_or_default();
            note.truncate(end);
            note.push('…');
        }
        let (namespace, name) = (about.namespace.as_deref(), about.name.as_deref());
        if news.warning {
            tracing::warn!(kind = about.kind, namespace, name, reason = news.reason, "{note}");
        } else {
            tracing::info!(kind = about.kind, namespace, name, reason = news.reason, "{note}");
        }
        let event = Event {
            type_: if news.warning { EventType::Warning } else { EventType::Normal },
            reason: news.reason.to_owned(),
            note: Some(note),
            action: news.action.to_owned(),
            secondary: None,
        };
        // A recorder keeps the first note of a repeated reason for minutes, so each event gets a new one.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        match tokio::time::timeout(Duration::from_secs(5), recorder.publish(&event, about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "Event was not written"),
            Err(_) => tracing::debug!("Event was not written in time"),
        }
    }
}
