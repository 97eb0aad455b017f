//! [`Documents`]: the documents of clients, fetched and kept up to date.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use moka::{policy::EvictionPolicy, sync::Cache};
use portcullis_core::Clock;
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_grants::{
    StoreError,
    records::{RecordKey, Records, Table},
};
use tokio::time::timeout;
use tower_service::Service as _;

use super::{ClientUrl, DocumentPolicy, Entry, Fetched, Flight, Look, Unfetched, message};
use crate::{
    clients::{Client, Origin},
    limits::Limits,
    oauth_error::{ErrorCode, OAuthError},
};

/// So many documents are remembered in this process, of the good and of the bad.
const CAPACITY: u64 = 1000;

/// For so long a slow host is waited for if its client is known.
const PATIENCE: Duration = Duration::from_secs(3);

/// The documents of clients, fetched and kept up to date. Clones share them.
///
/// 1. A document is used without asking for as long as `Cache-Control: max-age` says, within a minute and a day (10 minutes if it
///    says nothing). Then it is fetched again before it is used.
/// 2. If that fails, or takes long, the last one is used until it is a day old. It is also in the store, from the first token on,
///    for processes that start in the middle of an outage. If the host says that there is no such client any more, or something
///    that is no document, there is none.
/// 3. There is one fetch of a document at a time, and after one that came to nothing none for a second, doubling to 30. Neither
///    errors nor invalid documents are kept otherwise.
#[derive(Clone, Debug)]
pub(in crate::clients) struct Documents {
    policy: Arc<DocumentPolicy>,
    records: Records,
    egress: Egress,
    limits: Limits,
    clock: Arc<dyn Clock>,
    entries: Cache<Box<str>, Arc<Entry>>,
}

impl Documents {
    pub(in crate::clients) fn new(
        policy: DocumentPolicy,
        records: Records,
        egress: Egress,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // The least recently used go first: a newcomer is never turned away, for it may be under way.
        let entries = Cache::builder().max_capacity(CAPACITY).eviction_policy(EvictionPolicy::lru()).build();
        Self { policy: Arc::new(policy), records, egress, limits, clock, entries }
    }

    /// The client whose document is at `id`.
    ///
    /// # Errors
    /// `invalid_client` if it has none, or none that can be accepted; `temporarily_unavailable` if nobody can tell.
    pub(in crate::clients) async fn find(&self, id: &str) -> Result<Client, OAuthError> {
        let url = ClientUrl::parse(id, &self.policy).map_err(|why| OAuthError::new(ErrorCode::InvalidClient, why))?;
        let entry = self.entries.get_with(id.into(), Arc::default);
        let start = || self.start(url, Arc::clone(&entry));
        match entry.look(self.clock.now(), start) {
            Look::Known(client) => Ok(client),
            Look::Unfetched(why) => Err(why.into()),
            Look::Pending { flight, fallback: None } => Ok(flight.await?),
            Look::Pending { flight, fallback: Some(client) } => match timeout(PATIENCE, flight).await {
                Ok(fetched) => Ok(fetched?),
                Err(_) => Ok(client),
            },
        }
    }

    /// Whether the operator vouches for `client`.
    pub(in crate::clients) fn trusts(&self, client: &Client) -> bool {
        client.origin == Origin::Document
            && ClientUrl::parse(client.id(), &self.policy).is_ok_and(|url| self.policy.trusts(url.host()))
    }

    /// Keeps the document of `client`, who has been given tokens: now and then. Nobody fills the store by naming URLs.
    pub(in crate::clients) async fn keep(&self, client: &Client) -> Result<(), StoreError> {
        let Some(entry) = self.entries.get(client.id()) else { return Ok(()) };
        let Some(document) = entry.unkept() else { return Ok(()) };
        let key = key(client.id());
        // If another process is faster it keeps what is as good.
        match self.records.load::<Fetched>(key).await? {
            None => self.records.create(key, &document, document.expires_at()).await?,
            Some(kept) => self.records.replace(key, kept.version, &document, document.expires_at()).await?,
        };
        entry.kept(&document);
        Ok(())
    }

    /// Starts a fetch on a task of its own.
    fn start(&self, url: ClientUrl, entry: Arc<Entry>) -> Flight {
        let this = self.clone();
        let task = tokio::spawn(async move {
            let outcome = this.fetch(&url, &entry).await;
            if let Err(Unfetched::Refused(why)) = &outcome {
                tracing::info!(client = url.as_str(), %why, "a client's document is refused");
                this.forget(url.as_str()).await;
            }
            entry.landed(outcome, this.clock.now())
        });
        task.map(|end| end.unwrap_or(Err(Unfetched::Failed))).boxed().shared()
    }

    async fn fetch(&self, url: &ClientUrl, entry: &Entry) -> Result<Fetched, Unfetched> {
        if entry.is_blank()
            && let Some(kept) = self.kept(url.as_str()).await
        {
            entry.remember(kept.clone());
            if kept.is_fresh(self.clock.now()) {
                return Ok(kept);
            }
        }
        self.limits.may_fetch(url.host()).map_err(Unfetched::Limited)?;
        let asked_at = self.clock.now();
        match self.egress.clone().call(message::request(url)).await {
            Ok(response) => message::process(url, &response, asked_at),
            Err(error) => Err(unfetched(&error)),
        }
    }

    /// The copy in the store, if it can be had: if not, the host is asked.
    async fn kept(&self, id: &str) -> Option<Fetched> {
        match self.records.load(key(id)).await {
            Ok(kept) => kept.map(|kept| kept.value),
            Err(error) => {
                tracing::warn!(%error, "the kept copy of a client's document cannot be read");
                None
            }
        }
    }

    async fn forget(&self, id: &str) {
        let forgotten = async {
            match self.records.load::<Fetched>(key(id)).await? {
                Some(kept) => self.records.remove(key(id), kept.version).await,
                None => Ok(false),
            }
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "the kept copy of a client's document cannot be removed");
        }
    }
}

fn key(id: &str) -> RecordKey {
    RecordKey::of(Table::Clients, &[b"document", id.as_bytes()])
}

fn unfetched(error: &EgressError) -> Unfetched {
    match error.kind() {
        EgressErrorKind::Blocked => Unfetched::Refused("the client's document is not at a public address".into()),
        EgressErrorKind::BodyTooLarge => Unfetched::Refused("the client's document is too large".into()),
        _ => {
            tracing::warn!(%error, "a client's document cannot be fetched");
            Unfetched::Failed
        }
    }
}
