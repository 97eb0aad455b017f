//! [`ClientGrant`]: a grant whose tokens this program uses itself; and [`GrantStatus`]: what is known about it.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AccessToken, AuthError, Generation, GrantId, ScopeSet};
use portcullis_oauth::TokenResponse;
use tokio::sync::watch;

use crate::{
    RefreshFuture, Refresher, TokenSet,
    engine::{GrantEntry, replace},
    token_set::Freshness,
};

/// # Grants that this program uses itself
impl Refresher {
    /// Returns a handle to a grant that this program uses itself: see [`RefresherConfig::for_client`](crate::RefresherConfig::for_client).
    #[must_use]
    pub fn client_grant(&self, id: GrantId) -> ClientGrant {
        ClientGrant(self.pool().entry(id))
    }

    /// Returns a receiver that is told of each change of a [`GrantStatus`], other than by the passing of time. `None` unless the
    /// configuration is [for a client](crate::RefresherConfig::for_client).
    #[must_use]
    pub fn changes(&self) -> Option<watch::Receiver<()>> {
        self.pool().shared().watched.as_ref().map(watch::Sender::subscribe)
    }
}

/// A grant of a refresher [for a client](crate::RefresherConfig::for_client). Clones are the same grant, which may have no tokens yet, may
/// end, and begins again with the next login: the handle stays valid.
#[derive(Clone, Debug)]
pub struct ClientGrant(Arc<GrantEntry>);

impl ClientGrant {
    /// Returns the access token if it is fresh, and not of the `rejected` generation or an earlier one.
    ///
    /// It takes a lock for nanoseconds, and neither allocates nor starts anything. A token that works and is to be refreshed is not
    /// returned: [`tokens`](Self::tokens) returns it and starts the refresh.
    #[must_use]
    pub fn fresh_token(&self, rejected: Option<Generation>) -> Option<AccessToken> {
        self.0.fresh_token(rejected)
    }

    /// Returns the current tokens, or new ones if those have expired or are of the `rejected` generation. The future is ready at once if
    /// the tokens work.
    pub fn tokens(&self, rejected: Option<Generation>) -> RefreshFuture {
        RefreshFuture::new(Arc::clone(&self.0), rejected)
    }

    /// Records that the resource rejected the access token of `generation`, and starts nothing. Reports whether it is the current one.
    #[must_use]
    pub fn report(&self, generation: Generation) -> bool {
        self.0.report(generation)
    }

    /// Begins a login. If the grant is [deleted](Refresher::delete) before the login is complete, the login has no effect.
    pub fn begin_login(&self) -> ClientLogin {
        ClientLogin { logouts: self.0.logouts(), entry: Arc::clone(&self.0) }
    }

    /// Returns what is known in this process. It reads no store.
    #[must_use]
    pub fn status(&self) -> GrantStatus {
        let view = self.0.view();
        let has_working_token = view.freshness.is_some_and(|freshness| freshness != Freshness::Dead);
        GrantStatus {
            tokens: view.tokens,
            has_working_token,
            is_refreshing: view.is_refreshing,
            cooling_down: view.cooling_down,
            ended: view.ended,
            is_unsaved: self.0.is_unsaved(),
            next_change: view.next_change,
        }
    }
}

/// A login in progress, for a [`ClientGrant`].
#[derive(Debug)]
#[must_use = "a login has no effect before it is complete"]
pub struct ClientLogin {
    entry: Arc<GrantEntry>,
    /// How often the user had logged out when it was begun.
    logouts: u32,
}

impl ClientLogin {
    /// Replaces the tokens of the grant by those of the login, which requested the scopes `asked`, durably, or begins the grant. A refresh
    /// of the earlier tokens that is in progress, in any process, has no effect any more; nor have later reports about them.
    ///
    /// If the tokens cannot be saved they are used, and the save is retried. Returns them.
    ///
    /// # Errors
    /// An error of [`Reason::GrantEnded`](portcullis_core::Reason::GrantEnded) if the grant was [deleted](Refresher::delete) since the login
    /// was begun: the store has none of its tokens.
    pub async fn complete(self, response: TokenResponse, asked: &ScopeSet) -> Result<Arc<TokenSet>, AuthError> {
        let tokens = TokenSet::from_login(response, asked, self.entry.shared.clock.now());
        replace(&self.entry, tokens, self.logouts).await
    }
}

/// What is known about a grant.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GrantStatus {
    /// The newest tokens, whether they work or not; `None` if none are in this process.
    pub tokens: Option<Arc<TokenSet>>,
    /// Whether the access token works, as far as is known.
    pub has_working_token: bool,
    /// Whether an exchange is in progress, or a look into the store.
    pub is_refreshing: bool,
    /// The error of the last exchange, while no other is made. It contains the time that is left.
    pub cooling_down: Option<AuthError>,
    /// Why the grant has ended, if it has.
    pub ended: Option<AuthError>,
    /// Whether the newest tokens could not be saved yet.
    pub is_unsaved: bool,
    /// How long it takes until something of this changes by itself, if it does.
    pub next_change: Option<Duration>,
}
