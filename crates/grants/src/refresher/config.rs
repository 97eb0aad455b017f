//! [`RefresherConfig`]: how a [`Refresher`](crate::Refresher) goes about it.

use std::time::Duration;

use portcullis_oauth::providers::Rotation;

/// How a [`Refresher`](crate::Refresher) goes about it.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RefresherConfig {
    pub(crate) early: Duration,
    pub(crate) exchange_timeout: Duration,
    rotation: Rotation,
}

/// How much longer than an exchange a grant stays reserved: time to save what the exchange brought.
const SAVING: Duration = Duration::from_secs(8);

impl RefresherConfig {
    /// For a provider with this [`Rotation`]; tokens are renewed two minutes before they expire, and an exchange may take 12 s.
    pub const fn new(rotation: Rotation) -> Self {
        Self { early: Duration::from_secs(120), exchange_timeout: Duration::from_secs(12), rotation }
    }

    /// How long before its expiry an access token is renewed in the background, at most: a fifth of its life is the other
    /// limit. Default: two minutes. Up to a quarter less, by chance.
    pub const fn with_early(mut self, early: Duration) -> Self {
        self.early = early;
        self
    }

    /// How long an exchange may take before nobody waits for it any more. Default: 12 s, longer than the time limit of
    /// [`Egress`](portcullis_egress::Egress), which knows better whether the request was sent. A grant is reserved for 8 s
    /// more: for so long it is out of reach of other processes if this one dies in the middle.
    pub const fn with_exchange_timeout(mut self, timeout: Duration) -> Self {
        self.exchange_timeout = timeout;
        self
    }

    pub(crate) fn lease_ttl(&self) -> Duration {
        self.exchange_timeout + SAVING
    }

    /// Whether a refresh token that may be spent is spared while the access token works.
    pub(crate) const fn spares_suspects(&self) -> bool {
        matches!(self.rotation, Rotation::SingleUse)
    }
}
