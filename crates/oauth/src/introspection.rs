//! Token introspection: [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662).
//!
//! [`request`] builds the request, [`process`] reads the response, and [`IntrospectionPolicy::check`] decides: an *active* token may have
//! been issued for another resource. Responses as signed JWTs ([RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)) are **not** supported.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::WWW_AUTHENTICATE};
use portcullis_core::{AuthError, BearerToken, Challenge, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Number, Value};

use crate::{
    Claims, ClientAuthentication, ProtocolError, Verified,
    audience::{AudienceRule, quoted},
    claim_path::ScopeRule,
    claims_checks::{MAX_LEEWAY, check_lifetime, check_stated_type, key_bound},
    response::{client_refused, json_object},
    subject::SubjectRule,
};

/// An introspection response: the claims of a token, or that it is not active.
///
/// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2). It does **not** say that the token may be used
/// here: [`IntrospectionPolicy`] checks that.
#[derive(Clone, Debug)]
pub struct IntrospectionResponse {
    claims: Option<Claims>,
}

impl IntrospectionResponse {
    /// Reports whether the token is active.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.claims.is_some()
    }

    /// Returns the expiry of the token, if the response has one (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.claims.as_ref()?.expires_at().ok()?
    }

    fn into_claims(self) -> Option<Claims> {
        self.claims
    }
}

/// Returns a request to `endpoint` about `token`, with the hint that it is an access token.
/// [RFC 7662 section 2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)
#[must_use]
pub fn request(endpoint: &Uri, client: &ClientAuthentication, token: &BearerToken) -> Request<Bytes> {
    client.form_request(endpoint, &[("token", token.expose_secret()), ("token_type_hint", "access_token")])
}

/// Returns a request to `endpoint` about a refresh token.
/// [RFC 7662 section 2.1](https://www.rfc-editor.org/rfc/rfc7662#section-2.1)
#[must_use]
pub fn refresh_token_request(
    endpoint: &Uri,
    client: &ClientAuthentication,
    refresh_token: &SecretString,
) -> Request<Bytes> {
    let token = refresh_token.expose_secret();
    client.form_request(endpoint, &[("token", token), ("token_type_hint", "refresh_token")])
}

/// Processes an introspection response.
///
/// 400, 401 and 403 say nothing about the token: [`ProtocolError::ClientRefused`]. A member that is null counts as absent. The times `exp`,
/// `nbf` and `iat` may be strings with numbers, and may be in milliseconds: a number from 10^12 to 10^13 is between 2001 and 2286 in
/// milliseconds, and after the year 33,000 in seconds.
///
/// # Errors
/// [`ProtocolError`]; in particular if `active` is not a JSON boolean.
pub fn process(response: &Response<Bytes>) -> Result<IntrospectionResponse, ProtocolError> {
    if let StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN = response.status() {
        return Err(client_refused(response));
    }
    let mut members = json_object(response)?;
    members.retain(|_, value| !value.is_null());
    for name in ["exp", "nbf", "iat"] {
        if let Some(value) = members.get_mut(name) {
            normalize_time(value);
        }
    }
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(IntrospectionResponse { claims: Some(Claims::new(members)) }),
        Some(Value::Bool(false)) => Ok(IntrospectionResponse { claims: None }),
        _ => Err(ProtocolError::InvalidMember("active")),
    }
}

/// Replaces a time that is a string, or in milliseconds, by the number of seconds. Another value is left as it is: it cannot be read later.
fn normalize_time(value: &mut Value) {
    const MILLISECONDS: Range<f64> = 1e12..1e13;
    let number = match &*value {
        Value::String(text) => text.trim().parse::<Number>().ok(),
        Value::Number(number) => Some(number.clone()),
        _ => None,
    };
    let Some(number) = number else { return };
    let in_milliseconds = number.as_f64().filter(|time| MILLISECONDS.contains(time));
    let seconds = in_milliseconds.and_then(|time| Number::from_f64(time / 1000.0));
    *value = Value::Number(seconds.unwrap_or(number));
}

