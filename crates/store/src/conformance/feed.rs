//! Rules for the event feed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tokio::time::timeout;

use super::trial::{Finding, Outcome, Trial, expect};
use crate::Position;

/// The least number of events that are kept.
const MIN_EVENTS: usize = 1000;

/// A feed that keeps more events than these counts as unbounded.
const MAX_EVENTS: usize = 20_000;

/// How long after an event a waiting reader is woken, with a margin for a slow machine.
const WAKE_UP: Duration = Duration::from_secs(5);

fn event(number: usize) -> Bytes {
    number.to_string().into()
}

pub(super) async fn a_new_feed_is_empty(trial: &Trial<'_>) -> Outcome {
    let position = trial.store().last_position().await?;
    expect(position == Position::START, "the feed of a new store has a last event")?;
    let events = trial.other().events_after(Position::START, 10).await?;
    expect(events.events.is_empty() && !events.has_gap, "the feed of a new store has events, or a gap")?;
    expect(events.position == Position::START, "reading nothing changes the position")
}

pub(super) async fn events_are_read_once_and_in_order(trial: &Trial<'_>) -> Outcome {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let written = [Bytes::new(), every_byte.into(), event(2), event(3), event(3)];
    let mut positions = vec![Position::START];
    for event in &written {
        let position = trial.store().append_event(event.clone()).await?;
        expect(positions.iter().all(|before| *before < position), "a position is not after those before")?;
        positions.push(position);
    }
    let last = positions[written.len()];
    expect(trial.other().last_position().await? == last, "the last position is not that of the last event")?;
    let (mut read, mut position) = (Vec::new(), Position::START);
    for limit in [2, 2, 2, 2] {
        let events = trial.other().events_after(position, limit).await?;
        expect(events.events.len() <= limit, "more events are read than were asked for")?;
        expect(!events.has_gap, "a reader is told of a gap that is none")?;
        read.extend(events.events);
        position = events.position;
        expect(positions[read.len()] == position, "a position is not that of the last event that was read")?;
    }
    expect(read == written, "the events that are read are not those that were appended")?;
    let events = trial.store().events_after(positions[3], 10).await?;
    expect(events.events == written[3..], "reading after a position does not begin with the next event")
}

pub(super) async fn a_reader_that_waits_is_woken(trial: &Trial<'_>) -> Outcome {
    let woken = |finding: &'static str| move |_| Finding(finding.to_owned());
    let position = trial.store().append_event(event(1)).await?;
    let waiting = timeout(WAKE_UP, trial.other().wait_for_events(Position::START));
    waiting.await.map_err(woken("a reader waits although there is an event"))??;
    let append = async {
        tokio::task::yield_now().await;
        trial.store().append_event(event(2)).await
    };
    let (waited, appended) = join(timeout(WAKE_UP, trial.other().wait_for_events(position)), append).await;
    expect(appended? > position, "a position is not after those before")?;
    waited.map_err(woken("a reader that waits is not woken by an event"))??;
    Ok(())
}

pub(super) async fn a_reader_that_has_fallen_behind_is_told(trial: &Trial<'_>) -> Outcome {
    let store = trial.store();
    let mut appended = 0;
    let oldest = loop {
        let batch = (appended..appended + MIN_EVENTS).map(|number| store.append_event(event(number)));
        try_join_all(batch).await?;
        appended += MIN_EVENTS;
        let events = trial.other().events_after(Position::START, MAX_EVENTS).await?;
        if events.has_gap {
            break events;
        }
        expect(events.events.len() == appended, "events are dropped, and the reader is not told")?;
        expect(appended < MAX_EVENTS, "the feed is not bounded")?;
    };
    expect(oldest.events.len() >= MIN_EVENTS, "the feed drops events too early")?;
    expect(oldest.position == store.last_position().await?, "a reader with a gap does not reach the last event")?;
    let next = store.append_event(event(appended)).await?;
    let events = trial.other().events_after(oldest.position, 10).await?;
    let is_next = events.events == [event(appended)] && events.position == next;
    expect(is_next && !events.has_gap, "a reader that has read what there is does not go on from there")
}

pub(super) async fn a_position_of_another_feed_is_a_gap(trial: &Trial<'_>) -> Outcome {
    let last = trial.store().append_event(event(1)).await?;
    let ahead = Position::new(last.number() + 1_000_000);
    let waiting = timeout(WAKE_UP, trial.store().wait_for_events(ahead));
    waiting.await.map_err(|_| Finding("a reader waits at a position that the feed has not reached".to_owned()))??;
    let events = trial.other().events_after(ahead, 10).await?;
    expect(events.has_gap, "a position that the feed has not reached is not a gap")?;
    expect(events.position == last, "a reader that was ahead of the feed does not go on from its end")
}
