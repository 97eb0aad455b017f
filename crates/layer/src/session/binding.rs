//! [`SessionBinding`]: how session ids are tied to principals.

use std::time::Duration;

use super::Sessions;

/// How `Mcp-Session-Id` is tied to whoever it was given to: (issuer, subject, client), so it survives a token refresh.
///
/// Anybody else who presents it, and whoever presents one that is not known here, gets 404, as if the session had ended: the
/// client starts a new one. Sessions are known to one process; after a restart, clients start new ones.
#[derive(Clone, Debug)]
pub struct SessionBinding(Option<Bounds>);

#[derive(Clone, Debug)]
struct Bounds {
    capacity: u64,
    per_principal: usize,
    idle: Duration,
}

impl SessionBinding {
    /// How many sessions a principal may have at once, unless [set](Self::with_capacity_per_principal) otherwise.
    pub const SESSIONS_PER_PRINCIPAL: usize = 100;

    /// The defaults: 100 000 sessions, 100 for each principal, forgotten after a day without use.
    #[must_use]
    pub const fn new() -> Self {
        let per_principal = Self::SESSIONS_PER_PRINCIPAL;
        Self(Some(Bounds { capacity: 100_000, per_principal, idle: Duration::from_hours(24) }))
    }

    /// How many sessions are known at most; beyond that, those unused for longest end first.
    #[must_use]
    pub const fn with_capacity(mut self, sessions: u64) -> Self {
        if let Some(bounds) = &mut self.0 {
            bounds.capacity = sessions;
        }
        self
    }

    /// How many sessions a principal has at most, by whatever clients; if it opens another, its own session that was unused for
    /// longest ends. The inner service is not told: it needs a bound of its own for what it keeps of a session.
    #[must_use]
    pub const fn with_capacity_per_principal(mut self, sessions: usize) -> Self {
        if let Some(bounds) = &mut self.0 {
            bounds.per_principal = sessions;
        }
        self
    }

    /// After how long without use a session ends.
    #[must_use]
    pub const fn with_idle_timeout(mut self, idle: Duration) -> Self {
        if let Some(bounds) = &mut self.0 {
            bounds.idle = idle;
        }
        self
    }

    pub(crate) const fn unbound() -> Self {
        Self(None)
    }

    pub(crate) fn sessions(&self) -> Option<Sessions> {
        self.0.as_ref().map(|bounds| Sessions::new(bounds.capacity, bounds.per_principal, bounds.idle))
    }
}

impl Default for SessionBinding {
    fn default() -> Self {
        Self::new()
    }
}
