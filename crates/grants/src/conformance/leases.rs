//! Leases and their fences.

use super::trial::{LONG, Outcome, SHORT, Trial, expect, id, row, written};
use crate::{Lease, LeaseOutcome, Swap};

pub(super) async fn a_lease_is_held_by_one(trial: &Trial<'_>) -> Outcome {
    trial.create(id(1), row("leased")).await?;
    for number in [1, 2] {
        let lease = trial.lease(id(number), LONG).await?;
        expect(!lease.after_abandoned, "the first lease of an id is said to come after an abandoned one")?;
        expect(trial.is_held(id(number)).await?, "two have the same lease")?;
        expect(trial.store().lease(id(number), LONG).await? == LeaseOutcome::Held, "one has a lease twice")?;
    }
    Ok(())
}

pub(super) async fn a_lease_runs_out_and_is_abandoned(trial: &Trial<'_>) -> Outcome {
    let mut last = trial.lease(id(1), SHORT).await?;
    for _ in 0..2 {
        trial.later().await;
        let next = trial.lease(id(1), SHORT).await?;
        expect(next.after_abandoned, "nobody is told that the lease before was never given back")?;
        expect(next.fence > last.fence, "a fence is not higher than the one before it")?;
        last = next;
    }
    trial.store().release(id(1), last).await?;
    let next = trial.lease(id(1), SHORT).await?;
    expect(!next.after_abandoned, "a lease that was given back is said to be abandoned, for one before it was")
}

pub(super) async fn a_lease_does_not_outlast_a_clock_that_is_put_back(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(id(1), LONG).await?;
    if !trial.earlier(LONG / 2).await {
        return Ok(());
    }
    expect(trial.is_held(id(1)).await?, "a lease is over that ends before twice what is asked for")?;
    trial.earlier(LONG).await;
    let second = trial.lease(id(1), LONG).await?;
    expect(second.after_abandoned, "nobody is told that the lease before the clock was put back was never given back")?;
    expect(second.fence > first.fence, "a fence is not higher than the one before the clock was put back")?;
    expect(trial.is_held(id(1)).await?, "two have the same lease after the clock was put back")
}

pub(super) async fn a_lease_that_was_given_back_is_not_abandoned(trial: &Trial<'_>) -> Outcome {
    let lease = trial.lease(id(1), SHORT).await?;
    trial.store().release(id(1), lease).await?;
    trial.later().await;
    let next = trial.lease(id(1), LONG).await?;
    expect(!next.after_abandoned, "a lease that was given back is said to be abandoned")
}

pub(super) async fn fences_grow_whatever_happens(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(id(1), LONG).await?;
    let version = written(trial.store().compare_and_swap(id(1), None, row("first"), Some(first)).await?)?;
    let second = trial.lease(id(1), LONG).await?;
    expect(second.fence > first.fence, "a fence is not higher than the one before it, which a write gave back")?;
    trial.store().release(id(1), second).await?;
    let third = trial.lease(id(1), SHORT).await?;
    expect(third.fence > second.fence, "a fence is not higher than the one before it, which was given back")?;
    trial.store().compare_and_remove(id(1), version).await?;
    trial.later().await;
    trial.store().sweep().await?;
    let fourth = trial.lease(id(1), LONG).await?;
    expect(fourth.fence > third.fence, "a fence comes back after the row was removed and the store was swept")
}

pub(super) async fn a_lease_is_prolonged_by_who_has_it(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(id(1), SHORT).await?;
    expect(trial.store().renew(id(1), first, LONG).await?, "a lease is not prolonged")?;
    trial.later().await;
    expect(trial.is_held(id(1)).await?, "a lease runs out although it was prolonged")?;
    expect(trial.store().renew(id(1), first, SHORT).await?, "a lease is not prolonged a second time")?;
    trial.later().await;
    expect(trial.store().renew(id(1), first, SHORT).await?, "a lease is not prolonged that nobody else has got")?;
    expect(trial.is_held(id(1)).await?, "a lease that was prolonged late is not held")?;
    trial.later().await;
    let second = trial.lease(id(1), LONG).await?;
    expect(!trial.other().renew(id(1), first, LONG).await?, "a lease is prolonged that somebody else has got since")?;
    trial.store().release(id(1), second).await?;
    expect(!trial.store().renew(id(1), second, LONG).await?, "a lease is prolonged that was given back")?;
    expect(!trial.is_held(id(1)).await?, "a lease is held that was given back")
}

