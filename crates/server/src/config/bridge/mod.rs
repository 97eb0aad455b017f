//! The section `bridge`: tokens of our own, and a login at a provider.
//!
//! [`table`] is what is written, [`settings`] what is meant; between them stand the rules: [`validate()`] for the whole, [`provider`],
//! [`parameters`], [`signing`], [`client`], [`entitlement`] and [`resource_server`] for its parts.

mod client;
mod entitlement;
mod parameters;
mod provider;
mod resource_server;
mod settings;
mod signing;
mod table;
mod validate;

pub(crate) use settings::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use table::Bridge;
pub(super) use validate::validate;
