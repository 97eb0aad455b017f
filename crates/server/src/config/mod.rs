//! [`Config`]: the configuration, read from a TOML file and environment variables, and validated before anything starts.
//!
//! [`document`] parses the file and records the line of each key, [`environment`] applies the variables, [`schema`] rejects unknown
//! keys and wrong types, and each section's module validates the values.

mod bridge;
mod connections;
mod document;
mod environment;
mod file;
mod issuer;
mod schema;
mod section;
mod settings;
mod store;
mod validate;

#[cfg(test)]
mod tests;

pub use document::ConfigError;
pub use settings::Config;

pub(crate) use bridge::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use settings::{CacheSettings, Credentials, EgressSettings, IssuerSettings, ModeSettings, Verification};
pub(crate) use store::StoreSettings;
