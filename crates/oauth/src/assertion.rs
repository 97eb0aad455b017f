//! Assertions: JWTs by which clients authenticate at *this* authorization server, or request tokens on behalf of a user.
//!
//! [RFC 7521](https://www.rfc-editor.org/rfc/rfc7521), [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) and its successor in
//! draft (draft-ietf-oauth-rfc7523bis), and the Identity Assertion Authorization Grant
//! (draft-ietf-oauth-identity-assertion-authz-grant), on which MCP's Enterprise-Managed Authorization rests.
//!
//! They are processed like [access tokens](crate::jwt): [`parse`]d, checked by their header, verified with a key of their issuer, and
//! checked by their claims. Each is valid **once**: the component that accepts an assertion stores its `jti` until the time that the
//! evidence gives. This module stores nothing.

use std::time::Duration;

use portcullis_core::{AuthError, BearerToken, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Claims, InvalidClaim,
    claims_checks::{MAX_LEEWAY, check_lifetime},
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
};

/// The maximum lifetime, because a client creates an assertion for each request.
const LONGEST_CLIENT_ASSERTION: Duration = Duration::from_mins(10);

/// The policy for JWTs that authenticate a client: `private_key_jwt`.
///
/// The header is [checked as that of an access token](crate::jwt::JwtPolicy), except for the type: `client-authentication+jwt`,
/// `JWT`, or none. The claims must
/// 1. be issued by the client about itself (`iss` and `sub` are its id);
/// 2. be intended for this authorization server only: its issuer is the sole value of `aud`. If the header states no type, the URL of the
///    [token endpoint](Self::with_token_endpoint) is accepted instead, as RFC 7523 allows. With the type `client-authentication+jwt` it is
///    rejected, as the successor of RFC 7523 requires;
/// 3. be valid now and for at most ten minutes (`exp` is required; `nbf` and `iat` are checked if present);
/// 4. have a unique identifier (`jti`).
///
/// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3). The keys are those of the client: a policy is for one client.
/// It does **not** check whether the `jti` was used before.
#[derive(Clone, Debug)]
pub struct ClientAssertionPolicy {
    client_id: Box<str>,
    audience: Issuer,
    token_endpoint: Option<Box<str>>,
    header: HeaderPolicy,
    leeway: Duration,
}

/// Evidence that a client has authenticated, provided that its `jti` was not used before.
#[derive(Clone, Debug)]
pub struct ClientAssertion {
    client_id: Box<str>,
    jti: Box<str>,
    accepted_until: UnixTime,
}

impl ClientAssertionPolicy {
    /// Creates a policy for assertions of the client `client_id` to this authorization server, `audience`.
    #[must_use]
    pub fn new(client_id: &str, audience: Issuer) -> Self {
        let header = HeaderPolicy::new(JwtPurpose::ClientAssertion, "client-authentication+jwt").with_untyped_tokens();
        Self { client_id: client_id.into(), audience, token_endpoint: None, header, leeway: Duration::from_secs(60) }
    }

    /// Adds the URL of the token endpoint to the accepted audiences of assertions without a type. Default: the issuer only.
    #[must_use]
    pub fn with_token_endpoint(mut self, url: &str) -> Self {
        self.token_endpoint = Some(url.into());
        self
    }

    /// Sets the signature algorithms of the client. Default: every [`Algorithm`]; each is bound to a key type.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// Sets the tolerated clock difference. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Checks the header. No signature is verified if this fails.
    ///
    /// # Errors
    /// As [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the time `now`.
    ///
    /// # Errors
    /// [`Reason::WrongClient`], [`Reason::WrongAudience`], [`Reason::Expired`], [`Reason::TooLongLived`], [`Reason::NotYetValid`],
    /// [`Reason::IssuedInFuture`]; [`Reason::MissingClaim`] for a required claim that is missing, or a malformed one.
    pub fn check(&self, jwt: SignedJwt, now: UnixTime) -> Result<ClientAssertion, AuthError> {
        let token_endpoint = self.token_endpoint.as_deref().filter(|_| jwt.is_untyped());
        let claims = jwt.into_claims(JwtPurpose::ClientAssertion)?;
        for claim in ["iss", "sub"] {
            if *required(&claims, claim)? != *self.client_id {
                return Err(AuthError::new(Reason::WrongClient).with_source(claim));
            }
        }
        check_sole_audience(&claims, &self.audience, token_endpoint)?;
        let accepted_until = check_short_life(&claims, now, LONGEST_CLIENT_ASSERTION, self.leeway)?;
        let jti = required(&claims, "jti")?.into();
        Ok(ClientAssertion { client_id: self.client_id.clone(), jti, accepted_until })
    }
}

impl ClientAssertion {
    /// Returns the client id.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the identifier, which is unique among the assertions of this client.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Returns the time until which the `jti` must be stored. After it, the policy rejects the assertion as expired.
    #[must_use]
    pub const fn accepted_until(&self) -> UnixTime {
        self.accepted_until
    }
}

