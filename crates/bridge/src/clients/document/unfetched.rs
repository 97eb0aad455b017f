//! [`Unfetched`]: why a client's document is not at hand.

use std::borrow::Cow;

use crate::oauth_error::{ErrorCode, OAuthError};

/// Why a client's document is not at hand.
#[derive(Clone, Debug)]
pub(super) enum Unfetched {
    /// There is none, or none that can be accepted: the client's host says so, or nobody may ask it.
    Refused(Cow<'static, str>),
    /// Nobody can tell.
    Failed,
    /// It may not be asked for now.
    Limited(OAuthError),
}

impl From<Unfetched> for OAuthError {
    fn from(unfetched: Unfetched) -> Self {
        match unfetched {
            Unfetched::Refused(why) => Self::new(ErrorCode::InvalidClient, why),
            Unfetched::Limited(error) => error,
            Unfetched::Failed => {
                Self::new(ErrorCode::TemporarilyUnavailable, "the client's document cannot be fetched")
            }
        }
    }
}
