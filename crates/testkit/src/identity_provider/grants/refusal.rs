//! [`Refusal`]: the reason why there are no tokens.

/// The reason why there are no tokens: finer than `error`, because vendors distinguish more cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    InvalidRequest(&'static str),
    UnknownClient,
    WrongSecret,
    UnsupportedGrantType,
    InvalidScope,
    AnotherClient,
    CodeNotValid,
    GrantEnded,
    RefreshTokenExpired,
    RefreshTokenReused,
    RefreshTokenUnknown,
    VerifierMismatch,
}

impl Refusal {
    /// Returns the code in `error`, [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
    pub(crate) const fn error(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnknownClient | Self::WrongSecret => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::AnotherClient
            | Self::CodeNotValid
            | Self::GrantEnded
            | Self::RefreshTokenExpired
            | Self::RefreshTokenReused
            | Self::RefreshTokenUnknown
            | Self::VerifierMismatch => "invalid_grant",
        }
    }

    pub(crate) const fn is_about_the_client(self) -> bool {
        matches!(self, Self::UnknownClient | Self::WrongSecret)
    }

    /// Returns the description. That of `invalid_grant` gives no reason, so that an attacker learns nothing by trying.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(description) => description,
            Self::UnknownClient | Self::WrongSecret => "client authentication failed",
            Self::UnsupportedGrantType => "unsupported grant_type requested",
            Self::InvalidScope => "refresh token missing requested scope",
            Self::AnotherClient
            | Self::CodeNotValid
            | Self::GrantEnded
            | Self::RefreshTokenExpired
            | Self::RefreshTokenReused
            | Self::RefreshTokenUnknown
            | Self::VerifierMismatch => "grant request is invalid",
        }
    }
}
