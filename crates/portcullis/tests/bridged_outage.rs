//! An outage of the provider: known users are accepted, others are not.
#![cfg(feature = "bridge")]

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::get};
use futures_util::future::join_all;
use http::{Request, StatusCode, header};
use portcullis::{
    AuthLayer, BridgedServer, Issuer, ResourceUri, ScopeSet,
    bridge::BridgeConfig,
    egress::EgressConfig,
    extract::User,
    oauth::{ClientAuthentication, providers::Provider},
    verify::CacheConfig,
};
use portcullis_test_support::{
    Answer, Arrival, Browser, Endpoint, Fault, IdentityProvider, Network, OAuthClient, RunningIdentityProvider,
    TestClock, TokenPolicy,
};
use tower::ServiceExt as _;

const ORIGIN: &str = "https://mcp.example.test";
const RESOURCE: &str = "https://mcp.example.test/mcp";
const USERS: [&str; 3] = ["alice", "bob", "carol"];

struct World {
    idp: IdentityProvider,
    clock: TestClock,
    app: Router,
    client: OAuthClient,
    network: Network,
    _running: RunningIdentityProvider,
}

impl World {
    async fn new(grace: Duration) -> Self {
        let clock = TestClock::new();
        let idp = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
        idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(300)));
        let running = idp.serve().await.expect("a port");
        let at = |endpoint| idp.endpoint_url(endpoint).parse::<http::Uri>().expect("a URL");
        let upstream =
            Provider::oidc_at(idp.issuer().parse().expect("issuer"), at(Endpoint::Authorization), at(Endpoint::Token))
                .with_userinfo_endpoint(at(Endpoint::UserInfo))
                .with_jwks_uri(at(Endpoint::KeySet));
        let secret = IdentityProvider::CLIENT_SECRET.into();
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, secret);
        let config =
            BridgeConfig::new(Issuer::new(ORIGIN).expect("an issuer"), ResourceUri::new(RESOURCE).expect("a resource"))
                .with_upstream_scopes(ScopeSet::parse("openid profile offline_access").expect("scopes"));
        let (gate, bridge) = BridgedServer::new(config, upstream, app)
            .with_provider_egress(EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_secs(2)))
            .with_cache(CacheConfig::new().with_ttl(Duration::from_secs(60)).with_negative_ttl(Duration::ZERO))
            .with_outage_grace(grace)
            .with_clock(Arc::new(clock.clone()))
            .build()
            .expect("it goes together");
        let whoami = get(async |user: User| format!("{} {}", user.subject(), user.name().unwrap_or_default()));
        let app = bridge.router().merge(Router::new().route("/mcp", whoami).layer(AuthLayer::new(gate)));
        let network = Network::new().with_service(ORIGIN, app.clone().into_service());
        let mut client = OAuthClient::discover(&network, ORIGIN).await.expect("metadata").with_resource(RESOURCE);
        client.register(&client.registration()).await.expect("answer");
        Self { idp, clock, app, client, network, _running: running }
    }

    async fn log_in(&self, user: &str) -> Answer {
        let mut browser = Browser::new(self.network.clone()).with_stop_at(self.client.redirect_uri());
        self.client.log_in(&mut browser, user).await.expect("a code")
    }

    /// Calls `whoami` with this token.
    async fn whoami(&self, token: &str) -> (StatusCode, String) {
        let request = Request::get("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response =
            self.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Makes every endpoint fail in this way.
    fn fail(&self, fault: &Fault) {
        for endpoint in [Endpoint::Token, Endpoint::UserInfo, Endpoint::KeySet, Endpoint::Introspection] {
            self.idp.set_fault(endpoint, fault.clone());
        }
    }

    fn heal(&self) {
        for endpoint in [Endpoint::Token, Endpoint::UserInfo, Endpoint::KeySet, Endpoint::Introspection] {
            self.idp.heal(endpoint);
        }
    }

    /// Refreshes at the bridge and calls `whoami`: counts the responses with 200, of a call with the old token and one with the new.
    ///
    /// The users call at the same time: a provider that hangs takes its time for each call.
    async fn answered(&self, sessions: &mut [Answer]) -> usize {
        let calls = sessions.iter_mut().zip(USERS).map(async |(session, user)| {
            let before = self.whoami(session.access_token()).await;
            *session = self.client.refresh(session.refresh_token()).await.expect("an answer");
            assert_eq!(session.status(), 200, "the bridge itself works");
            let both = [before, self.whoami(session.access_token()).await];
            for (status, body) in &both {
                assert!(*status == StatusCode::SERVICE_UNAVAILABLE || body.starts_with(user), "{status} {body}");
            }
            both.iter().filter(|(status, _)| *status == StatusCode::OK).count()
        });
        join_all(calls).await.into_iter().sum()
    }

    async fn sessions(&self) -> Vec<Answer> {
        let mut sessions = Vec::new();
        for user in USERS {
            let session = self.log_in(user).await;
            assert_eq!(self.whoami(session.access_token()).await.0, StatusCode::OK);
            sessions.push(session);
        }
        sessions
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn users_go_on_in_an_outage_of_any_kind_also_after_their_client_has_refreshed() {
    for fault in
        [Fault::disconnect(), Fault::status(500), Fault::body("text/html", "<html>Maintenance</html>"), Fault::hang()]
    {
        for (grace, expected) in [(Duration::ZERO, 0), (DAY, 6)] {
            if grace.is_zero() && format!("{fault:?}").contains("Hang") {
                continue;
            }
            let world = World::new(grace).await;
            let mut sessions = world.sessions().await;
            world.fail(&fault);
            // Older than a cache entry; the upstream token is still valid.
            world.clock.advance(Duration::from_secs(61));
            assert_eq!(world.answered(&mut sessions).await, expected, "{fault:?}");
            // Now the upstream token has expired as well, and cannot be refreshed.
            world.clock.advance(Duration::from_secs(300));
            assert_eq!(world.answered(&mut sessions).await, expected, "{fault:?}");

            let authorization = world.client.authorization().expect("an endpoint");
            let mut browser = Browser::new(world.network.clone()).with_stop_at(world.client.redirect_uri());
            let arrival = browser.log_in(&authorization.url(), "alice").await.expect("an answer");
            assert!(
                matches!(&arrival, Arrival::Left(url) if url.as_str().contains("error=")) || arrival.page().is_ok()
            );
        }
    }
}

#[tokio::test]
async fn the_last_known_profile_is_used_for_the_outage_grace_at_most() {
    let world = World::new(Duration::from_secs(600)).await;
    let mut sessions = world.sessions().await;
    world.fail(&Fault::disconnect());
    world.clock.advance(Duration::from_secs(500));
    assert_eq!(world.answered(&mut sessions).await, 6);
    world.clock.advance(Duration::from_secs(101));
    assert_eq!(world.answered(&mut sessions).await, 0);
}

#[tokio::test]
async fn after_the_outage_profiles_are_fresh_and_who_was_disabled_meanwhile_is_out() {
    let world = World::new(DAY).await;
    let mut sessions = world.sessions().await;
    world.fail(&Fault::status(503));
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.answered(&mut sessions).await, 6);
    let renamed = serde_json::json!({"name": "Alice Renamed"});
    world.idp.set_user("alice", renamed.as_object().cloned().expect("an object"));
    world.idp.revoke_grant("bob");
    world.heal();
    let fresh = (StatusCode::OK, "alice Alice Renamed".to_owned());
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    // Wait for the end of the back-off.
    while world.whoami(sessions[0].access_token()).await != fresh {
        assert!(tokio::time::Instant::now() < give_up, "the profile stays as it was");
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.clock.advance(Duration::from_secs(1));
    }
    world.clock.advance(Duration::from_secs(6));
    assert_eq!(world.whoami(sessions[1].access_token()).await.0, StatusCode::UNAUTHORIZED);
    let refused = world.client.refresh(sessions[1].refresh_token()).await.expect("an answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
    assert_eq!(world.whoami(sessions[2].access_token()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_grant_that_is_refused_is_no_outage_and_neither_is_a_session_that_has_ended() {
    let world = World::new(DAY).await;
    let sessions = world.sessions().await;
    assert_eq!(world.client.revoke(sessions[2].refresh_token()).await.expect("an answer").status(), 200);
    world.idp.revoke_grant("bob");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(world.whoami(sessions[1].access_token()).await.0, StatusCode::UNAUTHORIZED, "disabled");
    world.fail(&Fault::disconnect());
    assert_eq!(world.whoami(sessions[1].access_token()).await.0, StatusCode::UNAUTHORIZED, "still");
    assert_eq!(world.whoami(sessions[2].access_token()).await.0, StatusCode::UNAUTHORIZED, "logged out");
    assert_eq!(world.whoami(sessions[0].access_token()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_user_rejected_by_the_provider_is_not_accepted_in_a_following_outage() {
    for refusal in [Fault::status(403), Fault::status(404), Fault::status(401)] {
        let world = World::new(DAY).await;
        let sessions = world.sessions().await;
        world.clock.advance(Duration::from_secs(61));
        world.idp.set_fault(Endpoint::UserInfo, refusal.clone());
        world.idp.set_fault(Endpoint::Token, Fault::status(500));
        let (status, _) = world.whoami(sessions[0].access_token()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "refused by {refusal:?}");
        world.fail(&Fault::status(500));
        for _ in 0..3 {
            let (status, _) = world.whoami(sessions[0].access_token()).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refusal:?}, and then an outage");
        }
        assert_eq!(world.whoami(sessions[1].access_token()).await.0, StatusCode::OK, "who was not asked about");
    }
}
