//! Records that have expired.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::{
    super::trial::{Finding, Outcome, expect},
    trial::{IN_2100, SealedStore, key, record},
};
use crate::records::{Collection, RecordKey, SealedRecord};

const SESSIONS: Collection = Collection::SESSIONS;

pub(super) async fn a_record_is_there_until_it_expires(trial: &SealedStore<'_>) -> Outcome {
    trial.create(key(1), trial.short()).await?;
    trial.create(key(2), record("stays")).await?;
    trial.load(key(1)).await?;
    expect(trial.store().expired(SESSIONS, 10).await?.is_empty(), "a record is due that has not expired")?;
    trial.later().await;
    expect(trial.store().load(key(1)).await?.is_none(), "a record is there after it has expired")?;
    expect(trial.load(key(2)).await?.record == record("stays"), "a record is not what it was")?;
    let page = trial.store().page(SESSIONS, None, 10).await?;
    expect(page.len() == 1 && page[0].0 == key(2), "a page shows a record that has expired")
}

pub(super) async fn what_is_written_last_says_when_a_record_expires(trial: &SealedStore<'_>) -> Outcome {
    let prolonged = trial.create(key(1), trial.short()).await?;
    trial.replace(key(1), prolonged, record("prolonged")).await?;
    let shortened = trial.create(key(2), record("long")).await?;
    trial.replace(key(2), shortened, trial.short()).await?;
    trial.later().await;
    expect(trial.load(key(1)).await?.record == record("prolonged"), "a record expires although it was prolonged")?;
    expect(trial.store().load(key(2)).await?.is_none(), "a record is there although it was shortened")?;
    let due = trial.store().expired(SESSIONS, 10).await?;
    expect(due.len() == 1 && due[0].0 == key(2), "not those are due whose last writer said so")
}

pub(super) async fn a_record_that_has_expired_makes_room(trial: &SealedStore<'_>) -> Outcome {
    let old = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    let new = trial.create(key(1), record("new")).await?;
    expect(new > old, "a version comes back after the record has expired")?;
    expect(trial.load(key(1)).await?.record == record("new"), "a record is not what was written")?;
    expect(
        trial.store().expired(SESSIONS, 10).await?.is_empty(),
        "a record is due that another one has taken the place of",
    )?;
    expect(!trial.store().compare_and_remove(key(1), old).await?, "the new record is removed for the old one")
}

pub(super) async fn a_record_that_has_expired_is_not_replaced(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    let swap = trial.store().compare_and_swap(key(1), Some(version), record("new")).await?;
    expect(swap.is_none(), "a record is replaced that has expired")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a record is there that has expired")
}

pub(super) async fn a_record_is_due_until_it_is_removed(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    for _ in 0..2 {
        let due = trial.other().expired(SESSIONS, 10).await?;
        let is_it = due.iter().any(|(due, stored)| *due == key(1) && stored.version == version);
        expect(is_it, "a record that has expired is not due")?;
        let as_written = due.iter().all(|(_, stored)| stored.record.sealed == "short");
        expect(as_written, "a record that is due is not what was written")?;
    }
    expect(trial.store().compare_and_remove(key(1), version).await?, "a record that has expired cannot be removed")?;
    expect(!trial.other().compare_and_remove(key(1), version).await?, "a record that has expired is removed twice")?;
    expect(trial.store().expired(SESSIONS, 10).await?.is_empty(), "a record is due that was removed")
}

pub(super) async fn the_oldest_are_due_first(trial: &SealedStore<'_>) -> Outcome {
    // Neither in the order of their keys, nor in that in which they were written.
    let ages = [3, 0, 4, 1, 2_u8];
    for (number, age) in (0..).zip(ages) {
        let expires_at = trial.soon().saturating_sub(Duration::from_secs((4 - age).into()));
        trial.create(key(number), SealedRecord::new(vec![age].into(), expires_at)).await?;
    }
    trial.create(key(9), record("stays")).await?;
    trial.later().await;
    for (limit, oldest) in [(3, 0..3), (10, 0..5_u8)] {
        let due = trial.store().expired(SESSIONS, limit).await?;
        let ages = due.iter().map(|(_, stored)| &stored.record.sealed[..]);
        expect(
            ages.eq(oldest.map(|age| [age])),
            "not the oldest are due, or not in their order, or not so many as asked",
        )?;
    }
    expect(trial.store().expired(SESSIONS, 0).await?.is_empty(), "records are due that nobody has asked for")
}

