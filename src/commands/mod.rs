//! The command line: one file per command, and what they share.

mod apply;
mod connect;
mod crds;
pub mod files;
mod pass;
mod plan;
mod progress;
mod render;
mod report;
pub mod run;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use files::{FileProblem, Resources, Sources};
use render::Detail;
use report::Report;

/// What a shell calls an end by Ctrl-C.
const INTERRUPTED: u8 = 130;

const REFERENCES_HELP: &str = "\
References to Secrets and ConfigMaps are looked up in the same files, then in the
environment: the key `token` of the Secret `tfc-token` is the variable TFC_TOKEN_TOKEN
(name and key in upper case, every other character as `_`). VAULT_* and VJO_* serve a
VaultConnection alone: what a binding writes to Vault is never taken from them.

Without a VaultConnection among the files VAULT_ADDR, VAULT_TOKEN (or ~/.vault-token),
VAULT_CACERT and VAULT_NAMESPACE are used as by Vault's own command line, with the rights
of that token and without grants.

Colours are left out when the output is no terminal or NO_COLOR is set.";

/// Keeps the JWT auth of HashiCorp Vault configured from Kubernetes resources.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Crds(crds::CrdsArgs),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Clap's own exit code for a mistake is 2, which means something else here.
            let _ = message.print();
            return if message.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::run(args).await,
            Command::Plan(args) => plan::run(&args).await,
            Command::Apply(args) => apply::run(&args).await,
            Command::Crds(args) => crds::run(&args),
        }
    })
}

/// Which files, and in whose name.
#[derive(Args)]
struct FilesArgs {
    /// Files, directories of .yaml, .yml and .json files, or - for standard input
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// The cluster's name in the ownership markers; give the operator's own to write in its name
    #[arg(long, env = "VJO_CLUSTER", default_value = "local", value_name = "ID")]
    cluster: String,
}

impl FilesArgs {
    fn load(&self) -> Result<Resources, Vec<FileProblem>> {
        let resources = files::load(&self.paths)?;
        for note in resources.ignored() {
            complain(note);
        }
        if resources.bindings().is_empty() {
            let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            let message = "holds no VaultJwtBinding; add one".to_owned();
            return Err(vec![FileProblem::of_file(paths.join(", "), message)]);
        }
        Ok(resources)
    }
}

/// How the result is printed.
#[derive(Args)]
struct OutputArgs {
    /// The form of the result
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl OutputArgs {
    fn print(&self, report: &Report, detail: Detail) {
        match self.output {
            Format::Json => print(&json(report)),
            Format::Text => {
                print(&render::diff(report, detail));
                for problem in &report.problems {
                    complain(&render::problem(problem));
                }
                let sentence = render::sentence(report, detail);
                if report.bindings.is_empty() { complain(&sentence) } else { print(&format!("{sentence}\n")) }
            }
        }
    }
}

fn sources(resources: &Resources) -> Sources<'_> {
    Sources { resources, environment: &|name| std::env::var_os(name) }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| text + "\n").unwrap_or_default()
}

/// Writes to standard output. A reader that has gone away, as `head` does, is no error.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line for a person to standard error.
fn complain(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
