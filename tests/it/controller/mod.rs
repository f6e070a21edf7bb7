//! The operator as its users meet it: resources are applied, and Vault and the statuses are looked at.

mod claims;
mod drift;
mod invariants;
mod life;
mod scenario;
mod vault_policy;
