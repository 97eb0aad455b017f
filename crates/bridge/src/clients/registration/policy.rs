//! [`RegistrationPolicy`]: settings of dynamic client registration.

use std::time::Duration;

use secrecy::SecretString;

use crate::session::SecretHash;

/// Settings of dynamic client registration.
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
    /// Enables dynamic client registration with default limits.
    pub const fn new() -> Self {
        Self {
            is_enabled: true,
            unused_ttl: Duration::from_hours(24),
            idle_ttl: Duration::from_hours(90 * 24),
            max_clients: 10_000,
            initial_access_token: None,
        }
    }

    /// Disables the registration endpoint. Clients that have registered before remain valid.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// Sets the lifetime of registrations through which no token was issued. Default: one day. At the maximum number of clients, the
    /// oldest of them are removed earlier.
    pub const fn with_unused_ttl(mut self, ttl: Duration) -> Self {
        self.unused_ttl = ttl;
        self
    }

    /// Sets the lifetime of registrations after the last issued token, accurate to one day. Default: 90 days.
    pub const fn with_idle_ttl(mut self, ttl: Duration) -> Self {
        self.idle_ttl = ttl;
        self
    }

    /// Sets the maximum number of clients. Default: 10,000. Beyond it, the least recently used client without a session is removed,
    /// clients without tokens first. If users have sessions through all of the 300 clients that are examined, the registration is
    /// rejected.
    ///
    /// At most a hundredth of the clients, and at least one, can be in use by one user alone. Beyond that, the least recently used client
    /// of the user is removed, with the user's sessions, unless another user has a session through it.
    pub const fn with_max_clients(mut self, max: u64) -> Self {
        self.max_clients = max;
        self
    }

    /// Requires the initial access token `token` for registrations
    /// ([RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3)). Default: none. Only a hash of it is kept.
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
