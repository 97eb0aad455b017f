//! Identity assertions (ID-JAG) of an enterprise identity provider.

use portcullis_bridge::ScopePolicy;
use portcullis_bridge::collections;
use portcullis_core::{Principal, PrincipalKind, Reason, ScopeSet};
use portcullis_store::Store as _;
use portcullis_test_support::{Answer, Endpoint, Fault, TokenBuilder};
use serde_json::json;

use crate::fixture::{APP, Fixture, ISSUER, OTHER_RESOURCE, RESOURCE, SERVER, at_once, config};

fn id_jag(fixture: &Fixture) -> TokenBuilder {
    fixture.idp.id_jag("alice", ISSUER, SERVER).with_claim("resource", RESOURCE).with_scope("mcp:read")
}

async fn redeem(fixture: &Fixture, assertion: TokenBuilder) -> Answer {
    fixture.server().await.redeem_id_jag(&assertion.jwt()).await.expect("a response")
}

#[tokio::test(start_paused = true)]
async fn ema_05_an_assertion_becomes_an_access_token_of_a_client_that_authenticated_itself() {
    let fixture = Fixture::new().await;
    let answer = redeem(&fixture, id_jag(&fixture)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer["token_type"], &answer["scope"]),
        (200, &json!("Bearer"), &json!("mcp:read"))
    );
    assert_eq!(answer.headers()["cache-control"], "no-store");

    let user = fixture.verify(answer.access_token()).await.expect("a user");
    let issuer = fixture.idp.issuer().parse().expect("issuer");
    assert_eq!(*user.principal(), Principal::new(issuer, "alice", PrincipalKind::User));
    assert_eq!((user.client_id(), user.scopes().to_string()), (Some(SERVER), "mcp:read".to_owned()));
    let upstream = user.upstream().access_token().await.expect_err("nothing");
    assert_eq!(upstream.reason(), Reason::NoUpstream, "there is no grant at the provider");
}

#[tokio::test(start_paused = true)]
async fn ema_05_a_client_that_proves_nothing_cannot_present_assertions() {
    let fixture = Fixture::new().await;
    let assertion = fixture.idp.id_jag("alice", ISSUER, APP).with_claim("resource", RESOURCE).jwt();
    let answer = fixture.app().await.redeem_id_jag(&assertion).await.expect("a response");
    assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("unauthorized_client")));
}

#[tokio::test(start_paused = true)]
async fn ema_06_what_is_not_for_us_or_for_this_client_or_forged_is_refused() {
    let fixture = Fixture::new().await;
    let unpublished = fixture.idp.add_key(portcullis_testkit::KeyAlgorithm::Es256);
    let signing = fixture.idp.signing_kid();
    fixture.idp.retire_old_keys();
    fixture.idp.sign_with(&signing);
    let now = fixture.now();
    for (what, assertion) in [
        ("of another type", id_jag(&fixture).with_header("typ", "JWT")),
        ("an access token", fixture.idp.token("alice").with_audience(ISSUER).with_claim("client_id", SERVER)),
        ("of an untrusted issuer", id_jag(&fixture).with_claim("iss", "https://other.example.test")),
        ("for another server", id_jag(&fixture).with_audience("https://other.example.test")),
        ("for our token endpoint", id_jag(&fixture).with_audience("https://mcp.example.test/token")),
        ("for us and others", id_jag(&fixture).with_claim("aud", json!([ISSUER, "https://other.example.test"]))),
        ("of another client", id_jag(&fixture).with_claim("client_id", APP)),
        ("of no client", id_jag(&fixture).without_claim("client_id")),
        ("for another resource", id_jag(&fixture).with_claim("resource", "https://other.example.test/mcp")),
        (
            "also for another resource",
            id_jag(&fixture).with_claim("resource", json!([RESOURCE, "https://other.example.test"])),
        ),
        ("without a subject", id_jag(&fixture).without_claim("sub")),
        ("without a name", id_jag(&fixture).without_claim("jti")),
        ("without an end", id_jag(&fixture).without_claim("exp")),
        ("without a beginning", id_jag(&fixture).without_claim("iat")),
        ("expired", id_jag(&fixture).with_claim("exp", now - 61)),
        ("good for a day", id_jag(&fixture).with_claim("exp", now + 86_400)),
        ("bound to a key", id_jag(&fixture).with_claim("cnf", json!({"jkt": "x"}))),
        ("unsigned", id_jag(&fixture).unsigned()),
        ("signed with the public key", id_jag(&fixture).signed_by_hmac(fixture.idp.public_key_pem().as_bytes())),
        ("signed by a key that is not published", id_jag(&fixture).signed_by(&unpublished)),
    ] {
        let answer = redeem(&fixture, assertion).await;
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("invalid_grant")), "{what}");
    }
    assert_eq!(redeem(&fixture, id_jag(&fixture)).await.status(), 200, "and this is a good one");
}

