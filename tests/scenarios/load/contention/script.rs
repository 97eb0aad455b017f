//! The scenarios.

use std::time::Duration;

use portcullis_testkit::{Endpoint, Fault, TokenPolicy};
use tokio::time::{sleep, timeout};

use super::{Client as _, Contender, Held, Outcome, Site, Team};

/// A scenario, by its letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    A,
    B1,
    B2,
    B3,
    C,
    D,
    D2,
    E,
    F,
    G1,
    G2,
    H1,
    H2,
    I,
}

/// All of them, and what happens in each.
pub(crate) const SCENARIOS: [(Scenario, &str); 14] = [
    (Scenario::A, "100 calls, the token has expired and that is on record"),
    (Scenario::B1, "100 calls, the resource refuses the token before its time"),
    (Scenario::B2, "as B1, and a refresh kills the access tokens before it"),
    (Scenario::B3, "as B2, the resource takes 40 ms and a token request 1 ms"),
    (Scenario::C, "100 calls, expired as in A, new tokens live for 20 s; then 100 more"),
    (Scenario::D, "100 calls, expired as in A, token requests are answered 503 after 50 ms"),
    (Scenario::D2, "100 calls, expired as in A, the refresh token is dead; then 100 more"),
    (Scenario::E, "100 calls, the token is good for 20 s more, token requests are answered 503"),
    (Scenario::F, "expired as in A, the caller goes away when the provider has rotated; then 10 calls"),
    (Scenario::G1, "10 processes with one store as it comes, one call each, expired as in A"),
    (Scenario::G2, "as G1, with a store that lets one refresh at a time"),
    (Scenario::H1, "the resource refuses a token once, its refresh takes 2 s; another call after 0.2 s"),
    (Scenario::H2, "the token is good for 25 s more, a refresh takes 2 s; another call after 0.2 s"),
    (Scenario::I, "the clock is put back by an hour, and the token dies after its 31 s; 100 calls"),
];

/// Plays it: what each burst of calls comes to.
pub(crate) async fn play<C: Contender>(scenario: Scenario, contender: &C, site: &Site) -> Vec<Outcome> {
    match scenario {
        Scenario::A => hundred(contender, site, &site.expired()).await,
        Scenario::B1 => hundred(contender, site, &site.refused()).await,
        Scenario::B2 => {
            site.set_policy(TokenPolicy::new().with_only_newest_access_token());
            hundred(contender, site, &site.refused()).await
        }
        Scenario::B3 => {
            site.set_policy(TokenPolicy::new().with_only_newest_access_token());
            site.idp.set_latency(Endpoint::UserInfo, Duration::from_millis(40));
            site.idp.set_latency(Endpoint::Token, Duration::from_millis(1));
            hundred(contender, site, &site.refused()).await
        }
        Scenario::C => {
            let held = site.expired();
            site.set_lifetime(Duration::from_secs(20));
            twice_a_hundred(contender, site, &held).await
        }
        Scenario::D => {
            site.fail();
            hundred(contender, site, &site.expired()).await
        }
        Scenario::D2 => {
            let held = site.expired();
            site.idp.revoke_grant("alice");
            twice_a_hundred(contender, site, &held).await
        }
        Scenario::E => {
            site.fail();
            hundred(contender, site, &site.held_for(Duration::from_secs(580))).await
        }
        Scenario::F => goes_away(contender, site).await,
        Scenario::G1 => vec![many(contender, site, Team::Sharing(10)).await],
        Scenario::G2 => vec![many(contender, site, Team::Guarded(10)).await],
        Scenario::H1 => {
            let held = site.held_for(Duration::ZERO);
            let refusal = Fault::status(401).with_challenge("Bearer error=\"invalid_token\"");
            site.idp.set_fault(Endpoint::UserInfo, refusal.times(1));
            vec![in_the_meantime(contender, site, &held).await]
        }
        Scenario::H2 => vec![in_the_meantime(contender, site, &site.held_for(Duration::from_secs(575))).await],
        Scenario::I => put_back(contender, site).await,
    }
}

/// A hundred calls at once.
async fn hundred<C: Contender>(contender: &C, site: &Site, held: &Held) -> Vec<Outcome> {
    vec![site.burst(&contender.clients(site, held, Team::One).await, 100).await]
}

async fn twice_a_hundred<C: Contender>(contender: &C, site: &Site, held: &Held) -> Vec<Outcome> {
    let clients = contender.clients(site, held, Team::One).await;
    vec![site.burst(&clients, 100).await, site.burst(&clients, 100).await]
}

async fn many<C: Contender>(contender: &C, site: &Site, team: Team) -> Outcome {
    site.burst(&contender.clients(site, &site.expired(), team).await, 1).await
}

/// The exchange of the one who goes away, and what those get who come later.
async fn goes_away<C: Contender>(contender: &C, site: &Site) -> Vec<Outcome> {
    let clients = contender.clients(site, &site.expired(), Team::One).await;
    // The provider rotates at once, and its answer is on its way for a while.
    site.idp.set_latency(Endpoint::Token, Duration::ZERO);
    site.idp.set_answer_latency(Endpoint::Token, Duration::from_millis(200));
    let gone = timeout(Duration::from_millis(100), clients[0].call()).await;
    assert!(gone.is_err(), "the caller goes away while it waits");
    sleep(Duration::from_millis(300)).await;
    let first = Outcome { exchanges: site.idp.calls(Endpoint::Token), ..Outcome::default() };
    vec![first, site.burst(&clients, 10).await]
}

/// The call that comes while a refresh is under way.
async fn in_the_meantime<C: Contender>(contender: &C, site: &Site, held: &Held) -> Outcome {
    site.idp.set_latency(Endpoint::Token, Duration::from_secs(2));
    let clients = contender.clients(site, held, Team::One).await;
    let first = tokio::spawn({
        let client = clients[0].clone();
        async move { client.call().await }
    });
    sleep(Duration::from_millis(200)).await;
    let meantime = site.burst(&clients, 1).await;
    first.await.expect("no panic").expect("served");
    Outcome { exchanges: site.idp.calls(Endpoint::Token), ..meantime }
}

async fn put_back<C: Contender>(contender: &C, site: &Site) -> Vec<Outcome> {
    // Longer than the half minute before the end for which some renew whatever the clock says.
    let lifetime = Duration::from_secs(31);
    site.set_lifetime(lifetime);
    let held = Held { lifetime, put_back: Duration::from_secs(3600), ..site.held_for(Duration::ZERO) };
    let clients = contender.clients(site, &held, Team::One).await;
    sleep(lifetime + Duration::from_millis(100)).await;
    site.idp.revoke(&held.grant.access_token);
    site.set_policy(TokenPolicy::new());
    vec![site.burst(&clients, 100).await]
}
