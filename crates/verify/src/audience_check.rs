//! [`AudienceCheck`]: how it is known that a token was issued for us.

use portcullis_core::{AuthError, BearerToken, Issuer};
use portcullis_oauth::{Claims, Verified};

use crate::{IntrospectionVerifier, TokenCheck};

/// How it is known that a token was issued for us, where the provider's answer about the user does not say.
///
/// By [introspection](Self::introspection), by the [provider's own check](Self::token_check), or not at all: by
/// [`danger::any_audience`](crate::danger::any_audience).
#[derive(Clone, Debug)]
pub struct AudienceCheck(Check);

#[derive(Clone, Debug)]
enum Check {
    Introspection(IntrospectionVerifier),
    Token(TokenCheck),
    Any,
}

impl AudienceCheck {
    /// By asking the authorization server about the token, and judging the answer by the verifier's policy.
    #[must_use]
    pub const fn introspection(verifier: IntrospectionVerifier) -> Self {
        Self(Check::Introspection(verifier))
    }

    /// By asking the provider whether it issued the token to our app.
    #[must_use]
    pub const fn token_check(check: TokenCheck) -> Self {
        Self(Check::Token(check))
    }

    pub(crate) const fn any() -> Self {
        Self(Check::Any)
    }

    /// Whose tokens it knows; `None` if it does not look.
    pub(crate) fn issuer(&self) -> Option<&Issuer> {
        match &self.0 {
            Check::Introspection(verifier) => Some(verifier.issuer()),
            Check::Token(check) => Some(check.issuer()),
            Check::Any => None,
        }
    }

    /// The evidence; `None` if it does not look.
    pub(crate) async fn check(&self, token: &BearerToken) -> Result<Option<Verified<Claims>>, AuthError> {
        match &self.0 {
            Check::Introspection(verifier) => verifier.introspect(token).await.map(Some),
            Check::Token(check) => check.check(token).await.map(Some),
            Check::Any => Ok(None),
        }
    }
}
