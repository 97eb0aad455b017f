//! [`Documents`]: client metadata documents, fetched on demand and cached.

use std::{sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};
use portcullis_core::Clock;
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_remote::SharedTask;
use portcullis_store::{RecordKey, SealedStore, StoreError};
use tokio::time::timeout;
use tower_service::Service as _;

use super::{
    Client, ClientMetadataDocumentPolicy, ClientSource,
    document::{self, ClientUrl, FetchError, FetchedDocument, RejectedUrl},
    document_entry::{DocumentEntry, Lookup, SharedFetch},
    metadata::for_log,
};
use crate::{
    BridgeConfig, collections,
    limits::{Caller, RateLimits},
    response::{ErrorCode, OAuthError},
};

/// The capacity of each of the two caches.
const CAPACITY: u64 = 1000;

/// How long a caller waits for a slow host if there is a document to fall back to.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(3);

/// Client metadata documents, fetched on demand and cached. Clones share the cache.
///
/// 1. A document is used without another fetch for its `Cache-Control: max-age`, between one minute and one day (10 minutes without
///    the header). Then it is fetched again before it is used.
/// 2. If that fetch fails, takes long, or returns something that is no document (a redirect, a page), the last document is used until
///    it is one day old. From the first issued token on, it is also in the store, for processes that start during an outage. If the host
///    answers that the document does not exist any more, or returns an invalid one, the client is unknown.
/// 3. At most one fetch per document is in flight. After a failed one, there is no other for one second, doubling to 30. Errors and
///    invalid documents are not cached beyond that.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    policy: Arc<ClientMetadataDocumentPolicy>,
    /// Hosts that redirect URIs may have with `http`.
    http_hosts: Arc<[Box<str>]>,
    stored: StoredDocuments,
    egress: Egress,
    limits: RateLimits,
    clock: Arc<dyn Clock>,
    found: Cache<Box<str>, Arc<DocumentEntry>>,
    /// A separate cache for URLs without a document: requests that name many such URLs cannot evict documents.
    not_found: Cache<Box<str>, Arc<DocumentEntry>>,
}

/// The copies of documents in the store. There is one per client that users have received tokens through.
#[derive(Clone, Debug)]
struct StoredDocuments(SealedStore);

impl Documents {
    pub(super) fn new(
        config: &BridgeConfig,
        records: SealedStore,
        egress: Egress,
        limits: RateLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // LRU admits every new entry, which moka's default policy does not: a fetch in flight must stay reachable.
        let entries = || Cache::builder().max_capacity(CAPACITY).eviction_policy(EvictionPolicy::lru()).build();
        let (found, not_found) = (entries(), entries());
        let (policy, http_hosts) = (Arc::new(config.documents.clone()), config.http_redirect_hosts.as_slice().into());
        Self { policy, http_hosts, stored: StoredDocuments(records), egress, limits, clock, found, not_found }
    }

    /// Returns the client whose document is at the URL `id`, which a request of `caller` names.
    ///
    /// # Errors
    /// `invalid_client` if there is no valid document; `temporarily_unavailable` if that cannot be determined.
    pub(super) async fn find(&self, id: &str, caller: &Caller) -> Result<Client, OAuthError> {
        let url = ClientUrl::parse(id, &self.policy).map_err(|rejected| {
            let RejectedUrl { why, key } = rejected;
            let error = OAuthError::new(ErrorCode::InvalidClient, why).with_found(&for_log(id), why);
            key.into_iter().fold(error, OAuthError::with_key)
        })?;
        let cached = self.cached(id).await;
        let is_cached = cached.is_some();
        let entry = cached.unwrap_or_else(|| self.not_found.get_with(id.into(), Arc::default));
        // The caller's own quota is checked before the fetch, which others may share: its error concerns this caller only.
        let start = || {
            match is_cached {
                true => self.limits.acquire_document_refetch(url.host()),
                false => {
                    self.limits.acquire_document_fetch(caller, url.host(), self.policy.is_host_configured(url.host()))
                }
            }?;
            Ok(self.spawn_fetch(url, Arc::clone(&entry)))
        };
        let client = match entry.look_up(self.clock.now(), start)? {
            Lookup::Cached(client) => Ok(client),
            Lookup::Failed(error) => Err(error.into()),
            Lookup::Pending { fetch, fallback: None } => Ok(fetch.await?),
            Lookup::Pending { fetch, fallback: Some(client) } => match timeout(FALLBACK_TIMEOUT, fetch).await {
                Ok(fetched) => Ok(fetched?),
                Err(_) => Ok(client),
            },
        };
        client.map(|client| Client { is_used: entry.is_stored(), ..client })
    }

    /// Reports whether the operator trusts the host of `client`'s document.
    pub(super) fn is_trusted(&self, client: &Client) -> bool {
        client.source == ClientSource::Document
            && ClientUrl::parse(client.id(), &self.policy).is_ok_and(|url| self.policy.is_host_trusted(url.host()))
    }

