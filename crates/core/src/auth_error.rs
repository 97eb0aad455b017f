//! [`AuthError`]: why a request is refused, for the operator in full and for the client by kind.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use crate::{Reason, ScopeSet};

/// Why a request is refused.
///
/// The client learns its [`kind`](Self::kind), by the one table in [`wire`](crate::wire). The operator gets the
/// [`reason`](Self::reason), a closed vocabulary, and the [`source`](Error::source). It is put into the extensions of the
/// response, so that outer layers can see it. Cloning is cheap: one refusal may answer a thousand waiters.
#[derive(Clone)]
pub struct AuthError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    reason: Reason,
    retry_after: Option<Duration>,
    scopes: ScopeSet,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// What a client is told: one row each of the wire table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// No bearer token. 401 without `error`.
    MissingToken,
    /// Authentication information that cannot be read. 400.
    InvalidRequest,
    /// A token that is no good, whatever the operation. 401.
    InvalidToken,
    /// A token that is good, but not for this operation. 403.
    InsufficientScope,
    /// Nobody can tell at the moment. 503: a client is never sent to log in again because *we* cannot check.
    Unavailable,
}

impl AuthError {
    /// A refusal for `reason`.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self(Arc::new(Inner { reason, retry_after: None, scopes: ScopeSet::default(), source: None }))
    }

    /// A refusal because the operation needs `scopes`: all of them, at once.
    #[must_use]
    pub fn insufficient_scope(scopes: ScopeSet) -> Self {
        let reason = Reason::InsufficientScope;
        Self(Arc::new(Inner { reason, retry_after: None, scopes, source: None }))
    }

    /// What lies behind it. It must not contain a secret: it is logged.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.source = Some(source.into().into()))
    }

    /// When trying again may help.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(delay))
    }

    /// Of its own: whoever shares it keeps what they have.
    fn edit(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut this = self;
        change(Arc::make_mut(&mut this.0));
        this
    }

    /// The `AuthError` that a generic tower layer has boxed, or [`Reason::Overloaded`] for an error of that layer's own.
    ///
    /// For putting tower's time-out, limits or load-shed around a verifier:
    /// `ServiceBuilder::new().map_err(AuthError::recover).load_shed().concurrency_limit(64).service(verifier)`.
    #[must_use]
    pub fn recover(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(foreign) => Self::new(Reason::Overloaded).with_source(foreign),
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn kind(&self) -> AuthErrorKind {
        self.0.reason.kind()
    }

    /// What the operator is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Whether trying again, unchanged, can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind() == AuthErrorKind::Unavailable
    }

    /// When trying again may help, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The scopes that the operation needs; empty unless the kind is [`AuthErrorKind::InsufficientScope`].
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request refused: {}", self.0.reason)
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthError")
            .field("reason", &self.0.reason)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boxed_error_is_recovered_and_a_foreign_one_is_never_the_tokens_fault() {
        let own = AuthError::new(Reason::Expired);
        assert_eq!(AuthError::recover(own.into()).reason(), Reason::Expired);
        let foreign = AuthError::recover("time-out".into());
        assert!(foreign.is_transient());
        assert_eq!(foreign.source().map(ToString::to_string).as_deref(), Some("time-out"));
    }
}
