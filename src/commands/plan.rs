//! `plan`: what would change in Vault, field by field. Only reads.

use std::process::ExitCode;

use clap::Args;

use super::connect::Target;
use super::pass::{self, Job, Targets};
use super::progress::Progress;
use super::render::Detail;
use super::report::{BindingReport, ObjectReport, Outcome, Report};
use super::{FilesArgs, INTERRUPTED, OutputArgs, complain};
use crate::sync::apply::Cause;
use crate::sync::{Action, Observation, Step};

const EXAMPLES: &str = "\
Examples:
  # What would change, with the Vault, the login and the grants of the VaultConnection among the files
  vault-jwt-operator plan -f connection.yaml -f binding.yaml -f secrets/

  # The same with your own token
  export VAULT_ADDR=https://vault.example:8200 VAULT_TOKEN=…
  TFC_TOKEN_TOKEN=… vault-jwt-operator plan -f binding.yaml

Exit code: 0 nothing to do, 2 changes, 1 could not tell.";

/// Show what would change in Vault, field by field.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", super::REFERENCES_HELP))]
pub struct PlanArgs {
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Plans all bindings of the files.
pub async fn run(args: &PlanArgs) -> ExitCode {
    let resources = match args.files.load() {
        Ok(resources) => resources,
        Err(problems) => {
            args.output.print(&Report::of_problems(problems), Detail::Fields);
            return ExitCode::from(1);
        }
    };
    let sources = super::sources(&resources);
    let jobs = pass::jobs(sources, &args.files.cluster);
    let mut targets = Targets::default();
    let progress = Progress::new();
    let work = async {
        let mut bindings = Vec::new();
        let of = jobs.len();
        for (done, job) in jobs.iter().enumerate() {
            progress.steps(done, of);
            progress.doing(job.title());
            if job.lost {
                continue;
            }
            if let Some(target) = targets.open(job, sources).await {
                bindings.push(plan(job, target).await);
            }
        }
        bindings
    };
    let bindings = progress.watch(work).await;
    targets.close().await;
    let Ok(bindings) = bindings else {
        complain("interrupted");
        return ExitCode::from(INTERRUPTED);
    };
    let problems = jobs.into_iter().flat_map(|job| job.problems).chain(targets.problems).collect();
    let report = Report::new(bindings, problems, Outcome::Changes);
    args.output.print(&report, Detail::Fields);
    match report.outcome {
        Outcome::Unchanged | Outcome::Applied => ExitCode::SUCCESS,
        Outcome::Changes => ExitCode::from(2),
        Outcome::Failed => ExitCode::from(1),
    }
}

async fn plan(job: &Job<'_>, target: &Target) -> BindingReport {
    let (observation, _) = job.observe(target).await;
    let plan = job.plan(&observation);
    let objects = plan.steps.iter().map(|step| ObjectReport::new(step, obstacle(step, &observation))).collect();
    BindingReport {
        namespace: job.owner().namespace.clone(),
        name: job.owner().name.clone(),
        vault: target.address.clone(),
        from_environment: job.from_environment.clone(),
        objects,
    }
}

/// What keeps a step from being taken.
fn obstacle(step: &Step<'_>, observation: &Observation) -> Option<String> {
    let cause = match &step.action {
        Action::Conflict(why) => Cause::Conflict(why.clone()),
        Action::MountMissing => Cause::MountMissing,
        Action::MountType(type_) => Cause::MountType(type_.clone()),
        Action::Unreadable => Cause::Vault(observation.of(&step.id).as_ref().err()?.clone()),
        _ => return None,
    };
    Some(cause.to_string())
}
