//! The only code that makes a Vault request. [`Server`] is one Vault with its TLS and its limits, [`Vault`] one identity
//! on it; the calls for each kind of object are methods of [`Vault`], one file per kind. Paths are built in `path`
//! alone, and what comes back is turned into a [`VaultError`] that never quotes a body.

mod auth_mount;
mod canon;
mod config;
mod config_writes;
mod connect;
mod denials;
mod error;
mod kv;
mod kv_v1;
mod limits;
mod login;
mod path;
mod policy;
mod refusal;
mod role;
mod server;
mod session;
mod texts;
mod tls;
mod transport;

pub use auth_mount::AuthMountInfo;
pub use canon::{Fields, Kind};
pub use config::FIELDS as CONFIG_FIELDS;
pub use connect::{ConnectFailure, TlsFailure};
pub use error::{Call, VaultError};
pub use kv::{KvMetadata, KvSecret, KvVersion};
pub use role::{FIELDS as ROLE_FIELDS, LEGACY_FIELDS as ROLE_LEGACY_FIELDS};
pub use server::{Deadlines, Health, Server, ServerSettings};
pub use session::{Credentials, JwtSource, Vault};
