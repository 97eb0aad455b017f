//! The journey of a flight: look into the store, reserve the grant, look again, and only then spend the refresh token.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use portcullis_core::{AuthError, Reason};
use portcullis_oauth::TokenResponse;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::{
    Hangar,
    cell::Cell,
    hangar::in_time,
    save::{abandon, release, save},
    slot::{Errand, Landing},
};
use crate::{ExchangeError, ExchangeOutcome, Kept, Lease, LeaseOutcome, StoreError, TokenSet};

/// How often a grant that another process has reserved is looked at.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Runs the errand. It never returns with the grant reserved.
pub(super) async fn travel(hangar: &Arc<Hangar>, cell: &Arc<Cell>, errand: &Errand) -> Landing {
    let journey = Journey { hangar, cell, errand };
    journey.run().await.unwrap_or_else(|landing| landing)
}

struct Journey<'a> {
    hangar: &'a Arc<Hangar>,
    cell: &'a Arc<Cell>,
    errand: &'a Errand,
}

/// `Err` is an early end: the errand is done, or cannot be.
type Step<T> = Result<T, Landing>;

impl Journey<'_> {
    async fn run(&self) -> Step<Landing> {
        // A lease is for those who exchange: whoever only wants to know looks.
        if self.errand.known.is_none() {
            self.look().await?;
        }
        let lease = self.reserve().await?;
        let landing = self.renewing(lease, self.exchange(lease)).await;
        Ok(landing.unwrap_or_else(|landing| landing))
    }

    /// What the store has, unless it is what is wanted.
    async fn look(&self) -> Step<Kept> {
        let kept = in_time(self.hangar.vault.load(self.cell.id)).await.map_err(|error| store_failed(&error))?;
        let kept = kept.ok_or_else(|| ended("there is no such grant"))?;
        if kept.record.provider() != &*self.hangar.provider {
            let (expected, found) = (&self.hangar.provider, kept.record.provider());
            tracing::error!(grant = %self.cell.id, %expected, found, "a grant is of another provider");
            return Err(ended("the grant is of another provider"));
        }
        if self.would_do(kept.record.tokens()) {
            if self.errand.known.is_some() {
                self.hangar.telemetry.adopted.increment(1);
            }
            return Err(Landing::Found(Arc::clone(kept.record.tokens())));
        }
        Ok(kept)
    }

    fn would_do(&self, tokens: &TokenSet) -> bool {
        let is_alive = tokens.expires_at().is_none_or(|end| self.hangar.clock.now() < end);
        is_alive && self.errand.is_done_by(tokens)
    }

    /// Reserves the grant, or waits until whoever has reserved it has brought what is wanted.
    async fn reserve(&self) -> Step<Lease> {
        let ttl = self.hangar.config.lease_ttl();
        let patience = Instant::now() + ttl + self.hangar.config.exchange_timeout;
        let mut pause = FIRST_LOOK;
        loop {
            let leased = in_time(self.hangar.vault.lease(self.cell.id, ttl)).await;
            match leased.map_err(|error| store_failed(&error))? {
                LeaseOutcome::Acquired(lease) => return Ok(lease),
                LeaseOutcome::Held if Instant::now() >= patience => {
                    let error =
                        AuthError::new(Reason::BackingOff).with_source("another process keeps the grant reserved");
                    return Err(Landing::Failed { error, ambiguous: false });
                }
                LeaseOutcome::Held => {
                    sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
                    pause = (pause * 2).min(LONGEST_LOOK);
                    self.look().await?;
                }
            }
        }
    }

    /// Keeps the grant reserved while `work` goes on.
    async fn renewing<T>(&self, lease: Lease, work: impl Future<Output = T>) -> T {
        let ttl = self.hangar.config.lease_ttl();
        let renew = async {
            loop {
                sleep(ttl / 3).await;
                // One that is lost is noticed when the tokens are saved.
                drop(in_time(self.hangar.vault.renew(self.cell.id, lease, ttl)).await);
            }
        };
        tokio::select! {
            result = work => result,
            () = renew => unreachable!("renewing never ends"),
        }
    }

    /// Spends the refresh token, unless somebody else has done so or there is none.
    async fn exchange(&self, lease: Lease) -> Step<Landing> {
        let looked = self.look().await;
        let spending = async {
            let kept = looked?;
            let tokens = self.newest(&kept)?;
            if tokens.refresh_token().is_none() {
                return Err(self.finish(&kept, "there is no refresh token").await);
            }
            if lease.after_abandoned {
                tracing::warn!(grant = %self.cell.id, "a refresh of this grant was begun and never finished");
                if self.hangar.config.spares_suspects() && self.is_early(&tokens) {
                    return Err(Landing::Spared);
                }
            }
            Ok((kept, tokens))
        };
        let (kept, tokens) = match spending.await {
            Ok(spending) => spending,
            Err(landing) => {
                self.leave(lease, &landing).await;
                return Err(landing);
            }
        };
        match self.present(&tokens).await {
            Ok(response) => {
                let renewed = Arc::new(tokens.refreshed(response, self.hangar.clock.now()));
                Ok(save(self.hangar, self.cell, kept.version, renewed, lease).await)
            }
            Err(error) => {
                let landing = self.failed(&kept, &error).await;
                self.leave(lease, &landing).await;
                Ok(landing)
            }
        }
    }

    /// Gives the lease back; but if the refresh token may be spent, whoever comes next has to learn it from that.
    async fn leave(&self, lease: Lease, landing: &Landing) {
        match landing {
            Landing::Spared | Landing::Failed { ambiguous: true, .. } => abandon(self.hangar, self.cell, lease).await,
            _ => release(self.hangar, self.cell, lease).await,
        }
    }

    /// The newest tokens: those in this process are newer than the store's if they could not be saved.
    fn newest(&self, kept: &Kept) -> Step<Arc<TokenSet>> {
        let stored = kept.record.tokens();
        let known = self.errand.known.as_ref().filter(|known| known.generation() > stored.generation());
        let tokens = known.unwrap_or(stored);
        if self.would_do(tokens) { Err(Landing::Found(Arc::clone(tokens))) } else { Ok(Arc::clone(tokens)) }
    }

    /// Whether the access token still works, so that there is no need to take a risk.
    fn is_early(&self, tokens: &TokenSet) -> bool {
        !self.errand.refused && tokens.expires_at().is_some_and(|end| self.hangar.clock.now() < end)
    }

    /// Presents the refresh token, once.
    async fn present(&self, tokens: &Arc<TokenSet>) -> Result<TokenResponse, ExchangeError> {
        let span = tracing::info_span!(
            "portcullis.exchange",
            grant = %self.cell.id,
            provider = %self.hangar.provider,
            generation = tokens.generation().number(),
        );
        let begun = Instant::now();
        let exchange = self.hangar.exchange.clone().oneshot(Arc::clone(tokens));
        let exchange = AssertUnwindSafe(exchange).catch_unwind().instrument(span);
        let outcome = match timeout(self.hangar.config.exchange_timeout, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ExchangeError::ambiguous(AuthError::new(Reason::VerifierFailed).with_source("a panic"))),
            Err(_) => Err(ExchangeError::ambiguous(AuthError::new(Reason::ProviderTimeout))),
        };
        self.hangar.telemetry.exchanged(outcome.as_ref().err().map(ExchangeError::outcome), begun.elapsed());
        outcome
    }

    /// There are no new tokens.
    async fn failed(&self, kept: &Kept, error: &ExchangeError) -> Landing {
        let (grant, outcome) = (self.cell.id, error.outcome().as_str());
        match error.outcome() {
            ExchangeOutcome::Refused => {
                // Somebody without a lease may have been first.
                if let Err(landing @ Landing::Found(_)) = self.look().await {
                    return landing;
                }
                tracing::info!(%grant, cause = ?error.cause(), "the provider refused the refresh token: the grant has ended");
                self.finish(kept, "the provider refused the refresh token").await
            }
            ExchangeOutcome::Ambiguous => {
                tracing::warn!(%grant, outcome, cause = ?error.cause(), "a refresh token may be spent, and no answer came");
                Landing::Failed { error: error.cause().clone(), ambiguous: true }
            }
            ExchangeOutcome::Transient | ExchangeOutcome::NotSent => {
                tracing::warn!(%grant, outcome, cause = ?error.cause(), "a refresh failed");
                Landing::Failed { error: error.cause().clone(), ambiguous: false }
            }
            ExchangeOutcome::Misconfigured => {
                tracing::error!(%grant, cause = ?error.cause(), "the provider refuses this server, not the grant");
                Landing::Failed { error: error.cause().clone(), ambiguous: false }
            }
        }
    }

    /// Removes what nothing can be done with any more, if it is still what was seen.
    async fn finish(&self, kept: &Kept, why: &'static str) -> Landing {
        match in_time(self.hangar.vault.remove(self.cell.id, kept.version)).await {
            Ok(true) => {}
            // It has been removed, or somebody has written it: with tokens that we have not seen.
            Ok(false) => {
                if let Err(landing @ Landing::Found(_)) = self.look().await {
                    return landing;
                }
            }
            // It stays until it is swept; it is no use to anybody.
            Err(error) => tracing::warn!(grant = %self.cell.id, %error, "a grant that has ended could not be removed"),
        }
        ended(why)
    }
}

fn ended(why: &'static str) -> Landing {
    Landing::Ended(AuthError::new(Reason::GrantEnded).with_source(why))
}

fn store_failed(error: &StoreError) -> Landing {
    tracing::error!(%error, source = ?std::error::Error::source(error), "the store of grants failed");
    Landing::Failed { error: AuthError::new(Reason::StoreUnavailable), ambiguous: false }
}
