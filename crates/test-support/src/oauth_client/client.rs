//! [`OAuthClient`]: its settings, discovery, and the requests that it makes.

use std::fmt;

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::{
    authorization::Authorization,
    call::{Answer, Call, ClientError},
};
use crate::{Browser, Network};

/// An OAuth 2.1 client over a [`Network`], for tests of authorization servers.
///
/// Every request can be changed before it is sent, also in ways that the specification forbids. The client stores no tokens.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use portcullis_test_support::{Browser, IdentityProvider, Network, OAuthClient};
///
/// let provider = IdentityProvider::new();
/// let network = Network::new().with_provider(&provider);
/// let client = OAuthClient::discover(&network, IdentityProvider::ISSUER)
///     .await?
///     .with_client_id(IdentityProvider::CLIENT_ID)
///     .with_secret(IdentityProvider::CLIENT_SECRET);
///
/// let tokens = client.log_in(&mut Browser::new(network), "alice").await?;
/// let refreshed = client.refresh(tokens.refresh_token()).await?;
/// assert_ne!(refreshed.access_token(), tokens.access_token());
///
/// let stolen = client.refresh(refreshed.refresh_token()).without_credentials().with("client_id", "other-client").await?;
/// assert_eq!((stolen.status().as_u16(), stolen.error()), (401, Some("invalid_client")));
/// # Ok::<_, portcullis_test_support::ClientError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct OAuthClient {
    pub(super) network: Network,
    pub(super) metadata: Value,
    client_id: String,
    secret: Option<String>,
    secret_is_in_body: bool,
    redirect_uri: String,
    resource: Option<String>,
    scope: Option<String>,
}

impl OAuthClient {
    /// The default redirect URI. No server listens there.
    pub const REDIRECT_URI: &str = "http://127.0.0.1:33418/callback";

    /// Creates a client that has the metadata of `issuer`, and no client id yet.
    ///
    /// # Errors
    /// [`ClientError`] if there is no metadata, or if it names another issuer.
    pub async fn discover(network: &Network, issuer: &str) -> Result<Self, ClientError> {
        Ok(Self {
            network: network.clone(),
            metadata: fetch_metadata(network, issuer).await?,
            client_id: String::new(),
            secret: None,
            secret_is_in_body: false,
            redirect_uri: Self::REDIRECT_URI.to_owned(),
            resource: None,
            scope: None,
        })
    }

