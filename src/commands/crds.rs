//! `crds`: the CustomResourceDefinitions of both resources, to be applied to a cluster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

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
    /// Write each to a YAML file in this folder, and print nothing
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
}

/// Prints both definitions: YAML documents, or a JSON list.
pub fn run(args: &CrdsArgs) -> ExitCode {
    let crds = schema::crds();
    let done = match (&args.output_dir, args.output.output) {
        (Some(folder), _) => crds.iter().try_for_each(|crd| write(folder, crd)),
        (None, Format::Json) => {
            print(&json(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": crds})));
            Ok(())
        }
        (None, Format::Text) => crds.iter().try_for_each(|crd| {
            print(&format!("---\n{}", yaml(crd)?));
            Ok(())
        }),
    };
    done.map_or_else(
        |error: String| {
            complain(&error);
            ExitCode::from(1)
        },
        |()| ExitCode::SUCCESS,
    )
}

fn write(folder: &Path, crd: &CustomResourceDefinition) -> Result<(), String> {
    let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
    let text = yaml(crd)?;
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn yaml(crd: &CustomResourceDefinition) -> Result<String, String> {
    schema::yaml(crd).map_err(|error| format!("the definitions cannot be printed: {error}"))
}
