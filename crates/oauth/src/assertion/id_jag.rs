//! [`IdJagPolicy`]: Identity Assertion JWT Authorization Grants.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};

use super::common::{check_short_life, check_sole_audience, required};
use crate::{
    Claims, InvalidClaim,
    claims_checks::MAX_LEEWAY,
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
};

/// The maximum lifetime: a used identifier is stored for this time.
const LONGEST_LIFE: Duration = Duration::from_hours(1);

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
        if required(&claims, "iss")? != self.issuer.as_str() {
            return Err(AuthError::new(Reason::WrongIssuer));
        }
        check_sole_audience(&claims, &self.audience)?;
        if required(&claims, "client_id")? != client_id {
            return Err(AuthError::new(Reason::WrongClient));
        }
        claims.issued_at()?.ok_or(InvalidClaim("iat"))?;
        let accepted_until = check_short_life(&claims, now, LONGEST_LIFE, self.leeway)?;
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
