//! Keys are changed while grants are used.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AccessToken, AuthError, BearerToken, Clock as _, Issuer, ScopeSet, SystemClock};
use portcullis_oauth::{TokenResponse, providers::Rotation};
use portcullis_refresh::{GrantStore, RefreshError, Refresher, RefresherConfig, TokenSet};
use portcullis_store::{Expected, MemoryStore, RekeyReport, Row, Store};

use crate::fixture::{grant, interfered, record, ring, store, token};

fn counts(rekeyed: RekeyReport) -> (u64, u64, u64) {
    (rekeyed.resealed, rekeyed.current, rekeyed.unreadable)
}

fn vault(store: &MemoryStore, keys: &[u8]) -> GrantStore {
    GrantStore::new(Arc::new(store.clone()), ring(keys)).expect("vault")
}

#[tokio::test]
async fn after_a_rekey_the_old_key_can_go() {
    let store = store();
    // More than are read at once.
    for number in 0..600 {
        vault(&store, &[1]).create(grant(number), &record(&format!("token-{number}"))).await.expect("created");
    }
    let rotated = vault(&store, &[2, 1]);
    rotated.create(grant(600), &record("token-600")).await.expect("created");
    assert!(rotated.load(grant(0)).await.expect("opens").is_some(), "before the rekey");
    vault(&store, &[2]).load(grant(0)).await.expect_err("not yet");

    assert_eq!(counts(rotated.rekey().await.expect("rekeyed")), (600, 1, 0));
    assert_eq!(counts(rotated.rekey().await.expect("rekeyed")), (0, 601, 0));

    let without_old = vault(&store, &[2]);
    for number in 0..=600 {
        let kept = without_old.load(grant(number)).await.expect("opens").expect("a record");
        assert_eq!(token(&kept.record), format!("token-{number}"));
    }
    vault(&store, &[1]).load(grant(0)).await.expect_err("the old key is of no use any more");
}

#[tokio::test]
async fn a_rekey_leaves_the_end_of_a_row_as_it_was() {
    let store = store();
    vault(&store, &[1]).create(grant(1), &record("alice")).await.expect("created");
    let row = store.load(GrantStore::key(grant(1))).await.expect("loaded").expect("a row");
    let end = portcullis_core::UnixTime::from_secs(4_102_444_800);
    let ending = Row::new(row.row.sealed, end);
    let expected = Expected::Unexpired(row.version);
    store.compare_and_swap(GrantStore::key(grant(1)), expected, ending, None).await.expect("written");
    vault(&store, &[2, 1]).rekey().await.expect("rekeyed");
    assert_eq!(store.load(GrantStore::key(grant(1))).await.expect("loaded").expect("a row").row.expires_at, end);
}

#[tokio::test]
async fn what_does_not_open_is_counted_and_left_alone() {
    let store = store();
    vault(&store, &[3]).create(grant(1), &record("alice")).await.expect("created");
    vault(&store, &[1]).create(grant(2), &record("bob")).await.expect("created");
    let before = store.load(GrantStore::key(grant(1))).await.expect("loaded");
    assert_eq!(counts(vault(&store, &[2, 1]).rekey().await.expect("rekeyed")), (1, 0, 1));
    assert_eq!(store.load(GrantStore::key(grant(1))).await.expect("loaded"), before);
}

#[tokio::test]
async fn a_row_written_during_a_rekey_is_not_lost() {
    let store = store();
    vault(&store, &[1]).create(grant(1), &record("before")).await.expect("created");
    // A process that still has the old ring writes between our reading and our writing.
    let other = store.clone();
    let refreshed = async move {
        let row = other.load(GrantStore::key(grant(1))).await?.expect("a row");
        other.compare_and_remove(GrantStore::key(grant(1)), row.version).await?;
        vault(&other, &[1]).create(grant(1), &record("after")).await.expect("created anew");
        Ok(())
    };
    let rotated = GrantStore::new(interfered(store.clone(), Box::pin(refreshed)), ring(&[2, 1])).expect("vault");
    assert_eq!(counts(rotated.rekey().await.expect("rekeyed")), (1, 0, 0));
    let kept = vault(&store, &[2]).load(grant(1)).await.expect("opens").expect("a record");
    assert_eq!(token(&kept.record), "after");
}

#[tokio::test]
async fn a_grant_removed_during_a_rekey_does_not_come_back() {
    let store = store();
    vault(&store, &[1]).create(grant(1), &record("alice")).await.expect("created");
    let other = store.clone();
    let removed = async move {
        let row = other.load(GrantStore::key(grant(1))).await?.expect("a row");
        other.compare_and_remove(GrantStore::key(grant(1)), row.version).await.map(drop)
    };
    let rotated = GrantStore::new(interfered(store.clone(), Box::pin(removed)), ring(&[2, 1])).expect("vault");
    assert_eq!(counts(rotated.rekey().await.expect("rekeyed")), (0, 0, 0));
    assert!(store.load(GrantStore::key(grant(1))).await.expect("loaded").is_none());
}

/// A refresher that knows the new key and writes with the old one. Its exchange takes a second and brings the token `after`.
fn refresher(store: &MemoryStore) -> Refresher {
    let exchange = tower::service_fn(async |_| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, RefreshError>(TokenResponse::new(BearerToken::new("after").expect("token")))
    });
    let issuer = Issuer::new("https://idp.example").expect("issuer");
    let config = RefresherConfig::new(issuer, "idp", Rotation::SingleUse);
    Refresher::new(vault(store, &[1, 2]), exchange, config)
}

/// Refreshes a grant, and changes the key while the exchange is under way.
async fn refreshed_during_a_rekey(store: &MemoryStore, refresher: &Refresher) -> Result<AccessToken, AuthError> {
    let mut login = TokenResponse::new(BearerToken::new("before").expect("token"));
    login.refresh_token = Some("refresh".into());
    let tokens = TokenSet::from_login(login, &ScopeSet::default(), SystemClock::new().now());
    refresher.create(grant(1), tokens).await.expect("begun");
    let upstream = refresher.upstream(grant(1));
    let token = upstream.access_token().await.expect("a token");
    let refreshing = tokio::spawn(upstream.rejected(&token));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(counts(vault(store, &[2, 1]).rekey().await.expect("rekeyed")), (1, 0, 0));
    refreshing.await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn a_refresh_under_way_during_a_rekey_is_not_lost() {
    let store = store();
    let refresher = refresher(&store);
    let token = refreshed_during_a_rekey(&store, &refresher).await.expect("a token");
    assert_eq!(token.expose_secret(), "after");
    let kept = vault(&store, &[2, 1]).load(grant(1)).await.expect("opens").expect("a record");
    assert_eq!(self::token(&kept.record), "after");
    assert_eq!(counts(vault(&store, &[2, 1]).rekey().await.expect("rekeyed")), (1, 0, 0), "written with the old ring");
}
