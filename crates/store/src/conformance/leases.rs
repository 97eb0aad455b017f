//! Rules for leases and their fences.

use super::trial::{FIRST, IN_2100, LONG, Outcome, SHORT, Trial, expect, key, row, written};
use crate::{Expected, Lease, LeaseOutcome, Swap};

pub(super) async fn a_lease_has_one_holder(trial: &Trial<'_>) -> Outcome {
    trial.create(key(1), row("leased")).await?;
    for number in [1, 2] {
        let lease = trial.lease(key(number), LONG).await?;
        expect(!lease.after_abandoned, "the first lease of a key is said to come after an abandoned one")?;
        expect(trial.is_held(key(number)).await?, "two have the same lease")?;
        expect(trial.store().lease(key(number), LONG).await? == LeaseOutcome::Held, "a lease is acquired twice")?;
    }
    Ok(())
}

pub(super) async fn a_lease_expires_and_counts_as_abandoned(trial: &Trial<'_>) -> Outcome {
    let mut last = trial.lease(key(1), SHORT).await?;
    for _ in 0..2 {
        trial.later().await;
        let next = trial.lease(key(1), SHORT).await?;
        expect(next.after_abandoned, "the next holder is not told that the lease before was abandoned")?;
        expect(next.fence > last.fence, "a fence is not higher than the one before it")?;
        last = next;
    }
    trial.store().release(key(1), last).await?;
    let next = trial.lease(key(1), SHORT).await?;
    expect(!next.after_abandoned, "a lease that was released is said to be abandoned, for one before it was")
}

pub(super) async fn a_lease_does_not_outlast_a_clock_that_is_set_back(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(key(1), LONG).await?;
    if !trial.earlier(LONG / 2).await {
        return Ok(());
    }
    expect(trial.is_held(key(1)).await?, "a lease has expired that ends before twice the requested time")?;
    trial.earlier(LONG).await;
    let second = trial.lease(key(1), LONG).await?;
    expect(
        second.after_abandoned,
        "the next holder is not told that the lease before the clock was set back was abandoned",
    )?;
    expect(second.fence > first.fence, "a fence is not higher than the one before the clock was set back")?;
    expect(trial.is_held(key(1)).await?, "two have the same lease after the clock was set back")
}

pub(super) async fn a_released_lease_is_not_abandoned(trial: &Trial<'_>) -> Outcome {
    let lease = trial.lease(key(1), SHORT).await?;
    trial.store().release(key(1), lease).await?;
    trial.later().await;
    let next = trial.lease(key(1), LONG).await?;
    expect(!next.after_abandoned, "a lease that was released is said to be abandoned")
}

pub(super) async fn fences_always_grow(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(key(1), LONG).await?;
    let version = written(trial.store().compare_and_swap(key(1), Expected::Absent, row("first"), Some(first)).await?)?;
    let second = trial.lease(key(1), LONG).await?;
    expect(second.fence > first.fence, "a fence is not higher than the one before it, which a write released")?;
    trial.store().release(key(1), second).await?;
    let third = trial.lease(key(1), SHORT).await?;
    expect(third.fence > second.fence, "a fence is not higher than the one before it, which was released")?;
    trial.store().compare_and_remove(key(1), version).await?;
    trial.later().await;
    trial.store().sweep(FIRST, IN_2100).await?;
    let fourth = trial.lease(key(1), LONG).await?;
    expect(fourth.fence > third.fence, "a fence comes back after the row was removed and the store was swept")
}

pub(super) async fn a_lease_is_renewed_by_its_holder(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(key(1), SHORT).await?;
    expect(trial.store().renew(key(1), first, LONG).await?, "a lease is not renewed")?;
    trial.later().await;
    expect(trial.is_held(key(1)).await?, "a lease expires although it was renewed")?;
    expect(trial.store().renew(key(1), first, SHORT).await?, "a lease is not renewed a second time")?;
    trial.later().await;
    expect(
        trial.store().renew(key(1), first, SHORT).await?,
        "a lease is not renewed that no other process has acquired",
    )?;
    expect(trial.is_held(key(1)).await?, "a lease that was renewed late is not held")?;
    trial.later().await;
    let second = trial.lease(key(1), LONG).await?;
    expect(
        !trial.other().renew(key(1), first, LONG).await?,
        "a lease is renewed that another process has acquired since",
    )?;
    trial.store().release(key(1), second).await?;
    expect(!trial.store().renew(key(1), second, LONG).await?, "a lease is renewed that was released")?;
    expect(!trial.is_held(key(1)).await?, "a lease is held that was released")
}

