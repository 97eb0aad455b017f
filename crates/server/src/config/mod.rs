//! [`Config`]: the configuration, read from a TOML file and environment variables, and validated before anything starts.
//!
//! [`document`] parses the file and records the line of each key, [`schema`] applies the variables, and rejects unknown keys and wrong
//! types, and each section's module validates the values.

mod bridge;
mod document;
mod egress;
mod process;
mod resource_server;
mod schema;
mod section;
mod settings;

#[cfg(test)]
mod tests;

pub use document::ConfigError;
pub use settings::Config;

pub(crate) use bridge::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use process::{CacheSettings, StoreSettings};
pub(crate) use resource_server::{IssuerSettings, ScopeSource, Verification};
pub(crate) use section::Credentials;
pub(crate) use settings::ModeSettings;
