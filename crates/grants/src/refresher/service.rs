//! [`Refresher`]: upstream tokens that are always fresh.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use portcullis_core::{AuthError, Clock, GrantId, Reason, UnixTime, Upstream};
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::{
    RefreshFuture, RefreshRequest, RefresherConfig,
    upstream::{Direct, Through},
};
use crate::{
    CreateError, GrantRecord, GrantStore, StoreError, StoredGrant, TokenRefresh, TokenSet,
    engine::{Hangar, in_time},
};

/// How often grants that nothing can be done with any more are removed from the store.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// A tower service from a grant to tokens that are fresh, for the grants of one provider. Clones share everything.
///
/// 1. **One exchange.** However many callers, tasks and clones want a token, one exchange is under way per grant; with a store
///    that several processes share, one in all of them. Grants never wait for each other.
/// 2. **No wait on a good token.** While the access token works it is handed out at once; shortly before it expires one exchange
///    begins in the background, and its failure is nobody's business until the token has expired.
/// 3. **An exchange is on a task of its own.** A caller that goes away neither cancels nor repeats it. The new tokens are durable
///    before anybody sees them. If they cannot be saved they are used, and saving is tried again; the exchange is not.
/// 4. **Generations.** A token that was refused causes an exchange only if it is still the current one. One that came a moment ago in
///    place of another refused one does not: see [`Upstream::rejected`](portcullis_core::Upstream::rejected).
/// 5. **Memory of failure.** A refresh token that the provider refused is never presented again: the grant has ended, its contexts
///    are withdrawn at once. A provider that fails is left alone for a window that grows from 1 s to 30 s, or as long as it asks.
/// 6. **A refresh token that may be spent**, because no answer came, is spared while the access token works, if the provider ends
///    grants for presenting one twice. After that it is presented once per window: it is the only hope left.
///
/// It is always ready. Must be made within a tokio runtime, which runs the exchanges.
///
/// # Layers around it
///
/// Safe: time limits, concurrency limits, load shedding and retries around the *refresher*: they change how long callers wait, and
/// no exchange is cancelled or repeated by them. Not safe: a retry around the *[exchange](TokenRefresh)*.
/// [`upstream_through`](Self::upstream_through) hands out tokens through such a stack.
#[derive(Clone, Debug)]
pub struct Refresher {
    hangar: Arc<Hangar>,
}

impl Refresher {
    /// Tokens of the grants in `vault` that are of the issuer in `config`, renewed by `exchange`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new<E>(vault: GrantStore, exchange: E, clock: Arc<dyn Clock>, config: RefresherConfig) -> Self
    where
        E: TokenRefresh<Future: Send> + Clone + Send + Sync + 'static,
    {
        let exchange = BoxCloneSyncService::new(exchange);
        let hangar = Arc::new(Hangar::new(vault, exchange, clock, config));
        hangar.spawn(sweep(hangar.vault().clone(), hangar.draining.clone()));
        Self { hangar }
    }

    /// Keeps the tokens of a new grant, durably. From here on they are kept fresh.
    ///
    /// `id` is a new random one for each login: what is remembered of a grant belongs to one login of one user.
    ///
    /// # Errors
    /// [`CreateError`] if there is a grant of this id, or if they cannot be saved.
    pub async fn create(&self, id: GrantId, tokens: TokenSet) -> Result<(), CreateError> {
        let record = GrantRecord::new(self.hangar.issuer().clone(), Arc::new(tokens));
        in_time(self.hangar.vault().create(id, &record)).await?;
        self.hangar.begin(id, record.tokens());
        Ok(())
    }

    /// Whether the grant of `id` is kept, and of this provider.
    ///
    /// # Errors
    /// [`StoreError`] if nobody can tell.
    pub async fn exists(&self, id: GrantId) -> Result<bool, StoreError> {
        Ok(self.renewed_at(id).await?.is_some())
    }

