//! Token requests and responses: a code is redeemed, or a refresh token presented.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{BearerToken, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{
    Profile, Provider,
    vendor::{Pkce, ProfileSource, member},
};
use crate::{
    Claims, ClientAuthentication, CodeVerifier, ProtocolError, TokenRequest, jwt::UnverifiedJwt,
    response::token_members,
};

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
        let request = TokenRequest::authorization_code(code, redirect_uri);
        let request = if self.vendor.pkce == Pkce::S256 { request.with_verifier(verifier) } else { request };
        self.grant_request(client, &request)
    }

    /// Returns the request that presents a refresh token.
    ///
    /// It never names scopes: without them the scope of the grant remains, and some providers take any list for a narrower grant.
    /// [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)
    #[must_use]
    pub fn refresh_request(&self, client: &ClientAuthentication, refresh_token: &SecretString) -> Request<Bytes> {
        let endpoint = self.endpoints.refresh.as_ref().unwrap_or(&self.endpoints.token);
        self.token_request(endpoint, client, &TokenRequest::refresh_token(refresh_token))
    }

    /// Returns a request to the token endpoint, of any grant type.
    #[must_use]
    pub fn grant_request(&self, client: &ClientAuthentication, request: &TokenRequest) -> Request<Bytes> {
        self.token_request(&self.endpoints.token, client, request)
    }

    fn token_request(&self, endpoint: &Uri, client: &ClientAuthentication, request: &TokenRequest) -> Request<Bytes> {
        let vendor = &self.vendor;
        let mut fields = request.fields();
        fields.extend(vendor.token_parameters.iter().map(|(name, value)| (&**name, &**value)));
        let mut request = client.request(endpoint, &fields, vendor.token_format, vendor.credentials);
        request.headers_mut().extend(vendor.headers.clone());
        request
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
        let members = self.successful(response)?;
        let (place, name) = self.token_place();
        let object = match place {
            None => Some(&members),
            Some(place) => member(&members, place).and_then(Value::as_object),
        };
        self.tokens(object.ok_or(ProtocolError::InvalidMember("access_token"))?, name, &members, now)
    }

    /// Returns the tokens in the `response` to a refresh, as [`process_token`](Self::process_token) does. If they are not at the vendor's
    /// [path](super::Vendor::token_path), they are members of the response itself.
    ///
    /// # Errors
    /// As [`process_token`](Self::process_token).
    pub fn process_refresh(&self, response: &Response<Bytes>, now: UnixTime) -> Result<TokenResponse, ProtocolError> {
        let members = self.successful(response)?;
        let (place, name) = self.token_place();
        let object = place.and_then(|place| member(&members, place)?.as_object());
        match object.filter(|object| object.contains_key(name)) {
            Some(object) => self.tokens(object, name, &members, now),
            None => self.tokens(&members, if place.is_some() { "access_token" } else { name }, &members, now),
        }
    }

    fn successful(&self, response: &Response<Bytes>) -> Result<Members, ProtocolError> {
        self.token_error(response).map_or_else(|| token_members(response), Err)
    }

    /// Returns the path of the object with the tokens, and the name of the access token in it.
    fn token_place(&self) -> (Option<&str>, &str) {
        match self.vendor.token_path.as_deref() {
            None => (None, "access_token"),
            Some(path) => path.rsplit_once('.').map_or((None, path), |(place, name)| (Some(place), name)),
        }
    }

    /// Returns the tokens in `object`, a part of the response `all` in which the access token is called `name`.
    fn tokens(
        &self,
        object: &Members,
        name: &str,
        all: &Members,
        now: UnixTime,
    ) -> Result<TokenResponse, ProtocolError> {
        let vendor = &self.vendor;
        // Required by RFC 6749. Some providers omit it, and then mean a bearer token.
        let token_type = text(object, "token_type")?.unwrap_or("Bearer");
        let types = BEARER_TYPES.into_iter().chain(vendor.token_types.iter().map(|name| &**name));
        if !{ types }.any(|known| token_type.eq_ignore_ascii_case(known)) {
            return Err(ProtocolError::InvalidMember("token_type"));
        }
        let access_token = object.get(name).and_then(Value::as_str).and_then(|text| BearerToken::issued(text).ok());
        let access_token = access_token.ok_or(ProtocolError::InvalidMember("access_token"))?;
        let mut tokens = TokenResponse::new(access_token);
        tokens.token_type = token_type.into();
        tokens.expires_in = lifetime(object, "expires_in");
        if tokens.expires_in.is_none() {
            tokens.expires_at = unverified_expiry(&tokens.access_token).filter(|expires_at| *expires_at > now);
        }
        tokens.refresh_token = text(object, "refresh_token")?.map(SecretString::from);
        tokens.refresh_expires_in = lifetime(object, &vendor.refresh_lifetime_member);
        tokens.id_token = text(all, "id_token")?.map(SecretString::from);
        // An empty list means that nothing was granted, except for tokens whose rights are no scopes.
        let prefix = vendor.unscoped_token_prefix.as_deref();
        let is_unscoped = prefix.is_some_and(|prefix| tokens.access_token.expose_secret().starts_with(prefix));
        tokens.scopes = scopes(object).filter(|scopes| !(scopes.is_empty() && is_unscoped));
        let extra = vendor.extra_members.iter().filter_map(|name| all.get_key_value(&**name));
        tokens.further = extra.map(|(name, value)| (name.clone(), value.clone())).collect();
        if vendor.profile == ProfileSource::TokenResponse {
            let issued = [tokens.refresh_token.as_ref(), tokens.id_token.as_ref()].into_iter().flatten();
            let issued = issued.map(ExposeSecret::expose_secret).chain([tokens.access_token.expose_secret()]);
            let members = without_tokens(all.clone(), &issued.collect::<Vec<_>>());
            tokens.profile = Some(self.profile(members, Claims::default()));
        }
        Ok(tokens)
    }
}

