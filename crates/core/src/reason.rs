//! [`Reason`]: why a request was refused, in a closed vocabulary.

use std::fmt;

use crate::AuthErrorKind;

macro_rules! reasons {
    ($($kind:ident { $($(#[doc = $doc:literal])+ $reason:ident = $name:literal,)+ })+) => {
        /// Why a request was refused: the closed vocabulary of log fields, metric labels and span attributes.
        ///
        /// The names ([`Reason::as_str`]) are a stable interface. They never reach the wire: a client sees the
        /// [`kind`](Reason::kind) only.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Reason { $($($(#[doc = $doc])+ $reason,)+)+ }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$reason,)+)+];

            /// The name under which it is logged and counted.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$reason => $name,)+)+ }
            }

            /// What a client is told.
            #[must_use]
            pub const fn kind(self) -> AuthErrorKind {
                match self { $($(Self::$reason)|+ => AuthErrorKind::$kind,)+ }
            }
        }
    };
}

reasons! {
    MissingToken {
        /// No `Authorization` header.
        NoCredentials = "no_credentials",
        /// An `Authorization` header of another scheme.
        OtherScheme = "other_scheme",
    }
    InvalidRequest {
        /// More than one `Authorization` header.
        RepeatedHeader = "repeated_header",
        /// Scheme `Bearer`, but not followed by one token.
        MalformedHeader = "malformed_header",
        /// A request body that cannot be judged: not JSON-RPC, or with repeated members.
        MalformedBody = "malformed_body",
        /// A request body larger than what is read to judge it.
        BodyTooLarge = "body_too_large",
    }
    InvalidToken {
        /// Longer than any token this server accepts.
        TokenTooLarge = "token_too_large",
        /// Not the form of token that this server verifies.
        MalformedToken = "malformed_token",
        /// An encrypted or compressed JWT.
        EncryptedToken = "encrypted_token",
        /// From an authorization server that this server does not know.
        UnknownIssuer = "unknown_issuer",
        /// Another kind of JWT, such as an ID token.
        WrongType = "wrong_type",
        /// Signed by an algorithm that is not on the list.
        AlgorithmRefused = "algorithm_refused",
        /// The header brings its own key, or says where to get it.
        EmbeddedKey = "embedded_key",
        /// The header demands extensions (`crit`).
        CriticalHeader = "critical_header",
        /// Signed by a key that the issuer does not publish.
        UnknownKey = "unknown_key",
        /// The signature does not fit.
        BadSignature = "bad_signature",
        /// A claim that must be there is not, or has the wrong type.
        MissingClaim = "missing_claim",
        /// Names no user: the claim that should (`sub`, or the configured one) is absent or cannot be read.
        NoSubject = "no_subject",
        /// Issued by another authorization server than the one asked.
        WrongIssuer = "wrong_issuer",
        /// Issued for another resource.
        WrongAudience = "wrong_audience",
        /// Issued to another client than the one that presents it.
        WrongClient = "wrong_client",
        /// An ID token of another login: its nonce or its access token is not the one of this.
        NotOfThisLogin = "not_of_this_login",
        /// Past its `exp`.
        Expired = "expired",
        /// An assertion that lives for longer than it may.
        TooLongLived = "too_long_lived",
        /// Before its `nbf`.
        NotYetValid = "not_yet_valid",
        /// Issued in the future.
        IssuedInFuture = "issued_in_future",
        /// Bound to a key (`cnf`) whose possession was not proved.
        KeyBound = "key_bound",
        /// The authorization server says that it is not active.
        Inactive = "inactive",
        /// Withdrawn by this server.
        Revoked = "revoked",
        /// What the user allowed at the provider has ended: revoked there, expired, or spent.
        GrantEnded = "grant_ended",
        /// The token and the profile that came with it are of different subjects.
        SubjectMismatch = "subject_mismatch",
    }
    InsufficientScope {
        /// Valid, but not for this operation.
        InsufficientScope = "insufficient_scope",
    }
    Unavailable {
        /// The issuer's keys could not be had.
        KeySetUnavailable = "key_set_unavailable",
        /// The provider could not be reached, or answered with a server error.
        ProviderUnavailable = "provider_unavailable",
        /// The provider did not answer in time.
        ProviderTimeout = "provider_timeout",
        /// The provider asked to be called less often.
        ProviderRateLimited = "provider_rate_limited",
        /// The provider answered something that cannot be understood.
        ProviderMisbehaved = "provider_misbehaved",
        /// The provider refused *our* credentials or configuration, or this one token in a way that does not say so.
        ClientRefused = "client_refused",
        /// The provider refused, and does not say whether the refresh token or this server is at fault.
        UnknownRefusal = "unknown_refusal",
        /// The provider failed a moment ago, for this credential or for different ones, and is left alone until its back-off ends.
        BackingOff = "backing_off",
        /// Tokens from this source that the provider did not accept have used up the calls that one source may cause.
        SourceLimited = "source_limited",
        /// The store of grants cannot be read or written.
        StoreUnavailable = "store_unavailable",
        /// A handler asks for a provider's token, but no grant stands behind this user: a mistake in how this server is put together.
        NoUpstream = "no_upstream",
        /// The provider refuses even the token that it has just issued.
        FreshTokenRefused = "fresh_token_refused",
        /// A limit of this server was reached.
        Overloaded = "overloaded",
        /// A verifier failed in an unexpected way.
        VerifierFailed = "verifier_failed",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_fit_for_labels() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
