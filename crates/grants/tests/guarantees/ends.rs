//! What has ended stays so, and nothing ends that need not.

use std::time::Duration;

use portcullis_core::{AuthErrorKind, BearerToken, Clock as _, GrantId, Issuer, Reason, ScopeSet, UserContext};
use portcullis_grants::{GrantStore, RefresherConfig, TokenSet, UpstreamVerifier};
use portcullis_oauth::providers::Rotation;
use portcullis_store::{Expected, Store as _, Swap};
use secrecy::ExposeSecret as _;
use tower::{ServiceExt as _, service_fn};

use crate::{
    provider::{Act, Provider},
    world::{GRANT, World, all, ask, config, pass},
};

/// What a login of `name` brings, without a refresh token if that is wanted.
fn login(world: &World, name: &str, refreshable: bool) -> TokenSet {
    let mut response = world.provider.log_in(name);
    response.refresh_token = response.refresh_token.filter(|_| refreshable);
    TokenSet::from_login(response, &ScopeSet::default(), world.clock.now())
}

/// The refresh token in the store.
async fn stored_secret(world: &World) -> String {
    let kept = world.vault.load(GRANT).await.expect("readable").expect("kept");
    kept.record.tokens().refresh_token().expect("a refresh token").expose_secret().to_owned()
}

