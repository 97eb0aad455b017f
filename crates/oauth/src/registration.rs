//! Dynamic client registration and client ID metadata documents: how a client describes itself to an authorization server.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use portcullis_core::UnixTime;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use url::{Host, Url};

use crate::{
    ProtocolError,
    jwt::PublicJwk,
    providers::token_error::loggable_description,
    response::{client_refused, error_code, error_members, failure},
};

/// How a client describes itself: its name and its redirect URIs.
///
/// It is sent to a registration endpoint ([RFC 7591 section 2](https://www.rfc-editor.org/rfc/rfc7591#section-2)), or published as a
/// [client ID metadata document](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/).
///
/// ```
/// use portcullis_oauth::registration::{ClientDocumentUrl, ClientMetadata};
///
/// let client = ClientMetadata::new("My client").with_redirect_uri("http://127.0.0.1/callback");
/// let url = ClientDocumentUrl::new("https://app.example.com/client.json")?;
/// let document: serde_json::Value = serde_json::from_slice(&client.to_document(&url))?;
/// assert_eq!(document["client_id"], "https://app.example.com/client.json");
/// assert_eq!(document["application_type"], "native");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct ClientMetadata {
    name: Box<str>,
    redirect_uris: Vec<Box<str>>,
    uri: Option<Box<str>>,
    keys: Vec<Value>,
}

impl ClientMetadata {
    /// Creates the metadata of a client that users know as `name`.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), redirect_uris: Vec::new(), uri: None, keys: Vec::new() }
    }

    /// Adds a redirect URI.
    pub fn with_redirect_uri(mut self, redirect_uri: &str) -> Self {
        self.redirect_uris.push(redirect_uri.into());
        self
    }

    /// Sets the home page of the client.
    pub fn with_uri(mut self, uri: &str) -> Self {
        self.uri = Some(uri.into());
        self
    }

    /// Adds a public key to the [document](Self::to_document): the client signs assertions with the private one (`private_key_jwt`).
    /// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
    ///
    /// # Panics
    /// If the key cannot be written as JSON.
    pub fn with_key(mut self, key: &PublicJwk) -> Self {
        self.keys.push(serde_json::to_value(key).expect("a public key is JSON"));
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the redirect URIs.
    #[must_use]
    pub fn redirect_uris(&self) -> &[Box<str>] {
        &self.redirect_uris
    }

    /// Serializes the document to publish at `url`, as `application/json`: of a client that has no secret, and may have a
    /// [key](Self::with_key).
    #[must_use]
    pub fn to_document(&self, url: &ClientDocumentUrl) -> Bytes {
        let mut members = self.members(if self.keys.is_empty() { "none" } else { "private_key_jwt" });
        if !self.keys.is_empty() {
            members.insert("jwks".into(), json!({"keys": self.keys}));
        }
        members.insert("client_id".into(), url.as_str().into());
        Value::Object(members).to_string().into()
    }

    /// Creates the request that registers this client at `endpoint`, with the client authentication `method` for the token endpoint.
    #[must_use]
    pub fn registration_request(&self, endpoint: &Uri, method: &str) -> Request<Bytes> {
        let mut request = Request::new(Value::Object(self.members(method)).to_string().into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.clone();
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            request.headers_mut().insert(name, HeaderValue::from_static("application/json"));
        }
        request
    }

    fn members(&self, method: &str) -> Map<String, Value> {
        let is_native = self.redirect_uris.iter().all(|uri| is_on_this_machine(uri));
        let mut members = Map::new();
        members.insert("client_name".into(), self.name.as_ref().into());
        members.insert("redirect_uris".into(), Value::from_iter(self.redirect_uris.iter().map(AsRef::as_ref)));
        members.insert("application_type".into(), if is_native { "native" } else { "web" }.into());
        members.insert("grant_types".into(), json!(["authorization_code", "refresh_token"]));
        members.insert("response_types".into(), json!(["code"]));
        members.insert("token_endpoint_auth_method".into(), method.into());
        if let Some(uri) = &self.uri {
            members.insert("client_uri".into(), uri.as_ref().into());
        }
        members
    }
}

