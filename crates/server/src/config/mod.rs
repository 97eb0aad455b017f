//! The configuration: a TOML file, changed by the environment, checked as a whole before anything starts.
//!
//! [`document`] reads the file and remembers on which line each key stands, [`environment`] lays the variables over it,
//! [`schema`] refuses unknown keys and wrong types, [`validate`] turns what is written ([`mod@file`]) into what is meant
//! ([`settings`]).

mod bridge;
mod connections;
mod document;
mod environment;
mod error;
mod file;
mod issuer;
mod load;
mod schema;
mod section;
mod settings;
mod store;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use bridge::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use error::ConfigError;
pub(crate) use load::{load, load_text};
pub(crate) use schema::json_schema;
pub(crate) use settings::{
    CacheSettings, Config, Credentials, EgressSettings, IssuerSettings, ModeSettings, Verification,
};
pub(crate) use store::StoreSettings;
