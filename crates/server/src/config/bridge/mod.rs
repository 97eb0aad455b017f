//! The section `bridge`: tokens of an authorization server of our own, with login at a provider.
//!
//! [`table`] is the section as written, [`validate`](mod@validate) its rules; [`clients`], [`entitlement`],
//! [`oauth2`] and [`provider`] are its parts.

mod clients;
mod entitlement;
mod oauth2;
mod provider;
mod table;
mod validate;

pub(crate) use provider::{EndpointSettings, KnownProvider, ProviderSettings};
pub(crate) use table::Bridge;
pub(crate) use validate::BridgeSettings;

pub(super) use validate::validate;
