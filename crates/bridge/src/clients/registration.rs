//! The messages of dynamic client registration, and [`RegistrationPolicy`].
//!
//! [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591); MCP, Dynamic Client Registration.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use portcullis_core::{ScopeSet, UnixTime};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{
    ClientKeys, GrantType, RedirectUri,
    metadata::{ClientMetadata, InvalidMetadata},
};
use crate::{parameters::parse_untrusted_scopes, response, session::SecretHash};

/// The metadata in a registration request, with the defaults of
/// [RFC 7591 section 2](https://www.rfc-editor.org/rfc/rfc7591#section-2).
#[derive(Debug)]
pub(super) struct RegistrationRequest {
    pub(super) name: Option<Box<str>>,
    pub(super) uri: Option<Box<str>>,
    pub(super) redirect_uris: Vec<RedirectUri>,
    pub(super) application_type: ApplicationType,
    pub(super) grant_types: Vec<GrantType>,
    pub(super) method: Method,
    pub(super) scopes: ScopeSet,
}

/// The requested authentication method.
#[derive(Clone, Debug)]
pub(super) enum Method {
    None,
    SecretBasic,
    SecretPost,
    PrivateKeyJwt(ClientKeys),
}

/// Where a client runs, which determines the allowed redirect URIs.
/// [OpenID Connect Dynamic Client Registration, section 2](https://openid.net/specs/openid-connect-registration-1_0.html#ClientMetadata)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApplicationType {
    /// On a server: `https` redirect URIs that are not on loopback.
    Web,
    /// On the user's machine: loopback and private schemes are allowed as well.
    Native,
}

impl RegistrationRequest {
    /// Reads the request in `members`.
    ///
    /// # Errors
    /// The invalid member.
    pub(super) fn read(members: &ClientMetadata) -> Result<Self, InvalidMetadata> {
        let redirect_uris = redirect_uris(members)?;
        response_types(members)?;
        Ok(Self {
            name: members.name()?.map(Into::into),
            uri: members.home_page()?.map(Into::into),
            application_type: ApplicationType::of(members.text("application_type")?, &redirect_uris)?,
            redirect_uris,
            grant_types: grant_types(members)?,
            method: method(members)?,
            scopes: scopes(members)?,
        })
    }
}

