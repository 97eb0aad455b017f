//! [`PendingLogin`]: one authorization request, and the checks of its response; and which scopes a login requests.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, Reason, ResourceUri, ScopeSet};
use portcullis_oauth::{
    CodeVerifier, ProtocolError,
    metadata::AuthorizationServerMetadata,
    providers::{
        AuthorizationRefusal, AuthorizationRequest, AuthorizationResponse, InvalidAuthorizationResponse, Provider,
    },
};
use secrecy::SecretString;
use url::{Host, Url};

use crate::GrantError;

/// Why a login has not returned tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The metadata lacks `S256` in `code_challenge_methods_supported`: the code would not be protected.
    #[error(
        "the authorization server {issuer:?} is not used, because its metadata does not state that it supports PKCE with S256: code_challenge_methods_supported is {found:?}; enable PKCE there"
    )]
    NoPkce {
        /// The authorization server.
        issuer: String,
        /// The methods in its metadata.
        found: Vec<String>,
    },
    /// The metadata lacks an endpoint.
    #[error("the metadata of the authorization server cannot be used: {0}")]
    Metadata(#[from] ProtocolError),
    /// The authorization endpoint is not a URL that may be opened.
    #[error("the authorization endpoint is not opened, because it is neither https nor http on loopback: {0:?}")]
    UnsafeUrl(String),
    /// The redirect URI cannot be received at, or the browser cannot be opened.
    #[error("the user cannot be redirected: {0}")]
    UserAgent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The user has not completed the login in time.
    #[error("the user has not completed the login within {0:?} (McpLogin::with_time_limit)")]
    TimedOut(Duration),
    /// The authorization server, or the user there, denied the authorization.
    #[error("the authorization server {issuer:?} refused the login: {refusal}{}", advice(.refusal))]
    Refused {
        /// The authorization server.
        issuer: String,
        /// Its error.
        #[source]
        refusal: AuthorizationRefusal,
    },
    /// The response is invalid or from another authorization server. Nothing in it was used, and nothing of it is in the text.
    #[error("the authorization response is rejected, which was expected from {issuer:?}: {error}")]
    Response {
        /// The authorization server of the request.
        issuer: String,
        /// What is wrong with the response.
        #[source]
        error: InvalidAuthorizationResponse,
    },
}

/// Returns what to do about a refusal, as the rest of a sentence.
fn advice(refusal: &AuthorizationRefusal) -> &'static str {
    match &*refusal.code {
        _ if refusal.is_by_user() => "; the user has to log in and to consent",
        "invalid_scope" => "; it does not grant these scopes: request others (McpLogin::with_scopes)",
        "invalid_target" => "; it issues no tokens for this resource: allow the resource there",
        "unauthorized_client" | "invalid_client" | "invalid_request" | "unsupported_response_type" => {
            "; check there that the client may use the authorization code grant with this redirect URI"
        }
        _ => "",
    }
}

impl From<LoginError> for GrantError {
    fn from(error: LoginError) -> Self {
        match &error {
            LoginError::NoPkce { .. } | LoginError::Metadata(_) | LoginError::UnsafeUrl(_) => {
                Self::misconfigured(AuthError::new(Reason::ClientRefused).with_source(error))
            }
            LoginError::Refused { refusal, .. }
                if matches!(&*refusal.code, "temporarily_unavailable" | "server_error") =>
            {
                Self::transient(AuthError::new(Reason::ProviderUnavailable).with_source(error))
            }
            _ => Self::refused(error),
        }
    }
}

/// One authorization request that was not answered yet: the validated issuer, the PKCE verifier and the `state` belong together.
#[derive(Debug)]
pub(crate) struct PendingLogin {
    pub(crate) verifier: CodeVerifier,
    provider: Provider,
    state: String,
    redirect_uri: String,
}

