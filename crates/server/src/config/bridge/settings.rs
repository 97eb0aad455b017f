//! The section `bridge` as it is meant.

use std::time::Duration;

use http::Uri;
use portcullis::{
    Issuer,
    bridge::BridgeConfig,
    oauth::{ClientAuthentication, providers::Provider},
};

/// The section `bridge` as it is meant; a value of it has been validated.
#[derive(Debug)]
pub(crate) struct BridgeSettings {
    pub(crate) config: BridgeConfig,
    pub(crate) provider: ProviderSettings,
    /// What this server is called there.
    pub(crate) client: ClientAuthentication,
    /// For how long users go on while the provider cannot be asked.
    pub(crate) outage_grace: Duration,
    /// Whose assertions are good. They are no part of `config` yet: their keys are fetched.
    pub(crate) trusted_issuers: Vec<TrustedIssuerSettings>,
}

/// An identity provider of an enterprise.
#[derive(Debug)]
pub(crate) struct TrustedIssuerSettings {
    pub(crate) issuer: Issuer,
    pub(crate) jwks_uri: Option<Uri>,
}

/// Where users log in.
#[derive(Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) known: KnownProvider,
    pub(crate) endpoints: EndpointSettings,
    /// What it says of a grant that has ended.
    pub(crate) dead_grant_errors: Vec<String>,
}

/// What is known of a provider without asking it.
#[derive(Debug)]
pub(crate) enum KnownProvider {
    /// Everything.
    All(Box<Provider>),
    /// Its name: the rest is in its metadata.
    Issuer(Issuer),
}

impl ProviderSettings {
    /// The issuer of the users who log in there.
    pub(crate) const fn issuer(&self) -> &Issuer {
        match &self.known {
            KnownProvider::All(provider) => provider.issuer(),
            KnownProvider::Issuer(issuer) => issuer,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct EndpointSettings {
    pub(crate) authorize: Option<Uri>,
    pub(crate) token: Option<Uri>,
    pub(crate) userinfo: Option<Uri>,
    pub(crate) revocation: Option<Uri>,
    pub(crate) introspection: Option<Uri>,
    pub(crate) jwks: Option<Uri>,
}
