//! [`MetadataCache`]: documents by their key, each fetched once for all callers and used beyond its lifetime while it cannot be fetched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{AuthError, Reason};
use portcullis_oauth::ProtocolError;
use portcullis_remote::SingleFlight;
use tokio::time::Instant;

/// The lifetime of a document whose response states none.
const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);
/// The longest lifetime, and the longest time for which a document is used that cannot be fetched again.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// The time between a failure to fetch a document again and the next attempt.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// The number of documents that are kept.
const CAPACITY: usize = 256;

/// Documents by their key. Clones share them.
///
/// 1. A document is fetched by one detached task for all callers that need it.
/// 2. It is used for the lifetime that its response states, at most 24 h, or 1 h if the response states none.
/// 3. If it cannot be fetched again, the last one remains in use, up to 24 h after it was fetched. This does not apply to a document that
///    was fetched and must not be used.
#[derive(Debug)]
pub(crate) struct MetadataCache<T> {
    entries: Entries<T>,
    fetches: SingleFlight<Box<str>, Result<Arc<T>, AuthError>>,
}

type Entries<T> = Arc<Mutex<HashMap<Box<str>, Entry<T>>>>;

#[derive(Debug)]
struct Entry<T> {
    document: Arc<T>,
    fetched_at: Instant,
    due_at: Instant,
}

/// Whether a document in the cache is sufficient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Freshness {
    /// A document is used during its lifetime.
    Cached,
    /// The document is fetched again.
    Revalidated,
}

impl<T: Send + Sync + 'static> MetadataCache<T> {
    pub(crate) fn new() -> Self {
        let failed = |error| Err(AuthError::new(Reason::VerifierFailed).with_source(error));
        Self { entries: Arc::default(), fetches: SingleFlight::new(failed) }
    }

    /// Returns the document at `key`. If it has to be fetched, `fetch` returns it with the lifetime that its response states.
    pub(crate) async fn get<F>(
        &self,
        key: &str,
        freshness: Freshness,
        fetch: impl FnOnce(Option<Arc<T>>) -> F,
    ) -> Result<Arc<T>, AuthError>
    where
        F: Future<Output = Result<(T, Option<Duration>), AuthError>> + Send + 'static,
    {
        let known = {
            let entries = lock(&self.entries);
            let entry = entries.get(key);
            let fresh = entry.filter(|entry| freshness == Freshness::Cached && Instant::now() < entry.due_at);
            if let Some(entry) = fresh {
                return Ok(Arc::clone(&entry.document));
            }
            entry.map(|entry| Arc::clone(&entry.document))
        };
        let (entries, own_key) = (Arc::clone(&self.entries), Box::<str>::from(key));
        let start = || {
            let fetching = fetch(known);
            async move { complete(&entries, own_key, fetching.await) }
        };
        self.fetches.join(key.into(), start).await
    }

    /// Lets the next caller fetch the document at `key` again.
    pub(crate) fn invalidate(&self, key: &str) {
        if let Some(entry) = lock(&self.entries).get_mut(key) {
            entry.due_at = Instant::now();
        }
    }
}

fn complete<T>(
    entries: &Entries<T>,
    key: Box<str>,
    fetched: Result<(T, Option<Duration>), AuthError>,
) -> Result<Arc<T>, AuthError> {
    let (now, mut entries) = (Instant::now(), lock(entries));
    match fetched {
        Ok((document, lifetime)) => {
            let document = Arc::new(document);
            let due_at = now + lifetime.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
            if entries.len() >= CAPACITY && !entries.contains_key(&key) {
                let oldest = entries.iter().min_by_key(|(_, entry)| entry.fetched_at).map(|(key, _)| key.clone());
                oldest.and_then(|key| entries.remove(&key));
            }
            entries.insert(key, Entry { document: Arc::clone(&document), fetched_at: now, due_at });
            Ok(document)
        }
        Err(error) if must_not_be_used(&error) => {
            entries.remove(&key);
            Err(error)
        }
        Err(error) => {
            let stale = entries.get_mut(&key).filter(|entry| now < entry.fetched_at + LONGEST_LIFETIME);
            let Some(entry) = stale else {
                entries.remove(&key);
                return Err(error);
            };
            tracing::warn!(document = &*key, reason = %error.reason(), source = error.causes(), "cannot fetch metadata again: the last remains in use");
            entry.due_at = now + AFTER_FAILURE;
            Ok(Arc::clone(&entry.document))
        }
    }
}

/// Reports whether a document was fetched and must not be used, in contrast to one that cannot be fetched.
fn must_not_be_used(error: &AuthError) -> bool {
    let protocol = std::error::Error::source(error).and_then(|source| source.downcast_ref::<ProtocolError>());
    error.reason() == Reason::ClientRefused
        || matches!(protocol, Some(ProtocolError::WrongIssuer { .. } | ProtocolError::InvalidMember(_)))
}

fn lock<T>(entries: &Entries<T>) -> MutexGuard<'_, HashMap<Box<str>, Entry<T>>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}
