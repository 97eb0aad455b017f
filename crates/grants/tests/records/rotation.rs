//! Keys are changed while records are used.

use portcullis_grants::{
    RekeyReport,
    records::{Collection, RecordKey, RecordStore as _},
};

use crate::shelf::{Shelf, TABLE, key};

fn counts(rekeyed: RekeyReport) -> (u64, u64, u64) {
    (rekeyed.resealed, rekeyed.current, rekeyed.unreadable)
}

#[tokio::test(start_paused = true)]
async fn after_a_rekey_the_old_key_can_go() {
    let shelf = Shelf::new();
    let at = |number: u32| RecordKey::of(Collection::ALL[number as usize % 5], &[&number.to_be_bytes()]);
    // More in each table than are read at once.
    for number in 0..1500 {
        shelf.with_keys(&[1]).create(at(number), &number, shelf.soon()).await.unwrap().expect("there is none");
    }
    let rotated = shelf.with_keys(&[2, 1]);
    rotated.create(at(1500), &1500, shelf.soon()).await.unwrap().expect("there is none");
    assert_eq!(counts(rotated.rekey().await.unwrap()), (1500, 1, 0));
    assert_eq!(counts(rotated.rekey().await.unwrap()), (0, 1501, 0));
    for number in 0..=1500 {
        let opened = shelf.with_keys(&[2]).load::<u32>(at(number)).await.unwrap().expect("a value");
        assert_eq!((opened.value, opened.expires_at), (number, shelf.soon()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_is_counted_and_left_alone() {
    let shelf = Shelf::new();
    shelf.with_keys(&[3]).create(key(1), &1, shelf.soon()).await.unwrap().expect("there is none");
    shelf.with_keys(&[1]).create(key(2), &2, shelf.soon()).await.unwrap().expect("there is none");
    let before = shelf.rows.load(key(1)).await.unwrap();
    assert_eq!(counts(shelf.with_keys(&[2, 1]).rekey().await.unwrap()), (1, 0, 1));
    assert_eq!(shelf.rows.load(key(1)).await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_during_a_rekey_is_not_lost() {
    let shelf = Shelf::new();
    let old = shelf.with_keys(&[1]);
    let version = old.create(key(1), &"before", shelf.soon()).await.unwrap().expect("there is none");
    let soon = shelf.soon();
    // A process that still has the old ring writes between our reading and our writing.
    shelf.meddle(async move {
        old.replace(key(1), version, &"after", soon).await.expect("no failure").expect("nobody was faster");
    });
    assert_eq!(counts(shelf.with_keys(&[2, 1]).rekey().await.unwrap()), (1, 0, 0));
    let opened = shelf.with_keys(&[2]).load::<String>(key(1)).await.unwrap().expect("a value");
    assert_eq!(opened.value, "after");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_during_a_rekey_does_not_come_back() {
    let shelf = Shelf::new();
    let old = shelf.with_keys(&[1]);
    old.create(key(1), &"a login", shelf.soon()).await.unwrap().expect("there is none");
    shelf.meddle(async move {
        old.take::<String>(key(1)).await.expect("no failure").expect("a login");
    });
    assert_eq!(counts(shelf.with_keys(&[2, 1]).rekey().await.unwrap()), (0, 0, 0));
    assert_eq!(shelf.rows.count(TABLE).await.unwrap(), 0);
}