/// Processes the response to a request that `client` authenticated; otherwise as [`process`].
///
/// Some servers return 400, 401 or 403 with the error code `invalid_token` for a dead token, in the body or in a challenge of the scheme
/// Bearer. If the client authenticates itself by a secret, only `invalid_client` can be about the client
/// ([RFC 7662 section 2.3](https://www.rfc-editor.org/rfc/rfc7662#section-2.3)), so `invalid_token` rejects the token, unless a challenge
/// of the scheme Basic requests other credentials. A client without a secret receives the same code for its missing authentication, so for
/// such a client it is [`ProtocolError::ClientRefused`].
///
/// # Errors
/// [`ProtocolError`].
pub fn process_for(
    client: &ClientAuthentication,
    response: &Response<Bytes>,
) -> Result<IntrospectionResponse, ProtocolError> {
    process(response).map_err(|error| match &error {
        ProtocolError::ClientRefused { code, .. } if client.has_secret() => {
            let values = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let challenges: Vec<_> = values.flat_map(|value| Challenge::parse(value).unwrap_or_default()).collect();
            let is_about_client = challenges.iter().any(|challenge| challenge.scheme().eq_ignore_ascii_case("basic"));
            let of_challenge = || challenges.iter().find(|challenge| challenge.is_bearer())?.param("error");
            let is_about_token = code.as_deref().or_else(of_challenge) == Some("invalid_token");
            if is_about_token && !is_about_client { ProtocolError::TokenRefused } else { error }
        }
        _ => error,
    })
}

/// The rules by which an active token of one issuer is an access token for one resource.
///
/// The token must
/// 1. be active;
/// 2. be an access token of type `Bearer`, if the response says of which type (`token_type`, `token_use`, `typ`);
/// 3. not be bound to a key (`cnf`), because proof of possession is not checked here;
/// 4. come from exactly this issuer, if the response names one (`iss`);
/// 5. be issued for this resource (`aud`, or [another member](Self::with_audience_claim));
/// 6. be valid now (`exp`, `nbf` and `iat` count if present);
/// 7. name its subject (`sub`, or [another member](Self::with_subject_claim)). A response without `sub`, which
///    [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2) allows, names no user, and the client that it may name is
///    not the user.
///
/// [RFC 7662 section 4](https://www.rfc-editor.org/rfc/rfc7662#section-4). It does **not** check scopes.
///
/// ```
/// use bytes::Bytes;
/// use http::Response;
/// use portcullis_core::{Issuer, Reason, ResourceUri, UnixTime};
/// use portcullis_oauth::introspection::{IntrospectionPolicy, process};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let policy = IntrospectionPolicy::new(Issuer::new("https://idp.example.com")?, resource);
/// let check = |body: &'static str| {
///     let response = Response::builder().header("content-type", "application/json").body(Bytes::from_static(body.as_bytes()));
///     policy.check(process(&response.unwrap()).unwrap(), UnixTime::from_secs(1_800_000_000))
/// };
/// let ours = check(r#"{"active":true,"sub":"alice","aud":"https://mcp.example.com/mcp"}"#)?;
/// assert_eq!(ours.as_ref().subject()?, Some("alice"));
/// let foreign = check(r#"{"active":true,"sub":"alice","aud":"https://other.example.com"}"#);
/// assert_eq!(foreign.unwrap_err().reason(), Reason::WrongAudience);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IntrospectionPolicy {
    issuer: Issuer,
    audience: AudienceRule,
    subject: SubjectRule,
    scopes: ScopeRule,
    leeway: Duration,
}

