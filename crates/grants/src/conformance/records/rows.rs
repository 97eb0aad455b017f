//! Records and their versions.

use super::{
    super::trial::{Outcome, expect},
    trial::{IN_2100, SealedStore, key, record},
};
use crate::{
    Version,
    records::{Collection, RecordKey, SealedRecord},
};

pub(super) async fn an_unknown_key_has_no_record(trial: &SealedStore<'_>) -> Outcome {
    expect(trial.store().load(key(1)).await?.is_none(), "a new store has a record")?;
    let removed = trial.store().compare_and_remove(key(1), Version::new(1)).await?;
    expect(!removed, "a record is removed that is not there")?;
    for table in Collection::ALL {
        expect(trial.store().count(table).await? == 0, "records of a new store are counted")?;
        expect(trial.store().sweep(table).await? == 0, "something is swept from a new store")?;
        expect(trial.store().expired(table, 10).await?.is_empty(), "something is due in a new store")?;
        expect(
            trial.store().next_to_expire(table, 10).await?.is_empty(),
            "something is left to expire in a new store",
        )?;
        expect(trial.store().page(table, None, 10).await?.is_empty(), "a page of a new store has a record")?;
    }
    Ok(())
}

pub(super) async fn what_is_written_is_read_back(trial: &SealedStore<'_>) -> Outcome {
    let every_byte: Vec<_> = (0..=u8::MAX).collect();
    let records = [
        SealedRecord::new(every_byte.clone().into(), IN_2100),
        SealedRecord::new(every_byte.repeat(256).into(), IN_2100),
        SealedRecord::new(Vec::new().into(), portcullis_core::UnixTime::MAX),
    ];
    for (number, record) in (0..).zip(records) {
        let version = trial.create(key(number), record.clone()).await?;
        let stored = trial.load(key(number)).await?;
        expect(stored.record.sealed == record.sealed, "the bytes of a record are not those that were written")?;
        expect(stored.record.expires_at == record.expires_at, "a record does not expire when its writer said")?;
        expect(stored.version == version, "a record has not the version that its writer was told")?;
    }
    Ok(())
}

pub(super) async fn nothing_is_created_over_a_record(trial: &SealedStore<'_>) -> Outcome {
    let version = trial.create(key(1), record("old")).await?;
    let swap = trial.other().compare_and_swap(key(1), None, record("new")).await?;
    expect(swap.is_none(), "a record is created where there is one")?;
    let stored = trial.load(key(1)).await?;
    expect(stored.version == version && stored.record == record("old"), "a refused creation changes the record")
}

pub(super) async fn a_write_needs_the_version_that_is_there(trial: &SealedStore<'_>) -> Outcome {
    let swap = trial.store().compare_and_swap(key(1), Some(Version::new(1)), record("new")).await?;
    expect(swap.is_none(), "a record is replaced that is not there")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a refused write makes a record")?;
    let first = trial.create(key(1), record("first")).await?;
    let second = trial.replace(key(1), first, record("second")).await?;
    for wrong in [first, Version::new(second.number() + 1), Version::new(0), Version::new(u64::MAX)] {
        let swap = trial.other().compare_and_swap(key(1), Some(wrong), record("third")).await?;
        expect(swap.is_none(), "a write succeeds that names another version than the record has")?;
    }
    let stored = trial.load(key(1)).await?;
    expect(stored.version == second && stored.record == record("second"), "a refused write changes the record")
}

pub(super) async fn versions_grow_with_every_write(trial: &SealedStore<'_>) -> Outcome {
    let mut version = trial.create(key(1), record("0")).await?;
    for content in ["1", "1", "2"] {
        let next = trial.replace(key(1), version, record(content)).await?;
        expect(next > version, "a write does not raise the version")?;
        expect(trial.load(key(1)).await?.version == next, "a record has not the version that its writer was told")?;
        version = next;
    }
    Ok(())
}

pub(super) async fn no_version_comes_back(trial: &SealedStore<'_>) -> Outcome {
    trial.create(key(2), record("another")).await?;
    let first = trial.create(key(1), record("first")).await?;
    let mut last = trial.replace(key(1), first, record("last")).await?;
    for _ in 0..2 {
        expect(trial.store().compare_and_remove(key(1), last).await?, "a record is not removed")?;
        let new = trial.create(key(1), record("new")).await?;
        expect(new > last, "a version comes back after the record was removed")?;
        let swap = trial.store().compare_and_swap(key(1), Some(last), record("late")).await?;
        expect(swap.is_none(), "who has seen a record that was removed replaces the new one")?;
        expect(!trial.store().compare_and_remove(key(1), last).await?, "the new record is removed for the old one")?;
        last = new;
    }
    Ok(())
}

pub(super) async fn only_what_was_seen_is_removed(trial: &SealedStore<'_>) -> Outcome {
    let first = trial.create(key(1), record("first")).await?;
    let second = trial.replace(key(1), first, record("second")).await?;
    expect(!trial.other().compare_and_remove(key(1), first).await?, "a record is removed that was written since")?;
    expect(trial.load(key(1)).await?.version == second, "a refused removal changes the record")?;
    expect(trial.other().compare_and_remove(key(1), second).await?, "a record is not removed")?;
    expect(trial.store().load(key(1)).await?.is_none(), "a removed record is still there")?;
    expect(trial.store().page(Collection::SESSIONS, None, 1).await?.is_empty(), "a removed record is on a page")?;
    expect(!trial.store().compare_and_remove(key(1), second).await?, "a record is removed twice")
}

pub(super) async fn similar_keys_are_different_records(trial: &SealedStore<'_>) -> Outcome {
    let keys = [
        b"0123456789abcdef0123456789abcdef",
        b"0123456789abcdef0123456789abcdeF",
        b"0123456789abcdef0123456789abcde\0",
    ];
    let keys =
        keys.into_iter().copied().chain([[0; 32], [0xff; 32]]).map(|bytes| RecordKey::new(Collection::CLIENTS, bytes));
    let keys: Vec<_> = keys.zip(0_u8..).collect();
    for (key, content) in &keys {
        trial.create(*key, record(vec![*content])).await?;
    }
    for (key, content) in &keys {
        expect(trial.load(*key).await?.record == record(vec![*content]), "a record is another one's")?;
    }
    Ok(())
}
