//! Many at once.

use std::sync::Arc;

use super::{
    super::{
        races::{MANY, winners},
        trial::{Outcome, expect},
    },
    trial::{SealedStore, key, record},
};
use crate::records::RecordStore;

type Store = Arc<dyn RecordStore>;

pub(super) async fn one_of_many_writes_wins(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), record("old")).await?;
    let winners = winners(trial, |store: Store, number| async move {
        let swap = store.compare_and_swap(key(1), Some(version), record(vec![number])).await?;
        let Some(written) = swap else { return Ok(false) };
        let stored = store.load(key(1)).await?;
        Ok(stored.is_some_and(|stored| stored.version == written && stored.record == record(vec![number])))
    });
    expect(winners.await? == 1, "of many writes at once of the same version not exactly one wins and stays")
}

pub(super) async fn one_of_many_creations_wins(trial: &SealedStore<'_>) -> Outcome {
    let create = |store: Store, number| async move {
        Ok(store.compare_and_swap(key(1), None, record(vec![number])).await?.is_some())
    };
    expect(winners(trial, create).await? == 1, "of many creations at once not exactly one wins")?;
    trial.create(key(2), trial.short()).await?;
    trial.later().await;
    let create = |store: Store, number| async move {
        Ok(store.compare_and_swap(key(2), None, record(vec![number])).await?.is_some())
    };
    expect(winners(trial, create).await? == 1, "of many creations at once over an expired record not exactly one wins")
}

pub(super) async fn one_of_many_removals_wins(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), record("old")).await?;
    let winners = winners(trial, |store: Store, _| async move { store.compare_and_remove(key(1), version).await });
    expect(winners.await? == 1, "of many removals at once not exactly one is told that it removed the record")
}

pub(super) async fn a_record_is_replaced_or_removed_and_not_both(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), record("old")).await?;
    let winners = winners(trial, |store: Store, number| async move {
        if number % 2 == 0 {
            return store.compare_and_remove(key(1), version).await;
        }
        Ok(store.compare_and_swap(key(1), Some(version), record("new")).await?.is_some())
    });
    expect(winners.await? == 1, "of many writes and removals at once of the same version not exactly one wins")
}

pub(super) async fn no_increment_is_lost(trial: &SealedStore<'_>) -> Outcome {
    trial.create(key(1), record(vec![0])).await?;
    let winners = winners(trial, |store: Store, _| async move {
        // Whoever is told of a conflict was overtaken by another one, so that nobody is told more often than there are others.
        for _ in 0..MANY {
            let Some(stored) = store.load(key(1)).await? else { return Ok(false) };
            let next = stored.record.sealed.first().copied().unwrap_or_default().wrapping_add(1);
            if store.compare_and_swap(key(1), Some(stored.version), record(vec![next])).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    });
    expect(winners.await? == usize::from(MANY), "a record is gone, or a write is refused that nobody was faster than")?;
    expect(trial.load(key(1)).await?.record == record(vec![MANY]), "of many increments at once some are lost")
}
