//! [`TokenIssuer`]: issues tokens for a grant.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::{Clock, GrantId};
use portcullis_store::SealedStore;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::identity_assertions::IdentityAssertions;
use crate::{
    BridgeConfig, Client, GrantType, SigningKeys,
    access_tokens::{AccessTokens, Minted},
    clients::Clients,
    limits::{Caller, RateLimits},
    parameters::Parameters,
    response::{self, ErrorCode, OAuthError},
    session::{Session, Sessions, TokenPair},
    telemetry::{self, Telemetry},
};

/// Exchanges authorization codes, refresh tokens and assertions for tokens.
#[derive(Debug)]
pub(crate) struct TokenIssuer {
    pub(super) config: Arc<BridgeConfig>,
    pub(super) clients: Arc<Clients>,
    pub(super) sessions: Sessions,
    pub(super) access_tokens: Arc<AccessTokens>,
    pub(super) assertions: IdentityAssertions,
    pub(super) limits: RateLimits,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Issued tokens and their session.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) id: GrantId,
    pub(super) session: Session,
    pub(super) pair: TokenPair,
}

/// The response of the token endpoint. [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)
#[derive(Serialize)]
pub(crate) struct TokenResponse {
    #[serde(serialize_with = "expose")]
    access_token: SecretString,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose_optional")]
    refresh_token: Option<SecretString>,
    /// The granted scopes, also if there are none. A bridge without scopes omits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl TokenIssuer {
    #[expect(clippy::too_many_arguments, reason = "the parts of a bridge")]
    pub(crate) fn new(
        config: Arc<BridgeConfig>,
        clients: Arc<Clients>,
        sessions: Sessions,
        access_tokens: Arc<AccessTokens>,
        records: SealedStore,
        limits: RateLimits,
        telemetry: Arc<Telemetry>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let assertions = IdentityAssertions::new(&config, records, Arc::clone(&clock));
        Self { config, clients, sessions, access_tokens, assertions, limits, telemetry, clock }
    }

    /// Issues tokens to `client`, which is authenticated, for the grant in `form`.
    pub(crate) async fn issue(
        &self,
        client: &Client,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<TokenResponse, OAuthError> {
        let name = form.required("grant_type")?;
        let grant_type = GrantType::parse(name).ok_or_else(|| unsupported(name))?;
        if !client.grant_types.contains(&grant_type) {
            let allowed: Vec<_> = client.grant_types.iter().map(|grant_type| grant_type.as_str()).collect();
            let error = OAuthError::new(ErrorCode::UnauthorizedClient, "grant type not allowed for this client");
            return Err(error.with_found(name, &allowed.join(" ")).with_key("bridge.clients[].grant_types"));
        }
        self.limits.check_grant(client.id(), caller)?;
        // Before the grant is spent.
        let keys = self.access_tokens.signing_keys().await?;
        let issued = self.redeem(grant_type, client, form, caller).await.inspect_err(|error| {
            if error.code == ErrorCode::InvalidGrant {
                self.limits.record_invalid_grant(client.id(), caller);
            }
        })?;
        let (id, client_id, user) = (issued.id, client.id(), issued.session.user.global_subject());
        let (grant, scope) = (telemetry::grant_type(grant_type), issued.pair.scopes.to_string());
        tracing::info!(grant, client_id, user, session = %id, scope, "tokens issued");
        // The tokens are issued: a failure here must not withhold them.
        let is_new = grant_type != GrantType::RefreshToken;
        if let Err(error) = self.clients.record_use(client, &issued.session, is_new).await {
            tracing::warn!(error = error.code.as_str(), "use of a client could not be recorded");
        }
        Ok(self.respond(issued, keys.as_ref()))
    }

    async fn redeem(
        &self,
        grant_type: GrantType,
        client: &Client,
        form: &Parameters,
        caller: &Caller,
    ) -> Result<Issued, OAuthError> {
        match grant_type {
            GrantType::AuthorizationCode => self.redeem_code(client, form).await,
            GrantType::RefreshToken => self.rotate(client, form, caller).await,
            GrantType::JwtBearer if self.config.trusted_issuers.is_empty() => {
                Err(unsupported(grant_type.as_str()).with_key("bridge.trusted_issuers"))
            }
            GrantType::JwtBearer => self.redeem_assertion(client, form).await,
        }
    }

    /// Creates the response. No other code sends tokens to clients.
    fn respond(&self, Issued { id, session, pair }: Issued, keys: Option<&SigningKeys>) -> TokenResponse {
        let access_token = self.access_tokens.mint(keys, &Minted { id, session: &session, pair: &pair });
        let lifetime = pair.access_expires_at.saturating_duration_since(self.clock.now());
        TokenResponse {
            access_token,
            token_type: "Bearer",
            // Rounded down, so that a client never assumes a longer lifetime.
            expires_in: lifetime.as_secs(),
            refresh_token: pair.refresh.map(|secret| secret.refresh_token(session.family)),
            scope: (!self.config.scopes.is_empty()).then(|| pair.scopes.to_string()),
        }
    }
}

impl IntoResponse for TokenResponse {
    fn into_response(self) -> Response {
        response::json(StatusCode::OK, &self)
    }
}

fn expose<S: serde::Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

fn expose_optional<S: serde::Serializer>(token: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(token.as_ref().map_or("", |token| token.expose_secret()))
}

fn unsupported(name: &str) -> OAuthError {
    OAuthError::new(ErrorCode::UnsupportedGrantType, "unsupported grant type")
        .with_found(name, "authorization_code or refresh_token")
}

/// Returns the resource that a request names, if any. [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)
///
/// # Errors
/// `invalid_target` for several resources: a token is valid for one.
pub(super) fn requested_resource(form: &Parameters) -> Result<Option<&str>, OAuthError> {
    let mut resources = form.resources();
    let first = resources.next();
    if resources.any(|other| Some(other) != first) {
        return Err(OAuthError::new(ErrorCode::InvalidTarget, "a token is valid for one resource only"));
    }
    Ok(first)
}
