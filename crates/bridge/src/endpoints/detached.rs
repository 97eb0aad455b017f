//! What goes on when the client goes away.

use tracing::Instrument as _;

use crate::{
    Bridge,
    oauth_error::{ErrorCode, OAuthError},
};

/// Does `work` to its end, on a task of its own, which a shutdown waits for: a client that goes away leaves nothing half done.
pub(crate) async fn detached<T: Send + 'static>(
    bridge: &Bridge,
    work: impl Future<Output = Result<T, OAuthError>> + Send + 'static,
) -> Result<T, OAuthError> {
    bridge.inner().tasks.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an endpoint of the bridge failed in an unexpected way");
        Err(OAuthError::new(ErrorCode::ServerError, "the server failed"))
    })
}
