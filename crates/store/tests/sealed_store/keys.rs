//! A key ring is checked when a store is opened.

use std::sync::Arc;

use portcullis_store::{
    Collection, MemoryStore, OpenError, SealedStore, Store as _, StoreError, StoreErrorKind,
    conformance::{Call, FaultyStore},
};

use crate::fixture::{COLLECTION, Fixture, OTHER, key, ring};

async fn open(fixture: &Fixture, keys: &[u8]) -> Result<SealedStore, OpenError> {
    SealedStore::open(Arc::new(fixture.store.clone()), ring(keys), &[OTHER, COLLECTION]).await
}

/// The rows by which keys are checked.
const CHECKS: Collection = Collection::new(63, "key check").with_id_binding();

/// How many rows there are by which keys are checked.
async fn checks(rows: &MemoryStore) -> u64 {
    rows.count(CHECKS).await.expect("memory")
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_opens_nothing_is_rejected_also_where_no_row_is_left() {
    let fixture = Fixture::new();
    open(&fixture, &[1]).await.expect("an empty store");
    open(&fixture, &[1]).await.expect("the same keys");
    assert_eq!(checks(&fixture.rows).await, 1, "the row is written once");
    open(&fixture, &[2, 1]).await.expect("a key was added");
    let rejected = open(&fixture, &[2]).await.expect_err("another key");
    assert!(matches!(rejected, OpenError::WrongKeys(_)));
    let (sealed_with, on_the_ring) = (format!("{:?}", ring(&[1])), format!("{:?}", ring(&[2])));
    let text = rejected.to_string();
    assert!(text.contains(sealed_with.trim_matches(['[', ']', '"'])) && text.contains(&on_the_ring), "{text}");
    open(&fixture, &[1]).await.expect("a rejection changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_older_than_the_row_is_checked_by_its_values() {
    let fixture = Fixture::new();
    // More than are read in one step, and only the last is sealed with a key that is still there.
    for number in 0..300 {
        let keys = if number == 299 { 2 } else { 1 };
        fixture.with_keys(&[keys]).create(key(number), &number, fixture.soon()).await.unwrap().expect("there is none");
    }
    assert!(matches!(open(&fixture, &[3]).await, Err(OpenError::WrongKeys(_))));
    open(&fixture, &[2]).await.expect("one opens");
    open(&fixture, &[2]).await.expect("the row is there now");
    // The key of that row is gone, and other rows open.
    open(&fixture, &[1]).await.expect("one opens");
    open(&fixture, &[1]).await.expect("the row was sealed anew");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_row_is_no_evidence_of_wrong_keys() {
    let fixture = Fixture::new();
    fixture.with_keys(&[1]).create(key(0), &0, fixture.soon()).await.unwrap().expect("there is none");
    fixture.damage(key(0)).await;
    open(&fixture, &[1]).await.expect("the keys may be right");
}

#[tokio::test(start_paused = true)]
async fn a_rekey_seals_the_row_anew() {
    let fixture = Fixture::new();
    open(&fixture, &[1]).await.expect("an empty store");
    let report = open(&fixture, &[2, 1]).await.expect("both").rekey(&[]).await.expect("rekeyed");
    assert_eq!((report.resealed, report.unreadable), (1, 0));
    open(&fixture, &[2]).await.expect("the old key can go");
    assert!(matches!(open(&fixture, &[1]).await, Err(OpenError::WrongKeys(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_open_an_empty_store_with_two_rings_those_with_one_of_them_succeed() {
    for _ in 0..50 {
        let fixture = Fixture::new();
        let opening: Vec<_> = (0..8_u8)
            .map(|number| {
                let fixture = fixture.clone();
                tokio::spawn(async move { (number % 2, open(&fixture, &[number % 2 + 1]).await) })
            })
            .collect();
        let mut opened = [0, 0];
        for opening in opening {
            let (ring, outcome) = opening.await.expect("no panic");
            opened[usize::from(ring)] += usize::from(outcome.is_ok());
        }
        assert!(opened == [4, 0] || opened == [0, 4], "{opened:?}");
        assert_eq!(checks(&fixture.rows).await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_writes_one_row_that_no_reader_finds() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.check_keys(&[]).await.expect("the first keys");
    let before = checks(&fixture.rows).await;
    for _ in 0..3 {
        records.check().await.expect("a store that works");
    }
    assert_eq!(checks(&fixture.rows).await, before + 1);
    assert_eq!(fixture.rows.page(CHECKS, None, 10).await.unwrap().len(), 1, "the row that checks the keys");
}

#[tokio::test(start_paused = true)]
async fn a_check_tells_a_store_that_cannot_be_written_and_keys_that_open_nothing() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.check_keys(&[]).await.expect("the first keys");
    let error = fixture.with_keys(&[2]).check().await.expect_err("another key");
    assert_eq!(error.kind(), StoreErrorKind::WrongKeys, "{error}");
    let full = FaultyStore::new(fixture.rows.clone(), |call| match call {
        Call::Swap(_) => Box::pin(async { Err(StoreError::new("a test").with_kind(StoreErrorKind::Full)) }),
        _ => FaultyStore::pass(),
    });
    let records = SealedStore::new(Arc::new(full), ring(&[1])).expect("not durable");
    assert_eq!(records.check().await.expect_err("no room").kind(), StoreErrorKind::Full);
}
