//! `run`: the controller, in a cluster or out of one.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::{controller, telemetry};

/// Run the controller, in a cluster or, with KUBECONFIG, out of one.
#[derive(Args)]
pub struct RunArgs {
    /// The operator's own ServiceAccount, for kubernetes and jwt logins out of a cluster
    #[arg(long, env = "VJO_SERVICE_ACCOUNT", value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub service_account: Option<(String, String)>,
    /// The cluster's name in the ownership markers; by default the uid of its kube-system namespace
    #[arg(long, env = "VJO_CLUSTER", value_name = "ID")]
    pub cluster: Option<String>,
    /// The form of the log; text on a terminal, json otherwise
    #[arg(long, env = "VJO_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, as for tracing's EnvFilter
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log_filter: String,
    /// How many bindings of one connection are worked on at a time
    #[arg(long, env = "VJO_CONCURRENCY", default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

fn service_account(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("must be NAMESPACE/NAME"),
    }
}

/// Runs the controller until it is told to end.
pub async fn run(args: RunArgs) -> ExitCode {
    let json = args.log_format.map(|format| format == LogFormat::Json);
    if let Err(error) = telemetry::log(json, &args.log_filter) {
        super::complain(&format!("--log-filter: {error}"));
        return ExitCode::from(1);
    }
    let settings = controller::Settings {
        service_account: args.service_account,
        cluster: args.cluster,
        concurrency: args.concurrency,
    };
    match controller::run(settings, told_to_end()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&error.to_string());
            ExitCode::from(1)
        }
    }
}

/// SIGTERM, as Kubernetes sends it, or SIGINT, as a terminal does.
async fn told_to_end() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(interrupt.await),
    }
}
