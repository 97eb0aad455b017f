//! The token endpoint, the revocation endpoint and the introspection endpoint.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use portcullis_core::{BearerToken, Clock, GrantId};
use portcullis_oauth::assertion;
use serde::Serialize;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    BridgeConfig, Client, GrantType, IntrospectionClient,
    access_tokens::AccessTokens,
    clients::{BasicCredentials, Clients},
    limits::{Caller, RateLimits},
    parameters::{OAuthForm, Parameters},
    response::{self, ErrorCode, OAuthError, run_to_end},
    session::{ActiveToken, EndReason, ParsedToken, SecretHash, Session, Sessions, TokenStatus},
    telemetry::{self, Telemetry},
    token::{TokenIssuer, TokenResponse},
};

/// `POST /token`. [RFC 6749 section 3.2](https://www.rfc-editor.org/rfc/rfc6749#section-3.2)
pub(crate) async fn token(
    State(clients): State<Arc<Clients>>,
    State(issuer): State<Arc<TokenIssuer>>,
    State(telemetry): State<Arc<Telemetry>>,
    State(tasks): State<TaskTracker>,
    caller: Caller,
    headers: HeaderMap,
    form: Result<OAuthForm, OAuthError>,
) -> Result<TokenResponse, OAuthError> {
    let OAuthForm(form) = form.inspect_err(|error| error.log_rejected("token", None))?;
    // Runs to its end, so that a client that disconnects does not interrupt a rotation.
    let work = async move {
        let issue = async {
            let client = clients.authenticate(&headers, &form, &caller).await?;
            issuer.issue(&client, &form, &caller).await
        };
        let issued = issue.await;
        let grant_type = form.optional("grant_type").and_then(GrantType::parse);
        telemetry.tokens(grant_type, issued.as_ref().err().map(|error| error.code));
        if let Err(error) = &issued {
            error.log_rejected(
                grant_type.map_or("token", telemetry::grant_type),
                named_client(&headers, &form).as_deref(),
            );
        }
        issued
    };
    run_to_end(&tasks, work).await
}

/// `POST /revoke`. [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2)
///
/// A refresh token ends the whole session, at the provider too. So does an access token of a client that has authenticated. An access token
/// of a public client is revoked alone, because any party that has seen it, such as a resource server, can send this request. A public client
/// need not send its `client_id`.
/// `token_type_hint` is ignored, because tokens show their type.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn revoke(
    State(clients): State<Arc<Clients>>,
    State(sessions): State<Sessions>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(clock): State<Arc<dyn Clock>>,
    State(tasks): State<TaskTracker>,
    caller: Caller,
    headers: HeaderMap,
    form: Result<OAuthForm, OAuthError>,
) -> Result<Response, OAuthError> {
    let OAuthForm(form) = form.inspect_err(|error| error.log_rejected("revoke", None))?;
    let client_id = named_client(&headers, &form);
    let work = async move {
        let client = match names_client(&headers, &form) {
            true => Some(clients.authenticate(&headers, &form, &caller).await?),
            false => None,
        };
        let token = Token::parse(form.required("token")?, &access_tokens, &*clock).await?;
        // An invalid token is no error. RFC 7009 section 2.2.
        let done = || Ok(response::json(StatusCode::OK, &json!({})));
        let Some(token) = token else { return done() };
        let Some(session) = token.session(&sessions).await? else { return done() };
        let client = match client {
            Some(client) => client,
            None => public_client(&clients, &session, &caller).await?,
        };
        if *session.client_id != *client.id() {
            return Err(OAuthError::invalid_grant("token was issued to another client"));
        }
        let (id, token) = match token {
            Token::Access(id, hash) if client.is_public() => {
                sessions.revoke_access_token(id, hash).await?;
                (id, "access_token")
            }
            Token::Refresh(id) | Token::Access(id, _) => {
                sessions.end(id, EndReason::Revoked).await?;
                (id, "session")
            }
        };
        let (client_id, user) = (client.id(), session.user.global_subject());
        tracing::info!(client_id, user, session = %id, token, "token revoked");
        done()
    };
    run_to_end(&tasks, work).await.inspect_err(|error| error.log_rejected("revoke", client_id.as_deref()))
}

/// Returns the client that a request names. It is not authenticated.
fn named_client(headers: &HeaderMap, form: &Parameters) -> Option<String> {
    let in_header = || BasicCredentials::from_headers(headers).ok().flatten().map(|BasicCredentials { id, .. }| id);
    let in_assertion = || {
        let jwt = assertion::parse(&form.optional("client_assertion")?.into()).ok()?;
        jwt.claimed_issuer().ok().map(str::to_owned)
    };
    form.optional("client_id").map(str::to_owned).or_else(in_header).or_else(in_assertion)
}

/// Reports whether a request names its client.
fn names_client(headers: &HeaderMap, form: &Parameters) -> bool {
    headers.contains_key(AUTHORIZATION)
        || ["client_id", "client_secret", "client_assertion"].iter().any(|name| form.optional(name).is_some())
}

