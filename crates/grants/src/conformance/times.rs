//! Rows whose time is over.

use super::trial::{Outcome, Trial, expect, id, row};
use crate::SealedGrant;

fn until(trial: &Trial<'_>) -> SealedGrant {
    SealedGrant::new("short".into(), Some(trial.soon()))
}

pub(super) async fn a_row_is_there_until_its_time_is_over(trial: &Trial<'_>) -> Outcome {
    trial.create(id(1), until(trial)).await?;
    trial.create(id(2), row("stays")).await?;
    expect(trial.load(id(1)).await?.grant.expires_at.is_some(), "the expiry of a row is lost")?;
    trial.later().await;
    expect(trial.store().load(id(1)).await?.is_none(), "a row is there after its time")?;
    expect(trial.load(id(2)).await?.grant == row("stays"), "a row without an expiry is not what it was")?;
    let page = trial.store().page(None, 10).await?;
    expect(page.iter().all(|(found, _)| *found == id(2)), "a page shows a row whose time is over")
}

pub(super) async fn a_row_whose_time_is_over_makes_room(trial: &Trial<'_>) -> Outcome {
    let old = trial.create(id(1), until(trial)).await?;
    trial.later().await;
    let new = trial.create(id(1), row("new")).await?;
    expect(new > old, "a version comes back after the time of the row was over")?;
    expect(trial.load(id(1)).await?.grant == row("new"), "a row is not what was written")
}

pub(super) async fn a_row_whose_time_is_over_can_still_be_written(trial: &Trial<'_>) -> Outcome {
    let old = trial.create(id(1), until(trial)).await?;
    trial.later().await;
    let new = trial.replace(id(1), old, row("new")).await?;
    expect(new > old, "a write does not raise the version")?;
    expect(trial.load(id(1)).await?.grant == row("new"), "a row is not what was written")
}

pub(super) async fn a_sweep_takes_what_is_over_and_nothing_else(trial: &Trial<'_>) -> Outcome {
    for number in 1..=3 {
        trial.create(id(number), until(trial)).await?;
    }
    let prolonged = trial.create(id(4), until(trial)).await?;
    trial.replace(id(4), prolonged, row("prolonged")).await?;
    trial.create(id(5), row("stays")).await?;
    expect(trial.store().sweep().await? == 0, "a row is swept before its time is over")?;
    trial.later().await;
    expect(trial.other().sweep().await? == 3, "a sweep does not say how many rows it has removed")?;
    expect(trial.store().sweep().await? == 0, "a sweep leaves rows whose time is over")?;
    trial.load(id(4)).await?;
    trial.load(id(5)).await?;
    Ok(())
}

pub(super) async fn no_version_comes_back_after_a_sweep(trial: &Trial<'_>) -> Outcome {
    let first = trial.create(id(1), row("first")).await?;
    let last = trial.replace(id(1), first, until(trial)).await?;
    trial.later().await;
    trial.store().sweep().await?;
    let new = trial.create(id(1), row("new")).await?;
    expect(new > last, "a version comes back after the row was swept")
}
