//! [`Sessions`]: the store of sessions.

use std::sync::Arc;

use portcullis_core::{Clock, GrantId, UnixTime, Upstream};
use portcullis_refresh::{CreateError, Refresher, TokenSet};
use portcullis_store::{Record, RecordKey, SealedStore, StoreError};
use portcullis_upstream::ProviderClient;
use tokio::sync::broadcast;

use super::{
    AccessEntry, EndReason, Session,
    invalidation::{ContextRevocations, InvalidationFeed},
    secret::SecretHash,
    upstream_revocation::UpstreamRevocations,
};
use crate::{collections, telemetry::Telemetry};

/// A decision about a session.
pub(crate) enum Decision<T> {
    /// Replace the session by the changed one. If the row has changed meanwhile, decide again.
    Replace(T),
    /// Leave it unchanged.
    Keep(T),
    /// End it.
    End(EndReason, T),
}

/// The store of sessions. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) records: SealedStore,
    pub(super) refresher: Refresher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) contexts: Arc<ContextRevocations>,
    pub(super) invalidations: broadcast::Sender<GrantId>,
    /// What tells other processes, if any can share the store.
    pub(super) feed: Option<InvalidationFeed>,
    pub(super) revocations: UpstreamRevocations,
    /// The maximum number of sessions per user and client.
    pub(super) max: usize,
}

/// The status of an access token.
pub(crate) enum TokenStatus {
    /// It is valid.
    Active(Box<ActiveToken>),
    /// It would be valid, but the user's grant at the provider has ended.
    GrantEnded,
    /// It is invalid.
    Inactive,
}

/// A valid access token with its session and the handle for the provider's tokens.
pub(crate) struct ActiveToken {
    pub(crate) session: Session,
    pub(crate) entry: AccessEntry,
    pub(crate) upstream: Upstream,
    /// When the provider last confirmed the user: at the login, or when it last renewed the tokens of the grant.
    pub(crate) confirmed_at: UnixTime,
}

/// The capacity of the feed. A listener that is further behind misses entries.
const INVALIDATIONS: usize = 1024;

impl Sessions {
    /// Creates the store. If there is a `provider`, ended grants are revoked there.
    pub(crate) fn new(
        records: SealedStore,
        refresher: Refresher,
        provider: Option<ProviderClient>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        max: usize,
    ) -> Self {
        let contexts = Arc::new(ContextRevocations::default());
        let feed = InvalidationFeed::new(&records);
        if let Some(feed) = &feed {
            feed.follow(Arc::downgrade(&contexts));
        }
        Self(Arc::new(Inner {
            feed,
            records,
            refresher,
            clock,
            telemetry,
            contexts,
            invalidations: broadcast::Sender::new(INVALIDATIONS),
            revocations: UpstreamRevocations::new(provider),
            max,
        }))
    }

    /// Stores a new session and the tokens of its grant. Returns `false` if the id exists.
    ///
    /// The session is stored first, because only the end of a session ends a grant.
    pub(crate) async fn begin(
        &self,
        id: GrantId,
        session: &Session,
        tokens: Option<TokenSet>,
    ) -> Result<bool, StoreError> {
        if self.0.records.create(key(id), session, session.expires_at()).await?.is_none() {
            return Ok(false);
        }
        let Some(tokens) = tokens else { return Ok(true) };
        match self.0.refresher.create(id, tokens).await {
            Ok(()) => {}
            Err(CreateError::Store(error)) => return Err(error),
            Err(_) => return Ok(false),
        }
        if let Err(error) = self.enforce_limit(id, session).await {
            // The login succeeds nevertheless: a list that was sealed with a lost key would lock the user out until it expires.
            tracing::warn!(%error, "session limit could not be enforced");
        }
        Ok(true)
    }

    /// Returns the session, if it has not ended: an ended session has expired, and stores do not return expired rows.
    pub(crate) async fn load(&self, id: GrantId) -> Result<Option<Session>, StoreError> {
        let opened = self.0.records.load::<Session>(key(id)).await?;
        Ok(opened.map(|opened| opened.value))
    }

    /// Applies `decide` to a session by compare-and-swap, repeatedly until no other write interferes. Returns `None` if there is no such
    /// session.
    pub(crate) async fn decide<T>(
        &self,
        id: GrantId,
        mut decide: impl FnMut(&mut Session, UnixTime) -> Decision<T>,
    ) -> Result<Option<T>, StoreError> {
        loop {
            let Some(Record { version, value: mut session, .. }) = self.0.records.load(key(id)).await? else {
                return Ok(None);
            };
            match decide(&mut session, self.0.clock.now()) {
                Decision::Keep(outcome) => return Ok(Some(outcome)),
                Decision::End(why, outcome) => {
                    self.end(id, why).await?;
                    return Ok(Some(outcome));
                }
                Decision::Replace(outcome) => {
                    let expires_at = session.expires_at();
                    if self.0.records.replace(key(id), version, &session, expires_at).await?.is_some() {
                        return Ok(Some(outcome));
                    }
                }
            }
        }
    }

    /// Returns the status of the access token with this hash.
    pub(crate) async fn token_status(&self, id: GrantId, token: SecretHash) -> Result<TokenStatus, StoreError> {
        if let Some(feed) = &self.0.feed {
            feed.begun().await;
        }
        // Before the session is loaded: if it ends meanwhile, this handle is revoked.
        let upstream = self.0.contexts.attach(id, self.0.refresher.upstream(id));
        let Some(session) = self.load(id).await? else { return Ok(TokenStatus::Inactive) };
        let entry = session.active_tokens().and_then(|tokens| tokens.access(token, self.0.clock.now())).cloned();
        let Some(entry) = entry else { return Ok(TokenStatus::Inactive) };
        if !session.has_upstream {
            let (upstream, confirmed_at) = (upstream.without_grant(), session.began_at);
            return Ok(TokenStatus::Active(Box::new(ActiveToken { session, entry, upstream, confirmed_at })));
        }
        let Some(renewed_at) = self.0.refresher.renewed_at(id).await? else { return Ok(TokenStatus::GrantEnded) };
        let confirmed_at = renewed_at.max(session.began_at);
        Ok(TokenStatus::Active(Box::new(ActiveToken { session, entry, upstream, confirmed_at })))
    }

    /// Reports whether the grant of a session exists. A grant at a provider that was configured before does not count.
    pub(crate) async fn has_grant(&self, id: GrantId) -> Result<bool, StoreError> {
        self.0.refresher.exists(id).await
    }
}

/// Returns the key of a session. The id is a hash already, and [`id_of`] reads it back.
pub(super) fn key(id: GrantId) -> RecordKey {
    RecordKey::of_id(collections::SESSIONS, id.as_bytes())
}

pub(super) fn id_of(key: &RecordKey) -> GrantId {
    GrantId::from_bytes(key.id())
}