impl ApplicationType {
    /// Returns the type `named`, or the type that the redirect URIs imply: most MCP clients run on the user's machine and omit it.
    pub(super) fn of(named: Option<&str>, redirect_uris: &[RedirectUri]) -> Result<Self, InvalidMetadata> {
        let is_local = redirect_uris.iter().any(|uri| uri.is_loopback() || uri.is_app());
        match named {
            None if is_local => Ok(Self::Native),
            None => Ok(Self::Web),
            Some("native") => Ok(Self::Native),
            Some("web") if is_local => {
                Err(InvalidMetadata::new("redirect_uris", "a web application requires https without loopback"))
            }
            Some("web") => Ok(Self::Web),
            Some(_) => Err(InvalidMetadata::new("application_type", "must be web or native")),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

fn redirect_uris(members: &ClientMetadata) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    let invalid = |why| InvalidMetadata::new("redirect_uris", why);
    let written = members.texts("redirect_uris")?.unwrap_or_default();
    if written.is_empty() {
        return Err(invalid("is missing or empty"));
    }
    written.into_iter().map(|text| RedirectUri::new(text).map_err(|error| invalid(error.why))).collect()
}

/// Unsupported grant types are dropped, and the response says so. `authorization_code` is required. Assertions are for clients that
/// the enterprise knows, so `jwt-bearer` cannot be registered.
fn grant_types(members: &ClientMetadata) -> Result<Vec<GrantType>, InvalidMetadata> {
    let Some(written) = members.texts("grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let wanted = |grant_type: &GrantType| written.contains(&grant_type.as_str());
    let known: Vec<_> = [GrantType::AuthorizationCode, GrantType::RefreshToken].into_iter().filter(wanted).collect();
    match known.first() {
        Some(GrantType::AuthorizationCode) => Ok(known),
        _ => Err(InvalidMetadata::new("grant_types", "must include authorization_code")),
    }
}

fn response_types(members: &ClientMetadata) -> Result<(), InvalidMetadata> {
    match members.texts("response_types")? {
        Some(written) if !written.contains(&"code") => Err(InvalidMetadata::new("response_types", "must include code")),
        _ => Ok(()),
    }
}

fn method(members: &ClientMetadata) -> Result<Method, InvalidMetadata> {
    const MEMBER: &str = "token_endpoint_auth_method";
    match members.text(MEMBER)? {
        None | Some("client_secret_basic") => Ok(Method::SecretBasic),
        Some("client_secret_post") => Ok(Method::SecretPost),
        Some("none") => Ok(Method::None),
        Some("private_key_jwt") => Ok(Method::PrivateKeyJwt(members.keys()?)),
        Some(_) => Err(InvalidMetadata::new(MEMBER, "unsupported method")),
    }
}

fn scopes(members: &ClientMetadata) -> Result<ScopeSet, InvalidMetadata> {
    let text = members.text("scope")?.unwrap_or_default();
    parse_untrusted_scopes(text).ok_or(InvalidMetadata::new("scope", "malformed or too long"))
}

/// A client that has registered: its id, and its secret, which only this response contains.
#[derive(Debug)]
pub(crate) struct RegisteredClient {
    pub(super) id: Box<str>,
    pub(super) secret: Option<SecretString>,
    pub(super) issued_at: UnixTime,
    pub(super) request: RegistrationRequest,
    /// The scopes that it requested and that the bridge has.
    pub(super) scope: String,
}

/// The registered metadata. [RFC 7591 section 3.2.1](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1)
#[derive(Serialize)]
struct Body<'a> {
    client_id: &'a str,
    client_id_issued_at: UnixTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Zero, which means never: the secret is valid as long as the registration exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_uri: Option<&'a str>,
    redirect_uris: &'a [RedirectUri],
    application_type: &'a str,
    grant_types: &'a [GrantType],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
}

impl IntoResponse for RegisteredClient {
    fn into_response(self) -> Response {
        let Self { request, .. } = &self;
        let (method, keys) = match &request.method {
            Method::None => ("none", None),
            Method::SecretBasic => ("client_secret_basic", None),
            Method::SecretPost => ("client_secret_post", None),
            Method::PrivateKeyJwt(keys) => ("private_key_jwt", Some(keys)),
        };
        let (jwks_uri, jwks) = match keys {
            Some(ClientKeys::JwksUri(url)) => (Some(&**url), None),
            Some(ClientKeys::Jwks(jwks)) => (None, Some(jwks)),
            None => (None, None),
        };
        let body = Body {
            client_id: &self.id,
            client_id_issued_at: self.issued_at,
            client_secret: self.secret.as_ref().map(|secret| secret.expose_secret()),
            client_secret_expires_at: self.secret.is_some().then_some(0),
            client_name: request.name.as_deref(),
            client_uri: request.uri.as_deref(),
            redirect_uris: &request.redirect_uris,
            application_type: request.application_type.as_str(),
            grant_types: &request.grant_types,
            response_types: ["code"],
            token_endpoint_auth_method: method,
            jwks_uri,
            jwks,
            scope: &self.scope,
        };
        response::json(StatusCode::CREATED, &body)
    }
}

/// Settings of dynamic client registration.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RegistrationPolicy {
    pub(crate) is_enabled: bool,
    pub(super) unused_ttl: Duration,
    pub(super) idle_ttl: Duration,
    pub(super) max_clients: u64,
    pub(super) initial_access_token: Option<SecretHash>,
}

impl RegistrationPolicy {
    /// Enables dynamic client registration with default limits.
    pub const fn new() -> Self {
        Self {
            is_enabled: true,
            unused_ttl: Duration::from_hours(24),
            idle_ttl: Duration::from_hours(90 * 24),
            max_clients: 10_000,
            initial_access_token: None,
        }
    }

    /// Disables the registration endpoint. Clients that have registered before remain valid.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// Sets the lifetime of registrations through which no token was issued. Default: one day. At the maximum number of clients, the
    /// oldest of them are removed earlier.
    pub const fn with_unused_ttl(mut self, ttl: Duration) -> Self {
        self.unused_ttl = ttl;
        self
    }

    /// Sets the lifetime of registrations after the last issued token, accurate to one day. Default: 90 days.
    pub const fn with_idle_ttl(mut self, ttl: Duration) -> Self {
        self.idle_ttl = ttl;
        self
    }

    /// Sets the maximum number of clients. Default: 10,000. Beyond it, the least recently used client without a session is removed,
    /// clients without tokens first. If users have sessions through all of the 300 clients that are examined, the registration is
    /// rejected.
    ///
    /// At most a hundredth of the clients, and at least one, can be in use by one user alone. Beyond that, the least recently used client
    /// of the user is removed, with the user's sessions, unless another user has a session through it.
    pub const fn with_max_clients(mut self, max: u64) -> Self {
        self.max_clients = max;
        self
    }

    /// Requires the initial access token `token` for registrations
    /// ([RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3)). Default: none. Only a hash of it is kept.
    pub fn with_initial_access_token(mut self, token: &SecretString) -> Self {
        self.initial_access_token = Some(SecretHash::of_text(token));
        self
    }
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self::new()
    }
}
