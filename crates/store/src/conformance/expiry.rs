//! Rules for rows that expire.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::trial::{FIRST, Finding, IN_2100, Outcome, Trial, expect, key, row};
use crate::{Expected, RecordKey, Row, Swap, Version};

pub(super) async fn a_row_is_found_until_it_expires(trial: &Trial<'_>) -> Outcome {
    trial.create(key(1), trial.short()).await?;
    trial.create(key(2), row("stays")).await?;
    trial.load(key(1)).await?;
    expect(
        trial.store().expired(FIRST, IN_2100, 10).await?.is_empty(),
        "a row that has not expired is listed as expired",
    )?;
    trial.later().await;
    expect(trial.store().load(key(1)).await?.is_none(), "a row is there after it has expired")?;
    expect(trial.load(key(2)).await?.row == row("stays"), "a row is not what it was")?;
    let page = trial.store().page(FIRST, None, 10).await?;
    expect(page.len() == 1 && page[0].0 == key(2), "a page shows a row that has expired")
}

pub(super) async fn the_last_write_decides_when_a_row_expires(trial: &Trial<'_>) -> Outcome {
    let prolonged = trial.create(key(1), trial.short()).await?;
    trial.replace(key(1), prolonged, row("prolonged")).await?;
    let shortened = trial.create(key(2), row("long")).await?;
    trial.replace(key(2), shortened, trial.short()).await?;
    trial.later().await;
    expect(trial.load(key(1)).await?.row == row("prolonged"), "a row expires although it was prolonged")?;
    expect(trial.store().load(key(2)).await?.is_none(), "a row is there although it was shortened")?;
    let rows = trial.store().expired(FIRST, IN_2100, 10).await?;
    expect(rows.len() == 1 && rows[0].0 == key(2), "the last write does not decide which rows have expired")
}

pub(super) async fn a_row_can_be_created_in_place_of_an_expired_one(trial: &Trial<'_>) -> Outcome {
    let old = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    let new = trial.create(key(1), row("new")).await?;
    expect(new > old, "a version comes back after the row has expired")?;
    expect(trial.load(key(1)).await?.row == row("new"), "a row is not what was written")?;
    expect(
        trial.store().expired(FIRST, IN_2100, 10).await?.is_empty(),
        "a row that was written anew is listed as expired",
    )?;
    expect(!trial.store().compare_and_remove(key(1), old).await?, "the new record is removed for the old one")
}

pub(super) async fn an_expired_row_is_not_replaced_as_unexpired(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    let swap = trial.store().compare_and_swap(key(1), Expected::Unexpired(version), row("new"), None).await?;
    expect(swap == Swap::Conflict, "a row is replaced that has expired")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a row is there that has expired")
}

pub(super) async fn an_expired_row_is_listed_until_it_is_removed(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), trial.short()).await?;
    trial.later().await;
    for _ in 0..2 {
        let rows = trial.other().expired(FIRST, IN_2100, 10).await?;
        let is_it = rows.iter().any(|(found, stored)| *found == key(1) && stored.version == version);
        expect(is_it, "an expired row is not listed")?;
        let as_written = rows.iter().all(|(_, stored)| stored.row.sealed == "short");
        expect(as_written, "an expired row is not what was written")?;
    }
    expect(trial.store().compare_and_remove(key(1), version).await?, "a row that has expired cannot be removed")?;
    expect(!trial.other().compare_and_remove(key(1), version).await?, "a row that has expired is removed twice")?;
    expect(trial.store().expired(FIRST, IN_2100, 10).await?.is_empty(), "a removed row is listed as expired")
}

pub(super) async fn the_oldest_expired_rows_come_first(trial: &Trial<'_>) -> Outcome {
    // Neither in the order of their keys, nor in that in which they were written.
    let ages = [3, 0, 4, 1, 2_u8];
    // One time for all rows, because writes may take longer than the second between two expiries.
    let soon = trial.soon();
    for (number, age) in (0..).zip(ages) {
        let expires_at = soon.saturating_sub(Duration::from_secs((4 - age).into()));
        trial.create(key(number), Row::new(vec![age].into(), expires_at)).await?;
    }
    trial.create(key(9), row("stays")).await?;
    trial.later().await;
    for (limit, oldest) in [(3, 0..3), (10, 0..5_u8)] {
        let rows = trial.store().expired(FIRST, IN_2100, limit).await?;
        let ages = rows.iter().map(|(_, stored)| &stored.row.sealed[..]);
        expect(
            ages.eq(oldest.map(|age| [age])),
            "the expired rows are not the oldest, not in order, or not as many as asked for",
        )?;
    }
    expect(
        trial.store().expired(FIRST, IN_2100, 0).await?.is_empty(),
        "more expired rows are returned than were asked for",
    )
}

pub(super) async fn the_next_rows_to_expire_come_first(trial: &Trial<'_>) -> Outcome {
    for (number, left) in (0..).zip([3, 0, 4, 1, 2_u8]) {
        let expires_at = IN_2100.saturating_sub(Duration::from_secs((4 - left).into()));
        trial.create(key(number), Row::new(vec![left].into(), expires_at)).await?;
    }
    trial.create(key(9), trial.short()).await?;
    trial.later().await;
    for (limit, expected) in [(3, 0..3), (10, 0..5_u8)] {
        let next = trial.store().next_to_expire(FIRST, limit).await?;
        let left = next.iter().map(|(_, stored)| &stored.row.sealed[..]);
        expect(
            left.eq(expected.map(|left| [left])),
            "the rows are not the next to expire, not in order, or not as many as asked for",
        )?;
    }
    let rows = trial.store().next_to_expire(FIRST, 1).await?;
    let (key, row) = rows.first().ok_or_else(|| Finding("a row is gone".to_owned()))?;
    expect(trial.store().compare_and_remove(*key, row.version).await?, "a row is not in the version that is said")
}

