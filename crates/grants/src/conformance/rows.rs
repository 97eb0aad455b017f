//! Rows and their versions.

use portcullis_core::{GrantId, UnixTime};

use super::trial::{Outcome, Trial, expect, id, row};
use crate::{SealedGrant, Swap, Version};

pub(super) async fn an_unknown_id_has_no_row(trial: &Trial<'_>) -> Outcome {
    expect(trial.store().load(id(1)).await?.is_none(), "a new store has a row")?;
    expect(!trial.store().compare_and_remove(id(1), Version::new(1)).await?, "a row is removed that is not there")?;
    expect(trial.store().sweep().await? == 0, "something is swept from a new store")?;
    expect(trial.store().page(None, 10).await?.is_empty(), "a page of a new store has a row")
}

pub(super) async fn what_is_written_is_read_back(trial: &Trial<'_>) -> Outcome {
    let every_byte: Vec<_> = (0..=u8::MAX).collect();
    let in_2100 = UnixTime::from_secs(4_102_444_800);
    let grants = [
        SealedGrant::new(every_byte.clone().into(), None),
        SealedGrant::new(every_byte.repeat(256).into(), Some(in_2100)),
        SealedGrant::new(Vec::new().into(), Some(UnixTime::MAX)),
    ];
    for (number, grant) in (0..).zip(grants) {
        let version = trial.create(id(number), grant.clone()).await?;
        let stored = trial.load(id(number)).await?;
        expect(stored.grant.sealed == grant.sealed, "the bytes of a row are not those that were written")?;
        expect(stored.grant.expires_at == grant.expires_at, "the expiry of a row is not the one that was written")?;
        expect(stored.version == version, "a row has not the version that its writer was told")?;
    }
    Ok(())
}

pub(super) async fn nothing_is_created_over_a_row(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let swap = trial.other().compare_and_swap(id(1), None, row("new"), None).await?;
    expect(swap == Swap::Conflict, "a row is created where there is one")?;
    let stored = trial.load(id(1)).await?;
    expect(stored.version == version && stored.grant == row("old"), "a refused creation changes the row")
}

pub(super) async fn a_write_needs_the_version_that_is_there(trial: &Trial<'_>) -> Outcome {
    let swap = trial.store().compare_and_swap(id(1), Some(Version::new(1)), row("new"), None).await?;
    expect(swap == Swap::Conflict, "a row is replaced that is not there")?;
    expect(trial.store().load(id(1)).await?.is_none(), "a refused write makes a row")?;
    let first = trial.create(id(1), row("first")).await?;
    let second = trial.replace(id(1), first, row("second")).await?;
    for wrong in [first, Version::new(second.number() + 1), Version::new(0), Version::new(u64::MAX)] {
        let swap = trial.other().compare_and_swap(id(1), Some(wrong), row("third"), None).await?;
        expect(swap == Swap::Conflict, "a write succeeds that names another version than the row has")?;
    }
    let stored = trial.load(id(1)).await?;
    expect(stored.version == second && stored.grant == row("second"), "a refused write changes the row")
}

pub(super) async fn versions_grow_with_every_write(trial: &Trial<'_>) -> Outcome {
    let mut version = trial.create(id(1), row("0")).await?;
    for content in ["1", "1", "2"] {
        let next = trial.replace(id(1), version, row(content)).await?;
        expect(next > version, "a write does not raise the version")?;
        expect(trial.load(id(1)).await?.version == next, "a row has not the version that its writer was told")?;
        version = next;
    }
    Ok(())
}

pub(super) async fn no_version_comes_back(trial: &Trial<'_>) -> Outcome {
    trial.create(id(2), row("another")).await?;
    let first = trial.create(id(1), row("first")).await?;
    let mut last = trial.replace(id(1), first, row("last")).await?;
    for _ in 0..2 {
        expect(trial.store().compare_and_remove(id(1), last).await?, "a row is not removed")?;
        let new = trial.create(id(1), row("new")).await?;
        expect(new > last, "a version comes back after the row was removed")?;
        let swap = trial.store().compare_and_swap(id(1), Some(last), row("late"), None).await?;
        expect(swap == Swap::Conflict, "who has seen a row that was removed replaces the new one")?;
        expect(!trial.store().compare_and_remove(id(1), last).await?, "the new row is removed for the old one")?;
        last = new;
    }
    Ok(())
}

pub(super) async fn only_what_was_seen_is_removed(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(id(1), row("first")).await?;
    let second = trial.replace(id(1), first, row("second")).await?;
    expect(!trial.other().compare_and_remove(id(1), first).await?, "a row is removed that was written since")?;
    expect(trial.load(id(1)).await?.version == second, "a refused removal changes the row")?;
    expect(trial.other().compare_and_remove(id(1), second).await?, "a row is not removed")?;
    expect(trial.store().load(id(1)).await?.is_none(), "a removed row is still there")?;
    expect(!trial.store().compare_and_remove(id(1), second).await?, "a row is removed twice")
}

pub(super) async fn similar_ids_are_different_rows(trial: &Trial<'_>) -> Outcome {
    let ids = [*b"0123456789abcdef", *b"0123456789abcdeF", *b"0123456789abcde\0", [0; 16], [0xff; 16]]
        .map(GrantId::from_bytes);
    for (content, id) in ["a", "b", "c", "d", "e"].into_iter().zip(ids) {
        trial.create(id, row(content)).await?;
    }
    for (content, id) in ["a", "b", "c", "d", "e"].into_iter().zip(ids) {
        expect(trial.load(id).await?.grant == row(content), "a row is another one's")?;
    }
    Ok(())
}

pub(super) async fn pages_show_every_row_once_and_in_order(trial: &Trial<'_>) -> Outcome {
    // In no order, and on both sides of where a signed byte would turn negative.
    let numbers: Vec<u8> = (0..=24_u8).map(|number| number.wrapping_mul(97)).collect();
    for number in &numbers {
        trial.create(id(*number), row(vec![*number])).await?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = trial.other().page(after, 7).await?;
        expect(page.len() <= 7, "a page has more rows than were asked for")?;
        expect(page.len() == 7 || seen.len() + page.len() == numbers.len(), "a page in the middle is not full")?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
        expect(seen.len() <= numbers.len(), "pages show a row twice")?;
    }
    expect(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "pages are not in the order of the bytes of the ids")?;
    expect(seen.len() == numbers.len(), "pages do not show every row once")?;
    let as_written = seen.iter().all(|(id, stored)| stored.grant == row(vec![id.as_bytes()[0]]));
    expect(as_written, "a page shows a row that is not the one of its id")
}
