//! [`RefusalLog`]: warnings about tokens that no retry makes acceptable, because the configuration or the issuer must be changed.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Issuer, Reason, UserContext};
use portcullis_egress::{Rate, RateLimiter};

/// The shortest time between two warnings about one issuer and reason.
const INTERVAL: Duration = Duration::from_mins(10);
/// The warnings of one reason about all issuers: a requester chooses the issuer that an unverified token names.
const ALL_ISSUERS: Rate = Rate::new(10, Duration::from_mins(1));
/// The shortest time between two warnings about the claims that an issuer leaves out of its tokens.
const OMITTED_CLAIMS: Duration = Duration::from_hours(24);

/// The longest issuer in a warning, in characters.
const MAX_CHARS: usize = 200;

/// Warns of tokens that are refused for a reason that concerns the issuer or the configuration, and not the single token.
///
/// At most one warning for each issuer and reason in ten minutes. The error states what was found, what is accepted, and the key to set.
#[derive(Clone, Debug)]
pub(crate) struct RefusalLog(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    each: RateLimiter,
    all: RateLimiter,
    omitted: RateLimiter,
}

impl RefusalLog {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Limits {
            each: RateLimiter::new(Rate::new(1, INTERVAL)),
            all: RateLimiter::new(ALL_ISSUERS),
            omitted: RateLimiter::new(Rate::new(1, OMITTED_CLAIMS)),
        }))
    }

    /// Logs that a token of `issuer` was refused. The issuer may be unverified; it is empty if the token names none.
    pub(crate) fn refused(&self, issuer: &str, error: &AuthError) {
        let (reason, limits) = (error.reason(), &self.0);
        if !is_permanent(reason) || limits.each.check((issuer, reason)).is_err() || limits.all.acquire(reason).is_err()
        {
            return;
        }
        limits.each.record((issuer, reason));
        let issuer: String = issuer.chars().take(MAX_CHARS).collect();
        let problem = error.causes().map(tracing::field::display);
        tracing::warn!(
            ?issuer,
            reason = reason.as_str(),
            problem,
            "a token is refused for a reason that a new token does not change: this server and the issuer are not configured alike"
        );
    }

    /// Logs that the issuer left claims out of a token that it accepted, because they are too long (the groups of Entra ID).
    pub(crate) fn accepted(&self, issuer: &Issuer, user: &UserContext) {
        let omitted = user.claims().get("_claim_names").and_then(|names| names.as_object());
        let Some(omitted) = omitted.filter(|_| self.0.omitted.acquire(issuer).is_ok()) else { return };
        let claims =
            omitted.keys().map(|name| name.chars().take(MAX_CHARS).collect::<String>()).take(5).collect::<Vec<_>>();
        tracing::warn!(%issuer, ?claims, "the issuer omits claims that are too long for the token, such as more than 200 groups (groups overage); scopes and entitlements by these claims are not granted; assign app roles, or only the groups of the application");
    }
}

/// Reports whether the reason concerns every token of the kind: a new token has the same fault.
const fn is_permanent(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedToken
            | Reason::EncryptedToken
            | Reason::UnknownIssuer
            | Reason::WrongType
            | Reason::AlgorithmRefused
            | Reason::EmbeddedKey
            | Reason::CriticalHeader
            | Reason::MissingClaim
            | Reason::NoSubject
            | Reason::WrongIssuer
            | Reason::WrongAudience
            | Reason::KeyBound
            | Reason::SubjectMismatch
    )
}
