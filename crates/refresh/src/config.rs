//! [`RefresherConfig`]: configuration of a [`Refresher`](crate::Refresher).

use std::{sync::Arc, time::Duration};

use portcullis_core::{Clock, Issuer, SystemClock};
use portcullis_oauth::providers::{Provider, Rotation};

/// The configuration of a [`Refresher`](crate::Refresher): whose tokens it refreshes, and when.
#[derive(Clone, Debug)]
#[must_use]
pub struct RefresherConfig {
    pub(crate) issuer: Issuer,
    pub(crate) name: &'static str,
    pub(crate) early: Duration,
    pub(crate) refresh_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) role: Role,
    rotation: Rotation,
}

/// Whose tokens a refresher keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Those of the users of a server. Each login is a grant of its own, and nothing of one login is ever used for another one.
    Server,
    /// Those of this program itself. A later login under the same id, in this process or another one, replaces the tokens of an earlier.
    Client,
}

/// How much longer than a refresh a lease lasts: time to read the row before, and to save the new tokens.
pub(crate) const TIME_TO_SAVE: Duration = Duration::from_secs(8);

impl RefresherConfig {
    /// Creates the configuration for the grants at `provider`.
    ///
    /// Tokens are refreshed two minutes before they expire. There is no early refresh if it would revoke the access token that is
    /// still in use. A refresh may take 12 s.
    pub fn for_provider(provider: &Provider) -> Self {
        let config = Self::new(provider.issuer().clone(), provider.name(), provider.rotation());
        if provider.ends_access_token_on_refresh() { config.with_early_refresh(Duration::ZERO) } else { config }
    }

    /// Creates the configuration for the grants at `issuer`. `name` is its label in metrics.
    ///
    /// Only grants whose record names this issuer are used: a refresh token is never presented to another one.
    pub fn new(issuer: Issuer, name: &'static str, rotation: Rotation) -> Self {
        let (early, refresh_timeout) = (Duration::from_secs(120), Duration::from_secs(12));
        Self { issuer, name, early, refresh_timeout, clock: Arc::new(SystemClock::new()), role: Role::Server, rotation }
    }

    /// Creates the configuration for the tokens that this program uses itself, issued by `issuer`. `grant` is the name of the grant
    /// type, a label in metrics.
    ///
    /// All logins under one grant id belong to the same user of the same client: a later login [replaces](crate::ClientLogin::complete) the
    /// tokens of an earlier one, also if another process made it, and a grant that has ended begins again with the next login. Refresh
    /// tokens are taken to be single-use, as MCP requires it of public clients.
    pub fn for_client(issuer: Issuer, grant: &'static str) -> Self {
        Self { role: Role::Client, ..Self::new(issuer, grant, Rotation::SingleUse) }
    }

    /// Sets the clock for the expiry of tokens. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how long before its expiry an access token is refreshed in the background, at most. Default: two minutes.
    ///
    /// A fifth of the token's lifetime is the other limit. Up to a quarter of the time is subtracted at random.
    pub const fn with_early_refresh(mut self, early: Duration) -> Self {
        self.early = early;
        self
    }

    /// Sets how long a refresh may take. Default: 12 s.
    ///
    /// That is longer than the time limit of [`Egress`](portcullis_egress::Egress), which can tell whether the request was sent.
    /// The lease of a grant lasts 8 s longer: if the process dies during a refresh, other processes cannot refresh the grant for that
    /// time.
    pub const fn with_refresh_timeout(mut self, timeout: Duration) -> Self {
        self.refresh_timeout = timeout;
        self
    }

    pub(crate) const fn is_client(&self) -> bool {
        matches!(self.role, Role::Client)
    }

    pub(crate) const fn lease_ttl(&self) -> Duration {
        self.refresh_timeout.saturating_add(TIME_TO_SAVE)
    }

    /// Reports whether a refresh token that may be spent is not presented while the access token works.
    pub(crate) const fn defers_when_possibly_spent(&self) -> bool {
        matches!(self.rotation, Rotation::SingleUse)
    }
}
