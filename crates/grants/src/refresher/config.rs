//! [`RefresherConfig`]: whose tokens a [`Refresher`](crate::Refresher) keeps fresh, and how.

use std::time::Duration;

use portcullis_core::Issuer;
use portcullis_oauth::providers::{Provider, Rotation};

/// Whose tokens a [`Refresher`](crate::Refresher) keeps fresh, and how.
#[derive(Clone, Debug)]
#[must_use]
pub struct RefresherConfig {
    pub(crate) issuer: Issuer,
    pub(crate) name: &'static str,
    pub(crate) early: Duration,
    pub(crate) refresh_timeout: Duration,
    rotation: Rotation,
}

/// How much longer than an exchange a grant stays reserved: time to read it before, and to save what the exchange brought.
pub(crate) const SAVING: Duration = Duration::from_secs(8);

impl RefresherConfig {
    /// For the grants at `provider`.
    ///
    /// Tokens are renewed two minutes before they expire; not at all before, where a refresh would end the access token that
    /// others are still using. An exchange may take 12 s.
    pub fn for_provider(provider: &Provider) -> Self {
        let config = Self::new(provider.issuer().clone(), provider.name(), provider.rotation());
        if provider.ends_access_token_on_refresh() { config.with_early_refresh(Duration::ZERO) } else { config }
    }

    /// For the grants at `issuer`, called `name` in metrics.
    ///
    /// Only grants whose record names this issuer are used: no refresh token is ever presented to another one.
    pub const fn new(issuer: Issuer, name: &'static str, rotation: Rotation) -> Self {
        Self { issuer, name, early: Duration::from_secs(120), refresh_timeout: Duration::from_secs(12), rotation }
    }

    /// How long before its expiry an access token is renewed in the background, at most: a fifth of its life is the other
    /// limit. Default: two minutes. Up to a quarter less, by chance.
    pub const fn with_early_refresh(mut self, early: Duration) -> Self {
        self.early = early;
        self
    }

    /// How long an exchange may take before nobody waits for it any more. Default: 12 s, longer than the time limit of
    /// [`Egress`](portcullis_egress::Egress), which knows better whether the request was sent. A grant is reserved for 8 s
    /// more: for so long it is out of reach of other processes if this one dies in the middle.
    pub const fn with_refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    pub(crate) const fn lease_ttl(&self) -> Duration {
        self.refresh_timeout.saturating_add(SAVING)
    }

    /// Whether a refresh token that may be spent is spared while the access token works.
    pub(crate) const fn spares_suspects(&self) -> bool {
        matches!(self.rotation, Rotation::SingleUse)
    }
}
