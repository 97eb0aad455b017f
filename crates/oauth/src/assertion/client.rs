//! [`ClientAssertionPolicy`]: client authentication by signed JWTs.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, UnixTime};

use super::common::{check_short_life, check_sole_audience, required};
use crate::{
    claims_checks::MAX_LEEWAY,
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
};

/// The maximum lifetime, because a client creates an assertion for each request.
const LONGEST_LIFE: Duration = Duration::from_mins(10);

/// The policy for JWTs that authenticate a client: `private_key_jwt`.
///
/// The header is [checked as that of an access token](crate::jwt::JwtPolicy), except for the type: `client-authentication+jwt`,
/// `JWT`, or none. The claims must
/// 1. be issued by the client about itself (`iss` and `sub` are its id);
/// 2. be intended for this authorization server only: its issuer is the sole value of `aud`. The URL of the token endpoint is rejected,
///    as the successor of RFC 7523 requires: another server could have induced a client to use it;
/// 3. be valid now and for at most ten minutes (`exp` is required; `nbf` and `iat` are checked if present);
/// 4. have a unique identifier (`jti`).
///
/// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3). The keys are those of the client: a policy is for one client.
/// It does **not** check whether the `jti` was used before.
#[derive(Clone, Debug)]
pub struct ClientAssertionPolicy {
    client_id: Box<str>,
    audience: Issuer,
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
        Self { client_id: client_id.into(), audience, header, leeway: Duration::from_secs(60) }
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
        let claims = jwt.into_claims(JwtPurpose::ClientAssertion)?;
        for claim in ["iss", "sub"] {
            if *required(&claims, claim)? != *self.client_id {
                return Err(AuthError::new(Reason::WrongClient).with_source(claim));
            }
        }
        check_sole_audience(&claims, &self.audience)?;
        let accepted_until = check_short_life(&claims, now, LONGEST_LIFE, self.leeway)?;
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
