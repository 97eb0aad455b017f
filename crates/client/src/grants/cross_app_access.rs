//! [`CrossAppAccess`]: MCP's Enterprise-Managed Authorization, in which an enterprise's provider decides about access to MCP servers.

use portcullis_core::{AuthError, Challenge, Reason, ResourceUri, ScopeSet};
use portcullis_oauth::{ProtocolError, TokenRequest, TokenResponse, assertion::IdJagPolicy, token_type};
use secrecy::SecretString;

use super::{TokenTarget, assertions::issued_type, token_target::reusable};
use crate::{Binding, DpopKey, Grant, GrantError, GrantErrorKind, GrantFuture, TokenEndpoint, TokenSource};

/// Tokens for a user of an enterprise, whose provider decides about the access of clients: no login at the MCP server's authorization
/// server.
///
/// Each token takes two requests, which are one exchange for all callers:
/// 1. at the provider of the enterprise, the user's ID token is exchanged for an identity assertion (ID-JAG) for the authorization server
///    of the resource, this resource and this client;
/// 2. at the authorization server of the resource, the ID-JAG is presented for an access token.
///
/// An ID-JAG that is for another authorization server, client or resource, or that has expired, is not presented. An ID-JAG is presented
/// once, whatever the answer, and is not kept: the next token needs another. The access token is not refreshed either: a refresh token in the
/// response is dropped, so that the enterprise decides about each token.
///
/// The errors of the two requests are told apart: [`CrossAppAccessError`]. Only if the enterprise's provider refuses the user's session does
/// the user have to log in again, there.
///
/// MCP, Enterprise-Managed Authorization (SEP-990); draft-ietf-oauth-identity-assertion-authz-grant. The signature of an ID-JAG is **not**
/// verified here: that is for the authorization server to which it is presented.
#[derive(Clone, Debug)]
pub struct CrossAppAccess {
    target: TokenTarget,
    provider: TokenEndpoint,
    identity: (TokenSource, &'static str),
    policy: IdJagPolicy,
}

/// The error of one of the two requests of [`CrossAppAccess`]: a source of the [cause](GrantError::cause) of its errors.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .leg.as_str())]
#[non_exhaustive]
pub struct CrossAppAccessError {
    /// The request that failed.
    pub leg: CrossAppAccessLeg,
    /// Why it failed.
    #[source]
    pub cause: AuthError,
}

/// One of the two requests of [`CrossAppAccess`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CrossAppAccessLeg {
    /// The exchange at the provider of the enterprise.
    EnterpriseProvider,
    /// The request at the authorization server of the resource.
    AuthorizationServer,
}

impl CrossAppAccessLeg {
    const fn as_str(self) -> &'static str {
        match self {
            Self::EnterpriseProvider => "the enterprise's provider issues no ID-JAG",
            Self::AuthorizationServer => "the authorization server of the resource does not accept the ID-JAG",
        }
    }

    /// Returns the error of the request that is this leg.
    fn error(self, error: GrantError) -> GrantError {
        let error = reusable(error);
        let (kind, cause) = (error.kind(), error.cause().clone());
        let with_leg = |reason| {
            let source = CrossAppAccessError { leg: self, cause: cause.clone() };
            let error = AuthError::new(reason).with_source(source);
            cause.retry_after().into_iter().fold(error, AuthError::with_retry_after)
        };
        match (kind, self) {
            (GrantErrorKind::Refused, Self::EnterpriseProvider) => {
                GrantError::refused(CrossAppAccessError { leg: self, cause })
            }
            // Another login of the user does not help: the two servers or this client are misconfigured.
            (GrantErrorKind::Refused, Self::AuthorizationServer) => {
                GrantError::misconfigured(with_leg(Reason::ClientRefused))
            }
            (GrantErrorKind::Transient, _) => GrantError::transient(with_leg(cause.reason())),
            (GrantErrorKind::NotSent, _) => GrantError::not_sent(with_leg(cause.reason())),
            (_, _) => GrantError::misconfigured(with_leg(cause.reason())),
        }
    }
}

impl CrossAppAccess {
    /// Creates the grant of `user`, who is named in the words of the application: the tokens are kept by this name, so it must be another one
    /// for each user. `provider` is the token endpoint of the enterprise's provider, with the client's credentials there;
    /// `id_tokens` returns the user's ID token, which that provider issued to the client; the endpoint of `target` is that of the resource's
    /// authorization server, with the client's credentials there.
    #[must_use]
    pub fn new(target: TokenTarget, user: &str, provider: TokenEndpoint, id_tokens: TokenSource) -> Self {
        let target = target.with_subject(user);
        let policy = IdJagPolicy::new(provider.issuer().clone(), target.issuer().clone());
        Self { target, provider, identity: (id_tokens, token_type::ID_TOKEN), policy }
    }

    /// Sets the type of the user's tokens. Default: [`token_type::ID_TOKEN`]. Some providers accept their
    /// [refresh tokens](token_type::REFRESH_TOKEN) and SAML assertions.
    #[must_use]
    pub const fn with_subject_token_type(mut self, subject_type: &'static str) -> Self {
        self.identity.1 = subject_type;
        self
    }

    /// Requests an ID-JAG, and checks that it can be presented.
    async fn id_jag(&self, scopes: &ScopeSet) -> Result<SecretString, GrantError> {
        let (source, subject_type) = &self.identity;
        let request = TokenRequest::token_exchange(&source.token().await?, subject_type)
            .with_parameter("requested_token_type", token_type::ID_JAG)
            .with_parameter("audience", self.target.issuer().as_str())
            .with_resource(self.target.resource())
            .with_scopes(scopes);
        let response = self.provider.exchange(&request, "N_A").await?;
        if issued_type(&response) != Some(token_type::ID_JAG) {
            return Err(GrantError::misconfigured(ProtocolError::InvalidMember("issued_token_type").into()));
        }
        let id_jag = SecretString::from(response.access_token.expose_secret());
        let (client_id, now) = (self.target.endpoint().client_id(), self.target.endpoint().clock().now());
        let checked = self.policy.check_received(&id_jag, client_id, self.target.resource(), now);
        checked.map_err(|error| {
            GrantError::misconfigured(AuthError::new(Reason::ProviderMisbehaved).with_source(error))
        })?;
        Ok(id_jag)
    }

    async fn exchange(&self, scopes: &ScopeSet) -> Result<TokenResponse, GrantError> {
        let id_jag = self.id_jag(scopes).await;
        let id_jag = id_jag.map_err(|error| CrossAppAccessLeg::EnterpriseProvider.error(error))?;
        let tokens = self.target.obtain(TokenRequest::jwt_bearer(&id_jag), scopes).await;
        let mut tokens = tokens.map_err(|error| CrossAppAccessLeg::AuthorizationServer.error(error))?;
        tokens.refresh_token = None;
        Ok(tokens)
    }
}

impl Grant for CrossAppAccess {
    fn resource(&self) -> &ResourceUri {
        self.target.resource()
    }

    fn name(&self) -> &'static str {
        "cross_app_access"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.target.binding()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.exchange(scopes))
    }

    fn refresh<'a>(&'a self, _: &'a Binding, _: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async { Err(GrantError::refused("access across applications has no refresh tokens")) })
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.target.endpoint().dpop_key()
    }
}
