//! The operator as its users meet it: resources are applied, and Vault and the statuses are looked at.

mod claims;
mod deletion;
mod drift;
mod edits;
mod gate;
mod grants;
mod invariants;
mod life;
mod logins;
mod process;
mod quiet;
mod references;
mod scenario;
mod vault_faults;
mod vault_policy;
