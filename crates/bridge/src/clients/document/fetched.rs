//! [`Fetched`]: what a client said of itself, and when.

use std::time::Duration;

use portcullis_core::UnixTime;
use serde::{Deserialize, Serialize};

use crate::clients::Client;

/// For so long a document is used that cannot be fetched again.
const MAX_AGE: Duration = Duration::from_hours(24);

/// What a client said of itself, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Fetched {
    pub(super) client: Client,
    /// In seconds since the epoch, as the next one.
    fetched_at: u64,
    fresh_until: u64,
}

impl Fetched {
    pub(super) const fn new(client: Client, fetched_at: UnixTime, fresh_until: UnixTime) -> Self {
        Self { client, fetched_at: fetched_at.as_secs(), fresh_until: fresh_until.as_secs() }
    }

    /// Used without asking.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now < UnixTime::from_secs(self.fresh_until)
    }

    /// Used if asking is in vain.
    pub(super) fn is_usable(&self, now: UnixTime) -> bool {
        now < self.expires_at()
    }

    pub(super) const fn fetched_at(&self) -> UnixTime {
        UnixTime::from_secs(self.fetched_at)
    }

    pub(super) fn expires_at(&self) -> UnixTime {
        self.fetched_at() + MAX_AGE
    }
}
