//! [`Config`]: the configuration, read from a TOML file and environment variables, and validated before anything starts.
//!
//! [`document`] parses the file and records the line of each key, [`environment`] applies the variables, [`schema`] rejects unknown
//! keys and wrong types, and each section's module validates the values.

mod bridge;
mod cache;
mod connections;
mod document;
mod egress;
mod environment;
mod file;
mod resource_server;
mod schema;
mod section;
mod settings;
mod store;

#[cfg(test)]
mod tests;

pub use document::ConfigError;
pub use settings::Config;

pub(crate) use bridge::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use cache::CacheSettings;
pub(crate) use egress::EgressSettings;
pub(crate) use resource_server::{IssuerSettings, Verification};
pub(crate) use section::Credentials;
pub(crate) use settings::ModeSettings;
pub(crate) use store::StoreSettings;
