//! [`IdTokenPolicy`]: which JWTs of a provider say who has just logged in to us.

use std::time::Duration;

use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use super::{IdToken, access_token_hash::access_token_hash};
use crate::{
    Claims, InvalidClaim,
    claims_checks::{MAX_LEEWAY, check_lifetime},
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
};

/// The longest ID token that is looked at, in bytes: it comes from the provider itself.
const MAX_LEN: usize = 64 * 1024;
/// How old an ID token may be that has just come: as old as a code
/// ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)), because some providers make both at once.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Which JWTs of one provider say who has just logged in to one client.
///
/// The header is [judged as that of an access token](crate::jwt::JwtPolicy), but for the type: `JWT`, or none. The claims must
/// 1. come from exactly this issuer (`iss`), or its [alias](Self::with_issuer_alias);
/// 2. be meant for this client (`aud`), and not be issued to another (`azp`, required if there are several audiences);
/// 3. be valid now (`exp` and `iat` are required; `nbf` counts if present), and issued a moment ago;
/// 4. be of this login (`nonce`), and of the access token that came with it (`at_hash`, if present);
/// 5. say who logged in (`sub`).
///
/// [OpenID Connect Core 1.0 section 3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation). It does
/// **not** look at how or when the user was authenticated (`acr`, `amr`, `auth_time`), nor at whether an e-mail address is verified.
///
/// ```
/// use portcullis_core::{Issuer, Reason};
/// use portcullis_oauth::id_token::IdTokenPolicy;
///
/// let policy = IdTokenPolicy::new(Issuer::new("https://accounts.google.com")?, "my-app");
/// let policy = policy.with_issuer_alias("accounts.google.com");
/// assert_eq!(policy.check_header(&"not.a-jwt".into()).unwrap_err().reason(), Reason::MalformedToken);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdTokenPolicy {
    issuer: Issuer,
    alias: Option<Box<str>>,
    client_id: Box<str>,
    header: HeaderPolicy,
    leeway: Duration,
}

impl IdTokenPolicy {
    /// ID tokens of `issuer` for the client `client_id`.
    #[must_use]
    pub fn new(issuer: Issuer, client_id: &str) -> Self {
        let header = HeaderPolicy::new(JwtPurpose::IdToken, "JWT").with_untyped_tokens();
        Self { issuer, alias: None, client_id: client_id.into(), header, leeway: Duration::from_secs(60) }
    }

    /// Another name under which the issuer may issue. Default: none.
    ///
    /// For Google, whose ID tokens may name it without `https://`, and for nobody else: whoever can have a token issued under
    /// that name is everybody here.
    #[must_use]
    pub fn with_issuer_alias(mut self, alias: &str) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// The algorithms that the issuer signs by. Default: every [`Algorithm`]; each is bound to a type of key.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// How far the issuer's clock may be from ours. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Reads `id_token` and judges its header. No cryptography is done for one that fails.
    ///
    /// # Errors
    /// As [`UnverifiedJwt::parse`] (longer than 64 KiB is too large) and [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, id_token: &SecretString) -> Result<HeaderCheckedJwt, AuthError> {
        let token = BearerToken::issued(id_token.expose_secret());
        let token = token.map_err(|error| AuthError::new(Reason::MalformedToken).with_source(error))?;
        self.header.check_header(UnverifiedJwt::parse(&token, MAX_LEN)?)
    }

    /// Checks the claims at the instant `now`: `nonce` is what this login asked to be repeated, `access_token` what came with it.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongClient`], [`Reason::Expired`] (also of one that was issued
    /// more than ten minutes ago), [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::NotOfThisLogin`];
    /// [`Reason::MissingClaim`] for a claim that must be there or cannot be read.
    pub fn check(
        &self,
        jwt: SignedJwt,
        nonce: &str,
        access_token: &BearerToken,
        now: UnixTime,
    ) -> Result<IdToken, AuthError> {
        let algorithm = jwt.algorithm();
        let claims = jwt.into_claims(JwtPurpose::IdToken)?;
        self.check_parties(&claims)?;
        self.check_time(&claims, now)?;
        let repeated = claims.name("nonce")?.ok_or(InvalidClaim("nonce"))?;
        if !bool::from(repeated.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(AuthError::new(Reason::NotOfThisLogin).with_source("another nonce"));
        }
        if claims.name("at_hash")?.is_some_and(|hash| hash != access_token_hash(algorithm, access_token)) {
            return Err(AuthError::new(Reason::NotOfThisLogin).with_source("another access token"));
        }
        let subject = claims.subject()?.ok_or(InvalidClaim("sub"))?.into();
        Ok(IdToken::new(self.issuer.clone(), subject, claims))
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), AuthError> {
        let issuer = claims.issuer()?.ok_or(InvalidClaim("iss"))?;
        if issuer != self.issuer.as_str() && self.alias.as_deref() != Some(issuer) {
            return Err(AuthError::new(Reason::WrongIssuer));
        }
        let audience = claims.audience()?;
        if audience.is_empty() {
            return Err(InvalidClaim("aud").into());
        }
        if !audience.contains(&&*self.client_id) {
            return Err(AuthError::new(Reason::WrongAudience));
        }
        match claims.name("azp")? {
            Some(party) if *party == *self.client_id => Ok(()),
            Some(_) => Err(AuthError::new(Reason::WrongClient)),
            None if audience.len() > 1 => Err(InvalidClaim("azp").into()),
            None => Ok(()),
        }
    }

    fn check_time(&self, claims: &Claims, now: UnixTime) -> Result<(), AuthError> {
        claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
        let issued_at = claims.issued_at()?.ok_or(InvalidClaim("iat"))?;
        check_lifetime(claims, now, self.leeway)?;
        if now.saturating_duration_since(issued_at) > MAX_AGE + self.leeway {
            return Err(AuthError::new(Reason::Expired).with_source("issued too long ago for a login of now"));
        }
        Ok(())
    }
}
