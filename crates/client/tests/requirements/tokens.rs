//! Where tokens are sent and kept, and what is done about scopes that they lack.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, header};
use portcullis_client::{AcquireError, Challenge, DpopKey, ScopeSet, TokenLayer, TokenManager, collections};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore, SealedStore, Store as _};
use portcullis_test_support::Endpoint;
use secrecy::ExposeSecret as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::fixture::{PATH_INSERTED, World, authorization_server, causes, log_in, scopes};

#[tokio::test]
async fn cl_34_a_token_of_the_former_authorization_server_is_not_sent_any_more() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let manager = TokenManager::builder(world.grant()).build();
    let first = manager.login(&scopes("")).await.expect("as arranged");
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let refusal = world.site.challenge(PATH_INSERTED).to_string();
    let resource = service_fn(move |request: Request<Bytes>| {
        log.lock().expect("as arranged").push(request.headers().get(header::AUTHORIZATION).cloned());
        let refused = Response::builder().status(401).header(header::WWW_AUTHENTICATE, refusal.clone());
        async move { refused.body(Bytes::new()) }
    });
    let client = TokenLayer::new(manager.clone()).layer(resource);
    let request = || Request::post(world.site.url("/mcp")).body(Bytes::new()).expect("as arranged");

    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    let outcome = client.clone().oneshot(request()).await;
    assert!(outcome.is_err(), "a login at the second one is required");
    assert!(matches!(manager.acquire().await, Err(AcquireError::ReauthRequired(_))));
    assert_eq!(client.oneshot(request()).await.map_or(401, |response| response.status().as_u16()), 401);
    let sent = sent.lock().expect("as arranged").clone();
    let of_the_first = format!("Bearer {}", first.expose_secret());
    assert_eq!(sent.iter().filter(|value| value.as_ref().is_some_and(|value| *value == *of_the_first)).count(), 1);
    assert!(sent.len() > 1, "requests are sent without it");
}

#[tokio::test]
async fn cl_35_refresh_tokens_are_stored_sealed_and_sent_over_tls_only() {
    let world = World::new().await;
    let database = Arc::new(MemoryStore::new());
    let store = SealedStore::new(Arc::clone(&database) as _, KeyRing::ephemeral()).expect("as arranged");
    let grant = world.grant().with_store(store.clone());
    let manager = TokenManager::builder(grant.clone()).with_store(GrantStore::from(store)).build();
    let token = manager.login(&scopes("")).await.expect("as arranged");
    let (binding, tokens) = log_in(&grant).await.expect("as arranged");
    let refresh_token = tokens.refresh_token.expect("as arranged");
    let mut rows = 0;
    for collection in collections::ALL {
        for (_, stored) in database.page(collection, None, 100).await.expect("as arranged") {
            let row = String::from_utf8_lossy(&stored.row.sealed).into_owned();
            for secret in [token.expose_secret(), "refresh", &binding.client_id, "http"] {
                assert!(!row.contains(secret), "{secret}");
            }
            rows += 1;
        }
    }
    assert_eq!(rows, 3, "the tokens, the binding and the client");

    // A token endpoint without TLS, elsewhere than on this machine.
    let presented = world.provider.calls(Endpoint::Token);
    world.provider.set_metadata("token_endpoint", "http://as.example.com/token".into());
    let elsewhere = world.grant();
    let outcome = log_in(&elsewhere).await;
    assert!(causes(outcome).contains("not allowed to call http://as.example.com/token"));
    assert_eq!(world.provider.calls(Endpoint::Token), presented);
    let shown = format!("{manager:?} {grant:?} {binding:?} {:?}", manager.snapshot());
    assert!(!shown.contains(refresh_token.expose_secret()));
}

/// A resource that wants the scope `mcp:write`, which its first token lacks.
#[tokio::test]
async fn cl_39_a_request_whose_token_lacks_scopes_is_repeated_after_a_step_up() {
    let world = World::new().await;
    let manager = TokenManager::builder(world.grant().with_scopes(scopes("mcp:read"))).with_login_on_demand().build();
    let first = manager.acquire().await.expect("as arranged");
    let credentials = first.authorization();
    let insufficient = Challenge::bearer().with("error", "insufficient_scope").with("scope", "mcp:write");
    let resource = service_fn(move |request: Request<Bytes>| {
        let is_first = request.headers()[header::AUTHORIZATION] == credentials;
        let response = Response::builder().status(if is_first { 403 } else { 200 });
        let response = response.header(header::WWW_AUTHENTICATE, insufficient.to_string());
        async move { response.body(request.into_body()) }
    });
    let client = TokenLayer::new(manager.clone()).layer(resource);
    let request = Request::post(world.site.url("/mcp")).body(Bytes::from_static(b"write")).expect("as arranged");
    let response = client.oneshot(request).await.expect("as arranged");
    assert_eq!((response.status().as_u16(), response.into_body()), (200, Bytes::from_static(b"write")));
    assert_eq!(world.authorization()["scope"], "mcp:read mcp:write");
    assert_eq!(manager.snapshot().scopes, scopes("mcp:read mcp:write"));
    assert_eq!(world.provider.calls(Endpoint::Authorization), 2);
}

#[tokio::test]
async fn everything_that_is_stored_can_be_sealed_with_another_key() {
    let world = World::new().await;
    let database: Arc<MemoryStore> = Arc::new(MemoryStore::new());
    let opened = async |keys: &[[u8; 32]]| {
        let keys = KeyRing::new(keys).expect("as arranged");
        SealedStore::open(Arc::clone(&database) as _, keys, &collections::ALL).await
    };
    let old = opened(&[[1; 32]]).await.expect("as arranged");
    let start = |store: &SealedStore| {
        let grant = world.grant().with_store(store.clone());
        TokenManager::builder(grant).with_store(GrantStore::from(store.clone())).build()
    };
    let manager = start(&old);
    let token = manager.login(&ScopeSet::default()).await.expect("as arranged");
    let key = DpopKey::stored(&old, "app").await.expect("as arranged");
    manager.shutdown().await;

    let both = opened(&[[2; 32], [1; 32]]).await.expect("as arranged");
    let report = both.rekey(&collections::ALL).await.expect("as arranged");
    assert_eq!((report.unreadable, report.resealed >= 4), (0, true), "{report:?}");
    assert!(opened(&[[1; 32]]).await.is_err(), "the old key opens nothing");
    let new = opened(&[[2; 32]]).await.expect("as arranged");
    let manager = start(&new);
    assert_eq!(manager.acquire().await.expect("as arranged").expose_secret(), token.expose_secret());
    assert!(manager.invalidate_if(&token));
    manager.acquire().await.expect("the client is known, and its refresh token");
    assert_eq!(DpopKey::stored(&new, "app").await.expect("as arranged").thumbprint(), key.thumbprint());
    assert_eq!(world.provider.calls(Endpoint::Registration), 1);
}
