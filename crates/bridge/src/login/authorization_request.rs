//! [`AuthorizationRequest`]: a validated authorization request.

use portcullis_core::{ResourceUri, ScopeSet};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{AuthorizeError, ResponseTarget};
use crate::{
    BridgeConfig, Client, GrantType, RedirectUri,
    clients::Clients,
    limits::Caller,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// A validated authorization request. It accompanies the login and does not change.
///
/// [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1), always with PKCE
/// ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)), for one resource ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: Box<str>,
    pub(crate) target: ResponseTarget,
    /// The PKCE challenge, with the method S256.
    pub(crate) challenge: Box<str>,
    pub(crate) resource: ResourceUri,
    pub(crate) scopes: ScopeSet,
    /// Whether the consent page is shown in spite of a stored consent.
    pub(crate) asks_for_consent: bool,
}

/// The maximum length of `state`.
const MAX_STATE: usize = 2048;

/// The scope by which most clients request a refresh token. The bridge issues refresh tokens by the client's grant types instead.
const OFFLINE_ACCESS: &str = "offline_access";

impl AuthorizationRequest {
    /// Validates the request of `caller`, and returns it with its client.
    ///
    /// An error before client and redirect URI are validated is shown to the user. A later error redirects to the client, if the
    /// operator trusts it.
    pub(crate) async fn validate(
        parameters: &Parameters,
        clients: &Clients,
        config: &BridgeConfig,
        caller: &Caller,
    ) -> Result<(Client, Self), AuthorizeError> {
        let client = clients.find(parameters.required("client_id")?, caller).await?;
        let redirect_uri = redirect_uri(parameters, &client)?;
        let state = state(parameters);
        let target = ResponseTarget { redirect_uri, state: state.clone().unwrap_or_default() };
        let is_trusted = clients.is_trusted(&client);
        let reject = |error| match is_trusted {
            true => AuthorizeError::redirect(&error, &target, &config.issuer),
            false => AuthorizeError::return_link(error, &target, &config.issuer),
        };
        state.map_err(reject)?;
        let (challenge, resource, scopes) = requested(parameters, &client, config).map_err(reject)?;
        let asks_for_consent = parameters.optional("prompt").is_some();
        let request = Self { client_id: client.id().into(), target, challenge, resource, scopes, asks_for_consent };
        Ok((client, request))
    }

    /// Returns the query of the same request with `prompt=consent`.
    pub(crate) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("response_type", "code");
        query.append_pair("client_id", &self.client_id);
        query.append_pair("redirect_uri", self.target.redirect_uri.as_str());
        query.append_pair("code_challenge", &self.challenge);
        query.append_pair("code_challenge_method", "S256");
        query.append_pair("resource", self.resource.as_str());
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.to_string());
        }
        if let Some(state) = &self.target.state {
            query.append_pair("state", state);
        }
        query.append_pair("prompt", "consent");
        query.finish()
    }
}

/// Validates the parameters whose errors are reported to the client.
fn requested(
    parameters: &Parameters,
    client: &Client,
    config: &BridgeConfig,
) -> Result<(Box<str>, ResourceUri, ScopeSet), OAuthError> {
    reject_request_objects(parameters)?;
    check_response_type(parameters)?;
    check_grant_type(client)?;
    check_prompt(parameters)?;
    let challenge = challenge(parameters)?;
    let resource = resource(parameters, config)?;
    let scopes = scopes(parameters, client, config)?;
    Ok((challenge, resource, scopes))
}

/// Returns the presented redirect URI, which must match a registered one, or else the only registered one. On loopback it must be
/// presented, because the port is not registered. RFC 6749 section 3.1.2.3, RFC 8252 section 7.3.
fn redirect_uri(parameters: &Parameters, client: &Client) -> Result<RedirectUri, OAuthError> {
    let unknown = || OAuthError::invalid_request("redirect_uri is not registered for this client");
    match (parameters.optional("redirect_uri"), &*client.redirect_uris) {
        (Some(presented), _) => {
            client.redirect_uri(presented).ok_or_else(unknown)?;
            RedirectUri::new(presented).map_err(|_| unknown())
        }
        (None, [only]) if !only.is_loopback() => Ok(only.clone()),
        (None, _) => Err(OAuthError::invalid_request("missing parameter: redirect_uri")),
    }
}

