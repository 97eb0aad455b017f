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
    pub(super) method: Method,
    pub(super) scopes: ScopeSet,
    /// What the registration leaves out, for the log.
    pub(super) ignored: Ignored,
}

/// The parts of a registration request that are ignored, because they are without effect on security.
#[derive(Debug)]
pub(super) struct Ignored {
    pub(super) members: Vec<&'static str>,
    pub(super) redirect_uris: Vec<InvalidMetadata>,
}

/// The requested authentication method.
#[derive(Clone, Debug)]
pub(super) enum Method {
    None,
    /// The request names no method, which means `client_secret_basic`. The client may turn out to be public.
    Unnamed,
    SecretBasic,
    SecretPost,
    PrivateKeyJwt(ClientKeys),
}

/// Where a client runs.
/// [OpenID Connect Dynamic Client Registration, section 2](https://openid.net/specs/openid-connect-registration-1_0.html#ClientMetadata)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApplicationType {
    /// On a server: no redirect URI is on loopback or has the private scheme of an app.
    Web,
    /// On the user's machine.
    Native,
}

impl RegistrationRequest {
    /// Reads the request in `members`. Redirect URIs may be `http` with one of `http_hosts`.
    ///
    /// # Errors
    /// The invalid member.
    pub(super) fn read(members: &ClientMetadata, http_hosts: &[Box<str>]) -> Result<Self, InvalidMetadata> {
        let redirect_uris = members.redirect_uris(http_hosts)?;
        check_response_types(members)?;
        check_grant_types(members)?;
        Ok(Self {
            name: members.name(),
            uri: members.home_page(),
            application_type: ApplicationType::of(members, &redirect_uris.accepted)?,
            method: method(members)?,
            scopes: scopes(members)?,
            ignored: Ignored { members: members.unusable_members(), redirect_uris: redirect_uris.rejected },
            redirect_uris: redirect_uris.accepted,
        })
    }
}

impl ApplicationType {
    /// Returns the type that `members` name, or the type that the redirect URIs imply: most MCP clients run on the user's machine and
    /// omit it, or name `web`. The consent page judges each redirect URI, so nothing depends on the type.
    fn of(members: &ClientMetadata, redirect_uris: &[RedirectUri]) -> Result<Self, InvalidMetadata> {
        const MEMBER: &str = "application_type";
        let is_local = redirect_uris.iter().any(|uri| uri.is_loopback() || uri.is_app());
        match members.text(MEMBER)? {
            None | Some("web") if is_local => Ok(Self::Native),
            None | Some("web") => Ok(Self::Web),
            Some("native") => Ok(Self::Native),
            Some(_) => Err(members.invalid(MEMBER, "must be web or native")),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

/// Checks that the grant types include `authorization_code`, which is the default. Each client gets [`GrantType::REGISTERED`], and the
/// response says so. Assertions are for clients that the enterprise knows, so `jwt-bearer` cannot be registered.
fn check_grant_types(members: &ClientMetadata) -> Result<(), InvalidMetadata> {
    const MEMBER: &str = "grant_types";
    match members.texts(MEMBER)? {
        Some(written) if !written.is_empty() && !written.contains(&GrantType::AuthorizationCode.as_str()) => {
            let invalid = members.invalid(MEMBER, "must include authorization_code");
            Err(InvalidMetadata { key: Some("bridge.clients[].grant_types"), ..invalid })
        }
        _ => Ok(()),
    }
}

fn check_response_types(members: &ClientMetadata) -> Result<(), InvalidMetadata> {
    const MEMBER: &str = "response_types";
    match members.texts(MEMBER)? {
        Some(written) if !written.is_empty() && !written.contains(&"code") => {
            Err(members.invalid(MEMBER, "must include code"))
        }
        _ => Ok(()),
    }
}

fn method(members: &ClientMetadata) -> Result<Method, InvalidMetadata> {
    const MEMBER: &str = "token_endpoint_auth_method";
    match members.text(MEMBER)? {
        None => Ok(Method::Unnamed),
        Some("client_secret_basic") => Ok(Method::SecretBasic),
        Some("client_secret_post") => Ok(Method::SecretPost),
        Some("none") => Ok(Method::None),
        Some("private_key_jwt") => Ok(Method::PrivateKeyJwt(members.keys()?)),
        Some(_) => {
            Err(members.invalid(MEMBER, "must be none, client_secret_basic, client_secret_post or private_key_jwt"))
        }
    }
}

/// Returns `scope`, which some clients write as an array.
fn scopes(members: &ClientMetadata) -> Result<ScopeSet, InvalidMetadata> {
    const MEMBER: &str = "scope";
    let text = match members.texts(MEMBER) {
        Ok(listed) => listed.unwrap_or_default().join(" "),
        Err(_) => members.text(MEMBER)?.unwrap_or_default().to_owned(),
    };
    parse_untrusted_scopes(&text).ok_or_else(|| members.invalid(MEMBER, "malformed or too long"))
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
    grant_types: [GrantType; 2],
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
            Method::Unnamed | Method::SecretBasic => ("client_secret_basic", None),
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
            grant_types: GrantType::REGISTERED,
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
