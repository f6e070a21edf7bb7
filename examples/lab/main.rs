//! The lab: real servers and the operator on one machine, for looking around (`up`, `down`), for showing what the
//! operator does (`demo`), and for measuring it (`bench`). The Makefile's targets of these names call it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal, on the test harness, which fails by panicking"
)]

#[allow(dead_code, reason = "shared with tests/it; each uses a part")]
#[path = "../../tests/it/lab/mod.rs"]
mod lab;

mod bench;
mod demo;
mod resources;
mod supervisor;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Real servers and the operator on this machine", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start control plane, Vault and operator, and leave them running
    Up,
    /// End what `up` started
    Down,
    /// Show what the operator does, step by step
    Demo,
    /// Measure the operator: a table, and JSON in target/bench.json
    Bench {
        /// Numbers of bindings to measure with
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
        sizes: Vec<usize>,
    },
    #[command(hide = true)]
    Supervise,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up => supervisor::up().await,
        Command::Down => supervisor::down().await,
        Command::Supervise => supervisor::supervise().await,
        Command::Demo => demo::run().await,
        Command::Bench { sizes } => bench::run(&sizes).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", terminal::failure(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
