//! A bridge that is killed between the steps of a login, and what an abandoned login leaves behind.

use std::time::Duration;

use portcullis_test_support::{Browser, Endpoint, Fault};

use super::{
    fixture::{Process, World},
    invariants::{session_of, tokens},
    retrying_client::{WHOAMI, tool},
    waiting::until_nothing_is_left,
};

/// Long enough for a slow machine.
const LIFE: Duration = Duration::from_secs(1_000);

/// Later than a code is good.
const TOO_LATE: Duration = Duration::from_secs(90);

/// One process ends as `kill -9` ends it, and another one begins.
async fn another(world: &World, process: Process) -> Process {
    world.kill(process).await;
    world.start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_goes_on_in_another_process_after_each_of_its_steps() {
    let world = World::new(LIFE, Duration::ZERO).await;
    let mut process = world.start().await;
    let mut client = world.app().await.expect("metadata");
    let registration = client.registration();
    assert_eq!(client.register(&registration).await.expect("an answer").status(), 201);

    process = another(&world, process).await;
    let mut browser = world.browser();
    let authorization = client.authorization().expect("an endpoint");
    let consent = browser.get(&authorization.url()).await.expect("an answer").page().expect("the consent page");

    process = another(&world, process).await;
    let (name, value) = Browser::APPROVE;
    let page = browser.press(&consent, name, value).await.expect("an answer").page().expect("the provider's page");

    process = another(&world, process).await;
    let callback = browser.press(&page, "user", "alice").await.expect("an answer").left().expect("the client");
    let code = authorization.code(&callback).expect("a code");

    process = another(&world, process).await;
    let first = client.redeem(&authorization, &code).await.expect("an answer");

    process = another(&world, process).await;
    assert_eq!(whoami(&world, first.access_token()).await, 200);
    let second = client.refresh(first.refresh_token()).await.expect("an answer");

    process = another(&world, process).await;
    let again = client.refresh(first.refresh_token()).await.expect("an answer");
    assert_eq!(tokens(&again), tokens(&second), "as if the answer had been lost with the process");
    let third = client.refresh(second.refresh_token()).await.expect("an answer");
    for pair in [&first, &second, &third] {
        assert_eq!(whoami(&world, pair.access_token()).await, 200);
    }

    process = another(&world, process).await;
    let consented = browser.get(&client.authorization().expect("an endpoint").url()).await.expect("an answer");
    let page = consented.page().expect("a page");
    assert!(page.url().as_str().starts_with(&world.idp.issuer()), "the user is not asked again for the same");

    process = another(&world, process).await;
    assert_eq!(client.refresh(first.refresh_token()).await.expect("an answer").error(), Some("invalid_grant"));

    let process = another(&world, process).await;
    for pair in [&first, &second, &third] {
        assert_eq!(whoami(&world, pair.access_token()).await, 401, "what has ended stays so");
    }
    // The process that ended it may have died before the provider knew.
    world.has_no_grants().await;
    assert!(world.idp.calls(Endpoint::Revocation) > 0, "the provider is told");
    world.kill(process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_is_told_of_a_revocation_although_the_process_died_first() {
    let world = World::new(LIFE, Duration::ZERO).await;
    world.idp.set_fault(Endpoint::Revocation, Fault::hang());
    let process = world.start().await;
    let client = world.app().await.expect("metadata");
    let pair = client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    let revoked = client.revoke(pair.refresh_token()).await.expect("an answer");
    assert_eq!(revoked.status(), 200, "the response does not wait for the provider");
    world.kill(process).await;
    let kept = world.refresh_tokens().await;
    let refresh_token = &kept[&session_of(&pair)];
    assert!(world.idp.is_refreshable(refresh_token), "the provider does not know yet");

    world.idp.heal(Endpoint::Revocation);
    let process = world.start().await;
    assert_eq!(whoami(&world, pair.access_token()).await, 401, "what has ended stays so");
    world.has_no_grants().await;
    assert!(!world.idp.is_refreshable(refresh_token), "the provider is told");
    world.stop(process).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grant_of_an_unredeemed_code_ends_although_the_process_died() {
    let world = World::new(LIFE, Duration::ZERO).await;
    let process = world.start().await;
    let client = world.app().await.expect("metadata");
    let redeemed = client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    let authorization = client.authorization().expect("an endpoint");
    let callback = world.browser().log_in(&authorization.url(), "bob").await.expect("an answer").left();
    let code = authorization.code(&callback.expect("the client")).expect("a code");
    world.kill(process).await;
    assert_eq!((world.grants().await, world.idp.calls(Endpoint::Revocation)), (2, 0));

    let site = world.later(TOO_LATE).await;
    until_nothing_is_left(async || (world.grants().await > 1).then(|| "it is not swept".to_owned())).await;
    let client = world.app_on(&world.network_with(&site)).await.expect("metadata");
    assert_eq!(client.redeem(&authorization, &code).await.expect("an answer").error(), Some("invalid_grant"));
    assert_eq!(client.refresh(redeemed.refresh_token()).await.expect("an answer").status(), 200, "another one's stays");
    assert!(site.vault.load(session_of(&redeemed)).await.expect("the file can be read").is_some());
    site.bridge.shutdown().await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1, "the provider is told");
}

async fn whoami(world: &World, token: &str) -> u16 {
    tool(&world.network, &world.proxy.url, WHOAMI, token).await.expect("an answer").0
}
