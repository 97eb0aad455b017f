//! Many at once.

use std::{future::Future, sync::Arc};

use futures_util::future::join_all;

use super::trial::{Finding, LONG, Outcome, Trial, expect, id, row};
use crate::{LeaseOutcome, StoreError, Swap, TokenStore};

/// So many try at once.
pub(super) const MANY: u8 = 100;

/// How many of many succeed, each on a task of its own.
pub(super) async fn winners<S, F>(trial: &Trial<'_, S>, attempt: impl Fn(Arc<S>, u8) -> F) -> Result<usize, Finding>
where
    S: ?Sized,
    F: Future<Output = Result<bool, StoreError>> + Send + 'static,
{
    let tasks = (0..MANY).map(|number| tokio::spawn(attempt(trial.one_of_many(number.into()), number)));
    let mut winners = 0;
    for outcome in join_all(tasks).await {
        let won = outcome.map_err(|_| Finding("a call panics".to_owned()))??;
        winners += usize::from(won);
    }
    Ok(winners)
}

pub(super) async fn one_of_many_writes_wins(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let winners = winners(trial, |store: Arc<dyn TokenStore>, number| async move {
        let swap = store.compare_and_swap(id(1), Some(version), row(vec![number]), None).await?;
        let Swap::Written(written) = swap else { return Ok(false) };
        let stored = store.load(id(1)).await?;
        Ok(stored.is_some_and(|stored| stored.version == written && stored.grant == row(vec![number])))
    });
    expect(winners.await? == 1, "of many writes at once of the same version not exactly one wins and stays")
}

pub(super) async fn one_of_many_creations_wins(trial: &Trial<'_>) -> Outcome {
    let winners = winners(trial, |store: Arc<dyn TokenStore>, number| async move {
        let swap = store.compare_and_swap(id(1), None, row(vec![number]), None).await?;
        Ok(matches!(swap, Swap::Written(_)))
    });
    expect(winners.await? == 1, "of many creations at once not exactly one wins")
}

pub(super) async fn one_of_many_removals_wins(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let winners = winners(trial, |store, _| async move { store.compare_and_remove(id(1), version).await });
    expect(winners.await? == 1, "of many removals at once not exactly one is told that it removed the row")
}

pub(super) async fn one_of_many_gets_the_lease(trial: &Trial<'_>) -> Outcome {
    let winners =
        winners(
            trial,
            |store, _| async move { Ok(matches!(store.lease(id(1), LONG).await?, LeaseOutcome::Acquired(_))) },
        );
    expect(winners.await? == 1, "of many who want a lease at once not exactly one gets it")
}

pub(super) async fn no_increment_is_lost(trial: &Trial<'_>) -> Outcome {
    trial.create(id(1), row(vec![0])).await?;
    let winners = winners(trial, |store, _| async move {
        // Whoever is told of a conflict was overtaken by another one, so that nobody is told more often than there are others.
        for _ in 0..MANY {
            let Some(stored) = store.load(id(1)).await? else { return Ok(false) };
            let next = stored.grant.sealed.first().copied().unwrap_or_default().wrapping_add(1);
            let swap = store.compare_and_swap(id(1), Some(stored.version), row(vec![next]), None).await?;
            if let Swap::Written(_) = swap {
                return Ok(true);
            }
        }
        Ok(false)
    });
    expect(winners.await? == usize::from(MANY), "a row is gone, or a write is refused that nobody was faster than")?;
    expect(trial.load(id(1)).await?.grant == row(vec![MANY]), "of many increments at once some are lost")
}