/// The types of a bearer token, in any case: that of the standard, and another name that some providers write.
const BEARER_TYPES: [&str; 2] = ["Bearer", "jwt-bearer"];

/// Returns the scopes of a token response; `None` if they are absent, which means the requested ones.
///
/// They are a list in a string, separated by spaces or commas, or an array of such strings. A value of another type grants nothing: it must
/// not be taken for an absent one. A name with characters that a scope cannot have is dropped: no request could use it.
fn scopes(members: &Members) -> Option<ScopeSet> {
    let texts: Vec<&str> = match members.get("scope")? {
        Value::Null => return None,
        Value::String(text) => vec![text],
        Value::Array(elements) => elements.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let names = texts.into_iter().flat_map(|text| text.split([' ', ',']));
    let valid = names.filter_map(|name| ScopeSet::new([name]).ok());
    Some(valid.fold(ScopeSet::default(), |all, scope| all.union(&scope)))
}

/// Removes everything that is called a token or a secret, or is one of `secrets`: a profile is stored and given to handlers.
fn without_tokens(members: Members, secrets: &[&str]) -> Members {
    let is_secret = |name: &str| ["token", "secret"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    without(members, &|name, value| is_secret(name) || value.as_str().is_some_and(|text| secrets.contains(&text)))
}

/// Removes the members and the elements to which `is_unwanted` applies, at every depth. An element has the name of its array.
pub(super) fn without(members: Members, is_unwanted: &impl Fn(&str, &Value) -> bool) -> Members {
    fn clean(name: &str, value: Value, is_unwanted: &impl Fn(&str, &Value) -> bool) -> Option<Value> {
        if is_unwanted(name, &value) {
            return None;
        }
        Some(match value {
            Value::Object(members) => Value::Object(without(members, is_unwanted)),
            Value::Array(elements) => {
                elements.into_iter().filter_map(|element| clean(name, element, is_unwanted)).collect()
            }
            other => other,
        })
    }
    members.into_iter().filter_map(|(name, value)| Some((name.clone(), clean(&name, value, is_unwanted)?))).collect()
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
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
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
    /// The type of the access token, as the response writes it: how it is presented. `Bearer` if the response does not state it.
    pub token_type: Box<str>,
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
    /// The profile in the response, for vendors whose [profile](super::ProfileSource::TokenResponse) is there.
    pub profile: Option<Result<Profile, ProtocolError>>,
}

impl TokenResponse {
    /// Creates a response with an access token only.
    #[must_use]
    pub fn new(access_token: BearerToken) -> Self {
        Self {
            access_token,
            token_type: "Bearer".into(),
            refresh_token: None,
            expires_in: None,
            expires_at: None,
            refresh_expires_in: None,
            scopes: None,
            id_token: None,
            further: Map::new(),
            profile: None,
        }
    }
}
