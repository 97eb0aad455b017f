//! Logins behind a token manager: at our own bridge, and across a change of the authorization server.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use portcullis_bridge::{Bridge, BridgeConfig};
use portcullis_client::{AcquireError, Challenge, Grant as _, Issuer, McpLogin, ResourceUri, TokenManager, UserAgent};
use portcullis_oauth::{ClientAuthentication, providers::Provider, registration::ClientMetadata};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_test_support::{Browser, Endpoint, IdentityProvider, Network, RunningIdentityProvider};
use portcullis_upstream::ProviderClient;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::fixture::{PATH_INSERTED, World, authorization_server, egress, scopes};

fn records() -> SealedStore {
    SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("as arranged")
}

/// A bridge on loopback, whose users log in at an identity provider.
struct RunningBridge {
    origin: String,
    bridge: Bridge,
    idp: IdentityProvider,
    _running: RunningIdentityProvider,
}

impl RunningBridge {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("as arranged");
        let origin = format!("http://{}", listener.local_addr().expect("as arranged"));
        let (idp, running) = authorization_server().await;
        let at = |endpoint| idp.endpoint_url(endpoint).parse().expect("as arranged");
        let provider = Provider::oidc_at(
            Issuer::new(&idp.issuer()).expect("as arranged"),
            at(Endpoint::Authorization),
            at(Endpoint::Token),
        )
        .with_userinfo_endpoint(at(Endpoint::UserInfo))
        .with_jwks_uri(at(Endpoint::KeySet));
        let secret = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let provider = ProviderClient::new(provider, secret, egress());
        let resource = ResourceUri::new(&format!("{origin}/mcp")).expect("as arranged");
        let config = BridgeConfig::new(Issuer::new(&origin).expect("as arranged"), resource)
            .with_scopes(scopes("mcp:read mcp:write"))
            .with_default_scopes(scopes("mcp:read"))
            .with_upstream_scopes(scopes("openid"));
        let bridge = Bridge::builder(config, provider, egress()).build(GrantStore::from(records()), records());
        let metadata = bridge.resource_metadata().to_json();
        let app = bridge.router().route(PATH_INSERTED, axum::routing::get(async move || metadata));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { origin, bridge, idp, _running: running }
    }

    /// A user who allows the client, and is logged in at the provider.
    fn user() -> UserAgent {
        UserAgent::loopback(|url| {
            let url = url.to_owned();
            tokio::spawn(async move {
                let mut browser = Browser::new(Network::new());
                let page = browser.get(&url).await.expect("as arranged").page().expect("as arranged");
                let allowed = page.press("decision", "approve").expect("as arranged");
                browser.submit(allowed).await.expect("as arranged");
            });
            Ok(())
        })
    }

    fn grant(&self) -> McpLogin {
        let resource = ResourceUri::new(&format!("{}/mcp", self.origin)).expect("as arranged");
        McpLogin::new(resource, ClientMetadata::new("Test client"), Self::user(), egress())
    }
}

#[tokio::test]
async fn a_user_logs_in_at_our_own_bridge_and_stays_logged_in() {
    let bridge = RunningBridge::new().await;
    let manager = TokenManager::builder(bridge.grant()).build();
    assert!(matches!(manager.acquire().await, Err(AcquireError::ReauthRequired(_))), "no login without being asked");
    let token = manager.login(&scopes("")).await.expect("as arranged");
    let user = bridge.bridge.verifier().oneshot(token.token().clone()).await.expect("as arranged");
    assert_eq!(user.subject(), "alice");
    assert_eq!(user.scopes(), &scopes("mcp:read"));
    assert!(manager.invalidate_if(&token));
    let refreshed = manager.acquire().await.expect("as arranged");
    assert!(bridge.bridge.verifier().oneshot(refreshed.token().clone()).await.is_ok());
    assert_eq!(bridge.idp.calls(Endpoint::Authorization), 1);
    assert_eq!(manager.shutdown().await, 0);
}

/// SEP-2352.
#[tokio::test]
async fn cl_20_a_login_asks_whether_the_authorization_server_is_still_the_right_one() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    world.site.state().cache_control = Some("max-age=0".to_owned());
    let manager = TokenManager::builder(world.grant()).build();
    manager.login(&scopes("")).await.expect("as arranged");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    manager.login(&scopes("")).await.expect("as arranged");
    assert_eq!(manager.snapshot().binding.expect("as arranged").issuer.as_str(), second.issuer());
}

/// SEP-2352.
#[tokio::test]
async fn cl_20_the_authorization_server_in_use_is_kept_after_a_restart() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let store = records();
    let start = || {
        let grant = world.grant().with_store(store.clone());
        TokenManager::builder(grant).with_store(GrantStore::from(store.clone())).build()
    };
    start().login(&scopes("")).await.expect("as arranged");
    let both = [second.issuer(), world.provider.issuer()];
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&both[0], &both[1]]);
    let restarted = start();
    restarted.login(&scopes("")).await.expect("as arranged");
    assert_eq!(restarted.snapshot().binding.expect("as arranged").issuer.as_str(), both[1]);
}

