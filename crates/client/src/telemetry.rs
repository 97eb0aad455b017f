//! Metrics of logins and step-ups. Those of exchanges in general are counted by the refresh engine.

use std::time::Duration;

use metrics::{counter, histogram};

use crate::{GrantError, GrantErrorKind};

/// Counts a login or a step-up. If it needed no user, it is an exchange as any other.
pub(crate) fn obtained(grant: &'static str, is_interactive: bool, failure: Option<&GrantError>, elapsed: Duration) {
    let outcome = failure.map(GrantError::kind).map_or("success", GrantErrorKind::as_str);
    if is_interactive {
        counter!("portcullis_client_logins_total", "grant" => grant, "outcome" => outcome).increment(1);
    } else {
        counter!("portcullis_client_exchanges_total", "grant" => grant, "outcome" => outcome).increment(1);
        histogram!("portcullis_client_exchange_seconds", "grant" => grant).record(elapsed);
    }
}

/// Counts a caller that waits for a login or a step-up that is in progress.
pub(crate) fn coalesced(grant: &'static str) {
    counter!("portcullis_client_coalesced_waiters_total", "grant" => grant).increment(1);
}
