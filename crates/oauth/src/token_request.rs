//! [`TokenRequest`]: the parameters of a request to a token endpoint, for each grant type; and the URIs of [token types](token_type).

use std::fmt;

use portcullis_core::{Fingerprint, ResourceUri, ScopeSet};
use secrecy::{ExposeSecret as _, SecretString};

use crate::CodeVerifier;

/// The parameters of a request to a token endpoint: the grant type, what it presents, and what is asked for.
///
/// [`Provider::grant_request`](crate::providers::Provider::grant_request) makes the HTTP request of it, with the client authentication.
/// Its `Debug` output has the names of the parameters only.
///
/// ```
/// use http::Uri;
/// use portcullis_core::{Issuer, ResourceUri, ScopeSet};
/// use portcullis_oauth::{ClientAuthentication, TokenRequest, providers::Provider};
///
/// let url = Uri::from_static("https://as.example.com/token");
/// let server = Provider::oidc_at(Issuer::new("https://as.example.com")?, url.clone(), url);
/// let request = TokenRequest::client_credentials()
///     .with_scopes(&ScopeSet::parse("mcp:read")?)
///     .with_resource(&ResourceUri::new("https://mcp.example.com/mcp")?);
/// let request = server.grant_request(&ClientAuthentication::public("nightly"), &request);
/// assert_eq!(
///     request.body(),
///     "grant_type=client_credentials&scope=mcp%3Aread&resource=https%3A%2F%2Fmcp.example.com%2Fmcp&client_id=nightly",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenRequest {
    parameters: Vec<(&'static str, SecretString)>,
    /// The index of the credential among the parameters.
    presented: Option<usize>,
}

/// The URIs of token types. [RFC 8693 section 3](https://www.rfc-editor.org/rfc/rfc8693#section-3)
pub mod token_type {
    /// An access token of the server that is asked.
    pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
    /// A refresh token of the server that is asked.
    pub const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// An ID token.
    pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
    /// Any other JWT.
    pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
    /// An assertion of SAML 2.0 in base64url.
    pub const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
    /// An Identity Assertion JWT Authorization Grant (draft-ietf-oauth-identity-assertion-authz-grant).
    pub const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
}

impl TokenRequest {
    /// Creates the request that redeems an authorization code, which was returned to `redirect_uri`.
    /// [RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3)
    #[must_use]
    pub fn authorization_code(code: &SecretString, redirect_uri: &str) -> Self {
        Self::of("authorization_code").presenting("code", code).with_parameter("redirect_uri", redirect_uri)
    }

    /// Creates the request that presents a refresh token. Without scopes, which is the rule, those of the grant remain.
    /// [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)
    #[must_use]
    pub fn refresh_token(refresh_token: &SecretString) -> Self {
        Self::of("refresh_token").presenting("refresh_token", refresh_token)
    }

    /// Creates the request of a client on its own behalf.
    /// [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)
    #[must_use]
    pub fn client_credentials() -> Self {
        Self::of("client_credentials")
    }

    /// Creates the request that presents a JWT of an issuer that the authorization server trusts.
    /// [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)
    #[must_use]
    pub fn jwt_bearer(assertion: &SecretString) -> Self {
        Self::of("urn:ietf:params:oauth:grant-type:jwt-bearer").presenting("assertion", assertion)
    }

    /// Creates the request that exchanges `subject`, a token of the [type](token_type) `subject_type` that names the user.
    /// [RFC 8693 section 2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)
    #[must_use]
    pub fn token_exchange(subject: &SecretString, subject_type: &str) -> Self {
        Self::of("urn:ietf:params:oauth:grant-type:token-exchange")
            .presenting("subject_token", subject)
            .with_parameter("subject_token_type", subject_type)
    }

    /// Adds a token of the party that acts for the user, of the [type](token_type) `actor_type`.
    #[must_use]
    pub fn with_actor(mut self, actor: &SecretString, actor_type: &str) -> Self {
        self.parameters.push(("actor_token", actor.clone()));
        self.with_parameter("actor_token_type", actor_type)
    }

    /// Adds the PKCE verifier of an authorization code.
    #[must_use]
    pub fn with_verifier(mut self, verifier: &CodeVerifier) -> Self {
        self.parameters.push(("code_verifier", verifier.secret().clone()));
        self
    }

    /// Adds the scopes that are asked for; none if they are empty.
    #[must_use]
    pub fn with_scopes(self, scopes: &ScopeSet) -> Self {
        if scopes.is_empty() { self } else { self.with_parameter("scope", &scopes.to_string()) }
    }

    /// Adds the resource that the token is for, byte for byte. [RFC 8707 section 2.2](https://www.rfc-editor.org/rfc/rfc8707#section-2.2)
    #[must_use]
    pub fn with_resource(self, resource: &ResourceUri) -> Self {
        self.with_parameter("resource", resource.as_str())
    }

    /// Adds a parameter, such as the `audience` or the `requested_token_type` of a token exchange.
    #[must_use]
    pub fn with_parameter(mut self, name: &'static str, value: &str) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    /// Returns the hash of the credential that is presented; `None` if the client presents only itself.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let (_, credential) = self.parameters.get(self.presented?)?;
        Some(Fingerprint::of_credential(credential.expose_secret()))
    }

    /// Returns the names and values.
    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        self.parameters.iter().map(|(name, value)| (*name, value.expose_secret())).collect()
    }

    fn of(grant_type: &str) -> Self {
        Self { parameters: vec![("grant_type", grant_type.into())], presented: None }
    }

    fn presenting(mut self, name: &'static str, credential: &SecretString) -> Self {
        self.presented = Some(self.parameters.len());
        self.parameters.push((name, credential.clone()));
        self
    }
}

/// Prints the names only.
impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.parameters.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grant_type_names_its_credential_and_prints_none() {
        let secret = SecretString::from("hush");
        for (request, fields) in [
            (
                TokenRequest::authorization_code(&secret, "http://127.0.0.1/cb"),
                "code=hush redirect_uri=http://127.0.0.1/cb",
            ),
            (TokenRequest::refresh_token(&secret), "refresh_token=hush"),
            (TokenRequest::jwt_bearer(&secret), "assertion=hush"),
            (
                TokenRequest::token_exchange(&secret, "t").with_actor(&"agent".into(), "u"),
                "subject_token=hush subject_token_type=t actor_token=agent actor_token_type=u",
            ),
        ] {
            let found: Vec<_> = request.fields()[1..].iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(found.join(" "), fields);
            assert_eq!(request.fingerprint(), Some(Fingerprint::of_credential("hush")));
            assert!(!format!("{request:?}").contains("hush"));
        }
        assert_eq!(TokenRequest::client_credentials().fingerprint(), None);
        assert_eq!(TokenRequest::client_credentials().with_scopes(&ScopeSet::default()).fields().len(), 1);
    }
}