impl PendingLogin {
    /// Begins a login at `server`.
    pub(crate) fn begin(server: &AuthorizationServerMetadata, redirect_uri: &str) -> Result<Self, LoginError> {
        let methods = server.code_challenge_methods();
        if !methods.iter().any(|method| **method == *"S256") {
            let (issuer, found) = (server.issuer().to_string(), methods.iter().map(ToString::to_string).collect());
            return Err(LoginError::NoPkce { issuer, found });
        }
        let state = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        Ok(Self {
            provider: Provider::oidc(server)?,
            verifier: CodeVerifier::new(rand::random()),
            state,
            redirect_uri: redirect_uri.to_owned(),
        })
    }

    /// Returns the redirect URI.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Returns the URL to open in the browser.
    pub(crate) fn url(
        &self,
        client_id: &str,
        resource: &ResourceUri,
        scopes: &ScopeSet,
        prompt: Option<&str>,
    ) -> Result<String, LoginError> {
        let request = AuthorizationRequest::new(client_id, &self.redirect_uri, &self.state, &self.verifier);
        let request = request.with_scopes(scopes).with_parameter("resource", resource.as_str());
        let request = match prompt {
            Some(prompt) => request.with_parameter("prompt", prompt),
            None => request,
        };
        safe_url(&self.provider.authorization_url(&request))
    }

    /// Reports whether the response with this `query` has the `state` of this login.
    pub(crate) fn is_answered_by(&self, query: &str) -> bool {
        AuthorizationResponse::parse(query).is_ok_and(|response| response.has_state(&self.state))
    }

    /// Returns the code in the response with this `query`.
    ///
    /// The issuer is compared before anything else of the response is used, an error included
    /// ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)).
    pub(crate) fn code(&self, query: &str) -> Result<SecretString, LoginError> {
        let issuer = || self.provider.issuer().to_string();
        let rejected = |error| LoginError::Response { issuer: issuer(), error };
        let response = AuthorizationResponse::parse(query).map_err(rejected)?;
        self.provider.check_issuer(response.issuer()).map_err(rejected)?;
        response.into_code().map_err(|refusal| LoginError::Refused { issuer: issuer(), refusal })
    }
}

/// Returns `url` as the browser will read it, if it may be opened: `https`, or `http` on loopback. No other scheme may be opened: it could
/// start a program.
fn safe_url(url: &str) -> Result<String, LoginError> {
    let unsafe_url = || LoginError::UnsafeUrl(url.split('?').next().unwrap_or_default().to_owned());
    let parsed = Url::parse(url).map_err(|_| unsafe_url())?;
    let is_loopback = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_allowed = match parsed.scheme() {
        "https" => parsed.host().is_some(),
        "http" => is_loopback,
        _ => false,
    };
    let has_user = !parsed.username().is_empty() || parsed.password().is_some();
    if is_allowed && !has_user { Ok(parsed.into()) } else { Err(unsafe_url()) }
}

/// Adds `offline_access` to the scopes of a login, if the authorization server advertises it; not to an omitted list, for which the server
/// chooses the scopes. MCP, Refresh Tokens.
pub(crate) fn with_offline_access(scopes: ScopeSet, server: &AuthorizationServerMetadata) -> ScopeSet {
    const OFFLINE: &str = "offline_access";
    if scopes.is_empty() || !server.scopes().contains(OFFLINE) {
        return scopes;
    }
    scopes.union(&ScopeSet::new([OFFLINE]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cl_47_only_https_and_http_on_loopback_is_opened() {
        for url in ["https://as.example/authorize?x=1", "http://127.0.0.1:9/a", "http://localhost/a", "http://[::1]/a"]
        {
            assert_eq!(safe_url(url).expect(url), url);
        }
        for url in [
            "http://as.example/authorize",
            "javascript://as.example/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "file://host/share",
            "vbscript:x",
            "ms-msdt:/id",
            "https://user@as.example/a",
            "as.example",
        ] {
            assert!(matches!(safe_url(url), Err(LoginError::UnsafeUrl(_))), "{url}");
        }
        assert_eq!(
            safe_url("https://as.example/a?x=$(id)&y=`id`\"'").expect("URL"),
            "https://as.example/a?x=$(id)&y=`id`%22%27"
        );
    }
}
