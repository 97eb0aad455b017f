//! [`Reason`]: the closed vocabulary of rejections.

use std::fmt;

use crate::AuthErrorKind;

macro_rules! reasons {
    ($($kind:ident { $($(#[doc = $doc:literal])+ $reason:ident = $name:literal,)+ })+) => {
        /// The reason for a rejection: the closed vocabulary of log fields, metric labels and span attributes.
        ///
        /// The names ([`Reason::as_str`]) are a stable interface. They never reach the wire: a client sees the
        /// [`kind`](Reason::kind) only.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Reason { $($($(#[doc = $doc])+ $reason,)+)+ }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$($(Self::$reason,)+)+];

            /// Returns the name that logs and metrics use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$reason => $name,)+)+ }
            }

            /// Returns the kind, which is shown to the client.
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
        /// The request body is not JSON-RPC, or repeats a member.
        MalformedBody = "malformed_body",
        /// The request body is larger than the limit for reading it.
        BodyTooLarge = "body_too_large",
    }
    InvalidToken {
        /// Longer than any token this server accepts.
        TokenTooLarge = "token_too_large",
        /// Not the form of a token that this server verifies.
        MalformedToken = "malformed_token",
        /// An encrypted or compressed JWT.
        EncryptedToken = "encrypted_token",
        /// The token is from an authorization server that is not configured.
        UnknownIssuer = "unknown_issuer",
        /// The token is another type of JWT, such as an ID token.
        WrongType = "wrong_type",
        /// The signature algorithm is not allowed.
        AlgorithmRefused = "algorithm_refused",
        /// The header contains a key, or the URL of one.
        EmbeddedKey = "embedded_key",
        /// The header requires extensions (`crit`).
        CriticalHeader = "critical_header",
        /// Signed by a key that the issuer does not publish.
        UnknownKey = "unknown_key",
        /// The signature does not match.
        BadSignature = "bad_signature",
        /// A required claim is missing, or has the wrong type.
        MissingClaim = "missing_claim",
        /// The token names no user: the subject claim (`sub`, or the configured one) is missing or malformed.
        NoSubject = "no_subject",
        /// The token was issued by another authorization server than the one that was asked.
        WrongIssuer = "wrong_issuer",
        /// The token was issued for another resource.
        WrongAudience = "wrong_audience",
        /// The token was issued to another client than the one that presents it.
        WrongClient = "wrong_client",
        /// The ID token belongs to another login: its nonce or its access token is a different one.
        NotOfThisLogin = "not_of_this_login",
        /// The token has expired (`exp`).
        Expired = "expired",
        /// The lifetime of the assertion is longer than allowed.
        TooLongLived = "too_long_lived",
        /// The token is not yet valid (`nbf`).
        NotYetValid = "not_yet_valid",
        /// The token was issued in the future (`iat`).
        IssuedInFuture = "issued_in_future",
        /// The token is bound to a key (`cnf`) whose possession was not proved.
        KeyBound = "key_bound",
        /// The authorization server reports the token as not active.
        Inactive = "inactive",
        /// The token was revoked at this server.
        Revoked = "revoked",
        /// The grant at the provider has ended: it was revoked or has expired, or its refresh token was used up.
        GrantEnded = "grant_ended",
        /// The token and the profile belong to different subjects.
        SubjectMismatch = "subject_mismatch",
    }
    InsufficientScope {
        /// The token is valid, but lacks a scope of this operation.
        InsufficientScope = "insufficient_scope",
    }
    Unavailable {
        /// The keys of the issuer could not be fetched.
        KeySetUnavailable = "key_set_unavailable",
        /// The provider could not be reached, or responded with a server error.
        ProviderUnavailable = "provider_unavailable",
        /// The provider did not respond in time.
        ProviderTimeout = "provider_timeout",
        /// The provider limited the rate of requests.
        ProviderRateLimited = "provider_rate_limited",
        /// The response of the provider is malformed.
        ProviderMisbehaved = "provider_misbehaved",
        /// The provider rejected the credentials or the configuration of this server, or rejected the token without saying so.
        ClientRefused = "client_refused",
        /// The provider rejected the request without saying whether the refresh token or this server is at fault.
        UnknownRefusal = "unknown_refusal",
        /// The provider failed recently, for this credential or for several, and is not called until the back-off ends.
        BackingOff = "backing_off",
        /// The rejected tokens of this source have used up the provider calls that one source may cause.
        SourceLimited = "source_limited",
        /// The store cannot be read or written.
        StoreUnavailable = "store_unavailable",
        /// A handler requests a provider's token for a user without a grant: the server is misconfigured.
        NoUpstream = "no_upstream",
        /// The provider rejects the token that it has just issued.
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
    fn names_are_distinct_and_valid_as_labels() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
