//! [`AuthorizationRequest`]: what a client asks for.

use portcullis_core::{ResourceUri, ScopeSet};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::{Problem, ResponseTarget};
use crate::{
    BridgeConfig, Client, GrantType, RedirectUri,
    clients::Clients,
    limits::Caller,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
};

/// What a client asks for. It goes with the user through the whole login, and nothing of it changes on the way.
///
/// [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1), always with PKCE
/// ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)), for one resource ([RFC 8707](https://www.rfc-editor.org/rfc/rfc8707)).
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: Box<str>,
    pub(crate) target: ResponseTarget,
    /// By the method S256.
    pub(crate) challenge: Box<str>,
    pub(crate) resource: ResourceUri,
    pub(crate) scopes: ScopeSet,
    /// Whether the consent page is to be shown whatever is remembered.
    pub(crate) asks_for_consent: bool,
}

/// More than a client needs to know its own request again.
const MAX_STATE: usize = 2048;

/// What most clients ask for to get a refresh token. Here that is a matter of the client's grant types.
const OFFLINE_ACCESS: &str = "offline_access";

impl AuthorizationRequest {
    /// The request that `parameters` of `caller` make, and the client that it is of.
    ///
    /// Until client and redirect URI are known, the user alone is told what is wrong. After that the client is told, if it can be
    /// trusted with the browser.
    pub(crate) async fn validate(
        parameters: &Parameters,
        clients: &Clients,
        config: &BridgeConfig,
        caller: &Caller,
    ) -> Result<(Client, Self), Problem> {
        let client = clients.find(parameters.required("client_id")?, caller).await?;
        let redirect_uri = redirect_uri(parameters, &client)?;
        let state = state(parameters);
        let target = ResponseTarget { redirect_uri, state: state.clone().unwrap_or_default() };
        let is_trusted = clients.is_trusted(&client);
        let tell = |error| match is_trusted {
            true => Problem::Client(error, target.clone()),
            false => Problem::Back(error, target.clone()),
        };
        state.map_err(tell)?;
        let (challenge, resource, scopes) = asked(parameters, &client, config).map_err(tell)?;
        let asks_for_consent = parameters.optional("prompt").is_some();
        let request = Self { client_id: client.id().into(), target, challenge, resource, scopes, asks_for_consent };
        Ok((client, request))
    }

    /// The query that asks for the same again, with the consent page.
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

/// What can be told to the client if it is wrong.
fn asked(
    parameters: &Parameters,
    client: &Client,
    config: &BridgeConfig,
) -> Result<(Box<str>, ResourceUri, ScopeSet), OAuthError> {
    refuse_request_objects(parameters)?;
    check_response_type(parameters)?;
    check_grant_type(client)?;
    check_prompt(parameters)?;
    let challenge = challenge(parameters)?;
    let resource = resource(parameters, config)?;
    let scopes = scopes(parameters, client, config)?;
    Ok((challenge, resource, scopes))
}

/// The redirect URI as it was presented, which must be one of the client's own; or its only one. Which port an app listens on is not
/// known beforehand, so there it must be presented. RFC 6749 section 3.1.2.3, RFC 8252 section 7.3.
fn redirect_uri(parameters: &Parameters, client: &Client) -> Result<RedirectUri, OAuthError> {
    let unknown = || OAuthError::invalid_request("the redirect_uri is not one that this client has registered");
    match (parameters.optional("redirect_uri"), &*client.redirect_uris) {
        (Some(presented), _) => {
            client.redirect_uri(presented).ok_or_else(unknown)?;
            RedirectUri::new(presented).map_err(|_| unknown())
        }
        (None, [only]) if !only.is_loopback() => Ok(only.clone()),
        (None, _) => Err(OAuthError::invalid_request("the parameter redirect_uri is missing")),
    }
}

/// What is to come back exactly as it is. RFC 6749 appendix A.5.
fn state(parameters: &Parameters) -> Result<Option<Box<str>>, OAuthError> {
    match parameters.optional("state") {
        Some(state) if state.len() > MAX_STATE => Err(OAuthError::invalid_request("the state is too long")),
        Some(state) if !state.bytes().all(|byte| matches!(byte, b' '..=b'~')) => {
            Err(OAuthError::invalid_request("the state has characters other than visible ASCII and spaces"))
        }
        state => Ok(state.map(Into::into)),
    }
}

/// RFC 9101: what they say would count instead of the parameters that were looked at.
fn refuse_request_objects(parameters: &Parameters) -> Result<(), OAuthError> {
    let refused = |code| Err(OAuthError::new(code, "request objects are not supported"));
    if parameters.optional("request").is_some() {
        return refused(ErrorCode::RequestNotSupported);
    }
    if parameters.optional("request_uri").is_some() {
        return refused(ErrorCode::RequestUriNotSupported);
    }
    Ok(())
}

fn check_response_type(parameters: &Parameters) -> Result<(), OAuthError> {
    if parameters.required("response_type")? != "code" {
        let description = "the response_type must be code";
        return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, description));
    }
    if parameters.optional("response_mode").is_some_and(|mode| mode != "query") {
        return Err(OAuthError::invalid_request("the response_mode must be query"));
    }
    Ok(())
}

fn check_grant_type(client: &Client) -> Result<(), OAuthError> {
    if !client.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, "this client may not ask for codes"));
    }
    Ok(())
}

/// Whether the user will have to do something is for the provider to say: nobody can be promised that there is nothing.
fn check_prompt(parameters: &Parameters) -> Result<(), OAuthError> {
    let mut prompts = parameters.optional("prompt").unwrap_or_default().split(' ');
    if prompts.any(|prompt| prompt == "none") {
        return Err(OAuthError::new(ErrorCode::InteractionRequired, "the user must be asked"));
    }
    Ok(())
}

/// RFC 7636 section 4.3. A method that is not named would be `plain`.
fn challenge(parameters: &Parameters) -> Result<Box<str>, OAuthError> {
    let challenge = parameters.required("code_challenge")?;
    if parameters.optional("code_challenge_method") != Some("S256") {
        return Err(OAuthError::invalid_request("the code_challenge_method must be S256"));
    }
    // The SHA-256 of anything, in base64url without padding.
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if challenge.len() != 43 || !challenge.bytes().all(is_base64url) {
        return Err(OAuthError::invalid_request("the code_challenge is not one of the method S256"));
    }
    Ok(challenge.into())
}

/// The one resource that is named, or the first there is. A token is for one: whoever receives it can use it nowhere else.
fn resource(parameters: &Parameters, config: &BridgeConfig) -> Result<ResourceUri, OAuthError> {
    let invalid = |description| OAuthError::new(ErrorCode::InvalidTarget, description);
    let mut named: Option<&ResourceUri> = None;
    for presented in parameters.resources() {
        let known = config.resources.iter().find(|resource| resource.is_named_by(presented));
        let known = known.ok_or_else(|| invalid("the resource is not one of this authorization server"))?;
        if named.is_some_and(|named| named != known) {
            return Err(invalid("a token is for one resource"));
        }
        named = Some(known);
    }
    Ok(named.unwrap_or(&config.resources[0]).clone())
}

/// Those of the scopes asked for that there are, for this client. What there is not is left out, and the token response says what was
/// granted (RFC 6749 section 3.3); but not if nothing is left.
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
    // Where there are none at all, nobody can know which ones to ask for.
    if granted.is_empty() && !of(&config.scopes).is_empty() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "none of these scopes is there for this client"));
    }
    Ok(granted)
}
