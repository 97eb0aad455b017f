//! Rules for many concurrent callers.

use std::{future::Future, sync::Arc};

use futures_util::future::join_all;

use super::trial::{Finding, LONG, Outcome, Trial, expect, key, row};
use crate::{Expected, LeaseOutcome, Store, StoreError, Swap};

/// The number of concurrent callers.
const MANY: u8 = 100;

/// Counts the callers that succeed, each on a task of its own.
async fn winners<F>(trial: &Trial<'_>, attempt: impl Fn(Arc<dyn Store>, u8) -> F) -> Result<usize, Finding>
where
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
    let version = trial.create(key(1), row("old")).await?;
    for (content, expected) in [("even expired", Expected::EvenExpired(version)), ("", Expected::Unexpired(version))] {
        let winners = winners(trial, |store, number| async move {
            let written = row([content.as_bytes(), &[number]].concat());
            let swap = store.compare_and_swap(key(1), expected, written.clone(), None).await?;
            let Swap::Written(version) = swap else { return Ok(false) };
            let stored = store.load(key(1)).await?;
            Ok(stored.is_some_and(|stored| stored.version == version && stored.row == written))
        });
        let won = usize::from(!content.is_empty());
        expect(winners.await? == won, "of many concurrent writes of the same version not exactly one wins and stays")?;
    }
    Ok(())
}

pub(super) async fn one_of_many_creations_wins(trial: &Trial<'_>) -> Outcome {
    let create = |created| {
        move |store: Arc<dyn Store>, number| async move {
            let swap = store.compare_and_swap(created, Expected::Absent, row(vec![number]), None).await?;
            Ok(matches!(swap, Swap::Written(_)))
        }
    };
    let count = winners(trial, create(key(1))).await?;
    expect(count == 1, "of many concurrent creations not exactly one wins")?;
    trial.create(key(2), trial.short()).await?;
    trial.later().await;
    let count = winners(trial, create(key(2))).await?;
    expect(count == 1, "of many concurrent creations over an expired row not exactly one wins")
}

pub(super) async fn one_of_many_removals_wins(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let winners = winners(trial, |store, _| async move { store.compare_and_remove(key(1), version).await });
    expect(winners.await? == 1, "not exactly one of many concurrent removals is told that it removed the row")
}

pub(super) async fn a_row_is_replaced_or_removed_and_not_both(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let winners = winners(trial, |store, number| async move {
        if number % 2 == 0 {
            return store.compare_and_remove(key(1), version).await;
        }
        let swap = store.compare_and_swap(key(1), Expected::Unexpired(version), row("new"), None).await?;
        Ok(matches!(swap, Swap::Written(_)))
    });
    expect(winners.await? == 1, "of many concurrent writes and removals of the same version not exactly one wins")
}

pub(super) async fn one_of_many_gets_the_lease(trial: &Trial<'_>) -> Outcome {
    let winners =
        winners(
            trial,
            |store, _| async move { Ok(matches!(store.lease(key(1), LONG).await?, LeaseOutcome::Acquired(_))) },
        );
    expect(winners.await? == 1, "of many concurrent callers that want a lease not exactly one gets it")
}

pub(super) async fn no_increment_is_lost(trial: &Trial<'_>) -> Outcome {
    trial.create(key(1), row(vec![0])).await?;
    let winners = winners(trial, |store, _| async move {
        // Each conflict means that another caller has succeeded, so a caller meets fewer conflicts than there are callers.
        for _ in 0..MANY {
            let Some(stored) = store.load(key(1)).await? else { return Ok(false) };
            let next = stored.row.sealed.first().copied().unwrap_or_default().wrapping_add(1);
            let expected = Expected::Unexpired(stored.version);
            let swap = store.compare_and_swap(key(1), expected, row(vec![next]), None).await?;
            if let Swap::Written(_) = swap {
                return Ok(true);
            }
        }
        Ok(false)
    });
    expect(winners.await? == usize::from(MANY), "a row is gone, or a write is refused without a concurrent change")?;
    expect(trial.load(key(1)).await?.row == row(vec![MANY]), "some of many concurrent increments are lost")
}

pub(super) async fn no_event_is_lost(trial: &Trial<'_>) -> Outcome {
    let start = trial.store().last_position().await?;
    let winners = winners(trial, |store, number| async move {
        store.append_event(vec![number].into()).await.map(|position| position > start)
    });
    expect(winners.await? == usize::from(MANY), "an event is not after the last one")?;
    let mut events: Vec<_> = trial.other().events_after(start, MANY.into()).await?.events;
    events.sort();
    let all = (0..MANY).map(|number| vec![number]);
    expect(events.iter().map(|event| event.to_vec()).eq(all), "some of many concurrent events are lost")
}
