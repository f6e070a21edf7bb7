//! `up` and `down`. `up` leaves a supervisor behind, which owns every server and ends them when it ends; `down` ends
//! that one process, known by its id and its start time, never by its name.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::lab::{Fallible, Lab, eventually, operator::Operator, servers};
use crate::resources::{self, KV_MOUNT, NAMESPACE, OPERATOR_NAMESPACE};
use crate::terminal::{quiet, success, typed};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab")
}

/// Starts the supervisor and waits until all is up.
pub async fn up() -> Fallible<()> {
    let folder = folder();
    if running(&folder)?.is_some() {
        println!("{}", success("the lab is up already"));
        return explain(&folder);
    }
    // Builds what is missing here, where its progress is seen, and not in the supervisor.
    servers()?;
    fs::create_dir_all(&folder)?;
    let _ = fs::remove_file(folder.join("env"));
    let log = File::create(folder.join("supervisor.log"))?;
    let mut supervisor = Command::new(std::env::current_exe()?)
        .arg("supervise")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    fs::write(folder.join("pid"), identity(supervisor.id())?.ok_or("the supervisor ended at once")?)?;
    let up = eventually(Duration::from_secs(120), "the lab is up", async || {
        (folder.join("env").exists() || supervisor.try_wait().is_ok_and(|status| status.is_some())).then_some(())
    });
    up.await?;
    if !folder.join("env").exists() {
        forget(&folder);
        return Err(format!("the lab did not start:\n{}", fs::read_to_string(folder.join("supervisor.log"))?).into());
    }
    println!("{}", success("kube-apiserver, etcd, Vault and the operator are up"));
    explain(&folder)
}

fn explain(folder: &Path) -> Fallible<()> {
    let here = std::env::current_dir()?;
    let shown = |name: &str| folder.join(name).strip_prefix(&here).map_or(folder.join(name), Path::to_owned);
    println!("{}", typed(&format!(". {}", shown("env").display())));
    println!("{}", typed("kubectl get vaultconnections,vaultjwtbindings --all-namespaces"));
    println!("{}", typed("target/servers/vault auth list"));
    println!("{}", quiet(&format!("operator's log: {}", shown("operator.log").display())));
    println!("{}", quiet("end it with: make down"));
    Ok(())
}

/// Owns the servers until somebody sends SIGTERM.
pub async fn supervise() -> Fallible<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let running = tokio::select! {
        running = start() => running?,
        _ = terminate.recv() => return Ok(()),
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    let (_lab, operator) = running;
    operator.stop().await?;
    Ok(())
}

async fn start() -> Fallible<(Lab, Operator)> {
    let folder = folder();
    let lab = Lab::start(true).await?;
    let kube = lab.kube().await;
    resources::namespace(&kube, NAMESPACE).await?;
    resources::namespace(&kube, OPERATOR_NAMESPACE).await?;
    let role = lab.operator_account(OPERATOR_NAMESPACE).await?;
    lab.vault().enable(&format!("mounts/{KV_MOUNT}"), "kv-v2").await;
    fs::copy(lab.kubeconfig(), folder.join("kubeconfig"))?;
    let account = format!("{OPERATOR_NAMESPACE}/operator");
    let operator =
        Operator::start_in(&folder, &lab.control_plane.operator_kubeconfig(), &["--service-account", &account], &[])?;
    let issuer = lab.control_plane.url().trim_start_matches("https://").to_owned();
    let connection = resources::connection(&lab, &role, &issuer)?;
    resources::apply(&kube, &connection).await?;
    resources::ready(&kube, &connection).await.map_err(|error| format!("{error}\n{}", operator.log()))?;
    let env = format!(
        "export KUBECONFIG='{}'\nexport VAULT_ADDR='{}'\nexport VAULT_TOKEN='{}'\n",
        folder.join("kubeconfig").display(),
        lab.vault_server.address(),
        lab.vault_server.root_token()
    );
    fs::write(folder.join("env.part"), env)?;
    fs::rename(folder.join("env.part"), folder.join("env"))?;
    Ok((lab, operator))
}

/// Ends what `up` started.
pub async fn down() -> Fallible<()> {
    let folder = folder();
    let Some(pid) = running(&folder)? else {
        println!("{}", success("the lab is not up"));
        return Ok(());
    };
    kill("TERM", pid)?;
    let patience = Duration::from_secs(30);
    if eventually(patience, "", async || running(&folder).ok()?.is_none().then_some(())).await.is_err() {
        // Even so the servers end: their guardians notice that their owner is gone.
        kill("KILL", pid)?;
    }
    forget(&folder);
    println!("{}", success("the lab is down"));
    Ok(())
}

/// Takes away what is only true while the lab is up.
fn forget(folder: &Path) {
    for name in ["pid", "env", "kubeconfig"] {
        let _ = fs::remove_file(folder.join(name));
    }
}

/// The supervisor's process id, if the process that `up` started still runs.
fn running(folder: &Path) -> Fallible<Option<u32>> {
    let Ok(recorded) = fs::read_to_string(folder.join("pid")) else { return Ok(None) };
    let pid = recorded.split_whitespace().next().and_then(|pid| pid.parse().ok()).ok_or("target/lab/pid is broken")?;
    Ok((identity(pid)?.as_ref() == Some(&recorded)).then_some(pid))
}

/// What tells this process from a later one with the same id; none if it has ended.
fn identity(pid: u32) -> Fallible<Option<String>> {
    let ps = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").output()?;
    let text = String::from_utf8_lossy(&ps.stdout);
    let Some((state, started)) = text.trim().split_once(' ') else { return Ok(None) };
    Ok((!state.starts_with('Z')).then(|| format!("{pid} {}", started.trim())))
}

fn kill(signal: &str, pid: u32) -> Fallible<()> {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(format!("process {pid} takes no signal").into()) }
}