#[tokio::test(start_paused = true)]
async fn ema_06_an_identity_provider_that_cannot_be_asked_is_no_reason_to_give_up() {
    let fixture = Fixture::new().await;
    fixture.idp.set_fault(Endpoint::KeySet, Fault::status(503));
    let assertion = id_jag(&fixture).jwt();
    let answer = fixture.server().await.redeem_id_jag(&assertion).await.expect("a response");
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    assert!(answer.headers().contains_key("retry-after"));
    fixture.idp.heal(Endpoint::KeySet);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let answer = fixture.server().await.redeem_id_jag(&assertion).await.expect("a response");
    assert_eq!(answer.status(), 200, "it was not used up");
}

#[tokio::test(start_paused = true)]
async fn ema_07_an_assertion_is_good_once_until_it_is_too_old_anyway() {
    let fixture = Fixture::new().await;
    let assertion = id_jag(&fixture).jwt();
    let server = fixture.server().await;
    let answers = at_once(20, || server.redeem_id_jag(&assertion)).await;
    let good = answers.iter().filter(|answer| answer.status() == 200).count();
    assert_eq!(good, 1, "of twenty at once");
    assert!(answers.iter().all(|answer| answer.status() == 200 || answer.error() == Some("invalid_grant")));
    for seconds in [1, 299, 61, 3600] {
        fixture.pass(seconds);
        let answer = server.redeem_id_jag(&assertion).await.expect("a response");
        assert_eq!(answer.error(), Some("invalid_grant"), "after {seconds} s more");
    }
}

#[tokio::test(start_paused = true)]
async fn ema_07_an_assertion_of_which_nothing_came_is_good_for_another_try() {
    for table in [collections::SESSIONS, collections::REPLAYS] {
        let fixture = Fixture::new().await;
        let assertion = id_jag(&fixture).jwt();
        let server = fixture.server().await;
        fixture.store.set_full(Some(table));
        let failed = server.redeem_id_jag(&assertion).await.expect("a response");
        assert_eq!((failed.status().as_u16(), failed.error()), (503, Some("temporarily_unavailable")), "{table:?}");
        fixture.store.set_full(None);
        let answer = server.redeem_id_jag(&assertion).await.expect("a response");
        assert_eq!(answer.status(), 200, "{table:?}: {answer:?}");
        assert!(fixture.verify(answer.access_token()).await.is_ok());
        let again = server.redeem_id_jag(&assertion).await.expect("a response");
        assert_eq!(again.error(), Some("invalid_grant"), "{table:?}: and that was it");
    }
}

#[tokio::test(start_paused = true)]
async fn ema_07_of_an_assertion_that_is_presented_often_one_session_is_left() {
    let fixture = Fixture::new().await;
    let assertion = id_jag(&fixture).jwt();
    let server = fixture.server().await;
    at_once(20, || server.redeem_id_jag(&assertion)).await;
    assert_eq!(fixture.store.count(collections::SESSIONS).await.expect("memory"), 1);
}

