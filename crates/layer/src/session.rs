//! Session binding: a session id is valid only for the user that it was issued to.
//!
//! It applies to the protocol versions until 2025-11-25. Later versions have no sessions, so the header is removed before the inner
//! service could use it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use metrics::{Counter, counter};
use moka::{policy::EvictionPolicy, sync::Cache as MokaCache};
use portcullis_core::{AuthError, Principal, Reason, UserContext};

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

/// A session of a client that acts for a principal.
#[derive(Debug)]
struct Session {
    /// A copy, because a header value keeps the whole read buffer of its connection alive.
    id: Box<[u8]>,
    principal: Principal,
    client_id: Option<Box<str>>,
    used_at: AtomicU64,
}

impl Session {
    fn new(id: &[u8], user: &UserContext, now: u64) -> Self {
        let (principal, client_id) = (user.principal().clone(), user.client_id().map(Into::into));
        Self { id: id.into(), principal, client_id, used_at: now.into() }
    }

    const fn id(&self) -> &[u8] {
        &self.id
    }

    const fn principal(&self) -> &Principal {
        &self.principal
    }

    fn belongs_to(&self, user: &UserContext) -> bool {
        self.principal == *user.principal() && self.client_id.as_deref() == user.client_id()
    }

    /// Records a use at the logical time `now`.
    fn touch(&self, now: u64) {
        self.used_at.store(now, Relaxed);
    }

    fn used_at(&self) -> u64 {
        self.used_at.load(Relaxed)
    }
}

/// The sessions of each principal, with a limit: a principal that opens too many ends its own.
///
/// It is accessed when a session begins and ends, never by a request that uses one.
#[derive(Debug)]
struct Shares {
    by_principal: Mutex<HashMap<Principal, Vec<Arc<Session>>>>,
    most: usize,
}

impl Shares {
    fn new(most: usize) -> Self {
        Self { by_principal: Mutex::default(), most }
    }

    /// Adds `session`. Returns the least recently used session of its principal, which must end, if there are too many.
    fn add(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        let mut by_principal = self.lock();
        let sessions = by_principal.entry(session.principal().clone()).or_default();
        sessions.push(session);
        if sessions.len() <= self.most {
            return None;
        }
        let (oldest, _) = sessions.iter().enumerate().min_by_key(|(_, session)| session.used_at())?;
        Some(sessions.swap_remove(oldest))
    }

    /// Removes an ended session.
    fn remove(&self, session: &Arc<Session>) {
        let mut by_principal = self.lock();
        let Some(sessions) = by_principal.get_mut(session.principal()) else { return };
        sessions.retain(|other| !Arc::ptr_eq(other, session));
        if sessions.is_empty() {
            by_principal.remove(session.principal());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, Vec<Arc<Session>>>> {
        self.by_principal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
