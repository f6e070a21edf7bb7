//! The benchmark: counts from Vault's and the apiserver's audit logs, and what the process costs, for growing numbers
//! of bindings. It measures and tells; it does not fail when a figure is worse than its aim.

mod bare;
mod process;
mod report;
mod workload;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use self::process::Usage;
use self::report::{Figures, Report};
use self::workload::{MOUNT, Workload};
use crate::lab::control_plane::{KubeRequest, OPERATOR};
use crate::lab::operator::Operator;
use crate::lab::{Fallible, Issuer, Lab, eventually, vault::VaultRequest};
use crate::resources::{self, OPERATOR_NAMESPACE};
use crate::terminal::{heading, quiet, success};

/// The shortest interval that a binding may have.
const INTERVAL: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(600);
/// How many intervals the steady state is watched for.
const WINDOW: u32 = 2;

/// Measures each number of bindings on servers of its own, prints the table and writes `target/bench.json`.
pub async fn run(sizes: &[usize]) -> Fallible<()> {
    let mut report = Report::default();
    for &size in sizes {
        println!("{}", heading(&format!("{size} binding(s)")));
        report.add(size, measure(size).await?);
    }
    println!("{}", report.table());
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    std::fs::write(&file, format!("{:#}\n", report.json()))?;
    println!("{}", quiet("the same in target/bench.json"));
    Ok(())
}

