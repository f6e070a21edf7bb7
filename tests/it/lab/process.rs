//! A server as a child that cannot outlive the test process, however that ends: a guardian shell holds the server in
//! a process group of its own and kills the whole group when the pipe from us to it closes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Fallible, eventually};

/// `$1` is the log, `$2` where the exit status goes, the rest is the command. A line on stdin names a signal to send;
/// end of file kills all that runs here, so also what the server itself started (Vault's plugins).
const GUARDIAN: &str = r#"
log=$1 status=$2
shift 2
"$@" </dev/null >>"$log" 2>&1 &
server=$!
echo "$server"
exec 3<&0
{
    while read -r signal; do kill -s "$signal" "$server"; done
    kill -s KILL 0
} <&3 2>/dev/null &
reader=$!
wait "$server"
echo $? >"$status.part"
mv "$status.part" "$status"
wait "$reader"
"#;

/// Removes `$1` once the pipe closes, so a killed test process leaves no files behind either.
const JANITOR: &str = r#"read -r _; while [ -e "$1" ]; do rm -rf "$1" 2>/dev/null || sleep 0.1; done"#;

/// A program that runs under a guardian.
pub struct Process {
    name: String,
    guardian: Child,
    signals: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
    status: PathBuf,
}

impl Process {
    /// Starts `program` with only `environment` and the caller's `PATH`, its output in `<folder>/<name>.log`.
    pub fn start(
        folder: &Path,
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Fallible<Self> {
        let (log, status) = (folder.join(format!("{name}.log")), folder.join(format!("{name}.status")));
        let _ = fs::remove_file(&status);
        File::create(&log)?;
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .args([&log, &status])
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let signals = guardian.stdin.take();
        let mut line = String::new();
        BufReader::new(guardian.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let pid = line.trim().parse().map_err(|_| format!("{name}: the guardian named no pid"))?;
        Ok(Self { name: name.into(), guardian, signals, pid, log, status })
    }

    /// The program's own process id, for measuring it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All that the program has written so far, stdout and stderr together.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The exit status if the program has ended: what a shell calls it, so 128 + n for signal n.
    pub fn exited(&self) -> Option<i32> {
        fs::read_to_string(&self.status).ok()?.trim().parse().ok()
    }

    /// Sends a signal by its name without `SIG`: `TERM`, `STOP`, `CONT`…
    pub fn signal(&mut self, name: &str) -> Fallible<()> {
        let signals = self.signals.as_mut().ok_or("already killed")?;
        writeln!(signals, "{name}")?;
        Ok(signals.flush()?)
    }

    /// Waits for the program's own end; an error if it has not come by then.
    pub async fn wait_exit(&self, patience: Duration) -> Fallible<i32> {
        eventually(patience, &format!("{} ends", self.name), async || self.exited()).await
    }

    /// Waits until `ready` holds; an error with the end of the log if the program ends first or does not come up.
    pub async fn wait_ready(&self, patience: Duration, ready: impl AsyncFn() -> bool) -> Fallible<()> {
        let outcome = eventually(patience, &format!("{} is ready", self.name), async || {
            if let Some(status) = self.exited() {
                return Some(Err(format!("{} ended with status {status}", self.name)));
            }
            ready().await.then_some(Ok(()))
        })
        .await;
        outcome.and_then(|outcome| Ok(outcome?)).map_err(|error| format!("{error}\n{}", self.log_tail()).into())
    }

    /// Whether it ended because somebody else took its port meanwhile, so another try with another port may go well.
    pub fn lost_its_port(&self) -> bool {
        self.exited().is_some() && self.log().contains("address already in use")
    }

    /// The last lines of the log, for a failure message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("--- end of the log of {} ---\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.signals.take());
        let _ = self.guardian.wait();
    }
}

/// A private temporary folder that goes with this value, or with this process.
pub struct Scratch {
    path: PathBuf,
    janitor: Child,
}

impl Scratch {
    pub fn new() -> Fallible<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("vjo-lab-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break path,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        };
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { path, janitor })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}

/// A loopback port that nobody listens on now. Whoever uses it must be ready to lose the race for it.
pub fn free_port() -> Fallible<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
