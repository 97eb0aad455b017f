//! Token requests and responses: a code is redeemed, or a refresh token presented.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portcullis_core::{BearerToken, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{Provider, vendor::TokenFormat};
use crate::{Claims, ClientAuthentication, CodeVerifier, ProtocolError, jwt::UnverifiedJwt, response::json_object};

/// The maximum length of a token that is parsed, in bytes: it comes from the provider itself.
const MAX_LEN: usize = 64 * 1024;

type Members = Map<String, Value>;

impl Provider {
    /// Returns the request that redeems an authorization code, which was returned to `redirect_uri`.
    ///
    /// [RFC 6749 section 4.1.3](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3), with the PKCE verifier and the client's secret.
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

    /// Returns the request that presents a refresh token.
    ///
    /// It never names scopes: without them the scope of the grant remains, and some providers take any list for a narrower grant.
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

    /// Returns the tokens in `response`, which was received at `now`.
    ///
    /// The expiry of the access token is what the response says (`expires_in`), else what the token says if it is a JWT (`exp`), else
    /// unknown. The ID token is **not** verified.
    ///
    /// # Errors
    /// [`ProtocolError::GrantRefused`] if the provider rejects the code or refresh token; [`ProtocolError::ClientRefused`] if it rejects
    /// this server or the request; [`ProtocolError::UnknownRefusal`] if it does not say which; [`ProtocolError::RateLimited`] and
    /// [`ProtocolError::ServerError`] if a later request may succeed; others if the response cannot be understood, or the token's type is
    /// not `Bearer`.
    pub fn process_token(&self, response: &Response<Bytes>, now: UnixTime) -> Result<TokenResponse, ProtocolError> {
        if let Some(error) = self.token_error(response) {
            return Err(error);
        }
        let members = json_object(response)?;
        // Required by RFC 6749. Some providers omit it, and then mean a bearer token.
        let token_type = text(&members, "token_type")?.unwrap_or("Bearer");
        if !token_type.eq_ignore_ascii_case("Bearer") {
            return Err(ProtocolError::InvalidMember("token_type"));
        }
        let access_token = text(&members, "access_token")?.and_then(|text| BearerToken::issued(text).ok());
        let access_token = access_token.ok_or(ProtocolError::InvalidMember("access_token"))?;
        let mut tokens = TokenResponse::new(access_token);
        tokens.expires_in = lifetime(&members, "expires_in");
        if tokens.expires_in.is_none() {
            tokens.expires_at = unverified_expiry(&tokens.access_token).filter(|expires_at| *expires_at > now);
        }
        tokens.refresh_token = text(&members, "refresh_token")?.map(SecretString::from);
        tokens.refresh_expires_in = lifetime(&members, self.vendor.refresh_lifetime_member);
        tokens.id_token = text(&members, "id_token")?.map(SecretString::from);
        // An empty list means that nothing was granted, except for tokens whose rights are no scopes.
        let says_nothing = |scopes: &ScopeSet| scopes.is_empty() && (self.vendor.has_no_scopes)(&tokens.access_token);
        let scopes = members.get("scope").and_then(Value::as_str).map(|text| self.scopes(text));
        tokens.scopes = scopes.filter(|scopes| !says_nothing(scopes));
        let extra = self.vendor.extra_members.iter().filter_map(|name| members.get_key_value(*name));
        tokens.further = extra.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(tokens)
    }

    /// Returns the scopes in a list. A name with characters that a scope cannot have is dropped: no request could use it.
    fn scopes(&self, text: &str) -> ScopeSet {
        let names = text.split([' ', self.vendor.scope_separator]);
        let valid = names.filter_map(|name| ScopeSet::new([name]).ok());
        valid.fold(ScopeSet::default(), |all, scope| all.union(&scope))
    }
}

/// Returns a member that is a string. Empty and null count as absent.
fn text<'a>(members: &'a Members, name: &'static str) -> Result<Option<&'a str>, ProtocolError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
        Some(_) => Err(ProtocolError::InvalidMember(name)),
    }
}

/// Returns a number of seconds; some providers write it as a string. A value that is not positive counts as unknown: the token in a
/// response has not expired.
fn lifetime(members: &Members, name: &str) -> Option<Duration> {
    let value = members.get(name)?;
    let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|lifetime| !lifetime.is_zero())
}

fn unverified_expiry(token: &BearerToken) -> Option<UnixTime> {
    unverified_claims(token)?.expires_at().ok()?
}

/// Returns the claims of a token that is a JWT. They are **not** verified: the caller has the token from the provider itself.
pub(super) fn unverified_claims(token: &BearerToken) -> Option<Claims> {
    let jwt = UnverifiedJwt::is_likely(token).then(|| UnverifiedJwt::parse(token, MAX_LEN))?;
    jwt.ok().map(UnverifiedJwt::into_claims)
}

/// The response of a token endpoint. Its `Debug` output has no token.
///
/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1), and the members that providers add. It does **not**
/// identify the user: the ID token is not verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// The new access token.
    pub access_token: BearerToken,
    /// The new refresh token. Without one the old one stays valid
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)).
    pub refresh_token: Option<SecretString>,
    /// The lifetime of the access token from the time of the response.
    pub expires_in: Option<Duration>,
    /// The expiry of the access token, if the provider gives it as a time instead.
    pub expires_at: Option<UnixTime>,
    /// The lifetime of the refresh token from the time of the response. It is not in any RFC; Keycloak and GitHub send it.
    pub refresh_expires_in: Option<Duration>,
    /// The granted scopes; `None` if the response does not contain them, which means the requested ones. Empty if none was granted.
    pub scopes: Option<ScopeSet>,
    /// The ID token of OpenID Connect, which is not verified.
    pub id_token: Option<SecretString>,
    /// The other members of the response, such as Salesforce's `instance_url`, without tokens.
    pub further: Map<String, Value>,
}

impl TokenResponse {
    /// Creates a response with an access token only.
    #[must_use]
    pub fn new(access_token: BearerToken) -> Self {
        Self {
            access_token,
            refresh_token: None,
            expires_in: None,
            expires_at: None,
            refresh_expires_in: None,
            scopes: None,
            id_token: None,
            further: Map::new(),
        }
    }
}
