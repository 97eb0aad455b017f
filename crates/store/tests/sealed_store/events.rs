//! Events: sealed, read once and in order; an event that does not open is a gap.

use std::time::Duration;

use portcullis_store::{Position, Store as _};
use tokio::time::{Instant, timeout};

use crate::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn another_process_reads_what_was_appended() {
    let fixture = Fixture::new();
    let (store, other) = (fixture.with_keys(&[1]), fixture.with_keys(&[2, 1]));
    let start = other.last_position().await.unwrap();
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.wait_for_events(start).await }
    });
    store.append_event(&("ended", 7)).await.unwrap();
    timeout(Duration::from_secs(1), waiting).await.expect("it is woken").expect("no panic").unwrap();
    let events = other.events_after::<(String, u32)>(start, 10).await.unwrap();
    assert_eq!((events.events, events.has_gap), (vec![("ended".to_owned(), 7)], false));
    assert!(other.events_after::<(String, u32)>(events.position, 10).await.unwrap().events.is_empty());
    let sealed = fixture.rows.events_after(start, 1).await.unwrap().events.remove(0);
    assert!(!sealed.windows(5).any(|window| window == b"ended"));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_open_is_a_gap() {
    let fixture = Fixture::new();
    let store = fixture.with_keys(&[1]);
    fixture.with_keys(&[9]).append_event(&1).await.unwrap();
    store.append_event(&"not a number").await.unwrap();
    store.append_event(&3).await.unwrap();
    let events = store.events_after::<u32>(Position::START, 10).await.unwrap();
    assert_eq!((events.events, events.has_gap), (vec![3], true));
    assert!(!store.events_after::<u32>(events.position, 10).await.unwrap().has_gap, "the reader goes on");
}

#[tokio::test(start_paused = true)]
async fn a_reader_may_wait_for_longer_than_the_time_limit_of_the_store() {
    let store = Fixture::new().with_keys(&[1]);
    let start = Instant::now();
    timeout(Duration::from_secs(60), store.wait_for_events(Position::START)).await.expect_err("no event");
    assert_eq!(start.elapsed(), Duration::from_secs(60));
}
