//! [`JwtBearer`] and [`TokenExchange`]: grants that present a token of another issuer.

use portcullis_core::{Challenge, ResourceUri, ScopeSet};
use portcullis_oauth::{ProtocolError, TokenRequest, TokenResponse, token_type};
use secrecy::SecretString;

use super::{
    TokenTarget,
    token_target::{reusable, without_user},
};
use crate::{Binding, DpopKey, Grant, GrantError, GrantFuture, TokenSource};

/// Tokens for a workload: it presents the JWT by which its platform names it, of an issuer that the authorization server trusts.
/// [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1), and MCP's Workload Identity Federation.
///
/// The audience of the JWT is the authorization server: that is for its source. A JWT that is refused is a mistake in the configuration of one
/// of them, or an old one: the source is read again at the next attempt.
#[derive(Clone, Debug)]
pub struct JwtBearer {
    target: TokenTarget,
    assertions: TokenSource,
}

impl JwtBearer {
    /// Creates the grant that presents the JWTs of `assertions`.
    #[must_use]
    pub const fn new(target: TokenTarget, assertions: TokenSource) -> Self {
        Self { target, assertions }
    }
}

impl Grant for JwtBearer {
    fn resource(&self) -> &ResourceUri {
        self.target.resource()
    }

    fn name(&self) -> &'static str {
        "jwt_bearer"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.target.binding()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(async {
            let assertion = self.assertions.token().await?;
            let tokens = self.target.obtain(TokenRequest::jwt_bearer(&assertion), scopes).await;
            tokens.map_err(|error| without_user(reusable(error)))
        })
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.target.refresh(refresh_token))
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.target.endpoint().dpop_key()
    }
}

/// Tokens on behalf of a user: a token that names the user is exchanged for one that the resource accepts.
/// [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693)
///
/// The authorization server decides whether the client may act for the user. With an [actor](Self::with_actor) the new token names the
/// acting party in its claim `act`. If the user's token is refused the user has to log in again.
#[derive(Clone, Debug)]
pub struct TokenExchange {
    target: TokenTarget,
    subject: (TokenSource, &'static str),
    actor: Option<(TokenSource, &'static str)>,
    requested_type: Option<&'static str>,
    audience: Option<Box<str>>,
}

impl TokenExchange {
    /// Creates the grant that exchanges the tokens of `user`, which `subject` returns and which are of the [type](token_type) `subject_type`.
    ///
    /// `user` names the user in the words of the application. The new tokens are kept by it: it must be another one for each user.
    #[must_use]
    pub fn new(target: TokenTarget, user: &str, subject: TokenSource, subject_type: &'static str) -> Self {
        let target = target.with_subject(user);
        Self { target, subject: (subject, subject_type), actor: None, requested_type: None, audience: None }
    }

    /// Adds a token of the party that acts for the user, of the type `actor_type`.
    #[must_use]
    pub fn with_actor(mut self, actor: TokenSource, actor_type: &'static str) -> Self {
        self.actor = Some((actor, actor_type));
        self
    }

    /// Sets the type of the new token: [`token_type::ACCESS_TOKEN`] or [`token_type::JWT`]. Default: the authorization server decides.
    #[must_use]
    pub const fn with_requested_token_type(mut self, requested: &'static str) -> Self {
        self.requested_type = Some(requested);
        self
    }

    /// Sets the logical name of the service that the token is for, beside the URI of the resource.
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.into());
        self
    }

    async fn exchange(&self, scopes: &ScopeSet) -> Result<TokenResponse, GrantError> {
        let (subject, subject_type) = &self.subject;
        let mut request = TokenRequest::token_exchange(&subject.token().await?, subject_type);
        if let Some((actor, actor_type)) = &self.actor {
            request = request.with_actor(&actor.token().await?, actor_type);
        }
        if let Some(requested) = self.requested_type {
            request = request.with_parameter("requested_token_type", requested);
        }
        if let Some(audience) = &self.audience {
            request = request.with_parameter("audience", audience);
        }
        let tokens = self.target.obtain(request, scopes).await.map_err(reusable)?;
        match issued_type(&tokens) {
            // Required by the RFC; servers that omit it mean an access token.
            None | Some(token_type::ACCESS_TOKEN | token_type::JWT) => Ok(tokens),
            Some(_) => Err(GrantError::misconfigured(ProtocolError::InvalidMember("issued_token_type").into())),
        }
    }
}

/// Returns the type of the token in the response to an exchange.
pub(super) fn issued_type(tokens: &TokenResponse) -> Option<&str> {
    tokens.further.get("issued_token_type")?.as_str()
}

impl Grant for TokenExchange {
    fn resource(&self) -> &ResourceUri {
        self.target.resource()
    }

    fn name(&self) -> &'static str {
        "token_exchange"
    }

    fn resolve<'a>(&'a self, _: Option<&'a Challenge>) -> GrantFuture<'a, Binding> {
        Box::pin(async { Ok(self.target.binding()) })
    }

    fn obtain<'a>(&'a self, _: &'a Binding, scopes: &'a ScopeSet) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.exchange(scopes))
    }

    fn refresh<'a>(&'a self, _: &'a Binding, refresh_token: &'a SecretString) -> GrantFuture<'a, TokenResponse> {
        Box::pin(self.target.refresh(refresh_token))
    }

    fn dpop_key(&self) -> Option<&DpopKey> {
        self.target.endpoint().dpop_key()
    }
}
