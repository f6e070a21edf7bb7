//! `apply`: makes Vault as the files say, once and without a cluster. Nothing is written unless all files and bindings
//! are good; what then fails in Vault hides nothing else.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::connect::Target;
use super::pass::{self, Job, Targets};
use super::progress::Progress;
use super::render::Detail;
use super::report::{BindingReport, ObjectReport, Outcome, Report};
use super::{FilesArgs, INTERRUPTED, OutputArgs, complain};
use crate::sync::apply::{Cause, Context};
use crate::sync::{self, Failure};

/// While a config is written Vault checks the issuer's URL, for up to 90 s.
const CONFIG_PATIENCE: Duration = Duration::from_secs(100);

const EXAMPLES: &str = "\
Examples:
  # Make it so, with the Vault, the login and the grants of the VaultConnection among the files
  vault-jwt-operator apply -f connection.yaml -f binding.yaml -f secrets/

  # The same with your own token, which is neither renewed nor revoked
  export VAULT_ADDR=https://vault.example:8200 VAULT_TOKEN=…
  TFC_TOKEN_TOKEN=… vault-jwt-operator apply -f binding.yaml

Exit code: 0 Vault is as the files say, 1 it is not.";

/// Make Vault as the files say, once and without a cluster.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", super::REFERENCES_HELP))]
pub struct ApplyArgs {
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Applies all bindings of the files, one after the other.
pub async fn run(args: &ApplyArgs) -> ExitCode {
    let resources = match args.files.load() {
        Ok(resources) => resources,
        Err(problems) => {
            args.output.print(&Report::of_problems(problems), Detail::Objects);
            return ExitCode::from(1);
        }
    };
    let sources = super::sources(&resources);
    let jobs = pass::jobs(sources, &args.files.cluster);
    if jobs.iter().any(|job| !job.problems.is_empty()) {
        let problems = jobs.into_iter().flat_map(|job| job.problems).collect();
        args.output.print(&Report::of_problems(problems), Detail::Objects);
        complain("nothing was written");
        return ExitCode::from(1);
    }
    let mut targets = Targets::default();
    let progress = Progress::new();
    let at = Mutex::new("before anything was written".to_owned());
    let work = async {
        let mut bindings = Vec::new();
        for job in &jobs {
            progress.doing(job.title());
            if let Some(target) = targets.open(job, sources).await {
                bindings.push(apply(job, target, &progress, &at).await);
            }
        }
        bindings
    };
    let bindings = progress.watch(work).await;
    targets.close().await;
    let Ok(bindings) = bindings else {
        let at = at.lock().unwrap_or_else(PoisonError::into_inner);
        complain(&format!("interrupted {at}; what was written stays, and the same command goes on from there"));
        return ExitCode::from(INTERRUPTED);
    };
    let report = Report::new(bindings, targets.problems, Outcome::Applied);
    args.output.print(&report, Detail::Objects);
    if report.outcome == Outcome::Failed { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

async fn apply(job: &Job<'_>, target: &Target, progress: &Progress, at: &Mutex<String>) -> BindingReport {
    let (observation, mut memory) = job.observe(target).await;
    let plan = job.plan(&observation);
    let step = |done: usize| {
        progress.steps(done, plan.steps.len());
        if let Some(next) = plan.steps.get(done) {
            progress.doing(next.id.to_string());
            *at.lock().unwrap_or_else(PoisonError::into_inner) =
                format!("at {} of {} ({done} of {} objects were done)", next.id, job.title(), plan.steps.len());
        }
    };
    step(0);
    let context = Context {
        vault: &target.vault,
        mounts: &target.mounts,
        owner: job.owner(),
        config_patience: CONFIG_PATIENCE,
        progress: &step,
    };
    let report = sync::apply(&context, &plan, &[], &observation, &mut memory).await;
    let objects = plan.steps.iter().map(|step| {
        let failure = report.failures.iter().find(|failure| failure.id == step.id);
        let mut object = ObjectReport::new(step, failure.map(|failure| failure.cause.to_string()));
        if let Some(Failure { cause: Cause::ReadBackDiffers(changes), .. }) = failure {
            object.changes.clone_from(changes);
        }
        object
    });
    BindingReport {
        namespace: job.owner().namespace.clone(),
        name: job.owner().name.clone(),
        vault: target.address.clone(),
        from_environment: job.from_environment.clone(),
        objects: objects.collect(),
    }
}
