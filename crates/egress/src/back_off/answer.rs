//! [`Answer`]: what a response says about the provider, and about the credential that was presented.

use std::time::Duration;

use crate::EgressErrorKind;

/// What a response says about the provider, and about the credential that was presented: judged by the component that can read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The provider works, and accepted the credential and this server.
    Accepted,
    /// The provider works. Whether it accepted the credential is not this component's concern.
    Answered,
    /// The provider refused the request, and does not say whether that is about the credential or about this server. The
    /// credential is paused for `pause`; not at all if that is zero.
    Refused {
        /// The shortest pause.
        pause: Duration,
    },
    /// The provider failed, though it answered.
    Failed {
        /// [`RateLimited`](EgressErrorKind::RateLimited) or [`ServerError`](EgressErrorKind::ServerError).
        kind: EgressErrorKind,
        /// When it may be asked again, if it says so.
        retry_after: Option<Duration>,
    },
}