/// Reports whether the application at `redirect_uri` runs on the machine of the user: on loopback, or behind a private scheme.
fn is_on_this_machine(redirect_uri: &str) -> bool {
    let Ok(url) = Url::parse(redirect_uri) else { return false };
    match url.host() {
        _ if !["http", "https"].contains(&url.scheme()) => true,
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The URL of a client ID metadata document, which is the client id.
///
/// An `https` URL with a path, without fragment, user name and dot segments; it is never normalized.
/// [Client ID Metadata Document section 3](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-client-id-metadata-document#section-3)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientDocumentUrl(Box<str>);

/// The error of a text that is not a [`ClientDocumentUrl`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the URL of a client ID metadata document must be https, with a path, without fragment, user name and dot segments: {0:?}"
)]
#[non_exhaustive]
pub struct InvalidClientDocumentUrl(pub String);

impl ClientDocumentUrl {
    /// Parses the URL.
    ///
    /// # Errors
    /// [`InvalidClientDocumentUrl`].
    pub fn new(text: &str) -> Result<Self, InvalidClientDocumentUrl> {
        let invalid = || InvalidClientDocumentUrl(text.to_owned());
        let url = Url::parse(text).map_err(|_| invalid())?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_plain = url.scheme() == "https" && url.path() != "/" && url.fragment().is_none() && !has_user;
        // Dot segments, capital letters in the host and the like: the parser would write another URL.
        if is_plain && url.as_str() == text { Ok(Self(text.into())) } else { Err(invalid()) }
    }

    /// Returns the URL, which is the client id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The response of a registration endpoint: a client. `Debug` prints no secret.
///
/// [RFC 7591 section 3.2.1](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.1)
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistrationResponse {
    /// The client id.
    pub client_id: String,
    /// The secret, if the client has one.
    pub client_secret: Option<SecretString>,
    /// When the secret expires, if it does.
    pub client_secret_expires_at: Option<UnixTime>,
    /// The client authentication method for the token endpoint, if the response states it.
    pub client_authentication_method: Option<String>,
}

/// Why there is no client after a registration request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The server refuses to register this client: the code and the description say why, such as `invalid_redirect_uri`.
    #[error("the registration of the client was refused: {code} {description:?}")]
    Refused {
        /// The error code.
        code: String,
        /// The description, if it is safe to log.
        description: Option<String>,
    },
    /// There is no usable response.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Processes the response to a [registration request](ClientMetadata::registration_request).
///
/// # Errors
/// [`RegistrationError`].
pub fn process(response: &Response<Bytes>) -> Result<RegistrationResponse, RegistrationError> {
    if let Some(failure) = failure(response) {
        return Err(failure.into());
    }
    let status = response.status();
    let members = error_members(response);
    if status != StatusCode::CREATED && status != StatusCode::OK {
        let description = members.as_ref().and_then(|members| members.get("error_description")?.as_str());
        return Err(match error_code(response) {
            Some(code) => RegistrationError::Refused {
                code,
                description: description.and_then(|text| loggable_description(text.to_owned())),
            },
            None if status.is_client_error() => client_refused(response).into(),
            None => ProtocolError::UnexpectedStatus(status).into(),
        });
    }
    let members = members.ok_or(ProtocolError::NotJson { content_type: None })?;
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    let expires_at = members.get("client_secret_expires_at").and_then(Value::as_u64).filter(|seconds| *seconds != 0);
    Ok(RegistrationResponse {
        client_id: text("client_id").ok_or(ProtocolError::InvalidMember("client_id"))?.to_owned(),
        client_secret: text("client_secret").map(SecretString::from),
        client_secret_expires_at: expires_at.map(UnixTime::from_secs),
        client_authentication_method: text("token_endpoint_auth_method").map(str::to_owned),
    })
}

impl fmt::Display for ClientDocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::SigningKey;

    fn members(client: &ClientMetadata) -> Value {
        let request = client.registration_request(&Uri::from_static("https://as.example/register"), "none");
        serde_json::from_slice(request.body()).expect("JSON")
    }

