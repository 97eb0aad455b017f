//! [`Principal`]: the stable identity of a caller.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::Issuer;

/// The identity of a caller, stable across tokens, sessions and refreshes: the key for all data that belongs to a user.
///
/// It is the pair (issuer, subject), never an e-mail address. The kind is part of the key because the `sub` of a client that acts for
/// itself may equal the `sub` of a user ([RFC 9068 section 5](https://www.rfc-editor.org/rfc/rfc9068#section-5)).
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Principal {
    issuer: Issuer,
    subject: Arc<str>,
    kind: PrincipalKind,
}

/// The kind of a [`Principal`]: a user or a client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A user, on whose behalf a client acts.
    User,
    /// A client that acts for itself.
    Client,
}

impl Principal {
    /// Creates the principal that `issuer` names `subject`.
    #[must_use]
    pub fn new(issuer: Issuer, subject: &str, kind: PrincipalKind) -> Self {
        Self { issuer, subject: subject.into(), kind }
    }

    /// Returns the authorization server that identifies the principal.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the subject, which is unique within the issuer and never reassigned.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> PrincipalKind {
        self.kind
    }
}

/// Prints kind, quoted subject and issuer: for logs, not for parsing.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} of {}", self.kind, self.subject, self.issuer)
    }
}
