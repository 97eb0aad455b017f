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
    /// Nobody can tell. That it may not be asked for, where it is, looks the same: the difference would show strangers which names there
    /// are in the network of this server.
    Failed,
}

impl From<Unfetched> for OAuthError {
    fn from(unfetched: Unfetched) -> Self {
        match unfetched {
            Unfetched::Refused(why) => Self::new(ErrorCode::InvalidClient, why),
            Unfetched::NoDocument(why) => Self::new(ErrorCode::InvalidClient, why),
            Unfetched::Failed => {
                Self::new(ErrorCode::TemporarilyUnavailable, "the client's document cannot be fetched")
            }
        }
    }
}
