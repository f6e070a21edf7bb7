//! Makes Vault equal the desired objects: observe → plan → apply. Planning is pure; observing only reads; applying
//! writes what the plan says, in an order in which nobody can log in before their policy exists.

pub mod apply;
pub mod diff;
mod kv;
pub mod marker;
pub mod memory;
pub mod observe;
pub mod plan;
pub mod records;

pub use apply::{Failure, Report, apply};
pub use diff::Change;
pub use marker::Owner;
pub use memory::{Memory, Mounts};
pub use observe::{Observation, observe};
pub use plan::{Action, Ceded, Mode, Plan, Step, Takeover, plan};
