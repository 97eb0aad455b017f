//! [`AccessTokenKind`]: the form of access tokens.

use portcullis_core::GrantId;
use secrecy::SecretString;

use crate::session::{Pair, Presented, Session, SecretHash};

/// The form of access tokens.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum AccessTokenKind {
    /// Reference tokens: 256 random bits, which mean something to the bridge alone.
    #[default]
    Reference,
}

/// What is minted for whom.
#[derive(Debug)]
pub(crate) struct Minted<'a> {
    pub(crate) id: GrantId,
    pub(crate) session: &'a Session,
    pub(crate) pair: &'a Pair,
}

impl AccessTokenKind {
    /// The access token of a pair, as the client gets it.
    pub(crate) fn mint(&self, minted: &Minted<'_>) -> SecretString {
        match self {
            Self::Reference => minted.pair.access.with_session(minted.id),
        }
    }

    /// Of which session `text` says it is, and by which hash that knows it. Nothing is said about its being good.
    pub(crate) fn identify(&self, text: &str) -> Option<(GrantId, SecretHash)> {
        match self {
            Self::Reference => {
                Presented::access_token(text).map(|presented| (presented.of, presented.secret.hash()))
            }
        }
    }
}
