//! [`AuthorizationRequest`], and its response: to a [`ResponseTarget`], or an [`AuthorizeError`].

use axum::response::Response;
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::{
    BridgeConfig, Client, GrantType, RedirectUri,
    clients::{Clients, for_log},
    config::Urls,
    limits::Caller,
    pages::{ErrorLink, Pages},
    parameters::{Parameters, known_scopes, names_resource},
    response::{ErrorCode, OAuthError, redirect},
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
        let redirect_uri = redirect_uri(parameters, &client, config)?;
        let state = state(parameters);
        let target = ResponseTarget { redirect_uri, state: state.clone().unwrap_or_default() };
        let is_trusted = clients.is_trusted(&client);
        let reject = |error| match is_trusted {
            true => AuthorizeError::redirect(error, &target, &config.issuer),
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
fn redirect_uri(parameters: &Parameters, client: &Client, config: &BridgeConfig) -> Result<RedirectUri, OAuthError> {
    const UNKNOWN: &str = "redirect_uri is not registered for this client";
    let presented = parameters.optional("redirect_uri");
    let reject = |key: Option<&'static str>, description: &'static str| {
        let registered: Vec<_> = client.redirect_uris.iter().map(|uri| for_log(uri.as_str())).collect();
        let found = presented.map_or_else(|| "none".to_owned(), for_log);
        let error = OAuthError::invalid_request(description).with_found(&found, &registered.join(" "));
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    };
    let hosts = &config.http_redirect_hosts;
    match (presented, &*client.redirect_uris) {
        (Some(text), _) if client.redirect_uri(text).is_some() => {
            RedirectUri::with_http_hosts(text, hosts).map_err(|_| reject(Some("bridge.http_redirect_hosts"), UNKNOWN))
        }
        (Some(_), _) => Err(reject(client.redirect_uris_key(), UNKNOWN)),
        (None, [only]) if !only.is_loopback() && only.is_permitted(hosts) => Ok(only.clone()),
        (None, _) => Err(reject(None, "missing parameter: redirect_uri")),
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
    let response_type = parameters.required("response_type")?;
    if response_type != "code" {
        let error = OAuthError::new(ErrorCode::UnsupportedResponseType, "response_type must be code");
        return Err(error.with_found(response_type, "code"));
    }
    if let Some(mode) = parameters.optional("response_mode").filter(|mode| *mode != "query") {
        return Err(OAuthError::invalid_request("response_mode must be query").with_found(mode, "query"));
    }
    Ok(())
}

fn check_grant_type(client: &Client) -> Result<(), OAuthError> {
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(OAuthError::new(
            ErrorCode::UnauthorizedClient,
            "grant type authorization_code not allowed for this client",
        )
        .with_key("bridge.clients.grant_types"));
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
    let method = parameters.optional("code_challenge_method");
    if method != Some("S256") {
        let error = OAuthError::invalid_request("code_challenge_method must be S256");
        return Err(error.with_found(method.unwrap_or("none, which means plain"), "S256"));
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
    let invalid = |description| {
        let presented: Vec<_> = parameters.resources().collect();
        let resources: Vec<_> = config.resources.iter().map(ResourceUri::as_str).collect();
        OAuthError::new(ErrorCode::InvalidTarget, description)
            .with_found(&presented.join(" "), &format!("one of {}", resources.join(" ")))
            .with_key("public_url")
    };
    let mut named: Option<&ResourceUri> = None;
    for presented in parameters.resources() {
        let known = config.resources.iter().find(|resource| names_resource(presented, resource));
        let known = known.ok_or_else(|| invalid("unknown resource"))?;
        if named.is_some_and(|named| named != known) {
            return Err(invalid("a token is valid for one resource only"));
        }
        named = Some(known);
    }
    Ok(named.unwrap_or(&config.resources[0]).clone())
}

/// Returns the requested scopes that bridge and client allow, or else the default ones. Scopes that are not known are ignored, because
/// many clients request fixed ones, and the token response names the granted scopes (RFC 6749 section 3.3).
fn scopes(parameters: &Parameters, client: &Client, config: &BridgeConfig) -> Result<ScopeSet, OAuthError> {
    let asked = parameters.scopes()?;
    let allowed = client.scopes.as_ref().map_or_else(|| config.scopes.clone(), |own| config.scopes.intersection(own));
    let default = config.basic_scopes().intersection(&allowed);
    Ok(known_scopes(asked.as_ref(), &allowed).unwrap_or(default))
}

/// Where an authorization response goes: the presented redirect URI and the client's `state`.
///
/// Every response has `iss` ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)), so that a client of several authorization servers
/// does not send a code to the wrong one.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ResponseTarget {
    pub(crate) redirect_uri: RedirectUri,
    /// The client's `state`, unchanged; omitted from the response if the request had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<Box<str>>,
}

impl ResponseTarget {
    /// Returns the URL of a response with `code`. RFC 6749 section 4.1.2.
    pub(crate) fn with_code(&self, code: &SecretString, issuer: &Issuer) -> String {
        self.with(&[("code", code.expose_secret())], issuer)
    }

    /// Returns the URL of a response with `error`. RFC 6749 section 4.1.2.1.
    pub(crate) fn with_error(&self, error: &OAuthError, issuer: &Issuer) -> String {
        self.with(&[("error", error.code.as_str()), ("error_description", &error.description)], issuer)
    }

    /// Appends `parameters` to the query. The redirect URI is not normalized.
    fn with(&self, parameters: &[(&str, &str)], issuer: &Issuer) -> String {
        let mut url = self.redirect_uri.as_str().to_owned();
        match url.find('?') {
            None => url.push('?'),
            Some(_) if url.ends_with(['?', '&']) => {}
            Some(_) => url.push('&'),
        }
        let query_start = url.len();
        let mut query = form_urlencoded::Serializer::for_suffix(url, query_start);
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer.as_str());
        query.finish()
    }
}

/// An error of a login, and who learns it.
///
/// The browser is redirected only to clients that the operator trusts, so that the bridge is not an open redirector
/// ([RFC 9700 section 4.11.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.11.2)).
#[derive(Debug)]
pub(crate) enum AuthorizeError {
    /// An error page.
    ShowPage(OAuthError),
    /// An error page with a link that starts the login again.
    ShowRestart { error: OAuthError, url: String },
    /// An error page with a link that reports the error to the client.
    ShowReturnLink { error: OAuthError, target: String, url: String },
    /// A redirect that reports the error to the client.
    Redirect { error: OAuthError, url: String },
}

impl AuthorizeError {
    /// Creates an error page with a link that starts the login again.
    pub(crate) fn restart(error: OAuthError, request: &AuthorizationRequest, urls: &Urls) -> Self {
        Self::ShowRestart { error, url: format!("{}?{}", urls.path(Urls::AUTHORIZE), request.query()) }
    }

    /// Creates an error page with a link that reports the error to the client at `target`.
    pub(crate) fn return_link(error: OAuthError, target: &ResponseTarget, issuer: &Issuer) -> Self {
        let url = target.with_error(&error, issuer);
        Self::ShowReturnLink { error, target: target.redirect_uri.display_target().to_owned(), url }
    }

    /// Creates a redirect that reports the error to the client at `target`.
    pub(crate) fn redirect(error: OAuthError, target: &ResponseTarget, issuer: &Issuer) -> Self {
        let url = target.with_error(&error, issuer);
        Self::Redirect { error, url }
    }

    /// Logs the rejected request of `step`.
    pub(crate) fn log_rejected(&self, step: &'static str, client_id: Option<&str>) {
        let (Self::ShowPage(error)
        | Self::ShowRestart { error, .. }
        | Self::ShowReturnLink { error, .. }
        | Self::Redirect { error, .. }) = self;
        error.log_rejected(step, client_id);
    }

    /// Creates the response to the browser.
    pub(crate) fn into_response(self, pages: &Pages) -> Response {
        match self {
            Self::ShowPage(error) => pages.error(&error, None),
            Self::ShowRestart { error, url } => pages.error(&error, Some(ErrorLink::start_again(&url))),
            Self::ShowReturnLink { error, target, url } => {
                pages.error(&error, Some(ErrorLink::return_to(&target, &url)))
            }
            Self::Redirect { url, .. } => redirect(&url),
        }
    }
}

impl From<OAuthError> for AuthorizeError {
    fn from(error: OAuthError) -> Self {
        Self::ShowPage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(redirect_uri: &str, state: Option<&str>) -> String {
        let redirect_uri = RedirectUri::new(redirect_uri).expect("a redirect URI");
        let target = ResponseTarget { redirect_uri, state: state.map(Into::into) };
        target.with_code(&"c0de".into(), &Issuer::new("https://mcp.example.com").expect("an issuer"))
    }

    #[test]
    fn parameters_are_appended_to_the_unchanged_redirect_uri() {
        const ADDED: &str = "code=c0de&iss=https%3A%2F%2Fmcp.example.com";
        for (redirect_uri, separator) in [
            ("https://client.example.com", "?"),
            ("https://client.example.com/%7Ecb/../x", "?"),
            ("https://client.example.com/cb?a=b%20c", "&"),
            ("https://client.example.com/cb?", ""),
            ("https://client.example.com/cb?a=b&", ""),
            ("http://[::1]:1234/cb", "?"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "?"),
            ("com.example.app:/callback", "?"),
            ("com.example.app:/callback?x", "&"),
        ] {
            assert_eq!(response(redirect_uri, None), format!("{redirect_uri}{separator}{ADDED}"));
        }
    }

    #[test]
    fn state_cannot_add_parameters() {
        let url = response("https://client.example.com/cb", Some("a&code=theirs#x y"));
        assert_eq!(
            url,
            "https://client.example.com/cb?code=c0de&state=a%26code%3Dtheirs%23x+y&iss=https%3A%2F%2Fmcp.example.com"
        );
    }
}