    /// Sets the client id: a registered one, or the URL of a metadata document.
    #[must_use]
    pub fn with_client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.client_id);
        self
    }

    /// Sets a secret, which is sent in the header (`client_secret_basic`).
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self.secret_is_in_body = false;
        self
    }

    /// Sets a secret, which is sent in the body (`client_secret_post`).
    #[must_use]
    pub fn with_secret_in_body(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self.secret_is_in_body = true;
        self
    }

    /// Sets the redirect URI.
    #[must_use]
    pub fn with_redirect_uri(mut self, redirect_uri: &str) -> Self {
        redirect_uri.clone_into(&mut self.redirect_uri);
        self
    }

    /// Requests access to this resource, [RFC 8707](https://www.rfc-editor.org/rfc/rfc8707).
    #[must_use]
    pub fn with_resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Requests `scope`, a list separated by spaces.
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// Returns the metadata of the authorization server.
    #[must_use]
    pub const fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// Returns the client id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the redirect URI.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Returns the registration request of a public client.
    #[must_use]
    pub fn registration(&self) -> Value {
        json!({
            "client_name": "Test client",
            "redirect_uris": [self.redirect_uri],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        })
    }

    /// Registers itself, [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591), and uses the client id and the secret of the response.
    ///
    /// # Errors
    /// [`ClientError`] if there is no response. A rejected registration is a response.
    pub async fn register(&mut self, registration: &Value) -> Result<Answer, ClientError> {
        let answer = Call::new(self.network.clone(), self.endpoint("registration_endpoint"));
        let answer = answer.with_json(registration).await?;
        if let Some(client_id) = answer["client_id"].as_str() {
            client_id.clone_into(&mut self.client_id);
            self.secret = answer["client_secret"].as_str().map(str::to_owned);
            self.secret_is_in_body = answer["token_endpoint_auth_method"] == "client_secret_post";
        }
        Ok(answer)
    }

    /// Creates an authorization request, with PKCE and a `state` of its own.
    ///
    /// # Errors
    /// If there is no authorization endpoint.
    pub fn authorization(&self) -> Result<Authorization, ClientError> {
        let (verifier, state) = (random(""), random(""));
        let endpoint = self.endpoint("authorization_endpoint").map_err(ClientError::NoEndpoint)?;
        let parameters = [
            ("response_type", Some("code")),
            ("client_id", Some(&*self.client_id)),
            ("redirect_uri", Some(&*self.redirect_uri)),
            ("state", Some(&*state)),
            ("code_challenge", Some(&*s256(&verifier))),
            ("code_challenge_method", Some("S256")),
            ("scope", self.scope.as_deref()),
            ("resource", self.resource.as_deref()),
        ];
        let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let (redirect_uri, metadata) = (self.redirect_uri.clone(), self.metadata.clone());
        Ok(Authorization { endpoint, parameters, verifier, state, redirect_uri, metadata })
    }

    /// Redeems the code of `authorization`.
    pub fn redeem(&self, authorization: &Authorization, code: &str) -> Call {
        let call = self.token("authorization_code").with("code", code).with("redirect_uri", &self.redirect_uri);
        self.for_resource(call.with("code_verifier", &authorization.verifier))
    }

    /// Redeems a refresh token.
    pub fn refresh(&self, refresh_token: &str) -> Call {
        self.for_resource(self.token("refresh_token").with("refresh_token", refresh_token))
    }

    /// Redeems an identity assertion ([`IdentityProvider::id_jag`](portcullis_testkit::IdentityProvider::id_jag)),
    /// [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1).
    pub fn redeem_id_jag(&self, id_jag: &str) -> Call {
        self.token("urn:ietf:params:oauth:grant-type:jwt-bearer").with("assertion", id_jag)
    }

    /// Revokes a token, [RFC 7009](https://www.rfc-editor.org/rfc/rfc7009).
    pub fn revoke(&self, token: &str) -> Call {
        self.call("revocation_endpoint").with("token", token)
    }

    /// Introspects a token, [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662).
    pub fn introspect(&self, token: &str) -> Call {
        self.call("introspection_endpoint").with("token", token)
    }

    /// Creates a request to the token endpoint.
    pub fn token(&self, grant_type: &str) -> Call {
        self.call("token_endpoint").with("grant_type", grant_type)
    }

    /// Creates a request to the endpoint that the metadata calls `endpoint`, with the credentials of the client.
    pub fn call(&self, endpoint: &'static str) -> Call {
        let call = Call::new(self.network.clone(), self.endpoint(endpoint));
        match &self.secret {
            Some(secret) if !self.secret_is_in_body => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.client_id), encode(secret));
                call.with_header("authorization", &format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
            secret => {
                let call = call.with("client_id", &self.client_id);
                secret.iter().fold(call, |call, secret| call.with("client_secret", secret))
            }
        }
    }

    fn for_resource(&self, call: Call) -> Call {
        self.resource.iter().fold(call, |call, resource| call.with("resource", resource))
    }

    fn endpoint(&self, name: &'static str) -> Result<String, &'static str> {
        self.metadata[name].as_str().map(str::to_owned).ok_or(name)
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient")
            .field("issuer", &self.metadata["issuer"])
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}

/// Returns the challenge for a verifier, [RFC 7636 section 4.2](https://www.rfc-editor.org/rfc/rfc7636#section-4.2).
fn s256(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Returns a value that cannot be guessed.
fn random(prefix: &str) -> String {
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// Fetches the metadata of `issuer`, from where [RFC 8414 section 3](https://www.rfc-editor.org/rfc/rfc8414#section-3) says, else from
/// where OpenID Connect Discovery does.
async fn fetch_metadata(network: &Network, issuer: &str) -> Result<Value, ClientError> {
    let url = Url::parse(issuer).map_err(|_| ClientError::NotAUrl(issuer.to_owned()))?;
    let path = url.path().trim_end_matches('/');
    let by_rfc_8414 = format!("{}/.well-known/oauth-authorization-server{path}", url.origin().ascii_serialization());
    let by_openid = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let mut status = 0;
    for url in [by_rfc_8414, by_openid] {
        let request = Request::get(&url).header("accept", "application/json").body(Bytes::new());
        let answer = Answer::new(network.send(request.map_err(|_| ClientError::NotAUrl(url))?).await?);
        if answer["issuer"] == issuer {
            return Ok(answer.json().clone());
        }
        status = answer.status().as_u16();
    }
    Err(ClientError::NoMetadata { issuer: issuer.to_owned(), status })
}

impl OAuthClient {
    /// Logs `user` in with their browser and consents ([`Browser::log_in`]), and redeems the code.
    ///
    /// # Errors
    /// [`ClientError`] if there is no code. A rejected code is a response.
    pub async fn log_in(&self, browser: &mut Browser, user: &str) -> Result<Answer, ClientError> {
        let authorization = self.authorization()?;
        browser.stop_at(self.redirect_uri());
        let callback = browser.log_in(&authorization.url(), user).await?.left()?;
        self.redeem(&authorization, &authorization.code(&callback)?).await
    }
}
