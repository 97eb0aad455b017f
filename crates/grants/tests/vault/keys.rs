//! A key ring is tried when a store is opened.

use std::{sync::Arc, time::Duration};

use portcullis_core::Clock as _;
use portcullis_grants::{
    GrantStore, KeyRing, MemoryStore, OpenError, TokenStore as _,
    records::{Collection, MemoryRecords, RecordKey, SealedStore},
};
use portcullis_testkit::TestClock;

use crate::meddled::{grant, record, ring, store};

async fn open(store: &MemoryStore, keys: &[u8]) -> Result<GrantStore, OpenError> {
    GrantStore::open(Arc::new(store.clone()), ring(keys)).await
}

async fn rows(store: &MemoryStore) -> usize {
    store.page(None, 100).await.expect("rows").len()
}

#[tokio::test]
async fn a_ring_that_opens_nothing_is_refused_also_where_no_grant_is_left() {
    let store = store();
    open(&store, &[1]).await.expect("an empty store");
    open(&store, &[1]).await.expect("the same keys");
    assert_eq!(rows(&store).await, 1, "the row is written once");
    open(&store, &[2, 1]).await.expect("a key was added");
    let refused = open(&store, &[2]).await.expect_err("another key");
    assert!(matches!(refused, OpenError::WrongKeys(_)));
    let (sealed_with, on_the_ring) = (format!("{:?}", ring(&[1])), format!("{:?}", ring(&[2])));
    let text = refused.to_string();
    assert!(text.contains(sealed_with.trim_matches(['[', ']', '"'])) && text.contains(&on_the_ring), "{text}");
    open(&store, &[1]).await.expect("a refusal changes nothing");
}

#[tokio::test]
async fn a_store_that_is_older_than_the_row_is_tried_by_its_grants() {
    let store = store();
    // More than are read at once, and only the last is sealed with a key that is still there.
    for number in 0..300 {
        let keys = if number == 299 { ring(&[2]) } else { ring(&[1]) };
        let vault = GrantStore::new(Arc::new(store.clone()), keys).expect("a vault");
        vault.create(grant(number), &record("token")).await.expect("created");
    }
    assert!(matches!(open(&store, &[3]).await, Err(OpenError::WrongKeys(_))));
    open(&store, &[2]).await.expect("one opens");
    open(&store, &[2]).await.expect("the row is there now");
    // Its key is gone, and others open.
    open(&store, &[1]).await.expect("one opens");
    open(&store, &[1]).await.expect("the row was sealed anew");
}

#[tokio::test]
async fn a_rekey_seals_the_row_anew() {
    let store = store();
    open(&store, &[1]).await.expect("an empty store");
    let rekeyed = open(&store, &[2, 1]).await.expect("both").rekey().await.expect("rekeyed");
    assert_eq!((rekeyed.resealed, rekeyed.unreadable), (1, 0));
    open(&store, &[2]).await.expect("the old key can go");
    assert!(matches!(open(&store, &[1]).await, Err(OpenError::WrongKeys(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_open_an_empty_store_with_two_rings_those_with_one_of_them_get_in() {
    for _ in 0..50 {
        let store = store();
        let opening: Vec<_> = (0..8_u8)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { (number % 2, open(&store, &[number % 2 + 1]).await) })
            })
            .collect();
        let mut opened = [0, 0];
        for opening in opening {
            let (ring, outcome) = opening.await.expect("no panic");
            opened[usize::from(ring)] += usize::from(outcome.is_ok());
        }
        assert!(opened == [4, 0] || opened == [0, 4], "{opened:?}");
        assert_eq!(rows(&store).await, 1);
    }
}

#[tokio::test]
async fn records_are_tried_by_those_that_are_there() {
    let clock = TestClock::new();
    let store = Arc::new(MemoryRecords::new(Arc::new(clock.clone())));
    let open = async |keys: KeyRing| SealedStore::open(Arc::clone(&store) as _, keys).await;
    open(ring(&[2])).await.expect("nothing is there");
    let records = open(ring(&[1])).await.expect("still nothing");
    let key = RecordKey::of(Collection::USERS, &[b"alice"]);
    records.create(key, &1, clock.now() + Duration::from_secs(60)).await.expect("stored").expect("new");
    open(ring(&[1])).await.expect("it opens");
    assert!(matches!(open(ring(&[2])).await, Err(OpenError::WrongKeys(_))));
}
