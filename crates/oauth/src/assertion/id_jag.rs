//! [`IdJagPolicy`]: which identity assertions are authorization grants for us.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, ResourceUri, ScopeSet, UnixTime};

use super::rules::{check_short_life, check_sole_audience, required};
use crate::{
    Claims, InvalidClaim,
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
    lifetime::MAX_LEEWAY,
};

/// How far ahead the end may be: for so long it is remembered that one was used.
const LONGEST_LIFE: Duration = Duration::from_hours(1);

/// Which Identity Assertion JWT Authorization Grants (ID-JAGs) of one trusted identity provider are grants for this
/// authorization server.
///
/// The header is [judged as that of an access token](crate::jwt::JwtPolicy), but for the type, which is `oauth-id-jag+jwt` and
/// nothing else. The claims must
/// 1. come from exactly this identity provider (`iss`), which is trusted by configuration and never by discovery;
/// 2. be meant for this authorization server and for nobody else: its issuer is the sole value of `aud`;
/// 3. be issued to the client that presents them (`client_id`), which has authenticated itself;
/// 4. be valid now and for no longer than an hour (`exp` and `iat` are required; `nbf` counts if present);
/// 5. say for whom (`sub`), and have a name of their own (`jti`);
/// 6. not be bound to a key (`cnf`), because nobody checks its possession here.
///
/// draft-ietf-oauth-identity-assertion-authz-grant; MCP, Enterprise-Managed Authorization, sections 5.1 and 7.4. It does **not**
/// know whether the `jti` was seen before, whether the [resources](IdJag::resources) are ours, or what the client may have of the
/// [scopes](IdJag::scopes).
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

/// Evidence that an identity provider lets a client act for a user here, if it is the first with this `jti`. `Debug` prints no
/// values of claims.
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
    /// ID-JAGs of the identity provider `issuer`, for the authorization server `audience`: ours.
    #[must_use]
    pub fn new(issuer: Issuer, audience: Issuer) -> Self {
        let header = HeaderPolicy::new(JwtPurpose::IdJag, "oauth-id-jag+jwt");
        Self { issuer, audience, header, leeway: Duration::from_secs(60) }
    }

    /// The algorithms that the identity provider signs by. Default: every [`Algorithm`]; each is bound to a type of key.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// How far the identity provider's clock may be from ours. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Whose ID-JAGs.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Judges the header. No cryptography is done for one that fails.
    ///
    /// # Errors
    /// As [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the instant `now`; `client_id` is the client that presents them and has authenticated itself.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongClient`], [`Reason::Expired`], [`Reason::TooLongLived`],
    /// [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::KeyBound`]; [`Reason::MissingClaim`] for a claim that must be
    /// there or cannot be read.
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

/// The claim `resource`: a string or a list of strings, as RFC 8707 has the parameter.
fn resources(claims: &Claims) -> Result<Vec<ResourceUri>, InvalidClaim> {
    let names = claims.texts("resource")?;
    names.into_iter().map(|name| ResourceUri::new(name).map_err(|_| InvalidClaim("resource"))).collect()
}

impl IdJag {
    /// The identity provider.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The user's name at the identity provider.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The client that may act for the user.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Its name, unique among those of this identity provider.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Where the client may act for the user; empty if it does not say. An access token is good there and nowhere else.
    #[must_use]
    pub fn resources(&self) -> &[ResourceUri] {
        &self.resources
    }

    /// What the client may do there, at most; `None` if it does not say.
    #[must_use]
    pub const fn scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// Until when the `jti` must be remembered. From then on the policy refuses it for its age.
    #[must_use]
    pub const fn accepted_until(&self) -> UnixTime {
        self.accepted_until
    }

    /// What else it says, such as the user's e-mail address.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }
}
