//! The log: one line an event, JSON with the keys that other controllers use, or text for people.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Sends the log to standard error.
///
/// # Errors
/// When the filter cannot be parsed.
pub fn log(json: Option<bool>, filter: &str) -> Result<(), ParseError> {
    // The client's own spans and its error lines for every failed call say nothing that a pass does not say better.
    let filter = EnvFilter::try_new(format!("{filter},kube_client=off,tower_http=off"))?;
    let stderr = std::io::stderr;
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    if json.unwrap_or(!terminal) {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    } else {
        lines.with_ansi(terminal).init();
    }
    Ok(())
}
