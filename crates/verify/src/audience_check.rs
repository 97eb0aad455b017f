//! [`AudienceCheck`]: establishes whether a token was issued for this server.

use std::sync::Arc;

use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{Claims, ClientAuthentication, Verified, providers::Provider};
use portcullis_remote::EndpointClient;

use crate::{ConfigError, IntrospectionVerifier};

/// A check that a token was issued for this server, where the user's profile does not say so.
///
/// By [introspection](Self::introspection), by the [provider's own check](Self::token_check), or none at all:
/// [`danger::any_audience`](crate::danger::any_audience).
#[derive(Clone, Debug)]
pub struct AudienceCheck(Check);

#[derive(Clone, Debug)]
enum Check {
    Introspection(IntrospectionVerifier),
    Provider(TokenCheck),
    Any,
}

/// The client of a provider's own check.
#[derive(Clone, Debug)]
struct TokenCheck {
    provider: Arc<Provider>,
    client: Arc<ClientAuthentication>,
    requests: EndpointClient,
}

impl AudienceCheck {
    /// Creates a check by introspection, whose response is judged by the verifier's policy.
    #[must_use]
    pub const fn introspection(verifier: IntrospectionVerifier) -> Self {
        Self(Check::Introspection(verifier))
    }

    /// Creates a check that asks the provider, in its own way, whether it issued the token to the app `client`
    /// ([`Provider::token_check_request`]). GitHub alone has one.
    ///
    /// # Errors
    /// [`ConfigError::NoTokenCheck`] if the vendor has none.
    pub fn token_check(
        provider: impl Into<Arc<Provider>>,
        client: ClientAuthentication,
        egress: Egress,
    ) -> Result<Self, ConfigError> {
        let provider = provider.into();
        if !provider.has_token_check() {
            return Err(ConfigError::NoTokenCheck(provider.name()));
        }
        let requests = EndpointClient::new(egress, RequestKind::new("token_check"));
        Ok(Self(Check::Provider(TokenCheck { provider, client: Arc::new(client), requests })))
    }

    /// Sets the clock of the check. Default: [`SystemClock`](portcullis_core::SystemClock).
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self(match self.0 {
            Check::Introspection(verifier) => Check::Introspection(verifier.with_clock(clock)),
            Check::Provider(check) => {
                Check::Provider(TokenCheck { requests: check.requests.with_clock(clock), ..check })
            }
            Check::Any => Check::Any,
        })
    }

    /// Returns the issuer of the tokens that can pass; `None` if tokens are not checked.
    pub(crate) fn issuer(&self) -> Option<&Issuer> {
        match &self.0 {
            Check::Introspection(verifier) => Some(verifier.issuer()),
            Check::Provider(check) => Some(check.provider.issuer()),
            Check::Any => None,
        }
    }

    /// Returns the evidence; `None` if tokens are not checked.
    pub(crate) async fn check(&self, token: &BearerToken) -> Result<Option<Verified<Claims>>, AuthError> {
        match &self.0 {
            Check::Introspection(verifier) => verifier.introspect(token).await.map(Some),
            Check::Provider(check) => check.check(token).await.map(Some),
            Check::Any => Ok(None),
        }
    }
}

impl TokenCheck {
    async fn check(&self, token: &BearerToken) -> Result<Verified<Claims>, AuthError> {
        let Self { provider, client, requests } = self;
        let no_endpoint =
            || AuthError::new(Reason::ClientRefused).with_source("the provider has no endpoint for token checks");
        let request = provider.token_check_request(client, token).ok_or_else(no_endpoint)?;
        requests.verify(token, request, |response| provider.process_token_check(client, response)).await
    }
}

/// Options that are not safe. Every use of this module should be reviewed.
pub mod danger {
    use super::{AudienceCheck, Check};

    /// Accepts tokens that were issued for **any** audience.
    ///
    /// Any party with a token of a user, such as the operator of any other app that the user has logged in to at this
    /// provider, is accepted as that user (MCP authorization, *Access Token Privilege Restriction*: such tokens MUST be rejected). Use it
    /// only if no other app can get tokens from the provider, as in a test.
    #[must_use]
    pub const fn any_audience() -> AudienceCheck {
        AudienceCheck(Check::Any)
    }
}
