//! Keeps the JWT auth of HashiCorp Vault configured from Kubernetes resources, and proves that logins work.

pub mod api;
pub mod commands;
pub mod controller;
pub mod desired;
pub mod sync;
pub mod telemetry;
pub mod vault;
