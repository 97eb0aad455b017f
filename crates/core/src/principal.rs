//! [`Principal`]: the stable name of whoever is calling.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::Issuer;

/// Who is calling, stable across tokens, sessions and refreshes: the key for anything kept per user.
///
/// (issuer, subject), never an e-mail address. The kind belongs to the key because the `sub` of a client acting for itself
/// may collide with a user's ([RFC 9068 section 5](https://www.rfc-editor.org/rfc/rfc9068#section-5)).
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Principal {
    issuer: Issuer,
    subject: Arc<str>,
    kind: PrincipalKind,
}

/// Whether a [`Principal`] is a person or a program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// Somebody on whose behalf a client acts.
    User,
    /// A client acting for itself.
    Client,
}

impl Principal {
    /// The principal that `issuer` calls `subject`.
    #[must_use]
    pub fn new(issuer: Issuer, subject: &str, kind: PrincipalKind) -> Self {
        Self { issuer, subject: subject.into(), kind }
    }

    /// The authorization server that vouches for it.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Its name there, unique within the issuer and never reassigned.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// A person or a program.
    #[must_use]
    pub const fn kind(&self) -> PrincipalKind {
        self.kind
    }
}

/// `subject@issuer`, quoted: for logs, not for parsing.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} of {}", self.kind, self.subject, self.issuer)
    }
}
