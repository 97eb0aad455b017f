//! [`ClientAuthentication`]: the client authentication of this server at a provider.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use portcullis_core::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{
    jwt::SigningKey,
    providers::{ClientCredentials, TokenFormat},
};

/// The client authentication of this server at an authorization server: a client id and a secret, or the id alone.
///
/// Its `Debug` output is redacted.
/// [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
#[derive(Clone, Debug)]
pub struct ClientAuthentication {
    client_id: Box<str>,
    credentials: Credentials,
}

#[derive(Clone, Debug)]
enum Credentials {
    Header(SecretString),
    Body(SecretString),
    Assertion(SecretString),
    None,
}

impl ClientAuthentication {
    /// Creates `client_secret_basic`: credentials in the header `Authorization`. Every authorization server must support it.
    #[must_use]
    pub fn basic(client_id: &str, client_secret: SecretString) -> Self {
        Self { client_id: client_id.into(), credentials: Credentials::Header(client_secret) }
    }

    /// Creates `client_secret_post`: credentials in the form, for authorization servers that do not read the header.
    #[must_use]
    pub fn post(client_id: &str, client_secret: SecretString) -> Self {
        Self { client_id: client_id.into(), credentials: Credentials::Body(client_secret) }
    }

    /// Creates `none`: the id in the form and no secret, as a public client. Authorization codes are then protected by PKCE alone, and
    /// refresh tokens are not bound to the client.
    ///
    /// It is for providers without client secrets, and only for endpoints that do not require one; those of GitHub do.
    /// [RFC 6749 section 2.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.1)
    #[must_use]
    pub fn public(client_id: &str) -> Self {
        Self { client_id: client_id.into(), credentials: Credentials::None }
    }

    /// Creates a client that presents `assertion`, a JWT that the authorization server trusts, such as that of a workload.
    /// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
    #[must_use]
    pub fn assertion(client_id: &str, assertion: SecretString) -> Self {
        Self { client_id: client_id.into(), credentials: Credentials::Assertion(assertion) }
    }

    /// Creates `private_key_jwt` for one request at the time `now`: an [assertion](Self::assertion) about itself that the client signs with
    /// its `key`, for one minute.
    ///
    /// `audience` is the issuer of the authorization server, as the successor of RFC 7523 requires: a token endpoint that another server's
    /// metadata names could present the assertion elsewhere. `typ` is the type in its header, `JWT` or `client-authentication+jwt`; `jti` is
    /// random.
    /// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3), draft-ietf-oauth-rfc7523bis.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn private_key_jwt(
        client_id: &str,
        key: &SigningKey,
        (typ, audience): (&str, &str),
        jti: &str,
        now: UnixTime,
    ) -> Self {
        let (iat, exp) = (now.as_secs(), now.as_secs() + 60);
        let claims = json!({"iss": client_id, "sub": client_id, "aud": audience, "jti": jti, "iat": iat, "nbf": iat, "exp": exp});
        Self::assertion(client_id, key.sign(typ, &claims))
    }

    /// Returns the client id of this server at the provider.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the name of the method, as in `token_endpoint_auth_methods_supported`.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        match self.credentials {
            Credentials::Header(_) => "client_secret_basic",
            Credentials::Body(_) => "client_secret_post",
            Credentials::Assertion(_) => "private_key_jwt",
            Credentials::None => "none",
        }
    }

    /// Creates an authenticated request to `endpoint` with `fields` in `format`, and the credentials where `place` says.
    pub(crate) fn request(
        &self,
        endpoint: &Uri,
        fields: &[(&str, &str)],
        format: TokenFormat,
        place: ClientCredentials,
    ) -> Request<Bytes> {
        match (format, place, &self.credentials) {
            (TokenFormat::Form, ClientCredentials::ByMethod, _) => self.form_request(endpoint, fields),
            (TokenFormat::Form, ClientCredentials::InBody, _) => self.post_request(endpoint, fields),
            (TokenFormat::Json, ClientCredentials::ByMethod, Credentials::Header(_)) => {
                let mut request = json_post(endpoint, fields);
                request.headers_mut().insert(header::AUTHORIZATION, self.basic_credentials());
                request
            }
            (TokenFormat::Json, ..) => json_post(endpoint, &self.among(fields)),
        }
    }

    /// Creates an authenticated request to `endpoint` with a form of `fields`.
    pub(crate) fn form_request(&self, endpoint: &Uri, fields: &[(&str, &str)]) -> Request<Bytes> {
        match self.credentials {
            Credentials::Body(_) | Credentials::Assertion(_) | Credentials::None => self.post_request(endpoint, fields),
            Credentials::Header(_) => {
                let mut request = form_post(endpoint, fields);
                request.headers_mut().insert(header::AUTHORIZATION, self.basic_credentials());
                request
            }
        }
    }

    /// Creates a request with a form of `fields` for an `endpoint` that reads id and secret from the form only.
    pub(crate) fn post_request(&self, endpoint: &Uri, fields: &[(&str, &str)]) -> Request<Bytes> {
        form_post(endpoint, &self.among(fields))
    }

    fn among<'a>(&'a self, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let secret = self.secret().map(|secret| ("client_secret", secret));
        let assertion = match &self.credentials {
            Credentials::Assertion(assertion) => {
                Some([("client_assertion_type", TYPE), ("client_assertion", assertion.expose_secret())])
            }
            Credentials::Header(_) | Credentials::Body(_) | Credentials::None => None,
        };
        let fields = fields.iter().copied().chain([("client_id", &*self.client_id)]);
        fields.chain(secret).chain(assertion.into_iter().flatten()).collect()
    }

    /// Reports whether requests are authenticated with a secret, in a header or in the body.
    #[must_use]
    pub const fn has_secret(&self) -> bool {
        matches!(self.credentials, Credentials::Header(_) | Credentials::Body(_))
    }

    fn secret(&self) -> Option<&str> {
        match &self.credentials {
            Credentials::Header(secret) | Credentials::Body(secret) => Some(secret.expose_secret()),
            Credentials::Assertion(_) | Credentials::None => None,
        }
    }

    /// Returns the credentials of the scheme `Basic`. Id and secret are form-encoded first; a missing secret is empty.
    pub(crate) fn basic_credentials(&self) -> HeaderValue {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&self.client_id), encode(self.secret().unwrap_or_default()));
        let mut text = String::from("Basic ");
        BASE64_STANDARD.encode_string(pair, &mut text);
        let mut credentials = HeaderValue::try_from(text).expect("base64 is visible ASCII");
        credentials.set_sensitive(true);
        credentials
    }
}