    /// Saves the document of `client`, which has received tokens, if the copy in the store is missing or old. Documents of clients
    /// without tokens are never saved, so requests that name URLs do not fill the store.
    pub(super) async fn save(&self, client: &Client) -> Result<(), StoreError> {
        let Some(entry) = self.found.get(client.id()) else { return Ok(()) };
        let Some(document) = entry.document_to_store() else { return Ok(()) };
        self.stored.save(client.id(), &document).await?;
        entry.set_stored(&document);
        Ok(())
    }

    /// Returns the entry of the document at `id` from this process or from the store.
    async fn cached(&self, id: &str) -> Option<Arc<DocumentEntry>> {
        if let Some(entry) = self.found.get(id) {
            return Some(entry);
        }
        let stored = self.stored.load(id).await?;
        Some(self.found.get_with(id.into(), || Arc::new(DocumentEntry::from_store(stored))))
    }

    /// Starts a fetch on a task of its own.
    fn spawn_fetch(&self, url: ClientUrl, entry: Arc<DocumentEntry>) -> SharedFetch {
        let this = self.clone();
        let fetch = async move {
            let outcome = this.fetch(&url).await;
            match &outcome {
                Ok(_) => {
                    this.found.insert(url.as_str().into(), Arc::clone(&entry));
                    this.not_found.invalidate(url.as_str());
                }
                Err(FetchError::Rejected(_)) => {
                    this.stored.remove(url.as_str()).await;
                    // The entry keeps its back-off state there.
                    this.not_found.insert(url.as_str().into(), Arc::clone(&entry));
                    this.found.invalidate(url.as_str());
                }
                Err(FetchError::NotADocument(why)) => {
                    tracing::info!(client = url.as_str(), why, key = KEY, "response is not a client metadata document");
                }
                Err(FetchError::Unavailable) => {}
            }
            entry.complete(outcome, this.clock.now())
        };
        SharedTask::spawn(fetch, |_| Err(FetchError::Unavailable))
    }

    async fn fetch(&self, url: &ClientUrl) -> Result<FetchedDocument, FetchError> {
        let requested_at = self.clock.now();
        let response =
            self.egress.clone().call(document::request(url)).await.map_err(|error| fetch_error(url, &error))?;
        document::process(url, &response, requested_at, &self.http_hosts).inspect_err(|error| {
            if matches!(error, FetchError::Unavailable) {
                let status = response.status().as_u16();
                tracing::warn!(client = url.as_str(), status, key = KEY, "client metadata document request failed");
            }
        })
    }
}

/// The configuration key that makes clients register instead of naming a document.
const KEY: &str = "bridge.documents.enabled";

/// What the page of an unavailable document says to the operator. It is the same for each cause, as the answer is.
const ADVICE: &str = "This server reads the description of an application from the address that the application names, and could not. \
    The operator finds the cause in the log, and can let this server reach that address, list the application under bridge.clients, or set \
    bridge.documents.enabled = false: then applications register themselves.";

fn fetch_error(url: &ClientUrl, error: &EgressError) -> FetchError {
    match error.kind() {
        EgressErrorKind::BodyTooLarge => FetchError::NotADocument(document::TOO_LARGE),
        kind => {
            let (client, source) = (url.as_str(), std::error::Error::source(error));
            tracing::warn!(client, found = kind.as_str(), %error, source, key = KEY, "client metadata document cannot be fetched");
            FetchError::Unavailable
        }
    }
}

/// Any caller can name any address, and differences between answers would map this server's network. So the answer is the same whether
/// no server listens there, egress forbids the address, another service answers, or the request times out. The log has the cause.
impl From<FetchError> for OAuthError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Rejected(why) => {
                let found = why.to_string();
                Self::new(ErrorCode::InvalidClient, why).with_found(&found, "a valid client metadata document")
            }
            FetchError::NotADocument(_) | FetchError::Unavailable => {
                Self::new(ErrorCode::TemporarilyUnavailable, "client metadata document cannot be fetched")
                    .with_advice(ADVICE)
            }
        }
    }
}

impl StoredDocuments {
    /// Returns the copy of the document at `id`. If the store fails, the document is fetched from its host instead.
    async fn load(&self, id: &str) -> Option<FetchedDocument> {
        match self.0.load(Self::key(id)).await {
            Ok(stored) => stored.map(|stored| stored.value),
            Err(error) => {
                tracing::warn!(%error, "stored client metadata document cannot be read");
                None
            }
        }
    }

    /// Saves `document`. If another process saves its copy at the same time, either copy is recent enough.
    async fn save(&self, id: &str, document: &FetchedDocument) -> Result<(), StoreError> {
        let key = Self::key(id);
        match self.0.load::<FetchedDocument>(key).await? {
            None => self.0.create(key, document, document.expires_at()).await?,
            Some(stored) => self.0.replace(key, stored.version, document, document.expires_at()).await?,
        };
        Ok(())
    }

    async fn remove(&self, id: &str) {
        let key = Self::key(id);
        let removed = async {
            match self.0.load::<FetchedDocument>(key).await? {
                Some(stored) => self.0.remove(key, stored.version).await,
                None => Ok(false),
            }
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "stored client metadata document cannot be removed");
        }
    }

    fn key(id: &str) -> RecordKey {
        RecordKey::of(collections::DOCUMENTS, &[id.as_bytes()])
    }
}
