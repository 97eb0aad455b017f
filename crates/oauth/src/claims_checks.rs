//! Checks of claims that several policies share: [`Audience`] and [`check_lifetime`].

use std::time::Duration;

use portcullis_core::{AuthError, Reason, ResourceUri, UnixTime};

use crate::Claims;

/// The maximum leeway, which extends the lifetime of every token.
pub(crate) const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Checks `exp`, `nbf` and `iat`, each if present. The token is valid before `exp`, not at `exp`.
/// [RFC 7519 section 4.1.4](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4)
pub(crate) fn check_lifetime(claims: &Claims, now: UnixTime, leeway: Duration) -> Result<(), AuthError> {
    if claims.expires_at()?.is_some_and(|end| now >= end + leeway) {
        return Err(AuthError::new(Reason::Expired));
    }
    if claims.not_before()?.is_some_and(|begin| begin > now + leeway) {
        return Err(AuthError::new(Reason::NotYetValid));
    }
    if claims.issued_at()?.is_some_and(|issued| issued > now + leeway) {
        return Err(AuthError::new(Reason::IssuedInFuture));
    }
    Ok(())
}

/// The expected value of the claim `aud`: the URI of the resource, or else one of the names that the issuer uses for the resource.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    Resource(ResourceUri),
    Names(Vec<Box<str>>),
}

impl Audience {
    /// Replaces the expected value by `names`, unless they are empty.
    pub(crate) fn renamed<I: IntoIterator<Item: Into<Box<str>>>>(self, names: I) -> Self {
        let names: Vec<_> = names.into_iter().map(Into::into).collect();
        if names.is_empty() { self } else { Self::Names(names) }
    }

    /// Reports whether `audience`, a member of `aud`, names this resource.
    pub(crate) fn is_named_by(&self, audience: &str) -> bool {
        match self {
            Self::Resource(resource) => resource.is_named_by(audience),
            Self::Names(names) => names.iter().any(|name| **name == *audience),
        }
    }
}
