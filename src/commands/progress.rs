//! A progress bar for what takes longer than a second on a terminal, and a clean end on Ctrl-C.

use std::future::Future;
use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};

const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);
const STYLE: &str = "{spinner} {bar:24} {pos}/{len} {wide_msg} {elapsed}";

/// The work was ended by a signal.
#[derive(Debug)]
pub(crate) struct Interrupted;

/// The progress of a command.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self(ProgressStyle::with_template(STYLE).map(|style| bar.clone().with_style(style)).unwrap_or(bar))
    }

    /// Says what is being done.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// Says how many steps the present work has, and how many are done.
    pub(crate) fn steps(&self, done: usize, of: usize) {
        self.0.set_length(of.try_into().unwrap_or(u64::MAX));
        self.0.set_position(done.try_into().unwrap_or(u64::MAX));
    }

    /// Runs the work. The bar appears, where there is a terminal, when it takes long.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        let appear = async {
            tokio::time::sleep(PATIENCE).await;
            // Hidden by itself where standard error is no terminal.
            self.0.set_draw_target(ProgressDrawTarget::stderr());
            self.0.enable_steady_tick(TICK);
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = work => Ok(result),
            () = interrupted() => Err(Interrupted),
            () = appear => Err(Interrupted),
        };
        self.0.finish_and_clear();
        result
    }
}

async fn interrupted() {
    let wait = async |kind| -> io::Result<()> {
        signal(kind)?.recv().await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = wait(SignalKind::interrupt()) => ended,
        ended = wait(SignalKind::terminate()) => ended,
    };
    // Where signals cannot be caught they end the process as ever.
    if ended.is_err() {
        std::future::pending::<()>().await;
    }
}
