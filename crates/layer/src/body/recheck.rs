//! [`Recheck`]: asks again about the token that keeps a response stream open.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use portcullis_core::{AuthError, UserContext};

/// Asks the verifier again about the token that opened a response stream.
pub(crate) trait Recheck: Send {
    /// Prepares for a stream that may last for hours: what is kept for it keeps no memory of the request alive.
    fn detach(&mut self);

    /// Begins to ask, or goes on waiting for the answer: the user, if the token is still good for this resource.
    fn poll_verified(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<UserContext>, AuthError>>;
}
