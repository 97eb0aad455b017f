//! [`AuthError`]: why a request is rejected, in full for the operator and by kind for the client.

use std::{error::Error, fmt, iter, sync::Arc, time::Duration};

use crate::{Reason, ScopeSet};

/// The reason why a request is rejected.
///
/// The client is shown the [`kind`](Self::kind), by the one table in [`wire`](crate::wire). The operator is shown the
/// [`reason`](Self::reason), a closed vocabulary, and the [`source`](Error::source). The error is inserted into the extensions of the
/// response, so that outer layers can read it. Cloning is cheap: one error may answer a thousand requests.
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

/// The category of an [`AuthError`], as shown to the client: each is one row of the [wire table](crate::wire).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// The request has no bearer token: 401 without `error`.
    MissingToken,
    /// The authentication information cannot be parsed: 400.
    InvalidRequest,
    /// The token is not valid for any operation: 401.
    InvalidToken,
    /// The token is valid, but not for this operation: 403.
    InsufficientScope,
    /// The token cannot be verified at present: 503. A failure of this server never sends a client to log in again.
    Unavailable,
}

impl AuthError {
    /// Creates an error with `reason`.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self(Arc::new(Inner { reason, retry_after: None, scopes: ScopeSet::default(), source: None }))
    }

    /// Creates an error for an operation that needs all of `scopes`.
    #[must_use]
    pub fn insufficient_scope(scopes: ScopeSet) -> Self {
        let reason = Reason::InsufficientScope;
        Self(Arc::new(Inner { reason, retry_after: None, scopes, source: None }))
    }

    /// Sets the underlying error. It is logged, so it must not contain a secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.source = Some(source.into().into()))
    }

    /// Sets the delay after which a retry may succeed.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        self.edit(|inner| inner.retry_after = Some(delay))
    }

    /// Returns the underlying errors as [one line](error_chain) for the log, or `None` if there are none.
    #[must_use]
    pub fn causes(&self) -> Option<String> {
        self.0.source.as_deref().map(|source| error_chain(source))
    }

    /// Changes the error by copy on write: clones are unaffected.
    fn edit(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut this = self;
        change(Arc::make_mut(&mut this.0));
        this
    }

    /// Returns the `AuthError` that a generic tower layer has boxed, or [`Reason::Overloaded`] for an error of that layer itself.
    ///
    /// It allows tower's timeout, limits or load-shed around a verifier:
    /// `ServiceBuilder::new().map_err(AuthError::recover).load_shed().concurrency_limit(64).service(verifier)`.
    #[must_use]
    pub fn recover(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(foreign) => Self::new(Reason::Overloaded).with_source(foreign),
        }
    }

    /// Returns the kind, which is shown to the client.
    #[must_use]
    pub fn kind(&self) -> AuthErrorKind {
        self.0.reason.kind()
    }

    /// Returns the reason, which is shown to the operator.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// Reports whether a retry of the unchanged request can succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind() == AuthErrorKind::Unavailable
    }

    /// Returns the delay after which a retry may succeed, if it is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the scopes that the operation needs; empty unless the kind is [`AuthErrorKind::InsufficientScope`].
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }
}

/// Returns an error and its causes as one line for the log, from `error` to the first cause.
///
/// Control characters are escaped, because the text may contain parts of a response or of a token that is not verified. The line is cut off
/// after 1000 characters. It must not contain a secret: that is the duty of the errors.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut before = String::new();
    for cause in iter::successors(Some(error), |cause| (**cause).source()) {
        let text = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !before.contains(&text) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            for character in text.chars() {
                if character.is_control() {
                    line.extend(character.escape_default());
                } else {
                    line.push(character);
                }
            }
            before = text;
        }
    }
    line.chars().take(1000).collect()
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request rejected: {}", self.0.reason)
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
    fn a_boxed_auth_error_is_recovered_and_any_other_error_is_transient() {
        let own = AuthError::new(Reason::Expired);
        assert_eq!(AuthError::recover(own.into()).reason(), Reason::Expired);
        let foreign = AuthError::recover("time-out".into());
        assert!(foreign.is_transient());
        assert_eq!(foreign.source().map(ToString::to_string).as_deref(), Some("time-out"));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: &'static str,
        #[source]
        source: Option<Box<Self>>,
    }

    #[test]
    fn the_causes_of_an_error_are_one_line_without_repetitions_and_control_characters() {
        let layered = |text, source| Layered { text, source: Option::map(source, Box::new) };
        let refused = layered("Connection refused (os error 111)", None);
        let connect = layered("tcp connect error: Connection refused (os error 111)", Some(refused));
        let error = layered("cannot connect to\nhttps://idp.example.com", Some(connect));
        let error = AuthError::new(Reason::KeySetUnavailable).with_source(error);
        let line = r"cannot connect to\nhttps://idp.example.com: tcp connect error: Connection refused (os error 111)";
        assert_eq!(error.causes().as_deref(), Some(line));
        assert_eq!(AuthError::new(Reason::Expired).causes(), None);
        let long = AuthError::new(Reason::Expired).with_source("x".repeat(5000));
        assert_eq!(long.causes().map(|line| line.len()), Some(1000));
    }
}
