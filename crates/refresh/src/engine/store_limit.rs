//! [`in_time`]: what a store says, if it says it in time.

use std::time::Duration;

use tokio::time::timeout;

use crate::StoreError;

/// How long a store may take for one thing; it has time limits of its own, if it is a good one.
const STORE_LIMIT: Duration = Duration::from_secs(10);

/// What a store says, if it says it in time.
pub(crate) async fn in_time<T, E: From<StoreError>>(answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let too_late = |_| Err(StoreError::new("waiting for an answer").into());
    timeout(STORE_LIMIT, answer).await.unwrap_or_else(too_late)
}
