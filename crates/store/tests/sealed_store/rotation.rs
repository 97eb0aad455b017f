//! Keys are changed while records are used.

use portcullis_core::Clock as _;
use portcullis_store::{OpenError, RecordKey, RekeyReport, Store as _};

use crate::fixture::{COLLECTION, Fixture, OTHER, key};

fn counts(rekeyed: RekeyReport) -> (u64, u64, u64) {
    (rekeyed.resealed, rekeyed.current, rekeyed.unreadable)
}

#[tokio::test(start_paused = true)]
async fn after_a_rekey_the_old_key_can_go() {
    let fixture = Fixture::new();
    let at = |number: u32| RecordKey::of([COLLECTION, OTHER][number as usize % 2], &[&number.to_be_bytes()]);
    // More in each table than are read at once.
    for number in 0..1500 {
        fixture.with_keys(&[1]).create(at(number), &number, fixture.soon()).await.unwrap().expect("there is none");
    }
    let rotated = fixture.with_keys(&[2, 1]);
    rotated.create(at(1500), &1500, fixture.soon()).await.unwrap().expect("there is none");
    assert_eq!(counts(rotated.rekey(&[COLLECTION, OTHER]).await.unwrap()), (1500, 1, 0));
    assert_eq!(counts(rotated.rekey(&[COLLECTION, OTHER]).await.unwrap()), (0, 1501, 0));
    for number in 0..=1500 {
        let opened = fixture.with_keys(&[2]).load::<u32>(at(number)).await.unwrap().expect("a value");
        assert_eq!((opened.value, opened.expires_at), (number, fixture.soon()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_is_counted_and_left_alone() {
    let fixture = Fixture::new();
    fixture.with_keys(&[3]).create(key(1), &1, fixture.soon()).await.unwrap().expect("there is none");
    fixture.with_keys(&[1]).create(key(2), &2, fixture.soon()).await.unwrap().expect("there is none");
    let before = fixture.rows.load(key(1)).await.unwrap();
    assert_eq!(counts(fixture.with_keys(&[2, 1]).rekey(&[COLLECTION, OTHER]).await.unwrap()), (1, 0, 1));
    assert_eq!(fixture.rows.load(key(1)).await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_during_a_rekey_is_not_lost() {
    let fixture = Fixture::new();
    let old = fixture.with_keys(&[1]);
    let version = old.create(key(1), &"before", fixture.soon()).await.unwrap().expect("there is none");
    let soon = fixture.soon();
    // A process that still has the old ring writes between our reading and our writing.
    fixture.before_next_write(async move {
        old.replace(key(1), version, &"after", soon).await.expect("no failure").expect("no other write");
    });
    assert_eq!(counts(fixture.with_keys(&[2, 1]).rekey(&[COLLECTION, OTHER]).await.unwrap()), (1, 0, 0));
    let opened = fixture.with_keys(&[2]).load::<String>(key(1)).await.unwrap().expect("a value");
    assert_eq!(opened.value, "after");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_during_a_rekey_does_not_come_back() {
    let fixture = Fixture::new();
    let old = fixture.with_keys(&[1]);
    old.create(key(1), &"a login", fixture.soon()).await.unwrap().expect("there is none");
    fixture.before_next_write(async move {
        old.take::<String>(key(1)).await.expect("no failure").expect("a login");
    });
    assert_eq!(counts(fixture.with_keys(&[2, 1]).rekey(&[COLLECTION, OTHER]).await.unwrap()), (0, 0, 0));
    assert_eq!(fixture.rows.count(COLLECTION).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_no_key_opens_is_forgotten_on_demand() {
    let fixture = Fixture::new();
    fixture.with_keys(&[3]).create(key(1), &1, fixture.soon()).await.unwrap().expect("there is none");
    fixture.with_keys(&[3]).create(key(2), &2, fixture.soon()).await.unwrap().expect("there is none");
    fixture.clock.advance(std::time::Duration::from_secs(30));
    for number in 3..=600 {
        let by = if number % 2 == 0 { 3 } else { 1 };
        let records = fixture.with_keys(&[by]);
        records.create(key(number), &number, fixture.soon()).await.unwrap().expect("there is none");
    }
    fixture.clock.advance(std::time::Duration::from_secs(30));
    let now = fixture.clock.now();
    let records = fixture.with_keys(&[1]);
    assert_eq!(records.forget_unreadable(&[COLLECTION, OTHER], now).await.expect("a right key"), 2 + 299);
    assert_eq!(records.count(COLLECTION).await.unwrap(), 299);
    assert!(records.load::<u32>(key(3)).await.unwrap().is_some());
    assert_eq!(records.forget_unreadable(&[COLLECTION, OTHER], now).await.expect("a right key"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ring_without_a_right_key_forgets_nothing() {
    let fixture = Fixture::new();
    fixture.with_keys(&[3]).create(key(1), &1, fixture.soon()).await.unwrap().expect("there is none");
    let error = fixture.with_keys(&[1]).forget_unreadable(&[COLLECTION], fixture.clock.now()).await;
    assert!(matches!(error, Err(OpenError::WrongKeys(_))), "{error:?}");
    assert_eq!(fixture.with_keys(&[3]).count(COLLECTION).await.unwrap(), 1);
}