pub(super) async fn a_lease_is_released_by_its_holder(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(key(1), SHORT).await?;
    trial.later().await;
    let second = trial.lease(key(1), LONG).await?;
    trial.other().release(key(1), first).await?;
    trial.other().release(key(1), Lease::new(second.fence + 1, false)).await?;
    expect(trial.is_held(key(1)).await?, "a lease is released by a process that does not hold it")?;
    trial.store().release(key(1), second).await?;
    expect(!trial.is_held(key(1)).await?, "a lease is held that was released")
}

pub(super) async fn a_write_releases_its_lease(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(key(1), LONG).await?;
    let version = written(trial.store().compare_and_swap(key(1), Expected::Absent, row("first"), Some(first)).await?)?;
    let second = trial.lease(key(1), LONG).await?;
    expect(!second.after_abandoned, "a lease that a write released is said to be abandoned")?;
    written(trial.store().compare_and_swap(key(1), Expected::Unexpired(version), row("second"), Some(second)).await?)?;
    expect(!trial.is_held(key(1)).await?, "a lease is held that a write released")?;
    expect(trial.load(key(1)).await?.row == row("second"), "a write under a lease is lost")
}

pub(super) async fn a_late_write_is_refused(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let late = trial.lease(key(1), SHORT).await?;
    trial.later().await;
    let current = trial.lease(key(1), LONG).await?;
    let swap = trial.other().compare_and_swap(key(1), Expected::Unexpired(version), row("late"), Some(late)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that another process has acquired since")?;
    expect(trial.load(key(1)).await?.version == version, "a refused write changes the row")?;
    expect(trial.is_held(key(1)).await?, "a refused write releases the lease of another process")?;
    trial.store().release(key(1), current).await?;
    let swap = trial.other().compare_and_swap(key(1), Expected::Unexpired(version), row("late"), Some(late)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that another process has had since")
}

pub(super) async fn a_write_under_a_released_lease_is_refused(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let lease = trial.lease(key(1), LONG).await?;
    trial.store().release(key(1), lease).await?;
    let swap = trial.store().compare_and_swap(key(1), Expected::Unexpired(version), row("new"), Some(lease)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that was released")?;
    expect(trial.load(key(1)).await?.version == version, "a refused write changes the row")
}

pub(super) async fn an_expired_lease_is_valid_until_it_is_acquired_again(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    let lease = trial.lease(key(1), SHORT).await?;
    trial.later().await;
    trial.other().sweep(FIRST, IN_2100).await?;
    written(trial.store().compare_and_swap(key(1), Expected::Unexpired(version), row("new"), Some(lease)).await?)?;
    let next = trial.lease(key(1), LONG).await?;
    expect(!next.after_abandoned, "a lease that a late write released is said to be abandoned")
}

pub(super) async fn a_refused_write_keeps_its_lease(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(key(1), row("first")).await?;
    let lease = trial.lease(key(1), LONG).await?;
    let second = trial.replace(key(1), first, row("second")).await?;
    let swap = trial.store().compare_and_swap(key(1), Expected::Unexpired(first), row("third"), Some(lease)).await?;
    expect(swap == Swap::Conflict, "a write succeeds that names another version than the row has")?;
    expect(trial.is_held(key(1)).await?, "a refused write releases its lease")?;
    written(trial.store().compare_and_swap(key(1), Expected::Unexpired(second), row("third"), Some(lease)).await?)?;
    Ok(())
}

pub(super) async fn a_write_without_a_lease_needs_none(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(key(1), row("old")).await?;
    trial.lease(key(1), LONG).await?;
    let swap = trial.other().compare_and_swap(key(1), Expected::Unexpired(version), row("new"), None).await?;
    written(swap)?;
    expect(trial.is_held(key(1)).await?, "a write without a lease releases the lease of another process")
}
