//! [`SessionBinding`]: the configuration of how sessions are bound to users.

use std::time::Duration;

use super::Sessions;

/// The binding of an `Mcp-Session-Id` to (issuer, subject, client), which stays the same when the token is refreshed.
///
/// A request of another user, or with an unknown id, gets 404, as if the session had ended: the client starts a new one. Sessions are
/// known to one process; after a restart, clients start new ones.
#[derive(Clone, Debug)]
pub struct SessionBinding {
    capacity: u64,
    per_principal: usize,
    idle: Duration,
}

impl SessionBinding {
    /// The default number of concurrent sessions of a principal, which [`with_capacity_per_principal`](Self::with_capacity_per_principal)
    /// changes.
    pub const SESSIONS_PER_PRINCIPAL: usize = 100;

    /// Creates a binding with the defaults: 100 000 sessions, 100 for each principal, and an idle timeout of one day.
    #[must_use]
    pub const fn new() -> Self {
        let per_principal = Self::SESSIONS_PER_PRINCIPAL;
        Self { capacity: 100_000, per_principal, idle: Duration::from_hours(24) }
    }

    /// Sets the maximum number of sessions; beyond it, the least recently used session ends.
    #[must_use]
    pub const fn with_capacity(mut self, sessions: u64) -> Self {
        self.capacity = sessions;
        self
    }

    /// Sets the maximum number of sessions of a principal, through all its clients. If it opens another, its own least recently used
    /// session ends. The inner service is not notified: it needs its own limit for the state of a session.
    #[must_use]
    pub const fn with_capacity_per_principal(mut self, sessions: usize) -> Self {
        self.per_principal = sessions;
        self
    }

    /// Sets the time without use after which a session ends.
    #[must_use]
    pub const fn with_idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    pub(crate) fn sessions(&self) -> Sessions {
        Sessions::new(self.capacity, self.per_principal, self.idle)
    }
}

impl Default for SessionBinding {
    fn default() -> Self {
        Self::new()
    }
}
