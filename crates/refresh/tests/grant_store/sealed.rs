//! What is in the store, and what does not come out of it.

use std::sync::Arc;

use portcullis_refresh::GrantStore;
use portcullis_store::{EphemeralKeyError, Expected, KeyRing, Row, Store, Swap};

use crate::fixture::{grant, interfered, record, ring, store, token};

#[tokio::test]
async fn the_store_sees_no_token() {
    let store = store();
    let vault = GrantStore::new(Arc::new(store.clone()), ring(&[1])).expect("vault");
    vault.create(grant(1), &record("s3cret-token")).await.expect("created");
    let row = store.load(GrantStore::key(grant(1))).await.expect("loaded").expect("a row");
    assert!(!row.row.sealed.windows(6).any(|window| window == b"s3cret"));
    let kept = vault.load(grant(1)).await.expect("loaded").expect("a record");
    assert_eq!(token(&kept.record), "s3cret-token");
    assert!(!format!("{vault:?} {kept:?} {row:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_row_that_was_copied_from_another_grant_is_our_fault_and_no_missing_grant() {
    let store = store();
    let vault = GrantStore::new(Arc::new(store.clone()), ring(&[1])).expect("vault");
    vault.create(grant(1), &record("alice")).await.expect("created");
    let row = store.load(GrantStore::key(grant(1))).await.expect("loaded").expect("a row");
    store.compare_and_swap(GrantStore::key(grant(2)), Expected::Absent, row.row, None).await.expect("copied");
    vault.load(grant(2)).await.expect_err("not opened");
    assert_eq!(token(&vault.load(grant(1)).await.expect("loaded").expect("a record").record), "alice");
}

#[tokio::test]
async fn a_missing_key_and_a_damaged_row_are_errors_that_say_so() {
    let store = store();
    let vault = GrantStore::new(Arc::new(store.clone()), ring(&[1])).expect("vault");
    vault.create(grant(1), &record("alice")).await.expect("created");
    let without_key = GrantStore::new(Arc::new(store.clone()), ring(&[2])).expect("vault");
    let text = |error: &dyn std::error::Error| error.source().map(ToString::to_string).unwrap_or_default();
    let error = without_key.load(grant(1)).await.expect_err("no key");
    assert!(text(&error).contains("not on the key ring"), "{error:?}");

    let row = store.load(GrantStore::key(grant(1))).await.expect("loaded").expect("a row");
    let truncated = Row::new(row.row.sealed.slice(..row.row.sealed.len() - 1), row.row.expires_at);
    let swap = store
        .compare_and_swap(GrantStore::key(grant(1)), Expected::Unexpired(row.version), truncated, None)
        .await
        .expect("written");
    assert!(matches!(swap, Swap::Written(_)));
    let error = vault.load(grant(1)).await.expect_err("damaged");
    assert!(text(&error).contains("damaged"), "{error:?}");
}

#[tokio::test]
async fn a_durable_store_is_not_opened_with_a_key_that_ends_with_the_process() {
    let durable = interfered(store(), Box::pin(async { Ok(()) }));
    let EphemeralKeyError { .. } = GrantStore::new(Arc::clone(&durable), KeyRing::ephemeral()).expect_err("refused");
    assert!(GrantStore::new(durable, ring(&[1])).is_ok());
    assert!(GrantStore::new(Arc::new(store()), KeyRing::ephemeral()).is_ok());
}
