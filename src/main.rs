//! The operator and its command line.

use std::process::ExitCode;

/// Gives back what a burst of passes took; glibc's keeps it in pieces, some of them per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vault_jwt_operator::commands::main()
}
