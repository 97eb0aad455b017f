//! What fails is our mistake or an outage, never "there is none".

use std::{collections::BTreeMap, future::pending, time::Duration};

use portcullis_core::{AuthError, AuthErrorKind};
use portcullis_store::{Expected, RecordKey, Store as _};
use tokio::time::Instant;

use crate::fixture::{Fixture, OTHER, key};

#[tokio::test(start_paused = true)]
async fn a_row_that_was_put_in_the_place_of_another_does_not_open() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(1), &"of alice", fixture.soon()).await.unwrap().expect("there is none");
    let row = fixture.rows.load(key(1)).await.unwrap().expect("a row");
    for elsewhere in [key(2), RecordKey::new(OTHER, *key(1).as_bytes())] {
        fixture.rows.compare_and_swap(elsewhere, Expected::Absent, row.row.clone(), None).await.unwrap();
        let error = records.load::<String>(elsewhere).await.unwrap_err();
        assert!(error.to_string().contains("opening a sealed record"), "{error}");
        records.take::<String>(elsewhere).await.unwrap_err();
        assert!(fixture.rows.load(elsewhere).await.unwrap().is_some(), "what was not read is not taken");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_is_an_outage() {
    let fixture = Fixture::new();
    fixture.with_keys(&[1]).create(key(1), &"a secret", fixture.soon()).await.unwrap().expect("there is none");
    let error = fixture.with_keys(&[2]).load::<String>(key(1)).await.unwrap_err();
    assert!(error.to_string().contains("a key that is not on the key ring"), "{error}");
    assert_eq!(AuthError::from(error).kind(), AuthErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_was_expected_is_an_error_that_does_not_quote_it() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(1), &"a-secret-value", fixture.soon()).await.unwrap().expect("there is none");
    let error = records.load::<u64>(key(1)).await.unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(printed.contains("not what was expected") && !printed.contains("a-secret-value"), "{printed}");
    let page = records.page::<u64>(crate::fixture::COLLECTION, None, 10).await.unwrap();
    assert!(matches!(&page[..], [(at, None)] if *at == key(1)), "it does not block the other rows of a page");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_json_is_not_written() {
    let fixture = Fixture::new();
    let no_json = BTreeMap::from([([1, 2], "a map whose keys are no text")]);
    fixture.with_keys(&[1]).create(key(1), &no_json, fixture.soon()).await.unwrap_err();
    assert!(fixture.rows.load(key(1)).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_on() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    fixture.before_next_write(pending());
    let start = Instant::now();
    let error = records.create(key(1), &1, fixture.soon()).await.unwrap_err();
    assert!(error.to_string().contains("waiting for an answer"), "{error}");
    assert_eq!(start.elapsed().as_secs(), Duration::from_secs(10).as_secs());
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_value_stands_in_the_store() {
    let fixture = Fixture::new();
    let records = fixture.with_keys(&[1]);
    records.create(key(1), &"a-secret-value", fixture.soon()).await.unwrap().expect("there is none");
    let sealed = fixture.rows.load(key(1)).await.unwrap().expect("a row").row.sealed;
    assert!(!sealed.windows(8).any(|window| window == b"a-secret"));
    let printed = format!("{records:?} {:?}", fixture.rows.load(key(1)).await.unwrap());
    assert!(!printed.contains("a-secret"), "{printed}");
}
