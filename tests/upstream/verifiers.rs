//! Each kind of verifier may stand for the provider: what it makes of a token that has died, and of an outage.

use std::time::Duration;

use portcullis::types::VerifyToken;
use portcullis_testkit::{Endpoint, Fault, TokenPolicy};
use tokio::time::sleep;

use crate::fixture::{LIFETIME, World, ask, call_concurrently};

/// The cache has no entry for it; those who look at the expiry themselves have a minute's leeway.
async fn until_the_token_is_dead() {
    sleep(LIFETIME + Duration::from_mins(5)).await;
}

async fn survives_its_token<P>(world: &World, provider: P)
where
    P: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    let cache = world.cache(provider);
    assert_eq!(ask(&cache).await.expect("a user").subject(), "alice");
    assert_eq!(world.idp.calls(Endpoint::Token), 0);
    until_the_token_is_dead().await;
    for outcome in call_concurrently(&cache, 100).await {
        assert_eq!(outcome.expect("a user").subject(), "alice");
    }
    assert_eq!(world.idp.calls(Endpoint::Token), 1);
    assert_eq!(world.idp.most_times_presented(), 1);
}

/// `endpoint` is what the verifier asks.
async fn leaves_the_grant_alone_in_an_outage<P>(world: &World, provider: P, endpoint: Endpoint)
where
    P: VerifyToken<Future: Send> + Clone + Send + Sync + 'static,
{
    let cache = world.cache(provider);
    for fault in [Fault::status(503), Fault::disconnect(), Fault::hang()] {
        world.idp.set_fault(endpoint, fault);
        assert!(ask(&cache).await.expect_err("an outage").is_transient());
        sleep(Duration::from_mins(1)).await;
    }
    world.idp.heal(endpoint);
    ask(&cache).await.expect("a user");
    assert_eq!(world.idp.calls(Endpoint::Token), 0);
}

fn unknown_expiry() -> TokenPolicy {
    TokenPolicy::new().without_expires_in()
}

#[tokio::test(start_paused = true)]
async fn profile() {
    let world = World::new(unknown_expiry()).await;
    survives_its_token(&world, world.profile()).await;
    let world = World::new(unknown_expiry()).await;
    leaves_the_grant_alone_in_an_outage(&world, world.profile(), Endpoint::UserInfo).await;
}

#[tokio::test(start_paused = true)]
async fn user_info() {
    let world = World::new(unknown_expiry()).await;
    survives_its_token(&world, world.user_info()).await;
    let world = World::new(unknown_expiry()).await;
    leaves_the_grant_alone_in_an_outage(&world, world.user_info(), Endpoint::UserInfo).await;
}

#[tokio::test(start_paused = true)]
async fn introspection() {
    let world = World::new(unknown_expiry()).await;
    survives_its_token(&world, world.introspection()).await;
    let world = World::new(unknown_expiry()).await;
    leaves_the_grant_alone_in_an_outage(&world, world.introspection(), Endpoint::Introspection).await;
}

#[tokio::test(start_paused = true)]
async fn jwt() {
    let world = World::new(unknown_expiry().with_jwt_access_tokens()).await;
    survives_its_token(&world, world.jwt()).await;
    let world = World::new(unknown_expiry().with_jwt_access_tokens()).await;
    leaves_the_grant_alone_in_an_outage(&world, world.jwt(), Endpoint::KeySet).await;
}
