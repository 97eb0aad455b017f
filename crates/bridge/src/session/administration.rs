//! [`SessionAdministration`]: lists and ends the sessions of a store without a bridge, for the commands of an operator.

use std::sync::Arc;

use portcullis_core::{Clock, GrantId, Issuer, ScopeSet, UnixTime};
use portcullis_store::{Record, SealedStore, StoreError};

use super::{
    EndReason, Session, Stage,
    end::mark_ended,
    invalidation::InvalidationFeed,
    store::{id_of, key},
};
use crate::collections;

/// The number of sessions on a page.
const PAGE: usize = 100;

/// The sessions of a store, which bridges in other processes may use at the same time.
#[derive(Debug)]
pub struct SessionAdministration {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    feed: Option<InvalidationFeed>,
}

/// A session that has not ended. It contains no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The id, which is that of the grant at the provider, too.
    pub id: GrantId,
    /// The issuer of the user.
    pub issuer: Issuer,
    /// The identifier of the user at the issuer.
    pub subject: Box<str>,
    /// The client.
    pub client_id: Box<str>,
    /// The granted scopes.
    pub scopes: ScopeSet,
    /// When the login completed.
    pub began_at: UnixTime,
    /// When the session ends, however often tokens are refreshed.
    pub ends_at: UnixTime,
    /// Whether the client has redeemed the code.
    pub has_tokens: bool,
}

impl SessionAdministration {
    /// Creates the administration of the sessions in `records`.
    #[must_use]
    pub fn new(records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        Self { feed: InvalidationFeed::new(&records), records, clock }
    }

    /// Returns the next sessions after `after` in the order of their ids, and the number of rows among them that do not open. After the last
    /// session both are empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page(&self, mut after: Option<GrantId>) -> Result<(Vec<SessionSummary>, u64), StoreError> {
        let (mut summaries, mut unreadable) = (Vec::new(), 0);
        loop {
            let page = self.records.page::<Session>(collections::SESSIONS, after.map(key), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok((summaries, unreadable)) };
            after = Some(id_of(last));
            for (key, opened) in page {
                match opened {
                    Some(Record { value, .. }) => summaries.push(summary(id_of(&key), value)),
                    None => unreadable += 1,
                }
            }
            if !summaries.is_empty() {
                return Ok((summaries, unreadable));
            }
        }
    }

    /// Ends a session. Returns `false` if there is no such session.
    ///
    /// After that none of its tokens is valid. Bridges that use the store invalidate its user contexts within a second, and end its grant
    /// at the provider with their next sweep, or when a bridge next starts.
    ///
    /// # Errors
    /// [`StoreError`] if the end cannot be stored.
    pub async fn end(&self, id: GrantId) -> Result<bool, StoreError> {
        if mark_ended(&self.records, &*self.clock, id).await?.is_none() {
            return Ok(false);
        }
        tracing::info!(session = %id, reason = EndReason::Revoked.as_str(), "session ended");
        if let Some(feed) = &self.feed {
            feed.append(id).await;
        }
        Ok(true)
    }
}

fn summary(id: GrantId, session: Session) -> SessionSummary {
    SessionSummary {
        id,
        issuer: session.user.issuer,
        subject: session.user.subject,
        client_id: session.client_id,
        scopes: session.scopes,
        began_at: session.began_at,
        ends_at: session.ends_at,
        has_tokens: matches!(session.stage, Stage::Live(_)),
    }
}
