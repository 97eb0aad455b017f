//! Tables: what is said of many records at once.

use super::{
    super::trial::{Outcome, expect},
    trial::{SealedStore, key, record},
};
use crate::records::{Collection, RecordKey};

pub(super) async fn tables_do_not_see_each_other(trial: &SealedStore<'_>) -> Outcome {
    let of = |table| RecordKey::new(table, [7; 32]);
    let mut versions = Vec::new();
    for table in Collection::ALL {
        let content = record(table.as_str());
        versions.push(trial.create(of(table), content).await?);
    }
    for table in Collection::ALL {
        expect(trial.load(of(table)).await?.record == record(table.as_str()), "a record is that of another table")?;
        expect(trial.other().count(table).await? == 1, "records of another table are counted")?;
        let page = trial.store().page(table, None, 10).await?;
        let is_own = page.iter().all(|(key, stored)| *key == of(table) && stored.record == record(table.as_str()));
        expect(page.len() == 1 && is_own, "a page shows records of another table")?;
    }
    for table in Collection::ALL {
        let soonest = trial.store().next_to_expire(table, 10).await?;
        expect(soonest.iter().all(|(key, _)| *key == of(table)), "records of another table would make room")?;
    }
    let removed = trial.store().compare_and_remove(of(Collection::LOGINS), versions[1]).await?;
    expect(removed, "a record is not removed")?;
    for (table, short) in [(Collection::CLIENTS, 1), (Collection::SESSIONS, 2)] {
        for number in 0..short {
            trial.create(RecordKey::new(table, [number; 32]), trial.short()).await?;
        }
    }
    trial.later().await;
    for (table, expired) in Collection::ALL.into_iter().zip([1, 0, 0, 2, 0, 0]) {
        let due = trial.store().expired(table, 10).await?;
        let is_own = due.iter().all(|(key, _)| key.table() == table);
        expect(due.len() == expired && is_own, "records of another table are due")?;
    }
    expect(
        trial.store().sweep(Collection::SESSIONS).await? == 2,
        "a sweep does not say how many records it has removed",
    )?;
    expect(trial.store().expired(Collection::CLIENTS, 10).await?.len() == 1, "a sweep removes records of another table")
}

pub(super) async fn a_count_is_that_of_the_records(trial: &SealedStore<'_>) -> Outcome {
    for number in 1..=5 {
        let version = trial.create(key(number), record("one")).await?;
        let version = trial.replace(key(number), version, record("the same")).await?;
        if number == 3 {
            trial.store().compare_and_remove(key(number), version).await?;
        }
    }
    expect(trial.other().count(Collection::SESSIONS).await? == 4, "a count is not that of the records there are")
}

pub(super) async fn pages_show_every_record_once_and_in_order(trial: &SealedStore<'_>) -> Outcome {
    // In no order, and on both sides of where a signed byte would turn negative.
    let numbers: Vec<u8> = (0..=24_u8).map(|number| number.wrapping_mul(97)).collect();
    for number in &numbers {
        trial.create(key(*number), record(vec![*number])).await?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = trial.other().page(Collection::SESSIONS, after, 7).await?;
        expect(page.len() <= 7, "a page has more records than were asked for")?;
        expect(page.len() == 7 || seen.len() + page.len() == numbers.len(), "a page in the middle is not full")?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
        expect(seen.len() <= numbers.len(), "pages show a record twice")?;
    }
    expect(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "pages are not in the order of the bytes of the keys")?;
    expect(seen.len() == numbers.len(), "pages do not show every record once")?;
    let as_written = seen.iter().all(|(key, stored)| stored.record == record(vec![key.as_bytes()[0]]));
    expect(as_written, "a page shows a record that is not the one of its key")
}