/// More grants than are kept without somebody who holds them.
pub(crate) fn many(world: &World) {
    for number in 0..3000_u128 {
        drop(world.refresher.upstream(GrantId::from_bytes((number << 64).to_be_bytes())));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_token_a_grant_lives_as_long_as_its_token() {
    let world = World::new().await;
    let id = GrantId::from_bytes([9; 16]);
    world.refresher.create(id, login(&world, "bob", false)).await.expect("begun");
    let upstream = world.refresher.upstream(id);
    for _ in 0..4 {
        pass(74).await;
        assert_eq!(all(ask(&upstream, 1)).await, 0);
    }
    pass(5).await;
    assert_eq!(upstream.access_token().await.expect_err("over").reason(), Reason::GrantEnded);
    assert_eq!(world.provider.exchanges(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_token_of_a_grant_that_ended_during_its_refresh_is_handed_out() {
    let world = World::new().await;
    pass(301).await;
    let through = world.refresher.upstream_through(GRANT, world.refresher.clone());
    let callers = ask(&world.upstream(), 3);
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.store.refuse_writes(true);
    drop(world.refresher.delete(GRANT).await.expect("removed"));
    pass(5).await;
    for caller in callers {
        assert!(caller.await.expect("no panic").is_err());
    }
    for upstream in [world.upstream(), through] {
        assert_eq!(upstream.access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_the_old_login_does_not_overwrite_the_new_one() {
    let world = World::new().await;
    pass(301).await;
    let callers = ask(&world.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(world.refresher.delete(GRANT).await.expect("removed"));
    world.refresher.create(GRANT, login(&world, "bob", true)).await.expect("begun");
    pass(1).await;
    drop(callers);
    assert_eq!(stored_secret(&world).await, "refresh-bob-0");
}

#[tokio::test(start_paused = true)]
async fn in_another_process_as_well_contexts_of_the_old_login_end_with_it() {
    let world = World::new().await;
    let other = world.another(config(Rotation::SingleUse));
    pass(301).await;
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1);
    let held = other.upstream(GRANT);
    assert_eq!(all(ask(&held, 1)).await, 1);
    drop(world.refresher.delete(GRANT).await.expect("removed"));
    world.refresher.create(GRANT, login(&world, "bob", true)).await.expect("begun");
    pass(330).await;
    // Here the token of the old login has expired, which was of a later generation.
    assert_eq!(held.access_token().await.expect_err("that was alice").reason(), Reason::GrantEnded);
    assert!(held.revocation().is_some_and(|end| end.is_revoked()));
    let token = other.upstream(GRANT).access_token().await.expect("that is bob");
    assert!(token.expose_secret().starts_with("access-bob-"));
    assert!(stored_secret(&world).await.starts_with("refresh-bob-") && world.provider.is_alive("bob"));
}

#[tokio::test(start_paused = true)]
async fn a_login_elsewhere_is_seen_by_a_process_that_found_no_grant_before() {
    let world = World::new().await;
    let id = GrantId::from_bytes([6; 16]);
    let other = world.another(config(Rotation::SingleUse));
    let old = other.upstream(id);
    assert_eq!(old.access_token().await.expect_err("nobody has logged in").reason(), Reason::GrantEnded);
    world.refresher.create(id, login(&world, "new", true)).await.expect("begun");
    assert_eq!(all(ask(&other.upstream(id), 3)).await, 0);
    assert!(old.access_token().await.is_err(), "contexts of before stay withdrawn");
}

#[tokio::test(start_paused = true)]
async fn what_began_anew_has_nothing_to_do_with_contexts_of_before() {
    let world = World::new().await;
    let id = GrantId::from_bytes([6; 16]);
    world.refresher.create(id, login(&world, "old", true)).await.expect("begun");
    let old = world.refresher.upstream(id);
    drop(world.another(config(Rotation::SingleUse)).delete(id).await.expect("removed"));
    world.refresher.create(id, login(&world, "new", true)).await.expect("begun anew");
    assert!(old.revocation().is_some_and(|end| end.is_revoked()));
    assert!(old.access_token().await.is_err());
    assert_eq!(all(ask(&world.refresher.upstream(id), 3)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_newest_tokens_are_given_back_to_be_revoked() {
    let world = World::new().await;
    pass(301).await;
    world.store.refuse_writes(true);
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1);
    let ended = world.refresher.delete(GRANT).await.expect("removed").expect("there was one");
    assert_eq!(ended.generation().number(), 1, "although the store never saw them");
}

#[tokio::test(start_paused = true)]
async fn a_dead_grant_that_was_sealed_anew_meanwhile_is_removed_as_well() {
    let world = World::new().await;
    pass(301).await;
    world.provider.next(Act::Refuse);
    let callers = ask(&world.upstream(), 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let row = world.store.load(GrantStore::key(GRANT)).await.expect("readable").expect("kept");
    let swap =
        world.store.compare_and_swap(GrantStore::key(GRANT), Expected::Unexpired(row.version), row.row, None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))));
    for caller in callers {
        assert_eq!(caller.await.expect("no panic").expect_err("ended").reason(), Reason::GrantEnded);
    }
    assert_eq!(world.stored().await, None);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_removed_has_ended_nevertheless_however_many_grants_come_after() {
    let world = World::new().await;
    drop(world.tokens().await.expect("fresh"));
    world.store.refuse_reads(true);
    assert!(world.refresher.delete(GRANT).await.is_err());
    world.store.refuse_reads(false);
    many(&world);
    assert_eq!(world.upstream().access_token().await.expect_err("ended").reason(), Reason::GrantEnded);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_forgotten_however_many_grants_come_after() {
    let world = World::new().await;
    let token = world.upstream().access_token().await.expect("token");
    world.provider.next(Act::Fail { retry_after: None });
    assert!(world.upstream().rejected(&token).await.is_err());
    pass(3).await;
    many(&world);
    assert_eq!(all(ask(&world.upstream(), 1)).await, 1, "the store would say that the old one is good");
}

#[tokio::test(start_paused = true)]
async fn another_issuer_is_never_given_a_refresh_token() {
    let world = World::new().await;
    let (elsewhere, issuer) = (Provider::new(), Issuer::new("https://elsewhere.example").expect("issuer"));
    // The same vendor, and so the same name.
    let config = RefresherConfig::new(issuer, "test", Rotation::SingleUse);
    let other = world.at(elsewhere.clone(), config);
    pass(301).await;
    elsewhere.always(Act::Refuse);
    assert_eq!(other.upstream(GRANT).access_token().await.expect_err("not ours").reason(), Reason::GrantEnded);
    assert_eq!((elsewhere.exchanges(), world.stored().await), (0, Some(0)));
    assert!(other.delete(GRANT).await.expect("removed").is_none(), "there is nothing to be revoked elsewhere");
    assert_eq!(world.stored().await, None);
}

#[tokio::test(start_paused = true)]
async fn our_own_wrong_audience_ends_no_grant_and_spends_no_refresh_token() {
    let world = World::new().await;
    let id = GrantId::from_bytes([9; 16]);
    world.refresher.create(id, login(&world, "bob", false)).await.expect("begun");
    for (id, kept) in [(id, 0), (GRANT, 0)] {
        let upstream = world.refresher.upstream(id);
        let own = service_fn(move |_: BearerToken| {
            let issuer = Issuer::new("https://us.example").expect("issuer");
            let user = UserContext::builder(issuer, "bob").with_upstream(upstream.clone()).build();
            std::future::ready(Ok::<_, portcullis_core::AuthError>(std::sync::Arc::new(user)))
        });
        let provider = service_fn(|_: BearerToken| std::future::ready(Err(Reason::WrongAudience.into())));
        let verifier = UpstreamVerifier::new(own, provider);
        let error = verifier.oneshot(BearerToken::new("ours").expect("token")).await.expect_err("refused");
        assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::VerifierFailed));
        let row = world.vault.load(id).await.expect("readable").expect("kept");
        assert_eq!(row.record.tokens().generation().number(), kept);
    }
    assert_eq!(world.provider.exchanges(), 0);
}