/// Returns `state`, which goes back to the client unchanged. RFC 6749 appendix A.5.
fn state(parameters: &Parameters) -> Result<Option<Box<str>>, OAuthError> {
    match parameters.optional("state") {
        Some(state) if state.len() > MAX_STATE => Err(OAuthError::invalid_request("state too long")),
        Some(state) if !state.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Err(OAuthError::invalid_request("state has characters other than printable ASCII"))
        }
        state => Ok(state.map(Into::into)),
    }
}

/// RFC 9101: a request object would override the validated parameters.
fn reject_request_objects(parameters: &Parameters) -> Result<(), OAuthError> {
    let rejected = |code| Err(OAuthError::new(code, "request objects are not supported"));
    if parameters.optional("request").is_some() {
        return rejected(ErrorCode::RequestNotSupported);
    }
    if parameters.optional("request_uri").is_some() {
        return rejected(ErrorCode::RequestUriNotSupported);
    }
    Ok(())
}

fn check_response_type(parameters: &Parameters) -> Result<(), OAuthError> {
    if parameters.required("response_type")? != "code" {
        let description = "response_type must be code";
        return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, description));
    }
    if parameters.optional("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OAuthError::invalid_request("response_mode must be query"));
    }
    Ok(())
}

fn check_grant_type(client: &Client) -> Result<(), OAuthError> {
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "grant type authorization_code not allowed for this client",
        ));
    }
    Ok(())
}

/// Rejects `prompt=none`: the provider may require an interaction.
fn check_prompt(parameters: &Parameters) -> Result<(), OAuthError> {
    let mut prompts = parameters.optional("prompt").unwrap_or_default().split(' ');
    if prompts.any(|prompt| prompt == "none") {
        return Err(OAuthError::new(ErrorCode::InteractionRequired, "user interaction required"));
    }
    Ok(())
}

/// RFC 7636 section 4.3. The default method would be `plain`.
fn challenge(parameters: &Parameters) -> Result<Box<str>, OAuthError> {
    let challenge = parameters.required("code_challenge")?;
    if parameters.optional("code_challenge_method") != Some("S256") {
        return Err(OAuthError::invalid_request("code_challenge_method must be S256"));
    }
    // A SHA-256 in base64url without padding.
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if challenge.len() != 43 || !challenge.bytes().all(is_base64url) {
        return Err(OAuthError::invalid_request("code_challenge is not a base64url SHA-256"));
    }
    Ok(challenge.into())
}

/// Returns the requested resource, or the first one of the bridge. A token is valid for one resource, so that its recipient cannot use
/// it elsewhere.
fn resource(parameters: &Parameters, config: &BridgeConfig) -> Result<ResourceUri, OAuthError> {
    let invalid = |description| OAuthError::new(ErrorCode::InvalidTarget, description);
    let mut named: Option<&ResourceUri> = None;
    for presented in parameters.resources() {
        let known = config.resources.iter().find(|resource| resource.is_named_by(presented));
        let known = known.ok_or_else(|| invalid("unknown resource"))?;
        if named.is_some_and(|named| named != known) {
            return Err(invalid("a token is valid for one resource only"));
        }
        named = Some(known);
    }
    Ok(named.unwrap_or(&config.resources[0]).clone())
}

/// Returns the requested scopes that bridge and client allow. Others are dropped, and the token response names the granted ones
/// (RFC 6749 section 3.3), unless no scope is left.
fn scopes(parameters: &Parameters, client: &Client, config: &BridgeConfig) -> Result<ScopeSet, OAuthError> {
    let allowed = |scope: &&str| {
        config.scopes.contains(scope) && client.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
    };
    let of = |scopes: &ScopeSet| ScopeSet::new(scopes.iter().filter(allowed)).unwrap_or_default();
    let asked = parameters.scopes()?.unwrap_or_default();
    if asked.iter().all(|scope| scope == OFFLINE_ACCESS) {
        return Ok(of(config.default_scopes.as_ref().unwrap_or(&config.scopes)));
    }
    let granted = of(&asked);
    // A bridge without scopes accepts any request.
    if granted.is_empty() && !of(&config.scopes).is_empty() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "no requested scope is allowed for this client"));
    }
    Ok(granted)
}
