//! Rules for collections: what concerns several rows.

use super::trial::{ALL, FIRST, IN_2100, Outcome, SECOND, THIRD, Trial, expect, key, row};
use crate::RecordKey;

pub(super) async fn collections_are_separate(trial: &Trial<'_>) -> Outcome {
    let of = |collection| RecordKey::new(collection, [7; 32]);
    let mut versions = Vec::new();
    for collection in ALL {
        let content = row(collection.as_str());
        versions.push(trial.create(of(collection), content).await?);
    }
    for collection in ALL {
        expect(
            trial.load(of(collection)).await?.row == row(collection.as_str()),
            "a row is that of another collection",
        )?;
        expect(trial.other().count(collection).await? == 1, "rows of another collection are counted")?;
        let page = trial.store().page(collection, None, 10).await?;
        let is_own = page.iter().all(|(key, stored)| *key == of(collection) && stored.row == row(collection.as_str()));
        expect(page.len() == 1 && is_own, "a page shows rows of another collection")?;
    }
    for collection in ALL {
        let next = trial.store().next_to_expire(collection, 10).await?;
        expect(next.iter().all(|(key, _)| *key == of(collection)), "rows of another collection would make room")?;
    }
    let removed = trial.store().compare_and_remove(of(SECOND), versions[1]).await?;
    expect(removed, "a row is not removed")?;
    for (collection, short) in [(THIRD, 1), (FIRST, 2)] {
        for number in 0..short {
            trial.create(RecordKey::new(collection, [number; 32]), trial.short()).await?;
        }
    }
    trial.later().await;
    for (collection, expired) in [(FIRST, 2), (SECOND, 0), (THIRD, 1)] {
        let rows = trial.store().expired(collection, IN_2100, 10).await?;
        let is_own = rows.iter().all(|(key, _)| key.collection() == collection);
        expect(rows.len() == expired && is_own, "rows of another collection have expired")?;
    }
    expect(trial.store().sweep(FIRST, IN_2100).await? == 2, "a sweep does not say how many rows it has removed")?;
    expect(trial.store().expired(THIRD, IN_2100, 10).await?.len() == 1, "a sweep removes rows of another collection")
}

pub(super) async fn a_count_is_that_of_the_rows(trial: &Trial<'_>) -> Outcome {
    for number in 1..=5 {
        let version = trial.create(key(number), row("one")).await?;
        let version = trial.replace(key(number), version, row("the same")).await?;
        if number == 3 {
            trial.store().compare_and_remove(key(number), version).await?;
        }
    }
    expect(trial.other().count(FIRST).await? == 4, "a count is not that of the rows there are")
}

pub(super) async fn pages_show_every_row_once_and_in_order(trial: &Trial<'_>) -> Outcome {
    // In no order, and on both sides of where a signed byte would turn negative.
    let numbers: Vec<u8> = (0..=24_u8).map(|number| number.wrapping_mul(97)).collect();
    for number in &numbers {
        trial.create(key(*number), row(vec![*number])).await?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = trial.other().page(FIRST, after, 7).await?;
        expect(page.len() <= 7, "a page has more rows than were asked for")?;
        expect(page.len() == 7 || seen.len() + page.len() == numbers.len(), "a page in the middle is not full")?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
        expect(seen.len() <= numbers.len(), "pages show a row twice")?;
    }
    expect(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "pages are not in the order of the bytes of the keys")?;
    expect(seen.len() == numbers.len(), "pages do not show every record once")?;
    let as_written = seen.iter().all(|(key, stored)| stored.row == row(vec![key.as_bytes()[0]]));
    expect(as_written, "a page shows a row that is not the one of its key")
}
