//! The operator against real servers. Every module is one theme; `lab` starts what they talk to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows the log of the server that failed"
)]

#[allow(dead_code, reason = "shared with examples/lab; each uses a part")]
mod lab;

mod canonical;
mod cli;
mod containment;
mod controller;
mod crds;
mod servers;
mod vault;