pub(super) async fn a_lease_is_given_back_by_who_has_it(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(id(1), SHORT).await?;
    trial.later().await;
    let second = trial.lease(id(1), LONG).await?;
    trial.other().release(id(1), first).await?;
    trial.other().release(id(1), Lease::new(second.fence + 1, false)).await?;
    expect(trial.is_held(id(1)).await?, "somebody gives back a lease that is another one's")?;
    trial.store().release(id(1), second).await?;
    expect(!trial.is_held(id(1)).await?, "a lease is held that was given back")
}

pub(super) async fn a_write_gives_its_lease_back(trial: &Trial<'_>) -> Outcome {
    let first = trial.lease(id(1), LONG).await?;
    let version = written(trial.store().compare_and_swap(id(1), None, row("first"), Some(first)).await?)?;
    let second = trial.lease(id(1), LONG).await?;
    expect(!second.after_abandoned, "a lease that a write gave back is said to be abandoned")?;
    written(trial.store().compare_and_swap(id(1), Some(version), row("second"), Some(second)).await?)?;
    expect(!trial.is_held(id(1)).await?, "a lease is held that a write gave back")?;
    expect(trial.load(id(1)).await?.grant == row("second"), "a write under a lease is lost")
}

pub(super) async fn a_late_write_is_refused(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let late = trial.lease(id(1), SHORT).await?;
    trial.later().await;
    let current = trial.lease(id(1), LONG).await?;
    let swap = trial.other().compare_and_swap(id(1), Some(version), row("late"), Some(late)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that somebody else has got since")?;
    expect(trial.load(id(1)).await?.version == version, "a refused write changes the row")?;
    expect(trial.is_held(id(1)).await?, "a refused write gives back a lease that is another one's")?;
    trial.store().release(id(1), current).await?;
    let swap = trial.other().compare_and_swap(id(1), Some(version), row("late"), Some(late)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that somebody else has had since")
}

pub(super) async fn a_write_under_a_lease_that_was_given_back_is_refused(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let lease = trial.lease(id(1), LONG).await?;
    trial.store().release(id(1), lease).await?;
    let swap = trial.store().compare_and_swap(id(1), Some(version), row("new"), Some(lease)).await?;
    expect(swap == Swap::Fenced, "a write succeeds under a lease that was given back")?;
    expect(trial.load(id(1)).await?.version == version, "a refused write changes the row")
}

pub(super) async fn an_expired_lease_that_was_not_taken_over_stays_valid(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    let lease = trial.lease(id(1), SHORT).await?;
    trial.later().await;
    trial.other().sweep().await?;
    written(trial.store().compare_and_swap(id(1), Some(version), row("new"), Some(lease)).await?)?;
    let next = trial.lease(id(1), LONG).await?;
    expect(!next.after_abandoned, "a lease that a late write gave back is said to be abandoned")
}

pub(super) async fn a_refused_write_keeps_its_lease(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(id(1), row("first")).await?;
    let lease = trial.lease(id(1), LONG).await?;
    let second = trial.replace(id(1), first, row("second")).await?;
    let swap = trial.store().compare_and_swap(id(1), Some(first), row("third"), Some(lease)).await?;
    expect(swap == Swap::Conflict, "a write succeeds that names another version than the row has")?;
    expect(trial.is_held(id(1)).await?, "a refused write gives its lease back")?;
    written(trial.store().compare_and_swap(id(1), Some(second), row("third"), Some(lease)).await?)?;
    Ok(())
}

pub(super) async fn a_write_without_a_lease_needs_none(trial: &Trial<'_>) -> Outcome {
    let version = trial.create(id(1), row("old")).await?;
    trial.lease(id(1), LONG).await?;
    let swap = trial.other().compare_and_swap(id(1), Some(version), row("new"), None).await?;
    written(swap)?;
    expect(trial.is_held(id(1)).await?, "a write without a lease gives back one that is another one's")
}