impl IntrospectionPolicy {
    /// Creates a policy for tokens of `issuer` for `resource`, with the strictest defaults.
    #[must_use]
    pub fn new(issuer: Issuer, resource: ResourceUri) -> Self {
        Self {
            issuer,
            audience: AudienceRule::new(resource),
            subject: SubjectRule::new(),
            scopes: ScopeRule::default(),
            leeway: Duration::from_secs(60),
        }
    }

    /// Sets the names of the resource in `aud`, instead of the resource's URI. They are compared as strings. Default: the URI.
    ///
    /// For issuers without resource indicators (RFC 8707). Tokens for any other resource with the same name are accepted here.
    #[must_use]
    pub fn with_audiences<I: IntoIterator<Item: Into<Box<str>>>>(mut self, audiences: I) -> Self {
        self.audience.set_names(audiences);
        self
    }

    /// Sets the claim that names this server in tokens without `aud`, such as `client_id` in those of Amazon Cognito, or the path of a
    /// member. Default: none, and a token without `aud` is rejected.
    ///
    /// Its value is compared with the [names](Self::with_audiences) of this server as a string, and must be equal to one of them also in a
    /// token with `aud`. An `aud` that names neither the resource nor one of these names is rejected in any case.
    #[must_use]
    pub fn with_audience_claim(mut self, claim: &str) -> Self {
        self.audience.set_claim(claim);
        self
    }

    /// Sets the clients whose tokens are accepted, by `client_id`, `azp`, `cid` or `appid`. Tokens of other clients are rejected, and
    /// tokens of these clients are accepted without `aud`. Default: the tokens of all clients, with `aud`.
    ///
    /// A token without `aud` is accepted by every server that lists the client: list clients of this server only.
    #[must_use]
    pub fn with_allowed_clients<I: IntoIterator<Item: Into<Box<str>>>>(mut self, clients: I) -> Self {
        self.audience.set_clients(clients);
        self
    }

    /// Adds a claim whose values are scopes, beside `scope` and `scp`: the roles or permissions of the user. Default: none.
    ///
    /// The claim is a name or the path of a member: `roles`, `permissions`, `realm_access.roles`. A string lists scopes as `scope` does. An
    /// element of an array that is not a scope name, such as one with a space, is ignored. Every role with the name of a scope then grants
    /// that scope.
    #[must_use]
    pub fn with_scope_claim(mut self, claim: &str) -> Self {
        self.scopes.add_claim(claim);
        self
    }

    /// Adds `scopes` to tokens whose `claim` is one of `values`, or a list with one of them: for roles that have other names than the scopes.
    /// A string is one value, also if it has spaces. Default: none.
    #[must_use]
    pub fn with_scopes_for<I: IntoIterator<Item: Into<Box<str>>>>(
        mut self,
        claim: &str,
        values: I,
        scopes: ScopeSet,
    ) -> Self {
        self.scopes.add_grant(claim, values.into_iter().map(Into::into).collect(), scopes);
        self
    }

    /// States that the introspection endpoint returns `active` only for tokens that were issued for the requesting client, so that a
    /// response without `aud` is accepted. Default: such a response is rejected.
    ///
    /// [RFC 7662 section 2.2](https://www.rfc-editor.org/rfc/rfc7662#section-2.2) allows an endpoint to do so; few do, and it cannot be
    /// detected here. If it is not true, every token of the issuer is accepted. An `aud` that names another resource is rejected in any case.
    #[must_use]
    pub const fn with_audience_restricted_by_endpoint(mut self) -> Self {
        self.audience.set_restricted_by_endpoint();
        self
    }

    /// Sets the member that names the user, instead of `sub`: for authorization servers whose responses lack `sub`, such as
    /// `django-oauth-toolkit`, whose responses have `username`. Default: `sub`.
    ///
    /// Its value must be unique within the issuer, never reassigned, and not chosen by the user. A response in which it is absent, empty
    /// or not a string is rejected, whatever other members it has.
    #[must_use]
    pub fn with_subject_claim(mut self, member: &str) -> Self {
        self.subject = self.subject.with_claim(member);
        self
    }

