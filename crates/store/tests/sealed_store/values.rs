//! Values: what goes in comes out, and of many at once one is first.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use portcullis_core::Clock as _;
use portcullis_store::{EphemeralKeyError, KeyRing, LeaseOutcome, MemoryStore, SealedStore};
use serde::{Deserialize, Serialize};

use crate::fixture::{COLLECTION, Fixture, OTHER, key};

#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
struct Login {
    client: String,
    hash: [u8; 32],
    scopes: Vec<String>,
}

fn login(client: &str) -> Login {
    Login { client: client.to_owned(), hash: [0xfe; 32], scopes: vec!["a".to_owned(), "\"\u{1f511}\\".to_owned()] }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_created_replaced_and_removed_by_who_has_seen_it() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    let soon = fixture.soon();
    let first = records.create(key(1), &login("first"), soon).await.unwrap().expect("there is none");
    assert_eq!(records.create(key(1), &login("other"), soon).await.unwrap(), None, "there is one");

    let opened = records.load::<Login>(key(1)).await.unwrap().expect("a login");
    assert_eq!((opened.version, opened.value, opened.expires_at), (first, login("first"), soon));

    let second = records.replace(key(1), first, &login("second"), soon).await.unwrap().expect("no other write");
    assert_eq!(records.replace(key(1), first, &login("late"), soon).await.unwrap(), None, "there was another write");
    assert!(!records.remove(key(1), first).await.unwrap());
    let page = records.page::<Login>(COLLECTION, None, 10).await.unwrap();
    assert_eq!(
        page.iter().map(|(at, opened)| (*at, opened.as_ref().map(|opened| &opened.value))).collect::<Vec<_>>(),
        [(key(1), Some(&login("second")))]
    );
    assert_eq!(records.count(COLLECTION).await.unwrap(), 1);

    assert!(records.remove(key(1), second).await.unwrap());
    assert!(records.load::<Login>(key(1)).await.unwrap().is_none());
    assert_eq!(records.count(COLLECTION).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_released_can_be_acquired_again() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.with_keys(&[1]), fixture.with_keys(&[1]));
    let ttl = Duration::from_secs(30);
    let LeaseOutcome::Acquired(lease) = one.lease(key(0), ttl).await.unwrap() else { panic!("it is free") };
    assert!(matches!(other.lease(key(0), ttl).await.unwrap(), LeaseOutcome::Held));
    one.release(key(0), lease).await.unwrap();
    assert!(matches!(other.lease(key(0), ttl).await.unwrap(), LeaseOutcome::Acquired(_)));
    assert!(!one.renew(key(0), lease, ttl).await.unwrap(), "the other holds it now");
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_not_there_and_is_swept() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    let version = records.create(key(1), &1, fixture.soon()).await.unwrap().expect("there is none");
    fixture.later();
    assert!(records.load::<u8>(key(1)).await.unwrap().is_none());
    assert_eq!(records.take::<u8>(key(1)).await.unwrap(), None);
    assert_eq!(records.replace(key(1), version, &2, fixture.soon()).await.unwrap(), None);
    assert_eq!(records.sweep(OTHER, fixture.clock.now()).await.unwrap(), 0, "another table");
    assert_eq!(records.sweep(COLLECTION, fixture.clock.now()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_take_a_value_one_gets_it() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    for round in 0..20 {
        records.create(key(round), &round, fixture.soon()).await.unwrap().expect("there is none");
        let takers = (0..64).map(|_| {
            let records = records.clone();
            tokio::spawn(async move { records.take::<u32>(key(round)).await.expect("no failure") })
        });
        let taken: Vec<_> = join_all(takers).await.into_iter().filter_map(|taken| taken.expect("no panic")).collect();
        assert_eq!(taken, [round]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_overtaken_between_reading_and_taking_gets_nothing() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(1), &"a login", fixture.soon()).await.unwrap().expect("there is none");
    let (other, faster) = (records.clone(), async |records: SealedStore| records.take::<String>(key(1)).await.unwrap());
    fixture.before_next_write(async move { assert_eq!(faster(other).await.as_deref(), Some("a login")) });
    assert_eq!(records.take::<String>(key(1)).await.unwrap(), None);
}

#[test]
fn a_key_that_is_gone_with_the_process_is_refused_for_what_stays() {
    let durable = SealedStore::new(Arc::new(Fixture::new().store), KeyRing::ephemeral());
    let _: EphemeralKeyError = durable.unwrap_err();
    let passing = MemoryStore::new();
    assert!(SealedStore::new(Arc::new(passing), KeyRing::ephemeral()).is_ok());
}
