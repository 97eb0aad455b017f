//! The verifier of access tokens.

use std::{sync::Arc, time::Duration};

use portcullis_bridge::{Bridge, BridgeVerifier};
use portcullis_core::{AuthError, BearerToken, Issuer, Principal, PrincipalKind, Reason, ResourceUri, UserContext};
use portcullis_testkit::{Endpoint, IdentityProvider, TokenPolicy};
use portcullis_verify::{Cache, CacheConfig, CacheLayer};
use tower::{Layer as _, ServiceExt as _};

use crate::fixture::{APP, Fixture, OTHER_RESOURCE, RESOURCE};

/// Returns the verifier behind a cache.
struct Cached(Cache<BridgeVerifier>);

impl Cached {
    fn of(bridge: &Bridge, fixture: &Fixture) -> Self {
        let layer = CacheLayer::new(CacheConfig::new().with_clock(Arc::new(fixture.clock.clone())));
        Self(layer.layer(bridge.verifier()))
    }

    async fn verify(&self, token: &str) -> Result<Arc<UserContext>, AuthError> {
        self.0.clone().oneshot(BearerToken::new(token).expect("a token")).await
    }
}

#[tokio::test(start_paused = true)]
async fn ab_07_the_user_is_whom_the_provider_knows_and_the_providers_token_stays_here() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    let issuer: Issuer = IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(*user.principal(), Principal::new(issuer, "alice", PrincipalKind::User));
    assert_eq!((user.client_id(), user.scopes().to_string()), (Some(APP), "mcp:read mcp:write".to_owned()));
    assert_eq!(user.email(), Some("alice@example.test"), "the profile of the login");
    assert_eq!(user.expires_at().map(|at| at.as_secs()), Some(fixture.now() + 600));

    let upstream = user.upstream().access_token().await.expect("a token of the provider");
    let (ours, theirs) = (answer.access_token(), upstream.expose_secret());
    assert_ne!(ours, theirs);
    assert!(!String::from_utf8_lossy(answer.body()).contains(theirs), "the client never sees it");
}

#[tokio::test(start_paused = true)]
async fn ab_06_a_token_of_the_provider_is_none_of_the_bridges() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    let upstream = user.upstream().access_token().await.expect("a token of the provider");
    let jwt = fixture.idp.token("alice").with_audience(RESOURCE).jwt();
    let claims_to_be_ours =
        fixture.idp.token("alice").with_audience(RESOURCE).with_claim("iss", "https://mcp.example.test").jwt();
    for (token, found) in [
        (upstream.expose_secret(), "did not issue"),
        (&jwt, IdentityProvider::ISSUER),
        (&claims_to_be_ours, "https://mcp.example.test"),
    ] {
        let error = fixture.verify(token).await.expect_err("foreign");
        assert_eq!(error.reason(), Reason::MalformedToken);
        let causes = error.causes().expect("a cause for the log");
        assert!(causes.contains(found) && !causes.contains(token), "{causes}");
    }
}

