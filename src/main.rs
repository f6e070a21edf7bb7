//! The operator and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    vault_jwt_operator::commands::main()
}
