//! [`Documents`]: the documents of clients, fetched and kept up to date.

use std::{sync::Arc, time::Duration};

use moka::{policy::EvictionPolicy, sync::Cache};
use portcullis_core::Clock;
use portcullis_egress::{Egress, EgressError, EgressErrorKind};
use portcullis_grants::{StoreError, records::SealedStore};
use portcullis_remote::SharedTask;
use tokio::time::timeout;
use tower_service::Service as _;

use super::{ClientMetadataDocumentPolicy, ClientUrl, Entry, Fetched, Flight, Kept, Look, Unfetched, message};
use crate::{
    clients::{Client, Origin},
    limits::{Caller, Limits},
    oauth_error::{ErrorCode, OAuthError},
};

/// So many good documents are remembered in this process, and so many that are not there, or not yet.
const CAPACITY: u64 = 1000;

/// For so long a slow host is waited for if its client is known.
const PATIENCE: Duration = Duration::from_secs(3);

/// The documents of clients, fetched and kept up to date. Clones share them.
///
/// 1. A document is used without asking for as long as `Cache-Control: max-age` says, within a minute and a day (10 minutes if it
///    says nothing). Then it is fetched again before it is used.
/// 2. If that fails, takes long, or brings what is no document (a redirect, a page), the last one is used until it is a day old. It
///    is also in the store, from the first token on, for processes that start in the middle of an outage. If the host says that there
///    is no such client any more, or has a document that is not good, there is none.
/// 3. There is one fetch of a document at a time, and after one that came to nothing none for a second, doubling to 30. Neither
///    errors nor invalid documents are kept otherwise.
#[derive(Clone, Debug)]
pub(in crate::clients) struct Documents {
    policy: Arc<ClientMetadataDocumentPolicy>,
    kept: Kept,
    egress: Egress,
    limits: Limits,
    clock: Arc<dyn Clock>,
    known: Cache<Box<str>, Arc<Entry>>,
    /// Apart from those that are: whoever names a thousand URLs at which there is nothing makes us forget nobody.
    unknown: Cache<Box<str>, Arc<Entry>>,
}

impl Documents {
    pub(in crate::clients) fn new(
        policy: ClientMetadataDocumentPolicy,
        records: SealedStore,
        egress: Egress,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // The least recently used go first: a newcomer is never turned away, for it may be under way.
        let entries = || Cache::builder().max_capacity(CAPACITY).eviction_policy(EvictionPolicy::lru()).build();
        let (known, unknown) = (entries(), entries());
        Self { policy: Arc::new(policy), kept: Kept::new(records), egress, limits, clock, known, unknown }
    }

    /// The client whose document is at `id`, which `caller` has named.
    ///
    /// # Errors
    /// `invalid_client` if it has none, or none that can be accepted; `temporarily_unavailable` if nobody can tell.
    pub(in crate::clients) async fn find(&self, id: &str, caller: &Caller) -> Result<Client, OAuthError> {
        let url = ClientUrl::parse(id, &self.policy).map_err(|why| OAuthError::new(ErrorCode::InvalidClient, why))?;
        let known = self.known(id).await;
        let is_known = known.is_some();
        let entry = known.unwrap_or_else(|| self.unknown.get_with(id.into(), Arc::default));
        // Before the fetch that is for all who wait: what this caller may not do is nothing to them.
        let start = || {
            match is_known {
                true => self.limits.may_fetch_document_again(url.host()),
                false => self.limits.may_fetch_document(caller, url.host(), self.policy.chooses(url.host())),
            }?;
            Ok(self.start(url, Arc::clone(&entry)))
        };
        let client = match entry.look(self.clock.now(), start)? {
            Look::Known(client) => Ok(client),
            Look::Unfetched(why) => Err(why.into()),
            Look::Pending { flight, fallback: None } => Ok(flight.await?),
            Look::Pending { flight, fallback: Some(client) } => match timeout(PATIENCE, flight).await {
                Ok(fetched) => Ok(fetched?),
                Err(_) => Ok(client),
            },
        };
        client.map(|client| Client { is_used: entry.is_kept(), ..client })
    }

    /// Whether the operator vouches for `client`.
    pub(in crate::clients) fn trusts(&self, client: &Client) -> bool {
        client.origin == Origin::Document
            && ClientUrl::parse(client.id(), &self.policy).is_ok_and(|url| self.policy.trusts(url.host()))
    }

    /// Keeps the document of `client`, who has been given tokens: now and then. Nobody fills the store by naming URLs.
    pub(in crate::clients) async fn keep(&self, client: &Client) -> Result<(), StoreError> {
        let Some(entry) = self.known.get(client.id()) else { return Ok(()) };
        let Some(document) = entry.unkept() else { return Ok(()) };
        self.kept.save(client.id(), &document).await?;
        entry.kept(&document);
        Ok(())
    }

    /// What is known of the document at `id`, in this process or by the store.
    async fn known(&self, id: &str) -> Option<Arc<Entry>> {
        if let Some(known) = self.known.get(id) {
            return Some(known);
        }
        let kept = self.kept.load(id).await?;
        Some(self.known.get_with(id.into(), || Arc::new(Entry::of(kept))))
    }

    /// Starts a fetch on a task of its own.
    fn start(&self, url: ClientUrl, entry: Arc<Entry>) -> Flight {
        let this = self.clone();
        let fetch = async move {
            let outcome = this.fetch(&url).await;
            match &outcome {
                Ok(_) => {
                    this.known.insert(url.as_str().into(), Arc::clone(&entry));
                    this.unknown.invalidate(url.as_str());
                }
                Err(Unfetched::Refused(why)) => {
                    tracing::info!(client = url.as_str(), %why, "a client's document is refused");
                    this.kept.forget(url.as_str()).await;
                    // There it waits for its next time.
                    this.unknown.insert(url.as_str().into(), Arc::clone(&entry));
                    this.known.invalidate(url.as_str());
                }
                Err(Unfetched::NoDocument(why)) => {
                    tracing::info!(client = url.as_str(), why, "what a client's host sends is no document");
                }
                Err(Unfetched::Failed) => {}
            }
            entry.landed(outcome, this.clock.now())
        };
        SharedTask::spawn(fetch, |_| Err(Unfetched::Failed))
    }

    async fn fetch(&self, url: &ClientUrl) -> Result<Fetched, Unfetched> {
        let asked_at = self.clock.now();
        match self.egress.clone().call(message::request(url)).await {
            Ok(response) => message::process(url, &response, asked_at).inspect_err(|why| {
                if matches!(why, Unfetched::Failed) {
                    let status = response.status().as_u16();
                    tracing::warn!(
                        client = url.as_str(),
                        status,
                        "a client's host answers with a failure instead of a document"
                    );
                }
            }),
            Err(error) => Err(unfetched(&error)),
        }
    }
}

fn unfetched(error: &EgressError) -> Unfetched {
    match error.kind() {
        EgressErrorKind::BodyTooLarge => Unfetched::NoDocument(message::TOO_LARGE),
        _ => {
            tracing::warn!(%error, source = std::error::Error::source(error), "a client's document cannot be fetched");
            Unfetched::Failed
        }
    }
}