#[tokio::test(start_paused = true)]
async fn rs_14_nothing_else_that_the_bridge_hands_out_is_an_access_token() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (_, code) = fixture.code(&client).await;
    let answer = fixture.log_in().await;
    let refresh_token = answer.refresh_token();
    let as_access_token = refresh_token.replace("pcrt_", "pcat_");
    for (token, reason) in [
        (&*code, Reason::MalformedToken),
        (refresh_token, Reason::MalformedToken),
        (&as_access_token, Reason::Inactive),
        ("pcat_", Reason::MalformedToken),
        (&answer.access_token()[..68], Reason::MalformedToken),
    ] {
        assert_eq!(fixture.verify(token).await.expect_err("no access token").reason(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn rs_13_a_token_is_good_for_the_resource_that_was_asked_for_and_for_no_other() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await.with_resource(OTHER_RESOURCE);
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    let error = fixture.verify(answer.access_token()).await.expect_err("for another");
    assert_eq!(error.reason(), Reason::WrongAudience);
    let causes = error.causes().expect("a cause for the log");
    assert!(causes.contains(OTHER_RESOURCE) && causes.contains(RESOURCE), "{causes}");
    let reports = fixture.bridge.verifier_for(ResourceUri::new(OTHER_RESOURCE).expect("a resource"));
    let token = BearerToken::new(answer.access_token()).expect("a token");
    assert_eq!(reports.oneshot(token).await.expect("a user").subject(), "alice");
}

#[tokio::test(start_paused = true)]
async fn rs_15_the_provider_never_sees_a_token_of_the_bridge() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    user.upstream().access_token().await.expect("a token");
    for endpoint in [Endpoint::Token, Endpoint::UserInfo, Endpoint::Introspection] {
        let seen = fixture.idp.last_request(endpoint).map(|request| format!("{request:?}")).unwrap_or_default();
        assert!(!seen.contains(answer.access_token()) && !seen.contains(answer.refresh_token()), "{endpoint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_reaches_the_cache_at_once_on_every_path() {
    let fixture = Fixture::new().await;
    let verifier = Cached::of(&fixture.bridge, &fixture);
    let issuer: Issuer = IdentityProvider::ISSUER.parse().expect("issuer");
    for how in ["the client", "the administrator", "a attacker", "another process"] {
        let answer = fixture.log_in().await;
        let user = verifier.verify(answer.access_token()).await.expect("a user");
        assert!(Arc::ptr_eq(&user, &verifier.verify(answer.access_token()).await.expect("a user")), "it is cached");
        let mut ended = fixture.bridge.invalidations();
        match how {
            "the client" => {
                assert_eq!(fixture.app().await.revoke(answer.refresh_token()).await.expect("a response").status(), 200)
            }
            "the administrator" => {
                assert_eq!(fixture.bridge.end_sessions_of(&issuer, "alice").await.expect("a store"), 1)
            }
            "a attacker" => {
                let next = fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
                fixture.app().await.refresh(next.refresh_token()).await.expect("a response");
                fixture.app().await.refresh(answer.refresh_token()).await.expect("a response");
            }
            _ => {
                let other = fixture.another(|config| config);
                let mut ended_there = other.invalidations();
                assert_eq!(other.end_sessions_of(&issuer, "alice").await.expect("a store"), 1);
                fixture.bridge.invalidate(ended_there.recv().await.expect("an end"));
            }
        }
        assert!(user.revocation().is_revoked(), "{how}");
        assert_eq!(
            verifier.verify(answer.access_token()).await.expect_err("ended").reason(),
            Reason::Inactive,
            "{how}"
        );
        let told = ended.try_recv().is_ok();
        assert_eq!(told, how != "another process", "{how}: what was heard is not told again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_does_not_end_a_live_session() {
    let fixture = Fixture::new().await;
    let verifier = Cached::of(&fixture.bridge, &fixture);
    let answer = fixture.log_in().await;
    let user = verifier.verify(answer.access_token()).await.expect("a user");
    let mut invalidations = fixture.bridge.invalidations();
    let other = fixture.another(|config| config);
    let access_token = fixture.log_in().await;
    let mut heard = other.invalidations();
    assert_eq!(fixture.app().await.revoke(access_token.access_token()).await.expect("a response").status(), 200);
    let session = invalidations.recv().await.expect("a withdrawal");
    other.invalidate(session);
    assert!(heard.try_recv().is_err(), "what was heard is not told again");
    assert!(!user.revocation().is_revoked(), "another session");
    assert!(verifier.verify(access_token.access_token()).await.is_err());
    let next = fixture.app().await.refresh(access_token.refresh_token()).await.expect("a response");
    assert_eq!(next.status(), 200, "the session is alive");
    assert!(verifier.verify(next.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn only_the_sessions_of_the_given_user_end() {
    let fixture = Fixture::new().await;
    let (first, second) = (fixture.log_in().await, fixture.log_in().await);
    let asserted = fixture.asserted().await;
    let issuer: Issuer = IdentityProvider::ISSUER.parse().expect("issuer");
    let other: Issuer = "https://other.example.test".parse().expect("issuer");
    assert_eq!(fixture.bridge.end_sessions_of(&issuer, "bob").await.expect("a store"), 0);
    assert_eq!(fixture.bridge.end_sessions_of(&other, "alice").await.expect("a store"), 0);
    assert!(fixture.verify(first.access_token()).await.is_ok());
    assert_eq!(fixture.bridge.end_sessions_of(&issuer, "alice").await.expect("a store"), 3);
    for answer in [first, second, asserted] {
        assert!(fixture.verify(answer.access_token()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn all_sessions_of_a_user_end_beyond_one_page_of_rows() {
    let fixture = Fixture::new().await;
    for _ in 0..120 {
        fixture.asserted().await;
    }
    let issuer: Issuer = IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(fixture.bridge.end_sessions_of(&issuer, "alice").await.expect("a store"), 120);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_during_verification_revokes_the_context() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    for turns in 0..12 {
        let answer = fixture.log_in().await;
        let verifying =
            tokio::spawn(fixture.bridge.verifier().oneshot(BearerToken::new(answer.access_token()).expect("a token")));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        client.revoke(answer.refresh_token()).await.expect("a response");
        if let Ok(user) = verifying.await.expect("no panic") {
            assert!(user.revocation().is_revoked(), "after {turns} turns");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_process_of_a_store_knows_every_session() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let other = fixture.another(|config| config);
    let token = || BearerToken::new(answer.access_token()).expect("a token");
    assert!(other.verifier().oneshot(token()).await.is_ok());
    let revoked = fixture.app().await.revoke(answer.access_token()).await.expect("a response");
    assert_eq!(revoked.status(), 200);
    assert_eq!(other.verifier().oneshot(token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_is_not_an_invalid_token() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    fixture.store.set_broken(true);
    assert_eq!(
        fixture.verify(answer.access_token()).await.expect_err("it cannot be determined").reason(),
        Reason::StoreUnavailable
    );
    let revoked = fixture.app().await.revoke(answer.access_token()).await.expect("a response");
    assert_eq!(
        (revoked.status().as_u16(), revoked.error()),
        (503, Some("temporarily_unavailable")),
        "it is not revoked"
    );
    fixture.store.set_broken(false);
    assert!(fixture.verify(answer.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_grant_at_the_provider() {
    let fixture = Fixture::new().await;
    fixture.idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(60)));
    let verifier = Cached::of(&fixture.bridge, &fixture);
    let answer = fixture.log_in().await;
    let user = verifier.verify(answer.access_token()).await.expect("a user");
    fixture.idp.revoke_grant("alice");
    fixture.pass(61);
    assert_eq!(user.upstream().access_token().await.expect_err("revoked there").reason(), Reason::GrantEnded);
    assert!(user.revocation().is_revoked());
    let again = verifier.verify(answer.access_token()).await;
    assert_eq!(again.expect_err("ended").reason(), Reason::GrantEnded, "401, and not a tool that fails");
    let elsewhere = fixture.another(|config| config).verifier();
    let again = elsewhere.oneshot(BearerToken::new(answer.access_token()).expect("a token")).await;
    assert_eq!(again.expect_err("ended").reason(), Reason::GrantEnded, "in every process");
}
