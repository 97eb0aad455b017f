//! [`RegistrationPolicy`]: whether clients may register themselves.

use std::time::Duration;

use secrecy::SecretString;

use crate::session::SecretHash;

/// Whether clients may register themselves, and for how long they are remembered.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RegistrationPolicy {
    pub(crate) is_enabled: bool,
    pub(super) unused_ttl: Duration,
    pub(in crate::clients) idle_ttl: Duration,
    pub(in crate::clients) max_clients: u64,
    pub(super) initial_access_token: Option<SecretHash>,
}

impl RegistrationPolicy {
    /// They may.
    pub const fn new() -> Self {
        Self {
            is_enabled: true,
            unused_ttl: Duration::from_hours(24),
            idle_ttl: Duration::from_hours(90 * 24),
            max_clients: 10_000,
            initial_access_token: None,
        }
    }

    /// They may not: there is no registration endpoint. Those that have registered are still known.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// For how long a client is remembered that was never given a token. Default: a day. When there is no room,
    /// the oldest of them are forgotten earlier.
    pub const fn with_unused_ttl(mut self, ttl: Duration) -> Self {
        self.unused_ttl = ttl;
        self
    }

    /// For how long a client is remembered after it was last given a token, to the day. Default: 90 days.
    pub const fn with_idle_ttl(mut self, ttl: Duration) -> Self {
        self.idle_ttl = ttl;
        self
    }

    /// The number of clients that are remembered. Default: 10,000. If there are more, the least recently used one is forgotten through which no
    /// user has a session, those that were never given a token first. If users have sessions through all that are looked at (300), the
    /// newcomer is turned away.
    ///
    /// One user may bring a hundredth of them into use, at least one. Of a user with more the least recently used one is forgotten, with
    /// the sessions of that user; not one through which another user has a session.
    pub const fn with_max_clients(mut self, max: u64) -> Self {
        self.max_clients = max;
        self
    }

    /// Only who presents `token` as a bearer token may register
    /// ([RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3)). Default: anybody may. Only a hash of it is kept.
    pub fn with_initial_access_token(mut self, token: &SecretString) -> Self {
        self.initial_access_token = Some(SecretHash::of_text(token));
        self
    }
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self::new()
    }
}
