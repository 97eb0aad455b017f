//! Values whose end needs work: they wait for it, and those that do not open hold up nobody.

use portcullis_grants::records::{RecordStore as _, SealedRecord, SealedStore};

use crate::shelf::{Shelf, TABLE, key};

async fn expired(records: &SealedStore, limit: usize) -> Vec<u32> {
    let due = records.expired::<u32>(TABLE, limit).await.expect("no failure");
    assert!(due.iter().all(|(at, opened)| *at == key(opened.value)), "a value is due at the key of another one");
    due.into_iter().map(|(_, opened)| opened.value).collect()
}

/// Values from `numbers`, one of which expires after the other.
async fn fill(shelf: &Shelf, keys: &[u8], numbers: std::ops::Range<u32>) {
    let records = shelf.with_keys(keys);
    for number in numbers {
        records.create(key(number), &number, shelf.soon()).await.expect("no failure").expect("there is none");
        shelf.clock.advance(std::time::Duration::from_millis(1));
    }
}

#[tokio::test(start_paused = true)]
async fn values_are_due_from_their_end_until_they_are_removed() {
    let shelf = Shelf::new();
    let records = shelf.with_keys(&[1]);
    fill(&shelf, &[1], 0..5).await;
    assert!(expired(&records, 10).await.is_empty(), "they have not expired");
    shelf.later();
    assert_eq!(expired(&records, 2).await, [0, 1], "the oldest");
    assert_eq!(expired(&records, 2).await, [0, 1], "whoever wanted to look after them may have died");
    for (key, opened) in records.expired::<u32>(TABLE, 2).await.unwrap() {
        assert!(records.remove(key, opened.version).await.unwrap());
        assert!(!records.remove(key, opened.version).await.unwrap(), "one is told so");
    }
    assert_eq!(expired(&records, 10).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn records_that_do_not_open_do_not_stop_the_sweep_and_are_kept() {
    let shelf = Shelf::new();
    fill(&shelf, &[9], 0..100).await;
    fill(&shelf, &[1], 100..105).await;
    shelf.later();
    assert_eq!(expired(&shelf.with_keys(&[1]), 3).await, [100, 101, 102]);
    assert_eq!(expired(&shelf.with_keys(&[1, 9]), 3).await, [0, 1, 2], "another process has their key");
}

#[tokio::test(start_paused = true)]
async fn a_row_of_another_version_of_the_program_does_not_stop_the_sweep_and_is_kept() {
    let shelf = Shelf::new();
    let records = shelf.with_keys(&[1]);
    records.create(key(0), &"of a later form", shelf.soon()).await.unwrap().expect("there is none");
    fill(&shelf, &[1], 1..3).await;
    shelf.later();
    assert_eq!(expired(&records, 1).await, [1]);
    assert!(records.expired::<String>(TABLE, 1).await.unwrap()[0].0 == key(0));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_damaged_is_removed() {
    let shelf = Shelf::new();
    let records = shelf.with_keys(&[1]);
    fill(&shelf, &[1], 0..3).await;
    let row = shelf.rows.load(key(0)).await.unwrap().expect("a row");
    let mut sealed = row.record.sealed.to_vec();
    *sealed.last_mut().expect("a byte") ^= 1;
    let damaged = SealedRecord::new(sealed.into(), row.record.expires_at);
    shelf.rows.compare_and_swap(key(0), Some(row.version), damaged).await.unwrap().expect("written");
    records.load::<u32>(key(0)).await.expect_err("it is an error for as long as it lives");
    shelf.later();
    assert_eq!(expired(&records, 1).await, [1]);
    assert_eq!(records.count(TABLE).await.unwrap(), 2);
}