/// The maximum lifetime: a used identifier is stored for this time.
const LONGEST_ID_JAG: Duration = Duration::from_hours(1);

/// The policy for Identity Assertion JWT Authorization Grants (ID-JAGs) of one trusted identity provider.
///
/// The header is [checked as that of an access token](crate::jwt::JwtPolicy), except for the type, which must be `oauth-id-jag+jwt`. The
/// claims must
/// 1. be issued by exactly this identity provider (`iss`), which is trusted by configuration and never by discovery;
/// 2. be intended for this authorization server only: its issuer is the sole value of `aud`;
/// 3. be issued to the client that presents them (`client_id`), which has authenticated;
/// 4. be valid now and for at most an hour (`exp` and `iat` are required; `nbf` is checked if present);
/// 5. name the user (`sub`), and have a unique identifier (`jti`);
/// 6. not be bound to a key (`cnf`), because its possession is not verified here.
///
/// draft-ietf-oauth-identity-assertion-authz-grant; MCP, Enterprise-Managed Authorization, sections 5.1 and 7.4. It does **not**
/// check whether the `jti` was used before, whether the [resources](IdJag::resources) belong to this server, or which of the
/// [scopes](IdJag::scopes) the client may have.
///
/// ```
/// use portcullis_core::{Issuer, Reason};
/// use portcullis_oauth::assertion::{self, IdJagPolicy};
///
/// let idp = Issuer::new("https://idp.example.com")?;
/// let policy = IdJagPolicy::new(idp, Issuer::new("https://mcp.example.com")?);
/// let access_token = assertion::parse(&"eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.".into())?;
/// assert_eq!(policy.check_header(access_token).unwrap_err().reason(), Reason::WrongType);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdJagPolicy {
    issuer: Issuer,
    audience: Issuer,
    header: HeaderPolicy,
    leeway: Duration,
}

/// Evidence that an identity provider allows a client to act for a user here, provided that its `jti` was not used before. Its `Debug`
/// output has no values of claims.
#[derive(Clone, Debug)]
pub struct IdJag {
    issuer: Issuer,
    subject: Box<str>,
    client_id: Box<str>,
    jti: Box<str>,
    resources: Vec<ResourceUri>,
    scopes: Option<ScopeSet>,
    accepted_until: UnixTime,
    claims: Claims,
}

impl IdJagPolicy {
    /// Creates a policy for ID-JAGs of the identity provider `issuer` to this authorization server, `audience`.
    #[must_use]
    pub fn new(issuer: Issuer, audience: Issuer) -> Self {
        let header = HeaderPolicy::new(JwtPurpose::IdJag, "oauth-id-jag+jwt");
        Self { issuer, audience, header, leeway: Duration::from_secs(60) }
    }

    /// Sets the signature algorithms of the identity provider. Default: every [`Algorithm`]; each is bound to a key type.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// Sets the tolerated clock difference. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Returns the expected identity provider.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Checks the header. No signature is verified if this fails.
    ///
    /// # Errors
    /// As [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the time `now`; `client_id` is the authenticated client that presents them.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongClient`], [`Reason::Expired`], [`Reason::TooLongLived`],
    /// [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::KeyBound`]; [`Reason::MissingClaim`] for a required
    /// claim that is missing, or a malformed one.
    pub fn check(&self, jwt: SignedJwt, client_id: &str, now: UnixTime) -> Result<IdJag, AuthError> {
        let claims = jwt.into_claims(JwtPurpose::IdJag)?;
        let accepted_until = self.check_claims(&claims, client_id, now, LONGEST_ID_JAG)?;
        if claims.claim("cnf").is_some() {
            return Err(AuthError::new(Reason::KeyBound));
        }
        Ok(IdJag {
            issuer: self.issuer.clone(),
            subject: required(&claims, "sub")?.into(),
            client_id: client_id.into(),
            jti: required(&claims, "jti")?.into(),
            resources: resources(&claims)?,
            scopes: claims.claim("scope").map(|_| claims.scopes()).transpose()?,
            accepted_until,
            claims,
        })
    }

