//! [`Unfetched`]: why a client's document is not at hand.

use std::borrow::Cow;

use crate::oauth_error::{ErrorCode, OAuthError};

/// Why a client's document is not at hand.
#[derive(Clone, Debug)]
pub(super) enum Unfetched {
    /// There is none, or none that can be accepted: the client's host says so.
    Refused(Cow<'static, str>),
    /// What has come is no document: it may be a page of something in between, which says nothing of one that is known.
    NoDocument(&'static str),
    /// Nothing has come.
    Failed,
}

/// Where there is no document, the answer is one and the same, whether nothing listens there, the address may not be called, something
/// else answers, or nothing does in time: any caller can name any address, and the difference would map the network of this server. The
/// cause is in the log.
impl From<Unfetched> for OAuthError {
    fn from(unfetched: Unfetched) -> Self {
        match unfetched {
            Unfetched::Refused(why) => Self::new(ErrorCode::InvalidClient, why),
            Unfetched::NoDocument(_) | Unfetched::Failed => {
                Self::new(ErrorCode::TemporarilyUnavailable, "the client's document cannot be fetched")
            }
        }
    }
}
