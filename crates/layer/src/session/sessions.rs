//! [`Sessions`]: which session belongs to whom.

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

use super::{entry::Session, shares::Shares};
use crate::protocol_version::is_modern;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// As good as for ever; moka panics at a thousand years.
const LONGEST_IDLE: Duration = Duration::from_hours(24 * 365);

/// Which session belongs to whom, bounded in all and for each principal.
pub(crate) struct Sessions {
    by_id: MokaCache<Vec<u8>, Arc<Session>>,
    shares: Arc<Shares>,
    /// Counts uses: a clock by which it can be told which session was used last.
    uses: AtomicU64,
    crowded: Counter,
}

/// Why a request is not let through.
#[derive(Debug)]
pub(crate) enum Refusal {
    Auth(AuthError),
    /// It names somebody else's session, or one that is not known.
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

    /// The session that `headers` name, if `user` may use it. On the sessionless wire the header means nothing and is
    /// removed.
    pub(crate) fn judge(&self, headers: &mut HeaderMap, user: &UserContext) -> Result<Option<HeaderValue>, Refusal> {
        let mut ids = headers.get_all(SESSION_ID).iter();
        let Some(id) = ids.next() else { return Ok(None) };
        if ids.next().is_some() {
            // Nobody can tell which one the inner service would take.
            return Err(AuthError::new(Reason::RepeatedHeader).into());
        }
        if is_modern(headers) {
            headers.remove(SESSION_ID);
            return Ok(None);
        }
        match self.by_id.get(id.as_bytes()) {
            Some(session) if session.belongs_to(user) => {
                session.note_use(self.next_use());
                Ok(Some(id.clone()))
            }
            _ => Err(Refusal::SessionNotFound),
        }
    }

    /// Ties a session that `response` gives out to `user`, and forgets one that has ended.
    pub(crate) fn observe<C>(
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

    /// Ties a new session to `user`. If they have too many, their own that was unused for longest ends: never one of others.
    fn bind(&self, id: &HeaderValue, user: &UserContext) {
        let begin = || Arc::new(Session::new(id.as_bytes(), user, self.next_use()));
        // The first owner keeps it: an id is never handed from one principal to another.
        let entry = self.by_id.entry_by_ref(id.as_bytes()).or_insert_with(begin);
        if !entry.is_fresh() {
            return;
        }
        if let Some(ended) = self.shares.add(entry.into_value()) {
            self.by_id.invalidate(ended.id());
            self.crowded.increment(1);
            tracing::debug!(principal = ?user.principal(), "session ended: its user has opened too many others");
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
