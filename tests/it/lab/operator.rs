//! The operator under test: the built binary as a child, as a person would run it out of a cluster.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{Process, Scratch};
use super::{Fallible, Lab, eventually};

/// One running operator; killed when this is dropped, and its log shown if that happens in a panic.
pub struct Operator {
    process: Process,
    /// Dropped after the process: it holds its log.
    scratch: Option<Scratch>,
}

impl Operator {
    /// `vault-jwt-operator run` against the lab's control plane, with these arguments besides.
    pub fn start(lab: &Lab, arguments: &[&str]) -> Fallible<Self> {
        Self::start_with(&lab.control_plane.operator_kubeconfig(), arguments, &[])
    }

    /// The same with a kubeconfig and environment of one's own.
    pub fn start_with(kubeconfig: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Fallible<Self> {
        let scratch = Scratch::new()?;
        let mut operator = Self::start_in(scratch.path(), kubeconfig, arguments, environment)?;
        operator.scratch = Some(scratch);
        Ok(operator)
    }

    /// The same with `operator.log` in a folder that stays.
    pub fn start_in(
        folder: &Path,
        kubeconfig: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Fallible<Self> {
        let arguments: Vec<String> = ["run"].iter().chain(arguments).map(ToString::to_string).collect();
        let mut all = vec![("KUBECONFIG", kubeconfig.display().to_string()), ("RUST_BACKTRACE", "1".into())];
        all.extend(environment.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let process = Process::start(folder, "operator", &binary(), &arguments, &all)?;
        Ok(Self { process, scratch: None })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn exited(&self) -> Option<i32> {
        self.process.exited()
    }

    pub fn signal(&mut self, name: &str) -> Fallible<()> {
        self.process.signal(name)
    }

    /// Waits until its log contains this text; an error if it ends first.
    pub async fn wait_for_log(&self, text: &str) -> Fallible<()> {
        eventually(Duration::from_secs(30), &format!("the operator logs `{text}`"), async || {
            (self.log().contains(text) || self.exited().is_some()).then_some(())
        })
        .await?;
        if self.log().contains(text) { Ok(()) } else { Err(self.process.log_tail().into()) }
    }

    /// Ends it as Kubernetes does, with SIGTERM; its exit status and whole log.
    pub async fn stop(mut self) -> Fallible<(i32, String)> {
        self.process.signal("TERM")?;
        let status = self.process.wait_exit(Duration::from_secs(30)).await?;
        Ok((status, self.log()))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.process.log_tail());
        }
    }
}

/// The binary: cargo names it to integration tests; an example finds it in the folder above its own.
pub fn binary() -> PathBuf {
    option_env!("CARGO_BIN_EXE_vault-jwt-operator").map_or_else(
        || {
            let example = std::env::current_exe().unwrap_or_default();
            let profile = example.parent().and_then(Path::parent).unwrap_or(Path::new("."));
            profile.join("vault-jwt-operator")
        },
        PathBuf::from,
    )
}