/// Creates a request to `endpoint` with a form of `fields`, without client authentication.
pub(crate) fn form_post(endpoint: &Uri, fields: &[(&str, &str)]) -> Request<Bytes> {
    // Large enough for every character to be encoded: a buffer that grows leaves copies of secrets behind.
    let longest = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let form = form_urlencoded::Serializer::new(String::with_capacity(longest)).extend_pairs(fields).finish();
    post(endpoint, "application/x-www-form-urlencoded", form)
}

/// Creates a request to `endpoint` with a JSON object of `fields`, without client authentication.
fn json_post(endpoint: &Uri, fields: &[(&str, &str)]) -> Request<Bytes> {
    let members: serde_json::Map<_, _> = fields.iter().map(|&(name, text)| (name.to_owned(), text.into())).collect();
    post(endpoint, "application/json", serde_json::Value::from(members).to_string())
}

fn post(endpoint: &Uri, content_type: &'static str, body: String) -> Request<Bytes> {
    // Wiped when the last copy of the request is dropped.
    let mut request = Request::new(Bytes::from_owner(Zeroizing::new(body.into_bytes())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.clone();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn body(request: &Request<Bytes>) -> &str {
        std::str::from_utf8(request.body()).expect("form")
    }

    #[test]
    fn basic_form_encodes_id_and_secret_before_base64() {
        let client = ClientAuthentication::basic("my client", "p:ä%+".into());
        let request = client.form_request(&Uri::from_static("https://idp.example/x"), &[("token", "a+b/c=")]);
        let credentials = &request.headers()["authorization"];
        let expected = BASE64_STANDARD.encode("my+client:p%3A%C3%A4%25%2B");
        assert_eq!(credentials.to_str().ok(), Some(format!("Basic {expected}").as_str()));
        assert!(credentials.is_sensitive());
        assert_eq!(body(&request), "token=a%2Bb%2Fc%3D");
    }

    #[test]
    fn post_puts_both_into_the_form_and_nothing_into_a_header() {
        let client = ClientAuthentication::post("c", "s&x".into());
        let request = client.form_request(&Uri::from_static("https://idp.example/x"), &[("token", "t")]);
        assert_eq!(body(&request), "token=t&client_id=c&client_secret=s%26x");
        assert!(!request.headers().contains_key("authorization"));
    }

    #[test]
    fn a_public_client_sends_its_id_only() {
        let (client, endpoint) = (ClientAuthentication::public("c"), Uri::from_static("https://idp.example/x"));
        for request in
            [client.form_request(&endpoint, &[("token", "t")]), client.post_request(&endpoint, &[("token", "t")])]
        {
            assert_eq!(body(&request), "token=t&client_id=c");
            assert!(!request.headers().contains_key("authorization"));
        }
        let json = client.request(&endpoint, &[("token", "t")], TokenFormat::Json, ClientCredentials::ByMethod);
        assert_eq!(body(&json), r#"{"client_id":"c","token":"t"}"#);
    }

    #[test]
    fn an_assertion_is_in_the_form_and_names_client_and_issuer() {
        let (key, endpoint) = (SigningKey::generate(), Uri::from_static("https://idp.example/x"));
        let place = ("JWT", "https://idp.example");
        let client = ClientAuthentication::private_key_jwt("c", &key, place, "1", UnixTime::from_secs(100));
        let request = client.form_request(&endpoint, &[("token", "t")]);
        let (fields, jwt) = body(&request).rsplit_once('=').expect("fields");
        let type_ = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert_eq!(fields, format!("token=t&client_id=c&client_assertion_type={type_}&client_assertion"));
        let claims = jwt.split('.').nth(1).and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: serde_json::Value = serde_json::from_slice(&claims.expect("claims")).expect("JSON");
        let expected = json!({
            "iss": "c", "sub": "c", "aud": "https://idp.example", "jti": "1", "iat": 100, "nbf": 100, "exp": 160,
        });
        assert_eq!(claims, expected);
        assert_eq!((client.method(), client.has_secret()), ("private_key_jwt", false));
        assert!(!format!("{client:?}").contains(jwt));
    }

    #[test]
    fn the_secret_does_not_print() {
        let client = ClientAuthentication::basic("c", "hush".into());
        assert!(!format!("{client:?}").contains("hush"));
    }
}