    /// States that a response without a subject is about a client that acts for itself and is named by `client_id` (`azp`), if no member
    /// describes a user. Default: such a response is rejected.
    ///
    /// If the endpoint omits `sub` for tokens of users as well, all users of a client become one principal.
    #[must_use]
    pub fn with_clients_without_subject(mut self) -> Self {
        self.subject = self.subject.with_clients();
        self
    }

    /// Sets the accepted difference between the issuer's clock and the local clock. Default: one minute; at most five, because it extends
    /// the lifetime of every token.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Returns the expected issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Checks `response` at the instant `now`.
    ///
    /// # Errors
    /// [`Reason::Inactive`], [`Reason::WrongType`], [`Reason::KeyBound`], [`Reason::WrongIssuer`],
    /// [`Reason::WrongAudience`], [`Reason::Expired`], [`Reason::NotYetValid`], [`Reason::IssuedInFuture`],
    /// [`Reason::NoSubject`], and [`Reason::MissingClaim`] for another claim that must be there or cannot be read.
    pub fn check(&self, response: IntrospectionResponse, now: UnixTime) -> Result<Verified<Claims>, AuthError> {
        let Some(claims) = response.into_claims() else {
            return Err(AuthError::new(Reason::Inactive));
        };
        if claims.claim("cnf").is_some() {
            return Err(key_bound());
        }
        // Some endpoints call refresh tokens active as well.
        check_stated_type(&claims)?;
        if let Some(issuer) = claims.issuer()?.filter(|issuer| *issuer != self.issuer.as_str()) {
            let problem = format!("`iss` is {}; accepted is {:?} (`issuer`)", quoted(&[issuer]), self.issuer.as_str());
            return Err(AuthError::new(Reason::WrongIssuer).with_source(problem));
        }
        self.audience.check(&claims)?;
        check_lifetime(&claims, now, self.leeway)?;
        let subject = self.subject.subject_of(&self.issuer, &claims)?;
        let scopes = self.scopes.scopes(&claims);
        Ok(Verified::assertion(self.issuer.clone(), subject, claims).with_scopes(scopes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processed(status: u16, body: &'static str) -> Result<IntrospectionResponse, ProtocolError> {
        let response = Response::builder().status(status).header("content-type", "application/json");
        process(&response.body(Bytes::from_static(body.as_bytes())).expect("response"))
    }

    #[test]
    fn the_request_is_an_authenticated_form() {
        let client = ClientAuthentication::basic("gate", "hush".into());
        let token = BearerToken::new("a+b/c==").expect("token");
        let request = request(&Uri::from_static("https://idp.example/introspect"), &client, &token);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(request.headers()["accept"], "application/json");
        assert_eq!(request.body().as_ref(), b"token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    }

    #[test]
    fn active_must_be_a_json_boolean() {
        assert!(processed(200, r#"{"active":true}"#).is_ok_and(|response| response.is_active()));
        assert!(processed(200, r#"{"active":false,"sub":"x"}"#).is_ok_and(|response| !response.is_active()));
        for body in ["{}", r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#] {
            assert_eq!(processed(200, body).expect_err(body), ProtocolError::InvalidMember("active"));
        }
        assert!(processed(200, r#"{"active":false,"active":true}"#).is_err());
    }

    #[test]
    fn invalid_token_is_about_the_token_if_the_client_has_a_secret() {
        let process_for = |client: &ClientAuthentication, status: u16, code: &str| {
            let body = format!(r#"{{"error":"{code}"}}"#);
            process_for(client, &Response::builder().status(status).body(Bytes::from(body)).expect("response"))
                .expect_err("refused")
        };
        let (basic, post) = (ClientAuthentication::basic("g", "s".into()), ClientAuthentication::post("g", "s".into()));
        for status in [400, 401, 403] {
            for client in [&basic, &post] {
                assert_eq!(process_for(client, status, "invalid_token"), ProtocolError::TokenRefused);
                assert!(process_for(client, status, "invalid_client").is_invalid_client());
                let other = process_for(client, status, "access_denied");
                assert!(matches!(other, ProtocolError::ClientRefused { .. }) && !other.is_invalid_client());
            }
            let public = process_for(&ClientAuthentication::public("g"), status, "invalid_token");
            assert!(matches!(public, ProtocolError::ClientRefused { .. }));
        }
    }

    #[test]
    fn a_challenge_tells_whether_the_token_or_the_client_is_refused() {
        let client = ClientAuthentication::basic("g", "s".into());
        let refused = |challenge: &str, body: &str| {
            let response = Response::builder().status(401).header("www-authenticate", challenge);
            process_for(&client, &response.body(Bytes::from(body.to_owned())).expect("response")).expect_err("refused")
        };
        for (challenge, body) in [
            ("Bearer realm=\"a\", error=\"invalid_token\"", ""),
            ("Bearer", r#"{"error":"invalid_token"}"#),
            ("Bearer error=\"invalid_token\"", r#"{"message":"x"}"#),
        ] {
            assert_eq!(refused(challenge, body), ProtocolError::TokenRefused, "{challenge} {body}");
        }
        for (challenge, body) in [
            ("Basic realm=\"introspection\"", r#"{"error":"invalid_token"}"#),
            ("Bearer error=\"invalid_token\", Basic realm=\"a\"", ""),
            ("Bearer error=\"invalid_token\"", r#"{"error":"invalid_client"}"#),
            ("Bearer", ""),
            ("Digest error=\"invalid_token\"", ""),
        ] {
            assert!(matches!(refused(challenge, body), ProtocolError::ClientRefused { .. }), "{challenge} {body}");
        }
    }

    #[test]
    fn null_members_are_absent_and_times_have_every_form() {
        let claims = |body| processed(200, body).expect(body).into_claims().expect("active");
        let nulls = claims(r#"{"active":true,"iss":null,"scope":null,"nbf":null,"exp":null,"sub":null,"aud":null}"#);
        assert_eq!(nulls.names().collect::<Vec<_>>(), ["active"]);
        let date = |value: &str| {
            let body = format!(r#"{{"active":true,"exp":{value}}}"#);
            let response = Response::builder().header("content-type", "application/json").body(Bytes::from(body));
            let claims = process(&response.expect("response")).expect(value).into_claims().expect("active");
            claims.expires_at().map(|at| at.map(UnixTime::as_secs))
        };
        for value in
            ["1800000000", "1800000000.0", "\"1800000000\"", "\"1800000000.5\"", "1800000000000", "\"1800000000999\""]
        {
            assert_eq!(date(value), Ok(Some(1_800_000_000)), "{value}");
        }
        let never = Ok(Some(UnixTime::MAX.as_secs()));
        assert_eq!(date("253402300799"), never, "the end of the year 9999 in seconds, not 1978 in milliseconds");
        for value in ["\"soon\"", "\"\"", "true", "-1", "\"-1\"", "[1800000000]", "\"NaN\"", "\"inf\""] {
            assert!(date(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_rejected_request_says_nothing_about_the_token() {
        for status in [400, 401, 403] {
            let error = processed(status, r#"{"error":"invalid_client"}"#).expect_err("refused");
            let code = Some("invalid_client".to_owned());
            let status = StatusCode::from_u16(status).expect("status");
            assert_eq!(error, ProtocolError::ClientRefused { status, code });
        }
        assert!(matches!(processed(429, ""), Err(ProtocolError::RateLimited { .. })));
        assert!(matches!(processed(502, ""), Err(ProtocolError::ServerError { .. })));
        assert!(matches!(processed(404, ""), Err(ProtocolError::UnexpectedStatus(_))));
    }
}
