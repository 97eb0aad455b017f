//! [`ConfigError`]: verifiers that cannot be put together.

use portcullis_core::{InvalidUri, Issuer};

/// Verifiers that cannot be put together. For the operator, at start.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No issuer at all: every token would be refused.
    #[error("no issuer is configured")]
    NoIssuer,
    /// Two verifiers for one issuer.
    #[error("the issuer {0} is configured twice")]
    DuplicateIssuer(Issuer),
    /// Two verifiers for opaque tokens, which do not say who issued them.
    #[error("both {0} and {1} are configured for opaque tokens, which do not say who issued them")]
    TwoForOpaqueTokens(Issuer, Issuer),
    /// A provider whose vendor has no token check.
    #[error("the provider {0} cannot be asked whether a token was issued to this app")]
    NoTokenCheck(&'static str),
    /// An issuer from which the URLs of its endpoints cannot be derived.
    #[error("the URLs of the provider's endpoints cannot be derived from its issuer: {0}")]
    InvalidIssuer(InvalidUri),
    /// A profile of one issuer, and an audience check of another.
    #[error("the users are those of {user_info}, but the audience is checked with {audience_check}")]
    DifferentIssuers {
        /// The issuer of the UserInfo endpoint.
        user_info: Issuer,
        /// The issuer of the audience check.
        audience_check: Issuer,
    },
}
