//! Two processes that share a file, and clients that ask both for the same thing at the same time.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use portcullis_test_support::{Answer, Endpoint};

use super::{
    fixture::World,
    invariants::tokens,
    retrying_client::{WHOAMI, tool},
};

/// Long enough for a slow machine.
const LIFE: Duration = Duration::from_secs(1_000);

const GENERATIONS: usize = 10;
const REPEATS: usize = 20;
const REDEMPTIONS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_repeats_of_one_refresh_token_in_two_processes_bring_one_pair() {
    let world = World::new(LIFE, Duration::ZERO).await;
    let processes = [world.start().await, world.start().await];
    let client = world.app().await.expect("metadata");
    let mut pairs = vec![client.log_in(&mut world.browser(), "alice").await.expect("tokens")];

    for _ in 0..GENERATIONS {
        let presented = pairs[pairs.len() - 1].refresh_token().to_owned();
        let repeats = join_all((0..REPEATS).map(|_| client.refresh(&presented).into_future())).await;
        let repeats: Vec<_> = repeats.into_iter().map(|answer| answer.expect("an answer")).collect();
        let different: HashSet<_> = repeats.iter().map(tokens).collect();
        assert_eq!(different.len(), 1, "one successor pair");
        pairs.extend(repeats.into_iter().next());
    }
    let tokens: HashSet<_> = pairs.iter().map(tokens).collect();
    assert_eq!(tokens.len(), GENERATIONS + 1, "every generation has its own");
    for pair in &pairs {
        assert_eq!(whoami(&world, pair).await, 200, "none was handed out in vain");
    }

    // Both processes took part, and either of them ends it in both.
    assert_eq!(client.refresh(pairs[0].refresh_token()).await.expect("an answer").error(), Some("invalid_grant"));
    for pair in pairs.iter().chain(&pairs) {
        assert_eq!(whoami(&world, pair).await, 401);
    }
    for process in processes {
        world.stop(process).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_redemptions_of_one_code_at_once_bring_the_same_tokens() {
    let world = World::new(LIFE, Duration::ZERO).await;
    let processes = [world.start().await, world.start().await];
    let client = world.app().await.expect("metadata");
    let authorization = client.authorization().expect("an endpoint");
    let callback = world.browser().log_in(&authorization.url(), "alice").await.expect("an answer").left();
    let code = authorization.code(&callback.expect("the client")).expect("a code");
    assert_eq!(world.grants().await, 1);

    let redeemed = join_all((0..REDEMPTIONS).map(|_| client.redeem(&authorization, &code).into_future())).await;
    let tokens: Vec<_> = redeemed.into_iter().map(|answer| answer.expect("an answer")).collect();
    for answer in &tokens {
        let pair = (answer.access_token(), answer.refresh_token());
        assert_eq!(pair, (tokens[0].access_token(), tokens[0].refresh_token()));
    }
    assert_eq!(whoami(&world, &tokens[0]).await, 200);
    assert_eq!(client.refresh(tokens[0].refresh_token()).await.expect("an answer").status(), 200);

    // The client had its tokens: this is a copy (RFC 6749 section 4.1.2).
    let copy = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(copy.error(), Some("invalid_grant"));
    assert_eq!(whoami(&world, &tokens[0]).await, 401);
    for process in processes {
        world.stop(process).await;
    }
    assert_eq!((world.grants().await, world.idp.calls(Endpoint::Revocation)), (0, 1), "the grant has ended, too");
}

async fn whoami(world: &World, pair: &Answer) -> u16 {
    tool(&world.network, &world.proxy.url, WHOAMI, pair.access_token()).await.expect("an answer").0
}