/// Returns the client of `session`, which a valid token has proved, as the sender of a request without client authentication. A
/// confidential client has to authenticate itself.
async fn public_client(clients: &Clients, session: &Session, caller: &Caller) -> Result<Client, OAuthError> {
    let client = clients.find(&session.client_id, caller).await?;
    client.without_authentication().ok_or_else(|| {
        OAuthError::new(ErrorCode::InvalidClient, "client authentication failed")
            .with_found("no client_id and no authentication", "the authentication of the token's client")
    })
}

/// A token of this bridge, by its form.
enum Token {
    /// It may be an old one: its use would end the session as well.
    Refresh(GrantId),
    Access(GrantId, SecretHash),
}

impl Token {
    async fn parse(text: &str, access_tokens: &AccessTokens, clock: &dyn Clock) -> Result<Option<Self>, OAuthError> {
        if let Some(token) = ParsedToken::refresh_token(text) {
            return Ok(Some(Self::Refresh(token.of.session())));
        }
        let identified = identify(text, access_tokens, clock).await?;
        Ok(identified.map(|(id, hash)| Self::Access(id, hash)))
    }

    /// Returns its session, if the token is valid.
    async fn session(&self, sessions: &Sessions) -> Result<Option<Session>, OAuthError> {
        match *self {
            Self::Refresh(id) => Ok(sessions.load(id).await?),
            Self::Access(id, hash) => match sessions.token_status(id, hash).await? {
                TokenStatus::Active(active) => Ok(Some(active.session)),
                TokenStatus::GrantEnded | TokenStatus::Inactive => Ok(None),
            },
        }
    }
}

/// Returns the session and the hash of an access token; `None` if the token is not one of this bridge, or has expired.
async fn identify(
    text: &str,
    access_tokens: &AccessTokens,
    clock: &dyn Clock,
) -> Result<Option<(GrantId, SecretHash)>, OAuthError> {
    let Ok(token) = BearerToken::issued(text) else { return Ok(None) };
    match access_tokens.identify(&token, clock.now()).await {
        Ok(identified) => Ok(Some(identified)),
        Err(error) if error.is_transient() => {
            Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "store unavailable"))
        }
        Err(_) => Ok(None),
    }
}

/// The description of an active token. [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2)
#[derive(Serialize)]
struct ActiveResponse<'a> {
    active: bool,
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    scope: String,
    iat: u64,
    exp: u64,
    token_type: &'static str,
}

/// `POST /introspect`. [RFC 7662 section 2](https://www.rfc-editor.org/rfc/rfc7662#section-2)
///
/// The response describes access tokens for the caller's resource. For any other token it does **not** reveal whether the token exists.
#[expect(clippy::too_many_arguments, reason = "extractors")]
pub(crate) async fn introspect(
    State(config): State<Arc<BridgeConfig>>,
    State(limits): State<RateLimits>,
    State(sessions): State<Sessions>,
    State(access_tokens): State<Arc<AccessTokens>>,
    State(clock): State<Arc<dyn Clock>>,
    caller: Caller,
    headers: HeaderMap,
    form: Result<OAuthForm, OAuthError>,
) -> Result<Response, OAuthError> {
    let client_id = form.as_ref().ok().and_then(|OAuthForm(form)| named_client(&headers, form));
    let described = async {
        let OAuthForm(form) = form?;
        let resource_server = authenticate(&config, &limits, &headers, &caller)?;
        let identified = identify(form.required("token")?, &access_tokens, &*clock).await?;
        let Some((id, hash)) = identified else { return Ok(inactive()) };
        let TokenStatus::Active(active) = sessions.token_status(id, hash).await? else { return Ok(inactive()) };
        Ok::<_, OAuthError>(describe(&config, resource_server, &active))
    };
    described.await.inspect_err(|error| error.log_rejected("introspect", client_id.as_deref()))
}

/// Describes an active token, if it is for the resource of `resource_server`.
fn describe(config: &BridgeConfig, resource_server: &IntrospectionClient, active: &ActiveToken) -> Response {
    let ActiveToken { session, entry, .. } = active;
    if session.resource != resource_server.resource {
        return inactive();
    }
    let description = ActiveResponse {
        active: true,
        iss: config.issuer.as_str(),
        sub: session.user.global_subject(),
        aud: session.resource.as_str(),
        client_id: &session.client_id,
        scope: entry.scopes.as_ref().unwrap_or(&session.scopes).to_string(),
        iat: entry.issued_at.as_secs(),
        exp: entry.expires_at.as_secs(),
        token_type: "Bearer",
    };
    response::json(StatusCode::OK, &description)
}

/// The response for invalid tokens and for tokens of other resources.
fn inactive() -> Response {
    response::json(StatusCode::OK, &json!({"active": false}))
}

fn authenticate<'a>(
    config: &'a BridgeConfig,
    limits: &RateLimits,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<&'a IntrospectionClient, OAuthError> {
    let rejected = || {
        OAuthError::new(ErrorCode::InvalidClient, "client authentication failed")
            .with_challenge()
            .with_found("other credentials, or none", "those of a resource server, in the Authorization header")
            .with_key("bridge.resource_servers")
    };
    let BasicCredentials { id, secret } = BasicCredentials::from_headers(headers)?.ok_or_else(rejected)?;
    limits.check_authentication(&id, caller)?;
    let client = config.introspection_clients.iter().find(|client| client.authenticates(&id, &secret));
    client.ok_or_else(|| {
        limits.record_failed_authentication(&id, caller);
        rejected()
    })
}
