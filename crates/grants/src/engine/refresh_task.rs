//! The journey of a flight: look into the store, reserve the grant, look again, and only then spend the refresh token.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use portcullis_core::{AuthError, Reason};
use portcullis_oauth::TokenResponse;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;
use tower_service::Service as _;
use tracing::Instrument as _;

use super::{
    Hangar,
    entry::Cell,
    lease::Reservation,
    pool::BoxedTokenRefresh,
    refusal_evidence::Verdict,
    save::save,
    state::{Errand, Landing},
    store_limit::in_time,
};
use crate::{RefreshError, RefreshErrorKind, StoreError, StoredGrant, TokenSet};

/// How often a grant that another process has reserved is looked at.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Runs the errand.
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
        let reservation = self.reserve().await?;
        let landing = reservation.during(self.exchange(reservation)).await;
        Ok(landing.unwrap_or_else(|landing| landing))
    }

    /// What the store has, unless it is what is wanted.
    async fn look(&self) -> Step<StoredGrant> {
        let kept = in_time(self.hangar.vault.load(self.cell.id)).await.map_err(|error| store_failed(&error))?;
        let kept = kept.ok_or_else(|| ended("there is no such grant", false))?;
        if kept.record.issuer() != self.hangar.issuer() {
            let (expected, found) = (self.hangar.issuer(), kept.record.issuer());
            tracing::error!(grant = %self.cell.id, %expected, %found, "a grant is of another provider");
            return Err(ended("the grant is of another provider", false));
        }
        if self.errand.known.as_ref().is_some_and(|known| !known.is_of_one_login_with(kept.record.tokens())) {
            // Not for those who hold the grant of before: they may be somebody else.
            return Err(ended("the grant has begun anew", false));
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
    async fn reserve(&self) -> Step<Reservation<'_>> {
        let patience = Instant::now() + self.hangar.config.lease_ttl() + self.hangar.config.refresh_timeout;
        let mut pause = FIRST_LOOK;
        loop {
            let reservation = Reservation::take(self.hangar, self.cell).await;
            if let Some(reservation) = reservation.map_err(|error| store_failed(&error))? {
                return Ok(reservation);
            }
            // Nothing has been presented: whoever wants to end need not wait for somebody else.
            if Instant::now() >= patience || self.hangar.draining.is_cancelled() {
                return Err(resting("another process keeps the grant reserved"));
            }
            tokio::select! {
                () = sleep(pause.mul_f64(rand::random_range(0.75..1.25))) => {}
                () = self.hangar.draining.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_LOOK);
            self.look().await?;
        }
    }

    /// Spends the refresh token, unless somebody else has done so or there is none.
    async fn exchange(&self, reservation: Reservation<'_>) -> Step<Landing> {
        let (kept, tokens) = match self.prepare(reservation).await {
            Ok(prepared) => prepared,
            Err(landing) => {
                leave(reservation, &landing).await;
                return Err(landing);
            }
        };
        match self.present(&tokens, reservation).await {
            Ok(response) => {
                let renewed = Arc::new(tokens.refreshed(response, self.hangar.clock.now()));
                Ok(save(self.hangar, self.cell, kept.version, renewed, reservation).await)
            }
            Err(error) => {
                let landing = self.failed(kept, &tokens, &error).await;
                leave(reservation, &landing).await;
                Ok(landing)
            }
        }
    }

    /// What is to be presented: read again, now that nobody else writes.
    async fn prepare(&self, reservation: Reservation<'_>) -> Step<(StoredGrant, Arc<TokenSet>)> {
        let kept = self.look().await?;
        let tokens = self.newest(&kept)?;
        if tokens.refresh_token().is_none() {
            return Err(self.finish(kept, "there is no refresh token").await);
        }
        if reservation.lease().after_abandoned {
            tracing::warn!(grant = %self.cell.id, "a refresh of this grant was begun and never finished");
            if self.hangar.config.spares_suspects() && self.is_early(&tokens) {
                return Err(Landing::Spared);
            }
        }
        Ok((kept, tokens))
    }

    /// The newest tokens: those in this process are newer than the store's if they could not be saved.
    fn newest(&self, kept: &StoredGrant) -> Step<Arc<TokenSet>> {
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
    async fn present(
        &self,
        tokens: &Arc<TokenSet>,
        reservation: Reservation<'_>,
    ) -> Result<TokenResponse, RefreshError> {
        let span = tracing::info_span!(
            "portcullis.exchange",
            grant = %self.cell.id,
            provider = self.hangar.config.name,
            generation = tokens.generation().number(),
        );
        let begun = Instant::now();
        let outcome = match self.turn(reservation).await {
            Ok(exchange) => self.spend(exchange, tokens).instrument(span).await,
            Err(error) => Err(error),
        };
        self.hangar.telemetry.exchanged(outcome.as_ref().err().map(RefreshError::kind), begun.elapsed());
        outcome
    }

    /// Waits until the exchange can be called and the grant is surely still reserved. Nothing has been sent until then.
    async fn turn(&self, reservation: Reservation<'_>) -> Result<BoxedTokenRefresh, RefreshError> {
        let mut exchange = self.hangar.exchange.clone();
        match timeout(self.hangar.config.refresh_timeout, exchange.ready()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(RefreshError::not_sent(AuthError::new(Reason::Overloaded))),
        }
        if !reservation.lasts().await {
            let cause = AuthError::new(Reason::BackingOff).with_source("the grant did not stay reserved");
            return Err(RefreshError::not_sent(cause));
        }
        Ok(exchange)
    }

    async fn spend(
        &self,
        mut exchange: BoxedTokenRefresh,
        tokens: &Arc<TokenSet>,
    ) -> Result<TokenResponse, RefreshError> {
        // Called inside the future, so that a panic is caught wherever it comes from.
        let exchanging = AssertUnwindSafe(async { exchange.call(Arc::clone(tokens)).await }).catch_unwind();
        match timeout(self.hangar.config.refresh_timeout, exchanging).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(RefreshError::ambiguous(AuthError::new(Reason::VerifierFailed).with_source("a panic"))),
            Err(_) => Err(RefreshError::ambiguous(AuthError::new(Reason::ProviderTimeout))),
        }
    }

    /// There are no new tokens.
    async fn failed(&self, kept: StoredGrant, presented: &TokenSet, error: &RefreshError) -> Landing {
        let (grant, outcome) = (self.cell.id, error.kind().as_str());
        match error.kind() {
            RefreshErrorKind::Refused => {
                tracing::info!(%grant, cause = ?error.cause(), "the provider refused the refresh token: the grant has ended");
                self.finish_unless_renewed(kept, "the provider refused the refresh token").await
            }
            RefreshErrorKind::Unexplained => self.unexplained(kept, presented, error).await,
            RefreshErrorKind::Ambiguous => {
                tracing::warn!(%grant, outcome, cause = ?error.cause(), "a refresh token may be spent, and no answer came");
                Landing::Failed { error: error.cause().clone(), ambiguous: true }
            }
            RefreshErrorKind::Transient | RefreshErrorKind::NotSent => {
                tracing::warn!(%grant, outcome, cause = ?error.cause(), "a refresh failed");
                Landing::Failed { error: error.cause().clone(), ambiguous: false }
            }
            RefreshErrorKind::Misconfigured => {
                tracing::error!(%grant, cause = ?error.cause(), "the provider refuses this server, not the grant");
                Landing::Failed { error: error.cause().clone(), ambiguous: false }
            }
        }
    }

    /// The provider refused, and did not say whether the refresh token or this server is at fault: evidence decides.
    async fn unexplained(&self, kept: StoredGrant, presented: &TokenSet, error: &RefreshError) -> Landing {
        let (grant, cause) = (self.cell.id, error.cause());
        let now = self.hangar.now();
        let verdict = self.cell.slot().note_unexplained(now, presented.generation(), error.accepted_at());
        match verdict {
            Verdict::Dead { refusals } => {
                tracing::warn!(
                    %grant, refusals, ?cause,
                    "the provider refused a refresh token repeatedly and accepted this server meanwhile: the grant has ended"
                );
                return self.finish_unless_renewed(kept, "the provider refused the refresh token repeatedly").await;
            }
            Verdict::Undecided { refusals, is_new: true } => tracing::error!(
                %grant, refusals, ?cause,
                "the provider refuses a refresh token and has accepted nothing of this server since: correct its credentials, or name its error in bridge.dead_grant_errors"
            ),
            Verdict::Undecided { is_new: false, .. } | Verdict::Open => tracing::warn!(
                %grant, ?cause,
                "the provider refused a refresh, and does not say whether the refresh token or this server is at fault"
            ),
        }
        Landing::Failed { error: cause.clone(), ambiguous: false }
    }

    /// Ends the grant, unless somebody without a lease was first and has new tokens.
    async fn finish_unless_renewed(&self, kept: StoredGrant, why: &'static str) -> Landing {
        match self.look().await {
            Err(landing @ Landing::Found(_)) => landing,
            _ => self.finish(kept, why).await,
        }
    }

    /// Removes what nothing can be done with any more. A row that was written meanwhile, but with the same tokens, as sealing anew
    /// does it, is removed as well.
    async fn finish(&self, mut kept: StoredGrant, why: &'static str) -> Landing {
        let dead = Arc::clone(kept.record.tokens());
        loop {
            match in_time(self.hangar.vault.remove(self.cell.id, kept.version)).await {
                Ok(true) => return ended(why, false),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(grant = %self.cell.id, %error, "a grant that has ended could not be removed");
                    return ended(why, true);
                }
            }
            kept = match self.look().await {
                Ok(written) => written,
                Err(landing) => return landing,
            };
            let tokens = kept.record.tokens();
            if tokens.generation() != dead.generation() {
                // Not what was seen: whoever wrote it knows better.
                return resting("the grant has changed");
            }
        }
    }
}

/// Gives the grant back; but if the refresh token may be spent, whoever comes next has to learn it from that.
async fn leave(reservation: Reservation<'_>, landing: &Landing) {
    let was_doubtful = reservation.lease().after_abandoned;
    match landing {
        Landing::Spared => reservation.abandon().await,
        Landing::Failed { ambiguous, .. } if *ambiguous || was_doubtful => reservation.abandon().await,
        _ => reservation.release().await,
    }
}

fn ended(why: &'static str, outlived: bool) -> Landing {
    Landing::Ended { error: AuthError::new(Reason::GrantEnded).with_source(why), outlived }
}

/// Nothing was presented.
fn resting(why: &'static str) -> Landing {
    Landing::Failed { error: AuthError::new(Reason::BackingOff).with_source(why), ambiguous: false }
}

fn store_failed(error: &StoreError) -> Landing {
    tracing::error!(%error, source = ?std::error::Error::source(error), "the store of grants failed");
    Landing::Failed { error: AuthError::new(Reason::StoreUnavailable), ambiguous: false }
}
