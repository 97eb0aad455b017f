//! [`Sessions`]: which session belongs to whom.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use moka::{policy::EvictionPolicy, sync::Cache as MokaCache};
use portcullis_core::{AuthError, Principal, Reason, UserContext};

use crate::protocol_version::is_modern;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// As good as for ever; moka panics at a thousand years.
const LONGEST_IDLE: Duration = Duration::from_hours(24 * 365);

/// Which session belongs to whom, bounded.
///
/// The ids are copies: a header value read from a connection keeps the whole buffer alive in which it came.
#[derive(Debug)]
pub(crate) struct Sessions(MokaCache<Vec<u8>, Owner>);

/// A client acting for a principal.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Owner(Arc<(Principal, Option<Box<str>>)>);

impl Owner {
    fn of(user: &UserContext) -> Self {
        Self(Arc::new((user.principal().clone(), user.client_id().map(Into::into))))
    }

    fn is(&self, user: &UserContext) -> bool {
        self.0.0 == *user.principal() && self.0.1.as_deref() == user.client_id()
    }
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
    pub(crate) fn new(capacity: u64, idle: Duration) -> Self {
        let sessions = MokaCache::builder().max_capacity(capacity).time_to_idle(idle.min(LONGEST_IDLE));
        Self(sessions.eviction_policy(EvictionPolicy::lru()).build())
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
        match self.0.get(id.as_bytes()) {
            Some(owner) if owner.is(user) => Ok(Some(id.clone())),
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
            self.0.invalidate(id.as_bytes());
        }
        if let Some(id) = response.headers().get(SESSION_ID)
            && used != Some(id)
        {
            // Whoever had it first keeps it: an id is never handed from one principal to another.
            self.0.entry_by_ref(id.as_bytes()).or_insert_with(|| Owner::of(user));
        }
    }
}
