//! Rules for rows and their versions.

use super::trial::{ALL, FIRST, IN_2100, Outcome, SECOND, Trial, expect, key, row};
use crate::{Expected, RecordKey, Row, Swap, Version};

pub(super) async fn an_unknown_key_has_no_row(trial: &Trial<'_>) -> Outcome {
    expect(trial.store().load(key(1)).await?.is_none(), "a new store has a row")?;
    let removed = trial.store().compare_and_remove(key(1), Version::new(1)).await?;
    expect(!removed, "a row is removed that is not there")?;
    for collection in ALL {
        expect(trial.store().count(collection).await? == 0, "rows of a new store are counted")?;
        expect(trial.store().sweep(collection, IN_2100).await? == 0, "something is swept from a new store")?;
        expect(trial.store().expired(collection, IN_2100, 10).await?.is_empty(), "a new store has an expired row")?;
        expect(
            trial.store().next_to_expire(collection, 10).await?.is_empty(),
            "a new store has a row that will expire",
        )?;
        expect(trial.store().page(collection, None, 10).await?.is_empty(), "a page of a new store has a row")?;
    }
    Ok(())
}

pub(super) async fn what_is_written_is_read_back(trial: &Trial<'_>) -> Outcome {
    let every_byte: Vec<_> = (0..=u8::MAX).collect();
    let rows = [
        Row::new(every_byte.clone().into(), IN_2100),
        Row::new(every_byte.repeat(256).into(), IN_2100),
        Row::new(Vec::new().into(), portcullis_core::UnixTime::MAX),
    ];
    for (number, written) in (0..).zip(rows) {
        let version = trial.create(key(number), written.clone()).await?;
        let stored = trial.load(key(number)).await?;
        expect(stored.row.sealed == written.sealed, "the bytes of a row are not those that were written")?;
        expect(stored.row.expires_at == written.expires_at, "a row does not expire when its writer said")?;
        expect(stored.version == version, "a row has not the version that its writer was told")?;
    }
    Ok(())
}

pub(super) async fn nothing_is_created_over_a_row(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let swap = trial.other().compare_and_swap(key(1), Expected::Absent, row("new"), None).await?;
    expect(swap == Swap::Conflict, "a row is created where there is one")?;
    let stored = trial.load(key(1)).await?;
    expect(stored.version == version && stored.row == row("old"), "a refused creation changes the row")
}

pub(super) async fn a_write_needs_the_version_that_is_there(trial: &Trial<'_>) -> Outcome {
    let swap = trial.store().compare_and_swap(key(1), Expected::Unexpired(Version::new(1)), row("new"), None).await?;
    expect(swap == Swap::Conflict, "a row is replaced that is not there")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a refused write makes a row")?;
    let first = trial.create(key(1), row("first")).await?;
    let second = trial.replace(key(1), first, row("second")).await?;
    for wrong in [first, Version::new(second.number() + 1), Version::new(0), Version::new(u64::MAX)] {
        let swap = trial.other().compare_and_swap(key(1), Expected::Unexpired(wrong), row("third"), None).await?;
        expect(swap == Swap::Conflict, "a write succeeds that names another version than the row has")?;
    }
    let stored = trial.load(key(1)).await?;
    expect(stored.version == second && stored.row == row("second"), "a refused write changes the row")
}

pub(super) async fn versions_grow_with_every_write(trial: &Trial<'_>) -> Outcome {
    let mut version = trial.create(key(1), row("0")).await?;
    for content in ["1", "1", "2"] {
        let next = trial.replace(key(1), version, row(content)).await?;
        expect(next > version, "a write does not raise the version")?;
        expect(trial.load(key(1)).await?.version == next, "a row has not the version that its writer was told")?;
        version = next;
    }
    Ok(())
}

pub(super) async fn no_version_comes_back(trial: &Trial<'_>) -> Outcome {
    trial.create(key(2), row("another")).await?;
    let first = trial.create(key(1), row("first")).await?;
    let mut last = trial.replace(key(1), first, row("last")).await?;
    for _ in 0..2 {
        expect(trial.store().compare_and_remove(key(1), last).await?, "a row is not removed")?;
        let new = trial.create(key(1), row("new")).await?;
        expect(new > last, "a version comes back after the row was removed")?;
        let swap = trial.store().compare_and_swap(key(1), Expected::Unexpired(last), row("late"), None).await?;
        expect(swap == Swap::Conflict, "a caller that has seen a removed row replaces the new one")?;
        expect(!trial.store().compare_and_remove(key(1), last).await?, "the new record is removed for the old one")?;
        last = new;
    }
    Ok(())
}

pub(super) async fn only_what_was_seen_is_removed(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(key(1), row("first")).await?;
    let second = trial.replace(key(1), first, row("second")).await?;
    expect(!trial.other().compare_and_remove(key(1), first).await?, "a row is removed that was written since")?;
    expect(trial.load(key(1)).await?.version == second, "a refused removal changes the row")?;
    expect(trial.other().compare_and_remove(key(1), second).await?, "a row is not removed")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a removed record is still there")?;
    expect(trial.store().page(FIRST, None, 1).await?.is_empty(), "a removed record is on a page")?;
    expect(!trial.store().compare_and_remove(key(1), second).await?, "a row is removed twice")
}

pub(super) async fn similar_keys_are_different_rows(trial: &Trial<'_>) -> Outcome {
    let keys = [
        b"0123456789abcdef0123456789abcdef",
        b"0123456789abcdef0123456789abcdeF",
        b"0123456789abcdef0123456789abcde\0",
    ];
    let keys = keys.into_iter().copied().chain([[0; 32], [0xff; 32]]).map(|bytes| RecordKey::new(SECOND, bytes));
    let keys: Vec<_> = keys.zip(0_u8..).collect();
    for (key, content) in &keys {
        trial.create(*key, row(vec![*content])).await?;
    }
    for (key, content) in &keys {
        expect(trial.load(*key).await?.row == row(vec![*content]), "a row is that of another key")?;
    }
    Ok(())
}