    /// When the provider last gave tokens of the grant of `id`, at the login or for a refresh token; `None` if it is not kept, or of another
    /// provider.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn renewed_at(&self, id: GrantId) -> Result<Option<UnixTime>, StoreError> {
        let kept = in_time(self.hangar.vault().load(id)).await?;
        Ok(kept.and_then(|kept| self.own(&kept)).map(|tokens| tokens.received_at()))
    }

    /// The tokens, unless they are another provider's: whoever is given them shows them to this one.
    fn own(&self, kept: &StoredGrant) -> Option<Arc<TokenSet>> {
        (kept.record.issuer() == self.hangar.issuer()).then(|| Arc::clone(kept.record.tokens()))
    }

    /// Ends a grant in this process: every context that was made from it is withdrawn at once, and nobody gets tokens of it any more. It
    /// stays in the store until it is [ended](Self::delete): for whoever tells the provider first, and may be interrupted.
    ///
    /// The newest tokens are returned; those that an exchange brings that is under way are not among them, nor are those of a grant at
    /// another provider.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read; in this process it has ended nevertheless.
    pub async fn deactivate(&self, id: GrantId) -> Result<Option<Arc<TokenSet>>, StoreError> {
        let known = self.hangar.end(&self.hangar.cell(id), logged_out(), true);
        let stored = in_time(self.hangar.vault().load(id)).await?;
        Ok(newest(known, stored.and_then(|kept| self.own(&kept))))
    }

    /// Ends a grant: it is removed, and every context that was made from it is withdrawn at once in this process.
    ///
    /// The provider is **not** told. The newest tokens are returned, for whoever does that; those that an exchange brings that is
    /// under way are not among them, nor are those of a grant at another provider.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be removed; in this process it has ended nevertheless.
    pub async fn delete(&self, id: GrantId) -> Result<Option<Arc<TokenSet>>, StoreError> {
        let cell = self.hangar.cell(id);
        let known = self.hangar.end(&cell, logged_out(), true);
        let vault = self.hangar.vault();
        let mut stored = None;
        while let Some(kept) = in_time(vault.load(id)).await? {
            // Whoever was refreshing it finds it gone.
            if in_time(vault.remove(id, kept.version)).await? {
                stored = self.own(&kept);
                break;
            }
        }
        drop(self.hangar.end(&cell, logged_out(), false));
        Ok(newest(known, stored))
    }

    /// The tokens of a grant as a handler sees them.
    #[must_use]
    pub fn upstream(&self, id: GrantId) -> Upstream {
        Upstream::new(Direct { hangar: Arc::clone(&self.hangar), cell: self.hangar.cell(id) })
    }

    /// As [`upstream`](Self::upstream), but what has to be waited for is asked of `stack`: layers of your own around this
    /// refresher. Its errors are recovered by [`AuthError::recover`].
    #[must_use]
    pub fn upstream_through<R>(&self, id: GrantId, stack: R) -> Upstream
    where
        R: Service<RefreshRequest, Response = Arc<TokenSet>> + Clone + Send + Sync + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        R::Future: Send,
    {
        Upstream::new(Through {
            direct: Direct { hangar: Arc::clone(&self.hangar), cell: self.hangar.cell(id) },
            stack,
        })
    }

    /// Waits for the exchanges under way and for everything that is not saved yet; what cannot be saved now is tried once more.
    /// Call it when no more requests come. How many grants were lost because they could never be saved.
    pub async fn shutdown(&self) -> usize {
        self.hangar.draining.cancel();
        self.hangar.tasks.close();
        self.hangar.tasks.wait().await;
        self.hangar.lost()
    }
}

impl Service<RefreshRequest> for Refresher {
    type Response = Arc<TokenSet>;
    type Error = AuthError;
    type Future = RefreshFuture;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AuthError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RefreshRequest) -> RefreshFuture {
        let cell = self.hangar.cell(request.grant());
        RefreshFuture::ask(Arc::clone(&self.hangar), cell, request.refused())
    }
}

fn logged_out() -> AuthError {
    AuthError::new(Reason::GrantEnded).with_source("the user logged out")
}

/// Of what this process knows and what is stored of a grant, the newer.
fn newest(known: Option<Arc<TokenSet>>, stored: Option<Arc<TokenSet>>) -> Option<Arc<TokenSet>> {
    match (known, stored) {
        (Some(known), Some(stored)) => {
            let is_newer = known.is_of_one_login_with(&stored) && known.generation() > stored.generation();
            Some(if is_newer { known } else { stored })
        }
        (known, stored) => stored.or(known),
    }
}

/// Removes from the store, for as long as the refresher lives, what nothing can be done with any more.
async fn sweep(vault: GrantStore, draining: tokio_util::sync::CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(SWEEP_EVERY.mul_f64(rand::random_range(0.9..1.1))) => {}
            () = draining.cancelled() => return,
        }
        let swept = tokio::select! {
            swept = in_time(vault.sweep()) => swept,
            () = draining.cancelled() => return,
        };
        match swept {
            Ok(swept) => tracing::debug!(swept, "swept the store of grants"),
            Err(error) => tracing::warn!(%error, "the store of grants could not be swept"),
        }
    }
}
