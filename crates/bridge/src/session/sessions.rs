//! [`Sessions`]: where sessions are kept and changed.

use std::sync::Arc;

use portcullis_core::{Clock, GrantId, UnixTime, Upstream};
use portcullis_grants::{
    CreateError, ProviderClient, Refresher, StoreError, TokenSet,
    records::{Collection, Record, RecordKey, SealedStore},
};
use tokio::sync::broadcast;

use super::{
    AccessEntry, Session, contexts::ContextRevocations, ending::EndReason, revocations::Revocations, secret::SecretHash,
};
use crate::telemetry::Telemetry;

/// What is to become of a session that was looked at.
pub(crate) enum Decision<T> {
    /// The changed session replaces the one that was looked at, if that is still there; else it is looked at again.
    Replace(T),
    /// It stays as it is.
    Keep(T),
    /// It ends.
    End(EndReason, T),
}

/// Where sessions are kept, changed and ended. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) records: SealedStore,
    pub(super) refresher: Refresher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) contexts: ContextRevocations,
    pub(super) invalidations: broadcast::Sender<GrantId>,
    pub(super) revocations: Revocations,
    /// So many sessions a user may have through one client.
    pub(super) max: usize,
}

/// What an access token is good for.
pub(crate) enum TokenStatus {
    /// Everything that it says.
    Active(Box<Good>),
    /// It would be good, but what its user allowed at the provider is gone.
    GrantEnded,
    /// Nothing.
    Inactive,
}

/// An access token that is good: whose, which one, and the way to the provider.
pub(crate) struct Good {
    pub(crate) session: Session,
    pub(crate) entry: AccessEntry,
    pub(crate) upstream: Upstream,
    /// When the provider last confirmed the user: at the login, or when it last renewed the tokens of the grant.
    pub(crate) confirmed_at: UnixTime,
}

/// So many invalidations may wait for a slow listener before it misses some.
const INVALIDATIONS: usize = 1024;

impl Sessions {
    /// `provider` is told of the ends of grants, if there is one.
    pub(crate) fn new(
        records: SealedStore,
        refresher: Refresher,
        provider: Option<ProviderClient>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        max: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            records,
            refresher,
            clock,
            telemetry,
            contexts: ContextRevocations::default(),
            invalidations: broadcast::Sender::new(INVALIDATIONS),
            revocations: Revocations::new(provider),
            max,
        }))
    }

    /// Keeps a new session and the tokens of its grant. `false` if there is one of this id.
    ///
    /// The session comes first: a grant without one would have nobody to end it.
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
        if let Err(error) = self.join(id, session).await {
            // Maybe one too many, which expires. That is no reason to send anybody away: a count that was sealed with a key that is gone
            // would keep a user out for as long as it lasts.
            tracing::warn!(%error, "a session could not be counted");
        }
        Ok(true)
    }

    /// The session, if it has not ended: one that has has expired, and no store shows it.
    pub(crate) async fn load(&self, id: GrantId) -> Result<Option<Session>, StoreError> {
        let opened = self.0.records.load::<Session>(key(id)).await?;
        Ok(opened.map(|opened| opened.value))
    }

    /// Decides something about a session, durably: whoever is first decides, and the others look again. `None` if there is none.
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

    /// What the access token with this hash is good for.
    pub(crate) async fn token_status(&self, id: GrantId, token: SecretHash) -> Result<TokenStatus, StoreError> {
        // Before the session is looked up: if it ends meanwhile, its contexts are withdrawn.
        let upstream = self.0.contexts.of(id, self.0.refresher.upstream(id));
        let Some(session) = self.load(id).await? else { return Ok(TokenStatus::Inactive) };
        let entry = session.live().and_then(|live| live.access(token, self.0.clock.now())).cloned();
        let Some(entry) = entry else { return Ok(TokenStatus::Inactive) };
        if !session.has_upstream {
            let (upstream, confirmed_at) = (upstream.without_grant(), session.began_at);
            return Ok(TokenStatus::Active(Box::new(Good { session, entry, upstream, confirmed_at })));
        }
        let Some(renewed_at) = self.0.refresher.renewed_at(id).await? else { return Ok(TokenStatus::GrantEnded) };
        let confirmed_at = renewed_at.max(session.began_at);
        Ok(TokenStatus::Active(Box::new(Good { session, entry, upstream, confirmed_at })))
    }

    /// Whether the grant of a session is still there. One at another provider, which this bridge had before, is of no use.
    pub(crate) async fn has_grant(&self, id: GrantId) -> Result<bool, StoreError> {
        self.0.refresher.exists(id).await
    }
}

/// The id is a hash already, and is read back from the key of a row that is due.
pub(super) fn key(id: GrantId) -> RecordKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(id.as_bytes());
    RecordKey::new(Collection::SESSIONS, bytes)
}

pub(super) fn id_of(key: &RecordKey) -> GrantId {
    let mut id = [0; 16];
    id.copy_from_slice(&key.as_bytes()[..16]);
    GrantId::from_bytes(id)
}