    /// Checks an ID-JAG that the identity provider itself returned to the client `client_id`, before the client presents it: header and
    /// claims as the authorization server will, and that it is for `resource` and for no other. The signature is **not** verified, and no
    /// evidence is returned: that is for the authorization server.
    ///
    /// # Errors
    /// As [`check_header`](Self::check_header) and [`check`](Self::check); [`Reason::WrongAudience`] if it states another resource.
    pub fn check_received(
        &self,
        assertion: &SecretString,
        client_id: &str,
        resource: &ResourceUri,
        now: UnixTime,
    ) -> Result<(), AuthError> {
        // The authorization server limits the lifetime: the client only refuses what cannot be presented.
        const LONGEST: Duration = Duration::from_hours(24);
        let jwt = parse(assertion)?;
        self.check_header(parse(assertion)?)?;
        let claims = jwt.into_claims();
        self.check_claims(&claims, client_id, now, LONGEST)?;
        required(&claims, "sub")?;
        required(&claims, "jti")?;
        match &resources(&claims)?[..] {
            [] => Ok(()),
            [only] if only == resource => Ok(()),
            found => {
                let found: String = format!("{found:?}").chars().take(200).collect();
                let source = format!("the claim `resource` is {found}; expected is {:?} alone", resource.as_str());
                Err(AuthError::new(Reason::WrongAudience).with_source(source))
            }
        }
    }

    /// Checks issuer, audience, client and lifetime. Returns the time until which the assertion is accepted.
    fn check_claims(
        &self,
        claims: &Claims,
        client_id: &str,
        now: UnixTime,
        longest: Duration,
    ) -> Result<UnixTime, AuthError> {
        if required(claims, "iss")? != self.issuer.as_str() {
            return Err(AuthError::new(Reason::WrongIssuer));
        }
        check_sole_audience(claims, &self.audience, None)?;
        if required(claims, "client_id")? != client_id {
            return Err(AuthError::new(Reason::WrongClient));
        }
        claims.issued_at()?.ok_or(InvalidClaim("iat"))?;
        check_short_life(claims, now, longest, self.leeway)
    }
}

/// Returns the claim `resource`: a string or a list of strings, like the parameter of RFC 8707.
fn resources(claims: &Claims) -> Result<Vec<ResourceUri>, InvalidClaim> {
    let names = claims.texts("resource")?;
    names.into_iter().map(|name| ResourceUri::new(name).map_err(|_| InvalidClaim("resource"))).collect()
}

impl IdJag {
    /// Returns the identity provider.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the subject: the user's identifier at the identity provider.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the client that may act for the user.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Returns the identifier, which is unique among those of this identity provider.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Returns the resources at which the client may act for the user; empty if not stated. An access token is limited to them.
    #[must_use]
    pub fn resources(&self) -> &[ResourceUri] {
        &self.resources
    }

    /// Returns the maximum scopes of the client; `None` if not stated.
    #[must_use]
    pub const fn scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// Returns the time until which the `jti` must be stored. After it, the policy rejects the assertion as expired.
    #[must_use]
    pub const fn accepted_until(&self) -> UnixTime {
        self.accepted_until
    }

    /// Returns all claims, such as the user's e-mail address.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// The maximum length of an assertion in bytes: it is read before the client is authenticated.
const MAX_LEN: usize = 16 * 1024;

/// Parses `assertion`, the value of the parameter `assertion` or `client_assertion`. Nothing in it is verified yet; its
/// [issuer](UnverifiedJwt::claimed_issuer) may be used to choose a policy.
///
/// # Errors
/// As [`UnverifiedJwt::parse`]; longer than 16 KiB is too large.
pub fn parse(assertion: &SecretString) -> Result<UnverifiedJwt, AuthError> {
    let token = BearerToken::issued(assertion.expose_secret());
    let token = token.map_err(|error| AuthError::new(Reason::MalformedToken).with_source(error))?;
    UnverifiedJwt::parse(&token, MAX_LEN)
}

/// Checks that `issuer`, or `token_endpoint`, is the sole value of `aud`: one of several recipients could present the assertion to
/// another.
fn check_sole_audience(claims: &Claims, issuer: &Issuer, token_endpoint: Option<&str>) -> Result<(), AuthError> {
    match &claims.audience()?[..] {
        [only] if *only == issuer.as_str() || Some(*only) == token_endpoint => Ok(()),
        [] => Err(InvalidClaim("aud").into()),
        found => {
            let or = token_endpoint.map(|url| format!(" or {url:?}")).unwrap_or_default();
            let found: String = format!("{found:?}").chars().take(200).collect();
            let source = format!("the claim `aud` is {found}; expected is {:?}{or} alone", issuer.as_str());
            Err(AuthError::new(Reason::WrongAudience).with_source(source))
        }
    }
}

/// Checks that the claims are valid now and for at most `longest`. Returns the time until which they are accepted.
fn check_short_life(
    claims: &Claims,
    now: UnixTime,
    longest: Duration,
    leeway: Duration,
) -> Result<UnixTime, AuthError> {
    let expires_at = claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
    check_lifetime(claims, now, leeway)?;
    if expires_at > now + longest + leeway {
        return Err(AuthError::new(Reason::TooLongLived));
    }
    Ok(expires_at + leeway)
}

/// Returns the claim `name`, which must be present and not empty.
fn required<'a>(claims: &'a Claims, name: &'static str) -> Result<&'a str, AuthError> {
    Ok(claims.name(name)?.ok_or(InvalidClaim(name))?)
}