/// SEP-2352.
#[tokio::test]
async fn cl_20_a_manager_follows_a_change_of_the_authorization_server() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let manager = TokenManager::builder(world.grant()).with_login_on_demand().build();
    let challenge = world.site.challenge(PATH_INSERTED);
    let first = manager.challenged(&challenge).await.expect("as arranged");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    // The resource does not accept the refreshed token of the first server either.
    let refreshed = manager.rejected(&first, &challenge).await;
    let token = match refreshed {
        Ok(token) if manager.snapshot().binding.expect("as arranged").issuer.as_str() == second.issuer() => token,
        _ => manager.login(&scopes("")).await.expect("as arranged"),
    };
    assert_ne!(token.expose_secret(), first.expose_secret());
    assert_eq!(manager.snapshot().binding.expect("as arranged").issuer.as_str(), second.issuer());
    assert_eq!((second.calls(Endpoint::Registration), second.calls(Endpoint::Token)), (1, 1));
}

#[tokio::test]
async fn cl_16_a_restart_uses_the_stored_client_and_tokens_without_discovery() {
    let world = World::new().await;
    let store = records();
    let start = || {
        let grant = world.grant().with_store(store.clone());
        TokenManager::builder(grant).with_store(GrantStore::from(store.clone())).build()
    };
    let manager = start();
    let token = manager.login(&scopes("")).await.expect("as arranged");
    assert_eq!(manager.shutdown().await, 0);
    world.site.requests();
    let calls = world.provider.calls(Endpoint::AuthorizationServerMetadata);
    let restarted = start();
    assert_eq!(restarted.acquire().await.expect("as arranged").expose_secret(), token.expose_secret());
    assert_eq!(world.site.requests(), [] as [&str; 0]);
    assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), calls);
}

#[tokio::test]
async fn a_shutdown_waits_for_an_authorization_code_that_was_sent() {
    let world = World::new().await;
    world.provider.set_latency(Endpoint::Token, Duration::from_millis(200));
    let (store, grant) = (records(), world.grant());
    let manager = TokenManager::builder(grant.clone()).with_store(GrantStore::from(store)).build();
    let login = tokio::spawn({
        let manager = manager.clone();
        async move { manager.login(&scopes("")).await }
    });
    while !grant.is_redeeming() {
        tokio::task::yield_now().await;
    }
    assert_eq!(manager.shutdown().await, 0);
    login.await.expect("no panic").expect("as arranged");
    assert!(manager.acquire().await.is_ok());
}

#[tokio::test]
async fn two_users_of_one_configured_login_share_no_tokens() {
    let (world, store) = (World::new().await, records());
    let base = world.grant().with_store(store.clone());
    let manager = |subject| {
        let grant = base.clone().with_subject(subject);
        TokenManager::builder(grant).with_store(GrantStore::from(store.clone())).build()
    };
    let (alice, bob) = (manager("alice"), manager("bob"));
    let token = alice.login(&scopes("")).await.expect("as arranged");
    let error = bob.acquire().await.expect_err("bob has not logged in");
    assert!(matches!(error, AcquireError::ReauthRequired(_)), "{error:?}");
    let of_bob = bob.login(&scopes("")).await.expect("as arranged");
    assert_ne!(of_bob.expose_secret(), token.expose_secret());
    let subjects = [alice, bob].map(|manager| manager.snapshot().binding.expect("as arranged").subject);
    assert_eq!(
        subjects.map(|subject| subject.as_deref().map(str::to_owned)),
        ["alice", "bob"].map(|name| Some(name.to_owned()))
    );
}

#[tokio::test]
async fn cl_20_a_refusal_after_a_restart_does_not_send_the_login_elsewhere() {
    let (world, store) = (World::new().await, records());
    let start = || {
        let grant = world.grant().with_store(store.clone());
        TokenManager::builder(grant).with_store(GrantStore::from(store.clone())).build()
    };
    start().login(&scopes("")).await.expect("as arranged");
    // As for a server that publishes its metadata only where the challenge of a request without a token says.
    world.site.withdraw(PATH_INSERTED);
    let restarted = start();
    let token = restarted.acquire().await.expect("as arranged");
    let bare = Challenge::bearer().with("error", "invalid_token");
    drop(restarted.rejected(&token, &bare).await);
    restarted.login(&scopes("")).await.expect("at the authorization server that is known");
    let binding = restarted.snapshot().binding.expect("as arranged");
    assert_eq!(binding.issuer.as_str(), world.provider.issuer());
}
