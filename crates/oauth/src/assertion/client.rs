//! [`ClientAssertionPolicy`]: which JWTs prove that a client is who it says.

use std::time::Duration;

use portcullis_core::{AuthError, Issuer, Reason, UnixTime};

use super::rules::{check_short_life, check_sole_audience, required};
use crate::{
    jwt::{Algorithm, HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
    lifetime::MAX_LEEWAY,
};

/// How far ahead the end may be: a client makes one for each request.
const LONGEST_LIFE: Duration = Duration::from_mins(10);

/// Which JWTs prove that a client is who it says: `private_key_jwt`.
///
/// The header is [judged as that of an access token](crate::jwt::JwtPolicy), but for the type: `client-authentication+jwt`,
/// `JWT`, or none. The claims must
/// 1. come from the client and speak of it (`iss` and `sub` are its id);
/// 2. be meant for this authorization server and for nobody else: its issuer is the sole value of `aud`. The URL of the token
///    endpoint is refused, as the successor of RFC 7523 has it: another server could have made a client write it;
/// 3. be valid now and for no longer than ten minutes (`exp` is required; `nbf` and `iat` count if present);
/// 4. have a name of their own (`jti`).
///
/// [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3). The keys are the client's: the policy is for one client.
/// It does **not** know whether the `jti` was seen before.
#[derive(Clone, Debug)]
pub struct ClientAssertionPolicy {
    client_id: Box<str>,
    audience: Issuer,
    header: HeaderPolicy,
    leeway: Duration,
}

/// Evidence that a client authenticated itself, if it is the first with this `jti`.
#[derive(Clone, Debug)]
pub struct ClientAssertion {
    client_id: Box<str>,
    jti: Box<str>,
    accepted_until: UnixTime,
}

impl ClientAssertionPolicy {
    /// Assertions of the client `client_id`, to the authorization server `audience`: ours.
    #[must_use]
    pub fn new(client_id: &str, audience: Issuer) -> Self {
        let header = HeaderPolicy::new(JwtPurpose::ClientAssertion, "client-authentication+jwt").with_untyped_tokens();
        Self { client_id: client_id.into(), audience, header, leeway: Duration::from_secs(60) }
    }

    /// The algorithms that the client signs by. Default: every [`Algorithm`]; each is bound to a type of key.
    #[must_use]
    pub fn with_algorithms<I: IntoIterator<Item = Algorithm>>(mut self, algorithms: I) -> Self {
        self.header = self.header.with_algorithms(algorithms);
        self
    }

    /// How far the client's clock may be from ours. Default: one minute; at most five.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Judges the header. No cryptography is done for one that fails.
    ///
    /// # Errors
    /// As [`JwtPolicy::check_header`](crate::jwt::JwtPolicy::check_header).
    pub fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        self.header.check_header(jwt)
    }

    /// Checks the claims at the instant `now`.
    ///
    /// # Errors
    /// [`Reason::WrongClient`], [`Reason::WrongAudience`], [`Reason::Expired`], [`Reason::TooLongLived`], [`Reason::NotYetValid`],
    /// [`Reason::IssuedInFuture`]; [`Reason::MissingClaim`] for a claim that must be there or cannot be read.
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
    /// The client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Its name, unique among the assertions of this client.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Until when the `jti` must be remembered. From then on the policy refuses it for its age.
    #[must_use]
    pub const fn accepted_until(&self) -> UnixTime {
        self.accepted_until
    }
}
