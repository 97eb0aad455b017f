//! The requests to a token endpoint: a code is redeemed, a refresh token presented.

use bytes::Bytes;
use http::Request;
use secrecy::{ExposeSecret, SecretString};

use super::{Provider, vendor::TokenFormat};
use crate::{ClientAuthentication, CodeVerifier};

impl Provider {
    /// A request for the tokens behind an authorization code, which came to `redirect_uri`.
    ///
    /// [RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3), with the verifier of PKCE and the secret.
    #[must_use]
    pub fn code_request(
        &self,
        client: &ClientAuthentication,
        code: &SecretString,
        redirect_uri: &str,
        verifier: &CodeVerifier,
    ) -> Request<Bytes> {
        self.token_request(
            client,
            &[
                ("grant_type", "authorization_code"),
                ("code", code.expose_secret()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier.secret().expose_secret()),
            ],
        )
    }

    /// A request for the next tokens.
    ///
    /// It never names scopes: what was granted stays granted, and some providers take any list of scopes for a narrower grant.
    /// [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)
    #[must_use]
    pub fn refresh_request(&self, client: &ClientAuthentication, refresh_token: &SecretString) -> Request<Bytes> {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        self.token_request(client, &fields)
    }

    fn token_request(&self, client: &ClientAuthentication, fields: &[(&str, &str)]) -> Request<Bytes> {
        let endpoint = self.token_endpoint();
        match self.vendor.token_format {
            TokenFormat::Form => client.form_request(endpoint, fields),
            TokenFormat::FormWithSecret => client.post_request(endpoint, fields),
            TokenFormat::Json => client.json_request(endpoint, fields),
        }
    }
}
