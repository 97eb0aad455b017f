//! ID tokens: a provider's statement to one client about who logged in.
//!
//! [OpenID Connect Core 1.0 sections 2 and 3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation).
//! They pass the same steps as [access tokens](crate::jwt): the header is checked, the signature verified by a key of the issuer, the claims
//! checked. The result is a type of its own, so that an ID token is never accepted as an access token. **Not** supported: encrypted and
//! symmetrically signed ID tokens, and those of the implicit and hybrid flows.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq as _;

use crate::{
    Claims, InvalidClaim,
    claims_checks::{MAX_LEEWAY, check_lifetime},
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
};

/// The maximum length of an ID token in bytes: it comes from the provider itself.
const MAX_LEN: usize = 64 * 1024;
/// The maximum age of an ID token on arrival: the lifetime of a code
/// ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)), because some providers issue both at once.
const MAX_AGE: Duration = Duration::from_mins(10);

/// The rules by which a JWT of one provider says who has just logged in to one client.
///
/// The header is [checked as that of an access token](crate::jwt::JwtPolicy), except for the type: `JWT`, or none. The claims must
/// 1. come from exactly this issuer (`iss`), or its [alias](Self::with_issuer_alias);
/// 2. be issued for this client (`aud`), and not to another one (`azp`, required if there are several audiences);
/// 3. be valid now (`exp` and `iat` are required; `nbf` counts if present), and issued at most ten minutes ago;
/// 4. belong to this login (`nonce`), and to the access token in the same response (`at_hash`, if present);
/// 5. name the user (`sub`).
///
/// [OpenID Connect Core 1.0 section 3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation). It does
/// **not** check how or when the user was authenticated (`acr`, `amr`, `auth_time`), nor whether an e-mail address is verified.
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
    screening: HeaderPolicy,
    leeway: Duration,
}

impl IdTokenPolicy {
    /// Creates a policy for ID tokens of `issuer` for the client `client_id`.
    #[must_use]
    pub fn new(issuer: Issuer, client_id: &str) -> Self {
        let screening = HeaderPolicy::new(JwtPurpose::IdToken, "JWT").with_untyped_tokens();
        Self { issuer, alias: None, client_id: client_id.into(), screening, leeway: Duration::from_secs(60) }
    }

    /// Accepts a second name of the issuer. Default: none.
    ///
    /// For Google alone, whose ID tokens may name it without `https://`. Any party that can issue tokens under that name can log in here as
    /// any user.
    #[must_use]
    pub fn with_issuer_alias(mut self, alias: &str) -> Self {
        self.alias = Some(alias.into());
        self
    }