pub(super) async fn those_that_expire_soonest_are_known(trial: &SealedStore<'_>) -> Outcome {
    for (number, left) in (0..).zip([3, 0, 4, 1, 2_u8]) {
        let expires_at = IN_2100.saturating_sub(Duration::from_secs((4 - left).into()));
        trial.create(key(number), SealedRecord::new(vec![left].into(), expires_at)).await?;
    }
    trial.create(key(9), trial.short()).await?;
    trial.later().await;
    for (limit, soonest) in [(3, 0..3), (10, 0..5_u8)] {
        let rows = trial.store().next_to_expire(SESSIONS, limit).await?;
        let left = rows.iter().map(|(_, stored)| &stored.record.sealed[..]);
        expect(
            left.eq(soonest.map(|left| [left])),
            "not those that expire soonest, or not in their order, or not so many as asked",
        )?;
    }
    let rows = trial.store().next_to_expire(SESSIONS, 1).await?;
    let (key, row) = rows.first().ok_or_else(|| Finding("a record is gone".to_owned()))?;
    expect(trial.store().compare_and_remove(*key, row.version).await?, "a record is not in the version that is said")
}

pub(super) async fn a_sweep_takes_what_has_expired_and_nothing_else(trial: &SealedStore<'_>) -> Outcome {
    for number in 1..=3 {
        trial.create(key(number), trial.short()).await?;
    }
    trial.create(key(4), record("stays")).await?;
    expect(trial.store().sweep(SESSIONS).await? == 0, "a record is swept that has not expired")?;
    trial.later().await;
    expect(trial.other().sweep(SESSIONS).await? == 3, "a sweep does not say how many records it has removed")?;
    expect(trial.store().sweep(SESSIONS).await? == 0, "a sweep leaves records that have expired")?;
    expect(trial.store().expired(SESSIONS, 10).await?.is_empty(), "a record is due that was swept")?;
    expect(trial.store().count(SESSIONS).await? == 1, "a sweep takes a record that has not expired")?;
    trial.load(key(4)).await.map(drop)
}

pub(super) async fn a_sweep_takes_many(trial: &SealedStore<'_>) -> Outcome {
    /// More than a store may like to remove in one go.
    const MANY: u64 = 1000;
    let numbered = |number: u64| RecordKey::of(SESSIONS, &[&number.to_be_bytes()]);
    let record = SealedRecord::new("short".into(), trial.soon());
    let created = (0..MANY).map(|number| trial.store().compare_and_swap(numbered(number), None, record.clone()));
    let created = try_join_all(created).await?;
    expect(created.iter().all(Option::is_some), "a write is refused although nothing is in its way")?;
    expect(trial.other().count(SESSIONS).await? == MANY, "a count is not that of the records there are")?;
    trial.later().await;
    expect(trial.store().sweep(SESSIONS).await? == MANY, "a sweep does not take all that has expired")?;
    expect(trial.other().count(SESSIONS).await? == 0, "records are counted that were swept")
}

pub(super) async fn no_version_comes_back_after_a_sweep(trial: &SealedStore<'_>) -> Outcome {
    let first = trial.create(key(1), record("first")).await?;
    let last = trial.replace(key(1), first, trial.short()).await?;
    trial.later().await;
    trial.store().sweep(SESSIONS).await?;
    let new = trial.create(key(1), SealedRecord::new("new".into(), IN_2100)).await?;
    expect(new > last, "a version comes back after the record was swept")
}
