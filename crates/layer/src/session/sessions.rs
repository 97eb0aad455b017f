//! [`Sessions`]: the sessions and their owners.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use metrics::{Counter, counter};
use moka::{policy::EvictionPolicy, sync::Cache as MokaCache};
use portcullis_core::{AuthError, Reason, UserContext};

use super::shares::{Session, Shares};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The first protocol version without sessions, and with headers that mirror the body. Versions are dates, so they compare
/// as text.
const MODERN: &[u8] = b"2026-07-28";

/// The longest idle timeout; moka panics at a thousand years.
const LONGEST_IDLE: Duration = Duration::from_hours(24 * 365);

/// The sessions and their owners, limited in total and for each principal.
pub(crate) struct Sessions {
    by_id: MokaCache<Vec<u8>, Arc<Session>>,
    shares: Arc<Shares>,
    /// Counts uses: a logical clock that orders sessions by their last use.
    uses: AtomicU64,
    crowded: Counter,
}

/// The reason why a request is rejected after verification.
#[derive(Debug)]
pub(crate) enum Refusal {
    Auth(AuthError),
    /// The session is unknown, or belongs to another user.
    SessionNotFound,
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl Sessions {
    pub(crate) fn new(capacity: u64, per_principal: usize, idle: Duration) -> Self {
        let shares = Arc::new(Shares::new(per_principal));
        let of_listener = Arc::clone(&shares);
        let by_id = MokaCache::builder()
            .max_capacity(capacity)
            .time_to_idle(idle.min(LONGEST_IDLE))
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |_, session: Arc<Session>, _| of_listener.remove(&session))
            .build();
        Self { by_id, shares, uses: AtomicU64::default(), crowded: counter!("portcullis_sessions_crowded_total") }
    }

    /// Returns the session that `headers` name, if it belongs to `user`. In a protocol version without sessions the header has no meaning
    /// and is removed.
    pub(crate) fn check(&self, headers: &mut HeaderMap, user: &UserContext) -> Result<Option<HeaderValue>, Refusal> {
        let mut ids = headers.get_all(SESSION_ID).iter();
        let Some(id) = ids.next() else { return Ok(None) };
        if ids.next().is_some() {
            // It is unknown which of the two the inner service would use.
            return Err(AuthError::new(Reason::RepeatedHeader).into());
        }
        if is_modern(headers) {
            headers.remove(SESSION_ID);
            return Ok(None);
        }
        match self.by_id.get(id.as_bytes()) {
            Some(session) if session.belongs_to(user) => {
                session.touch(self.next_use());
                Ok(Some(id.clone()))
            }
            _ => Err(Refusal::SessionNotFound),
        }
    }

    /// Binds a session that `response` creates to `user`, and removes one that has ended.
    pub(crate) fn track<C>(
        &self,
        response: &Response<C>,
        used: Option<&HeaderValue>,
        deleted: bool,
        user: &UserContext,
    ) {
        if let Some(id) = used
            && deleted
            && response.status().is_success()
        {
            self.by_id.invalidate(id.as_bytes());
        }
        if let Some(id) = response.headers().get(SESSION_ID)
            && used != Some(id)
        {
            self.bind(id, user);
        }
    }

    /// Binds a new session to `user`. If the user has too many, their own least recently used session ends, never one of another user.
    fn bind(&self, id: &HeaderValue, user: &UserContext) {
        let begin = || Arc::new(Session::new(id.as_bytes(), user, self.next_use()));
        // The first owner keeps the session: an id never moves from one principal to another.
        let entry = self.by_id.entry_by_ref(id.as_bytes()).or_insert_with(begin);
        if !entry.is_fresh() {
            return;
        }
        if let Some(ended) = self.shares.add(entry.into_value()) {
            self.by_id.invalidate(ended.id());
            self.crowded.increment(1);
            tracing::debug!(principal = ?user.principal(), "session ended: its user has opened too many sessions");
        }
    }

    fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Relaxed)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// Reports whether a request is of protocol version 2026-07-28 or later. Of several versions in one request, the latest counts.
pub(crate) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get_all(PROTOCOL_VERSION).iter().any(|version| version.as_bytes() >= MODERN)
}
