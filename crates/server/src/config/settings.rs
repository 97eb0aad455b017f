//! [`Config`]: the configuration as it is meant; a value of it has been validated.

use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use portcullis::{
    Issuer,
    oauth::{ClientAuthentication, jwt::Algorithm},
};
use secrecy::SecretString;

use super::{bridge::BridgeSettings, store::StoreSettings};

/// Who issues the tokens.
#[derive(Debug)]
pub(crate) enum ModeSettings {
    /// These, and not this server.
    ResourceServer(Vec<IssuerSettings>),
    /// This server, after a login at a provider.
    Bridge(Box<BridgeSettings>, StoreSettings),
}

#[derive(Debug)]
pub(crate) struct IssuerSettings {
    pub(crate) issuer: Issuer,
    pub(crate) verification: Verification,
    pub(crate) audience: Option<String>,
    pub(crate) subject_claim: Option<String>,
    pub(crate) allow_client_without_subject: bool,
    pub(crate) introspection_endpoint: Option<Uri>,
    pub(crate) userinfo_endpoint: Option<Uri>,
    pub(crate) enrich: bool,
}

/// How an issuer's tokens are verified, with what that needs.
#[derive(Debug)]
pub(crate) enum Verification {
    Jwt {
        algorithms: Vec<Algorithm>,
        token_types: Vec<String>,
        jwks_uri: Option<Uri>,
    },
    Introspection(Credentials),
    /// UserInfo says who; introspection, or GitHub's token check, says for whom.
    UserInfo {
        credentials: Credentials,
        check_token_endpoint: Option<Uri>,
    },
}

impl Verification {
    pub(crate) const fn is_jwt(&self) -> bool {
        matches!(self, Self::Jwt { .. })
    }
}

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
}

impl Credentials {
    pub(crate) fn client(&self) -> ClientAuthentication {
        ClientAuthentication::basic(&self.client_id, self.client_secret.clone())
    }
}

#[derive(Debug)]
pub(crate) struct CacheSettings {
    pub(crate) ttl: Duration,
    pub(crate) capacity: u64,
    pub(crate) rejected_ttl: Duration,
    pub(crate) stale_if_error: Duration,
}

#[derive(Debug)]
pub(crate) struct EgressSettings {
    pub(crate) allow_loopback: bool,
    pub(crate) allow_loopback_for_clients: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) timeout: Duration,
}
