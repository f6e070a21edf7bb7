//! `crds`: the CustomResourceDefinitions of both resources, to be applied to a cluster.

use std::process::ExitCode;

use clap::Args;

use super::{Format, OutputArgs, complain, json, print};
use crate::api::schema;

const EXAMPLES: &str = "\
Examples:
  vault-jwt-operator crds | kubectl apply --server-side -f -";

/// Print the CustomResourceDefinitions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CrdsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints both definitions: YAML documents, or a JSON list.
pub fn run(args: &CrdsArgs) -> ExitCode {
    let crds = schema::crds();
    match args.output.output {
        Format::Json => print(&json(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": crds}))),
        Format::Text => {
            for crd in &crds {
                match schema::yaml(crd) {
                    Ok(text) => print(&format!("---\n{text}")),
                    Err(error) => {
                        complain(&format!("cannot print the definitions: {error}"));
                        return ExitCode::from(1);
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}
