//! The custom resources `VaultConnection` and `VaultJwtBinding`, their conditions and the types their fields share.
//! Plain data: no I/O, no clock; what a field may hold is checked by the schema here and once more in `desired`.

pub mod binding;
pub mod conditions;
pub mod connection;
pub mod duration;
pub mod names;
pub mod references;
pub mod schema;
pub mod status;

pub use binding::{VaultJwtBinding, VaultJwtBindingSpec};
pub use connection::{VaultConnection, VaultConnectionSpec};
pub use duration::{DurationString, LeewaySetting};

/// The API group of both resources.
pub const GROUP: &str = "vault.badal.io";
/// Removed from a binding when everything it made in Vault is gone or let go.
pub const FINALIZER: &str = "vault.badal.io/cleanup";
/// Flux's annotation: a new value asks for a pass at once.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
