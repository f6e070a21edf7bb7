//! Keeps the JWT auth of HashiCorp Vault configured from Kubernetes resources, and proves that logins work.

pub mod api;
pub mod desired;