#[tokio::test(start_paused = true)]
async fn ema_08_the_token_is_for_what_the_assertion_is_for() {
    let fixture = Fixture::new().await;
    let for_reports = || id_jag(&fixture).with_claim("resource", OTHER_RESOURCE);
    let answer = redeem(&fixture, for_reports()).await;
    let refused = fixture.verify(answer.access_token()).await.expect_err("for another resource");
    assert_eq!(refused.reason(), Reason::WrongAudience);

    // The client selects one of several resources, and cannot select another one.
    let server = fixture.server().await;
    let both = id_jag(&fixture).with_claim("resource", json!([RESOURCE, OTHER_RESOURCE]));
    let answer = server.redeem_id_jag(&both.jwt()).with("resource", OTHER_RESOURCE).await.expect("a response");
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("for another").reason(), Reason::WrongAudience);
    let answer = server.redeem_id_jag(&for_reports().jwt()).with("resource", RESOURCE).await.expect("a response");
    assert_eq!(answer.error(), Some("invalid_target"));

    // Without `resource`, the token is for the first one.
    let answer = redeem(&fixture, id_jag(&fixture).without_claim("resource")).await;
    assert!(fixture.verify(answer.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn ema_08_the_scopes_are_those_that_all_parties_allow() {
    let fixture = Fixture::new().await;
    let server = fixture.server().await;
    for (allowed, asked, given) in [
        (Some("mcp:read other"), None, Some("mcp:read")),
        (Some("mcp:read mcp:write"), Some("mcp:write"), Some("mcp:write")),
        (Some("mcp:read"), Some("mcp:write"), Some("mcp:read")),
        (Some("other"), None, None),
        (Some("other"), Some("mcp:read"), None),
        (None, None, Some("mcp:read mcp:write")),
        (None, Some("mcp:read other"), Some("mcp:read")),
    ] {
        let assertion = match allowed {
            Some(allowed) => id_jag(&fixture).with_scope(allowed),
            None => id_jag(&fixture).without_claim("scope"),
        };
        let call = server.redeem_id_jag(&assertion.jwt());
        let answer = asked.iter().fold(call, |call, asked| call.with("scope", asked)).await.expect("a response");
        match given {
            Some(given) => assert_eq!(answer["scope"], given, "{allowed:?} {asked:?}"),
            None => assert_eq!(answer.error(), Some("invalid_scope"), "{allowed:?} {asked:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ema_08_entitlements_hold_for_asserted_users_too() {
    let readers = ScopePolicy::new(|user, asked| {
        assert_eq!(user.subject(), "alice");
        ScopeSet::new(asked.iter().filter(|scope| *scope == "mcp:read")).expect("scopes")
    });
    let fixture = Fixture::with(|config| config.with_scope_policy(readers)).await;
    let answer = redeem(&fixture, id_jag(&fixture).with_scope("mcp:read mcp:write")).await;
    assert_eq!(answer["scope"], "mcp:read");
}

#[tokio::test(start_paused = true)]
async fn ema_08_a_user_who_may_have_nothing_of_it_gets_no_token() {
    let nothing = ScopePolicy::new(|user, _| {
        assert_eq!(user.subject(), "alice");
        ScopeSet::default()
    });
    let fixture = Fixture::with(|config| config.with_scope_policy(nothing)).await;
    let answer = redeem(&fixture, id_jag(&fixture)).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("access_denied")));
    assert_eq!(fixture.store.count(collections::SESSIONS).await.expect("memory"), 0);
}

#[tokio::test(start_paused = true)]
async fn ema_08_what_an_assertion_says_of_itself_is_not_said_of_the_user() {
    let seen = ScopePolicy::new(|user, asked| {
        let names: Vec<_> = user.claims().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["email"], "and entitlements are not decided by the assertion's own scope");
        asked.clone()
    });
    let fixture = Fixture::with(|config| config.with_scope_policy(seen)).await;
    let assertion = id_jag(&fixture).with_claim("email", "alice@example.test").with_claim("nbf", fixture.now());
    let answer = redeem(&fixture, assertion).await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    assert_eq!(user.claims().get("email"), Some(&json!("alice@example.test")));
    assert_eq!(user.claims().len(), 1, "{:?}", user.claims());
}

#[tokio::test(start_paused = true)]
async fn ema_08_there_is_no_refresh_token_and_the_session_ends_with_its_access_token() {
    let fixture = Fixture::new().await;
    let answer = redeem(&fixture, id_jag(&fixture)).await;
    assert_eq!(answer["refresh_token"], json!(null));
    assert_eq!(answer["expires_in"], 600);
    fixture.pass(599);
    assert!(fixture.verify(answer.access_token()).await.is_ok());
    fixture.pass(1);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn an_assertion_is_refused_by_a_bridge_that_trusts_no_issuer() {
    let fixture = Fixture::new().await;
    let trusting = id_jag(&fixture).jwt();
    let fixture = Fixture::with(|_| config()).await;
    let answer = fixture.server().await.redeem_id_jag(&trusting).await.expect("a response");
    assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("unsupported_grant_type")));
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_the_assertions_of_one_user_is_bounded_and_others_have_their_own() {
    let fixture = Fixture::new().await;
    let mut answers = Vec::new();
    for _ in 0..220 {
        let answer = redeem(&fixture, id_jag(&fixture)).await;
        answers.push((answer.status().as_u16(), answer.error().map(str::to_owned)));
    }
    assert_eq!(answers[..200], vec![(200, None); 200]);
    assert_eq!(answers[200..], vec![(429, Some("temporarily_unavailable".to_owned())); 20]);
    for table in [collections::REPLAYS, collections::SESSIONS] {
        assert_eq!(fixture.store.count(table).await.expect("memory"), 200);
    }
    let bobs = fixture.idp.id_jag("bob", ISSUER, SERVER).with_claim("resource", RESOURCE);
    assert_eq!(redeem(&fixture, bobs).await.status(), 200);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(redeem(&fixture, id_jag(&fixture)).await.status(), 200, "after a while there is room");
}
