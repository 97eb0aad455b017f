//! Values whose end needs work: they stay until it is done, and a value that does not open does not block the others.

use portcullis_core::UnixTime;
use portcullis_store::SealedStore;
use portcullis_test_support::LogCapture;

use crate::fixture::{COLLECTION, Fixture, key};

async fn expired(records: &SealedStore, limit: usize) -> Vec<u32> {
    let due = records.expired::<u32>(COLLECTION, UnixTime::MAX, limit).await.expect("no failure");
    assert!(due.iter().all(|(at, opened)| *at == key(opened.value)), "a value is due at the key of another one");
    due.into_iter().map(|(_, opened)| opened.value).collect()
}

/// Values from `numbers`, one of which expires after the other.
async fn fill(fixture: &Fixture, keys: &[u8], numbers: std::ops::Range<u32>) {
    let records = fixture.with_keys(keys);
    for number in numbers {
        records.create(key(number), &number, fixture.soon()).await.expect("no failure").expect("there is none");
        fixture.clock.advance(std::time::Duration::from_millis(1));
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_due_from_their_end_until_they_are_removed() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    fill(&fixture, &[1], 0..5).await;
    assert!(expired(&records, 10).await.is_empty(), "they have not expired");
    fixture.later();
    assert_eq!(expired(&records, 2).await, [0, 1], "the oldest");
    assert_eq!(expired(&records, 2).await, [0, 1], "the process that read them may have died");
    for (key, opened) in records.expired::<u32>(COLLECTION, UnixTime::MAX, 2).await.unwrap() {
        assert!(records.remove(key, opened.version).await.unwrap());
        assert!(!records.remove(key, opened.version).await.unwrap(), "one is told so");
    }
    assert_eq!(expired(&records, 10).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn expired_rows_that_do_not_open_do_not_block_others_and_are_kept() {
    let fixture = Fixture::new();
    fill(&fixture, &[9], 0..100).await;
    fill(&fixture, &[1], 100..105).await;
    fixture.later();
    let log = LogCapture::of_this_thread();
    assert_eq!(expired(&fixture.with_keys(&[1]), 3).await, [100, 101, 102]);
    assert_eq!(log.lines("records that have expired do not open").len(), 1, "{}", log.text());
    assert!(log.text().contains("table=\"sessions\"") && log.text().contains("records=100"), "{}", log.text());
    let log = LogCapture::of_this_thread();
    assert_eq!(expired(&fixture.with_keys(&[1, 9]), 3).await, [0, 1, 2], "another process has their key");
    assert_eq!(log.text(), "", "all of them open");
}

#[tokio::test(start_paused = true)]
async fn a_row_of_a_later_version_of_the_program_does_not_block_others_and_is_kept() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(0), &"of a later form", fixture.soon()).await.unwrap().expect("there is none");
    fill(&fixture, &[1], 1..3).await;
    fixture.later();
    assert_eq!(expired(&records, 1).await, [1]);
    assert!(records.expired::<String>(COLLECTION, UnixTime::MAX, 1).await.unwrap()[0].0 == key(0));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_damaged_is_removed() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    fill(&fixture, &[1], 0..3).await;
    fixture.damage(key(0)).await;
    records.load::<u32>(key(0)).await.expect_err("it is an error for as long as it lives");
    fixture.later();
    assert_eq!(expired(&records, 1).await, [1]);
    assert_eq!(records.count(COLLECTION).await.unwrap(), 2);
}