    #[test]
    fn cl_12_the_client_id_is_an_https_url_with_a_path_and_nothing_that_is_normalized() {
        for text in ["https://app.example/client.json", "https://app.example/c?v=1", "https://app.example:8443/c/"] {
            assert_eq!(ClientDocumentUrl::new(text).expect(text).as_str(), text);
        }
        for text in [
            "http://app.example/client.json",
            "http://127.0.0.1/client.json",
            "https://app.example",
            "https://app.example/",
            "https://app.example/c#x",
            "https://user@app.example/c",
            "https://app.example/a/../c",
            "https://App.example/c",
            "https://app.example:443/c",
            "app",
        ] {
            assert!(ClientDocumentUrl::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cl_12_the_document_has_the_url_the_name_and_the_redirect_uris() {
        let url = ClientDocumentUrl::new("https://app.example/client.json").expect("URL");
        let client = ClientMetadata::new("My client").with_redirect_uri("http://127.0.0.1/callback");
        let document: Value = serde_json::from_slice(&client.to_document(&url)).expect("JSON");
        assert_eq!(document["client_id"], url.as_str());
        assert_eq!(document["client_name"], "My client");
        assert_eq!(document["redirect_uris"], json!(["http://127.0.0.1/callback"]));
        assert!(document.get("client_secret").is_none());
        assert_eq!((&document["token_endpoint_auth_method"], document.get("jwks")), (&json!("none"), None));
    }

    #[test]
    fn cl_13_the_document_of_a_client_with_a_key_has_the_public_key() {
        let url = ClientDocumentUrl::new("https://app.example/client.json").expect("URL");
        let key = SigningKey::generate();
        let client = ClientMetadata::new("My client").with_key(key.jwk());
        let document: Value = serde_json::from_slice(&client.to_document(&url)).expect("JSON");
        assert_eq!(document["token_endpoint_auth_method"], "private_key_jwt");
        assert_eq!(document["jwks"]["keys"][0]["kid"], key.jwk().id());
        assert!(document["jwks"]["keys"][0].get("d").is_none(), "no private part");
    }

    #[test]
    fn cl_18_an_application_on_the_users_machine_is_native_and_any_other_one_is_web() {
        for (uri, kind) in [
            ("http://127.0.0.1:49152/callback", "native"),
            ("http://localhost/callback", "native"),
            ("http://[::1]/callback", "native"),
            ("com.example.app:/callback", "native"),
            ("https://app.example/callback", "web"),
            ("https://localhost.example/callback", "web"),
        ] {
            assert_eq!(members(&ClientMetadata::new("c").with_redirect_uri(uri))["application_type"], kind, "{uri}");
        }
    }

    #[test]
    fn cl_36_a_client_states_that_it_wants_refresh_tokens() {
        assert_eq!(members(&ClientMetadata::new("c"))["grant_types"], json!(["authorization_code", "refresh_token"]));
    }

    #[test]
    fn a_response_is_a_client_or_says_why_there_is_none() {
        let read = |status: u16, body: &'static str| {
            process(&Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).expect("response"))
        };
        let body = r#"{"client_id":"c","client_secret":"hush","client_secret_expires_at":9}"#;
        let client = read(201, body).expect("a client");
        assert_eq!((client.client_id.as_str(), client.client_secret_expires_at), ("c", Some(UnixTime::from_secs(9))));
        assert!(!format!("{client:?}").contains("hush"));
        let public = read(200, r#"{"client_id":"c","client_secret_expires_at":0,"token_endpoint_auth_method":"none"}"#);
        let public = public.expect("a client");
        assert!(public.client_secret.is_none() && public.client_secret_expires_at.is_none());
        assert_eq!(public.client_authentication_method.as_deref(), Some("none"));

        let refused = read(400, r#"{"error":"invalid_redirect_uri","error_description":"no loopback here"}"#);
        assert_eq!(
            refused.expect_err("refused").to_string(),
            r#"the registration of the client was refused: invalid_redirect_uri Some("no loopback here")"#
        );
        assert!(matches!(read(503, ""), Err(RegistrationError::Protocol(ProtocolError::ServerError { .. }))));
        assert!(matches!(read(403, "no"), Err(RegistrationError::Protocol(ProtocolError::ClientRefused { .. }))));
        assert!(matches!(read(201, "{}"), Err(RegistrationError::Protocol(ProtocolError::InvalidMember("client_id")))));
        assert!(matches!(read(302, ""), Err(RegistrationError::Protocol(ProtocolError::UnexpectedStatus(_)))));
    }
}