    /// Sets the accepted signature algorithms. Default: every [`Algorithm`]; each is bound to a type of key.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.screening = self.screening.with_algorithms(algorithms);
        self
    }

    /// Sets the accepted difference between the issuer's clock and the local clock. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Parses `id_token` and checks its header, before any cryptography.
    ///
    /// # Errors
    /// As [`UnverifiedJwt::parse`] (longer than 64 KiB is too large) and [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, id_token: &SecretString) -> Result<HeaderCheckedJwt, AuthError> {
        let token = BearerToken::issued(id_token.expose_secret());
        let token = token.map_err(|error| AuthError::new(Reason::MalformedToken).with_source(error))?;
        self.screening.check_header(UnverifiedJwt::parse(&token, MAX_LEN)?)
    }

    /// Checks the claims at the instant `now`. `nonce` is that of the authorization request, `access_token` that of the same response.
    ///
    /// # Errors
    /// [`Reason::WrongIssuer`], [`Reason::WrongAudience`], [`Reason::WrongClient`], [`Reason::Expired`] (also if it was issued
    /// more than ten minutes ago), [`Reason::NotYetValid`], [`Reason::IssuedInFuture`], [`Reason::NotOfThisLogin`];
    /// [`Reason::MissingClaim`] for a required claim that is missing, or an invalid one.
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
            return Err(AuthError::new(Reason::NotOfThisLogin).with_source("the nonce is not that of this login"));
        }
        if claims.name("at_hash")?.is_some_and(|hash| hash != access_token_hash(algorithm, access_token)) {
            return Err(AuthError::new(Reason::NotOfThisLogin).with_source("`at_hash` is not that of the access token"));
        }
        let subject = claims.subject()?.ok_or(InvalidClaim("sub"))?.into();
        Ok(IdToken::new(self.issuer.clone(), subject, claims))
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), AuthError> {
        let issuer = claims.issuer()?.ok_or(InvalidClaim("iss"))?;
        if issuer != self.issuer.as_str() && self.alias.as_deref() != Some(issuer) {
            return Err(other_party(Reason::WrongIssuer, "iss", issuer, self.issuer.as_str()));
        }
        let audience = claims.audience()?;
        if audience.is_empty() {
            return Err(InvalidClaim("aud").into());
        }
        if !audience.contains(&&*self.client_id) {
            return Err(other_party(Reason::WrongAudience, "aud", &audience.join(" "), &self.client_id));
        }
        match claims.name("azp")? {
            Some(party) if *party == *self.client_id => Ok(()),
            Some(party) => Err(other_party(Reason::WrongClient, "azp", party, &self.client_id)),
            None if audience.len() > 1 => Err(InvalidClaim("azp").into()),
            None => Ok(()),
        }
    }

    fn check_time(&self, claims: &Claims, now: UnixTime) -> Result<(), AuthError> {
        claims.expires_at()?.ok_or(InvalidClaim("exp"))?;
        let issued_at = claims.issued_at()?.ok_or(InvalidClaim("iat"))?;
        check_lifetime(claims, now, self.leeway)?;
        if now.saturating_duration_since(issued_at) > MAX_AGE + self.leeway {
            return Err(AuthError::new(Reason::Expired).with_source("it was issued too long ago"));
        }
        Ok(())
    }
}

/// Creates the error of a claim that names another party. The text of the claim is truncated, because the token is not trusted.
fn other_party(reason: Reason, claim: &str, found: &str, expected: &str) -> AuthError {
    let found: String = found.chars().take(100).collect();
    AuthError::new(reason).with_source(format!("the claim `{claim}` is {found:?}, expected {expected:?}"))
}

/// Returns `at_hash`: the left half of the hash of `token`, by the hash function of the ID token's signature algorithm.
///
/// [OpenID Connect Core 1.0 section 3.1.3.6](https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken). `EdDSA` means Ed25519
/// here, which uses SHA-512.
fn access_token_hash(algorithm: Algorithm, token: &BearerToken) -> String {
    let text = token.expose_secret();
    let hash = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256 => Sha256::digest(text).to_vec(),
        Algorithm::Rs384 | Algorithm::Ps384 | Algorithm::Es384 => Sha384::digest(text).to_vec(),
        Algorithm::Rs512 | Algorithm::Ps512 | Algorithm::EdDsa => Sha512::digest(text).to_vec(),
    };
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

/// A verified ID token: evidence of who logged in. Only an [`IdTokenPolicy`] creates one. `Debug` prints no values of claims.
///
/// It says who was at the provider for *this* login. It does **not** grant any access.
#[derive(Clone, Debug)]
pub struct IdToken {
    issuer: Issuer,
    subject: Box<str>,
    claims: Claims,
}

impl IdToken {
    const fn new(issuer: Issuer, subject: Box<str>, claims: Claims) -> Self {
        Self { issuer, subject, claims }
    }

    /// Returns the provider's issuer, as it is configured.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the user's identifier at the provider: unique there, and never reassigned.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the claims. Only with `email_verified` does `email` belong to the user.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the claims, without the evidence.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_token_hash_is_that_of_the_example_in_the_standard() {
        // OpenID Connect Core 1.0, appendix A.3.
        let token = BearerToken::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y").expect("token");
        for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ps256] {
            assert_eq!(access_token_hash(algorithm, &token), "77QmUPtjPfzWtF2AnpK9RQ", "{algorithm}");
        }
        let length = |algorithm| access_token_hash(algorithm, &token).len();
        assert_eq!((length(Algorithm::Es384), length(Algorithm::EdDsa)), (32, 43));
    }
}