pub(super) async fn a_sweep_removes_expired_rows_and_nothing_else(trial: &Trial<'_>) -> Outcome {
    for number in 1..=3 {
        trial.create(key(number), trial.short()).await?;
    }
    trial.create(key(4), row("stays")).await?;
    expect(trial.store().sweep(FIRST, IN_2100).await? == 0, "a row is swept that has not expired")?;
    trial.later().await;
    expect(trial.other().sweep(FIRST, IN_2100).await? == 3, "a sweep does not say how many rows it has removed")?;
    expect(trial.store().sweep(FIRST, IN_2100).await? == 0, "a sweep leaves rows that have expired")?;
    expect(trial.store().expired(FIRST, IN_2100, 10).await?.is_empty(), "a swept row is listed as expired")?;
    expect(trial.store().count(FIRST).await? == 1, "a sweep takes a row that has not expired")?;
    trial.load(key(4)).await.map(drop)
}

pub(super) async fn a_sweep_removes_any_number(trial: &Trial<'_>) -> Outcome {
    /// More than a store may like to remove in one go.
    const MANY: u64 = 1000;
    let numbered = |number: u64| RecordKey::of(FIRST, &[&number.to_be_bytes()]);
    let short = Row::new("short".into(), trial.soon());
    let created =
        (0..MANY).map(|number| trial.store().compare_and_swap(numbered(number), Expected::Absent, short.clone(), None));
    let created = try_join_all(created).await?;
    expect(
        created.iter().all(|swap| matches!(swap, Swap::Written(_))),
        "a write is refused although nothing is in its way",
    )?;
    expect(trial.other().count(FIRST).await? == MANY, "a count is not that of the rows there are")?;
    trial.later().await;
    expect(trial.store().sweep(FIRST, IN_2100).await? == MANY, "a sweep does not take all that has expired")?;
    expect(trial.other().count(FIRST).await? == 0, "rows are counted that were swept")
}

pub(super) async fn no_version_comes_back_after_a_sweep(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(key(1), row("first")).await?;
    let last = trial.replace(key(1), first, trial.short()).await?;
    trial.later().await;
    trial.store().sweep(FIRST, IN_2100).await?;
    let new = trial.create(key(1), Row::new("new".into(), IN_2100)).await?;
    expect(new > last, "a version comes back after the row was swept")
}

pub(super) async fn an_expired_row_can_still_be_written_in_its_version(trial: &Trial<'_>) -> Outcome {
    let old = trial.create(key(1), trial.short()).await?;
    let other = trial.create(key(2), row("other")).await?;
    trial.later().await;
    let wrong = Expected::EvenExpired(Version::new(old.number() + 1));
    let wrong = trial.store().compare_and_swap(key(1), wrong, row("new"), None).await?;
    expect(wrong == Swap::Conflict, "an expired row is written that is in another version")?;
    let absent = trial.store().compare_and_swap(key(3), Expected::EvenExpired(old), row("new"), None).await?;
    expect(absent == Swap::Conflict, "a row is written that is not there")?;
    let new = trial.swap(key(1), Expected::EvenExpired(old), row("new")).await?;
    expect(new > old, "a write does not raise the version")?;
    expect(trial.load(key(1)).await?.row == row("new"), "a row is not what was written")?;
    expect(
        trial.store().expired(FIRST, IN_2100, 10).await?.is_empty(),
        "a row that was written anew is listed as expired",
    )?;
    trial.swap(key(2), Expected::EvenExpired(other), row("unexpired")).await.map(drop)
}

pub(super) async fn an_expired_row_is_loaded_by_callers_that_want_it(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), trial.short()).await?;
    let loaded = trial.other().load_even_expired(key(1)).await?;
    expect(loaded.is_some_and(|stored| stored.version == version), "a row that has not expired is not loaded")?;
    trial.later().await;
    let loaded = trial.other().load_even_expired(key(1)).await?;
    let is_it = loaded.is_some_and(|stored| stored.version == version && stored.row.sealed == "short");
    expect(is_it, "a row that has expired is not loaded")?;
    trial.store().sweep(FIRST, IN_2100).await?;
    expect(trial.other().load_even_expired(key(1)).await?.is_none(), "a row is loaded that was swept")
}

pub(super) async fn a_row_whose_expiry_is_not_confirmed_is_neither_swept_nor_listed(trial: &Trial<'_>) -> Outcome {
    let row = trial.short();
    let before = row.expires_at.saturating_sub(Duration::from_secs(1));
    trial.create(key(1), row.clone()).await?;
    trial.later().await;
    expect(
        trial.store().expired(FIRST, before, 10).await?.is_empty(),
        "a row is listed before its expiry is confirmed",
    )?;
    expect(trial.store().sweep(FIRST, before).await? == 0, "a row is swept before its expiry is confirmed")?;
    let listed = trial.store().expired(FIRST, row.expires_at, 10).await?;
    expect(listed.len() == 1, "a row is not listed although its expiry is confirmed")?;
    expect(
        trial.store().sweep(FIRST, row.expires_at).await? == 1,
        "a row is not swept although its expiry is confirmed",
    )
}