async fn measure(size: usize) -> Fallible<Figures> {
    let (lab, issuer) = (Lab::start(false).await?, Issuer::start()?);
    let workload = Workload::prepare(&lab, &issuer, size).await?;
    let mut figures = Figures::default();

    let mark = lab.vault_server.mark();
    let start = Instant::now();
    let account = format!("{OPERATOR_NAMESPACE}/operator");
    let operator = Operator::start(&lab, &["--service-account", &account])?;
    while lab.vault_server.mark() == mark && start.elapsed() < SHORT {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    figures.set("start", start.elapsed().as_secs_f64());
    resources::ready(&lab.kube().await, workload.connection()).await?;

    creation(&lab, &issuer, &workload, &mut figures).await?;
    steady(&lab, &issuer, &workload, &operator, &mut figures).await?;
    if let Some(usage) = Usage::of(operator.pid()) {
        figures.set("resident", usage.resident / 1024.0 / 1024.0);
        figures.set("sockets", usage.sockets);
    }
    repair(&lab, &workload, &mut figures).await?;
    rounds(&lab, &workload, &operator, &mut figures).await?;

    let (status, log) = operator.stop().await?;
    if status != 0 {
        return Err(format!("the operator ended with status {status}:\n{log}").into());
    }
    figures.set("tokens", per(lab.vault_server.tokens_of("auth/kubernetes/login").await));
    Ok(figures)
}

/// From apply to all Ready, and what a bare client takes for the same requests.
async fn creation(lab: &Lab, issuer: &Issuer, workload: &Workload, figures: &mut Figures) -> Fallible<()> {
    let (vault_mark, kube_mark) = (lab.vault_server.mark(), lab.control_plane.mark());
    let time = workload.apply(lab, LONG).await?;
    let requests = operator_requests(lab, vault_mark);
    let size = per(workload.size());
    figures.set("ready", time.as_secs_f64());
    figures.set("create_vault", per(requests.len()) / size);
    figures.set("create_kube", per(kube_writes(lab, kube_mark).len()) / size);
    let bare = bare::replay(&requests, issuer).await?;
    figures.set("bare", bare.as_secs_f64());
    figures.set("ratio", time.as_secs_f64() / bare.as_secs_f64());
    println!(
        "{}",
        success(&format!("all ready after {time:.1?}; a bare client takes {bare:.1?} for the same requests"))
    );
    println!("{}", quiet(&by_kind(requests.iter().map(vault_kind))));
    println!("{}", quiet(&by_kind(kube_writes(lab, kube_mark).iter().map(kube_kind))));
    Ok(())
}

/// Whole intervals in which nothing changes. A pass is counted by the one role that it reads.
async fn steady(
    lab: &Lab,
    issuer: &Issuer,
    workload: &Workload,
    operator: &Operator,
    figures: &mut Figures,
) -> Fallible<()> {
    let is_pass = |request: &VaultRequest| {
        request.operation == "read" && request.path.starts_with(&format!("auth/{MOUNT}/role/"))
    };
    // The first round of passes may still belong to the creation.
    let settled = lab.vault_server.mark();
    eventually(LONG, "every binding had one pass", async || {
        let passes = lab.vault_server.requests_since(settled).iter().filter(|request| is_pass(request)).count();
        (passes >= workload.size()).then_some(())
    })
    .await?;

    let (vault_mark, kube_mark, asked) = (lab.vault_server.mark(), lab.control_plane.mark(), issuer.asked());
    let before = Usage::of(operator.pid());
    tokio::time::sleep(INTERVAL * WINDOW).await;
    let after = Usage::of(operator.pid());
    let requests = operator_requests(lab, vault_mark);
    let passes = per(requests.iter().filter(|request| is_pass(request)).count());
    let count = |wanted: &dyn Fn(&VaultRequest) -> bool| per(requests.iter().filter(|request| wanted(request)).count());
    figures.set("reads", count(&|request| matches!(request.operation.as_str(), "read" | "list")) / passes);
    figures.set("writes", count(&VaultRequest::is_write) / passes);
    figures.set("logins", count(&VaultRequest::is_login));
    figures.set("kube_writes", per(kube_writes(lab, kube_mark).len()) / passes);
    figures.set("jwks", per(issuer.asked() - asked));
    let config = format!("auth/{MOUNT}/config");
    figures.set("config_reads", count(&|request| request.path == config) / f64::from(WINDOW));
    if let (Some(before), Some(after)) = (before, after) {
        figures.set("cpu", (after.cpu - before.cpu) * 1000.0 / passes);
    }
    println!("{}", success(&format!("{passes} passes in {:.0?} with nothing to do", INTERVAL * WINDOW)));
    println!("{}", quiet(&by_kind(requests.iter().map(vault_kind))));
    Ok(())
}

/// A role spoilt by hand, with a nudge and without one.
async fn repair(lab: &Lab, workload: &Workload, figures: &mut Figures) -> Fallible<()> {
    let (vault, kube) = (lab.vault(), lab.kube().await);
    let path = format!("auth/{MOUNT}/role/{}", workload::name_of(0));
    for (figure, nudge) in [("repair_nudged", true), ("repair", false)] {
        let before = vault.read(&path).await;
        vault.write(&path, &json!({"role_type": "jwt", "clock_skew_leeway": 1})).await;
        let start = Instant::now();
        if nudge {
            resources::nudge(&kube, &workload.binding(0)).await?;
        }
        eventually(INTERVAL * 4, "the role is put back", async || (vault.read(&path).await == before).then_some(()))
            .await?;
        figures.set(figure, start.elapsed().as_secs_f64());
        // The pass that did it ends with a status.
        resources::ready(&kube, &workload.binding(0)).await?;
    }
    Ok(())
}

/// Three rounds of deleting and applying, the first of which was applied before.
async fn rounds(lab: &Lab, workload: &Workload, operator: &Operator, figures: &mut Figures) -> Fallible<()> {
    let mut resident = Vec::new();
    for round in 0..3 {
        let time = workload.delete(lab, LONG).await?;
        figures.set("delete", time.as_secs_f64());
        figures.set("left", per(workload.left(lab).await));
        resident.extend(Usage::of(operator.pid()).map(|usage| usage.resident));
        if round < 2 {
            workload.apply(lab, LONG).await?;
        }
    }
    if let (Some(first), Some(last)) = (resident.first(), resident.last()) {
        figures.set("rounds", (last - first) / 1024.0 / 1024.0);
        figures.set("peak", Usage::of(operator.pid()).map_or(0.0, |usage| usage.peak / 1024.0 / 1024.0));
    }
    println!("{}", success("three rounds of apply and delete"));
    Ok(())
}

fn operator_requests(lab: &Lab, mark: u64) -> Vec<VaultRequest> {
    lab.vault_server.requests_since(mark).into_iter().filter(|request| request.display_name != "root").collect()
}

/// What the operator changed in the cluster, its own lease left out.
fn kube_writes(lab: &Lab, mark: u64) -> Vec<KubeRequest> {
    let ours = lab.control_plane.requests_since(mark).into_iter().filter(|request| request.user == OPERATOR);
    ours.filter(|request| request.is_write() && request.resource != "leases").collect()
}

/// What a request is about, without names.
fn vault_kind(request: &VaultRequest) -> String {
    let path = request.path.rsplit_once("/bench-").map_or(request.path.as_str(), |(kind, _)| kind);
    format!("{} {}", request.operation, if path == "auth" { &request.path } else { path })
}

fn kube_kind(request: &KubeRequest) -> String {
    let parts = [&request.verb, &request.resource, &request.subresource];
    parts.map(String::as_str).join(" ").trim().to_owned()
}

/// A line that counts equal ones.
fn by_kind(kinds: impl Iterator<Item = String>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    counts.iter().map(|(kind, count)| format!("{count} × {kind}")).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per(count: usize) -> f64 {
    count as f64
}
