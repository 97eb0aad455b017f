//! The layer over hyper-util and reqwest, and as a middleware of reqwest-middleware, on real sockets; and the store for rmcp.

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use portcullis_client::{
    ResourceUri, TokenLayer,
    adapters::{ReqwestService, RmcpStore, TokenMiddleware},
};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use rmcp::transport::auth::{CredentialStore as _, StoredCredentials};
use serde_json::json;
use tokio::time::timeout;
use tower::{Layer as _, ServiceExt as _};

use crate::world::World;

async fn echo(world: &World) -> String {
    world.serve(Router::new().route("/mcp", post(async |body: Bytes| body))).await
}

#[tokio::test]
async fn hyper_utils_client_behind_the_layer() {
    let world = World::default();
    let url = echo(&world).await;
    let client = TokenLayer::new(world.manager_for(&url)).layer(Client::builder(TokioExecutor::new()).build_http());
    for exchanges in [1, 2] {
        let request = Request::post(&url).body(Full::new(Bytes::from_static(b"body"))).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
        assert_eq!(world.state().exchanges, exchanges);
        world.revoke_access_tokens();
    }
}

#[tokio::test]
async fn reqwest_behind_the_layer() {
    let world = World::default();
    let url = echo(&world).await;
    let client = TokenLayer::new(world.manager_for(&url)).layer(ReqwestService::new(reqwest::Client::new()));
    for exchanges in [1, 2] {
        let request = Request::post(&url).body(Bytes::from_static(b"body")).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
        assert_eq!(world.state().exchanges, exchanges);
        world.revoke_access_tokens();
    }
    let request = Request::post("ftp://example").body(Bytes::new()).unwrap();
    assert!(client.oneshot(request).await.is_err());
}

#[tokio::test]
async fn reqwest_middleware_repeats_a_request_with_a_new_token() {
    let world = World::default();
    let url = echo(&world).await;
    let middleware = TokenMiddleware::new(world.manager_for(&url));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    for exchanges in [1, 2] {
        let response = client.post(&url).body("body").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "body");
        assert_eq!(world.state().exchanges, exchanges);
        world.revoke_access_tokens();
    }
    let elsewhere = url.replace("/mcp", "/other");
    assert_eq!(client.post(&elsewhere).send().await.unwrap().status(), 401);
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-1", "Bearer access-2", "none"]);
}

fn credentials(refresh_token: &str) -> StoredCredentials {
    let credentials = json!({
        "client_id": "client",
        "token_response": {"access_token": "a", "token_type": "bearer", "refresh_token": refresh_token},
    });
    serde_json::from_value(credentials).unwrap()
}

fn store(inner: &Arc<MemoryStore>) -> RmcpStore {
    let sealed = SealedStore::new(inner.clone(), KeyRing::ephemeral()).unwrap();
    RmcpStore::new(sealed, &ResourceUri::new("https://mcp.example/mcp").unwrap(), None)
}

#[tokio::test(start_paused = true)]
async fn g10_refreshes_under_rmcps_own_manager_take_turns() {
    let store = store(&Arc::default());
    let first = store.acquire_refresh_guard().await.unwrap();
    // Longer than the lease, which is renewed.
    assert!(timeout(Duration::from_secs(80), store.acquire_refresh_guard()).await.is_err());
    drop(first);
    assert!(timeout(Duration::from_secs(1), store.acquire_refresh_guard()).await.unwrap().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn g9_a_refused_refresh_token_removes_only_its_own_credentials() {
    let store = store(&Arc::default());
    assert!(store.load().await.unwrap().is_none());
    store.save(credentials("r1")).await.unwrap();
    store.save(credentials("r2")).await.unwrap();
    store.on_refresh_token_rejected(&credentials("r1")).await.unwrap();
    let loaded = serde_json::to_value(store.load().await.unwrap().unwrap()).unwrap();
    assert_eq!(loaded["token_response"]["refresh_token"], "r2");
    store.on_refresh_token_rejected(&credentials("r2")).await.unwrap();
    assert!(store.load().await.unwrap().is_none());
    store.save(credentials("r3")).await.unwrap();
    store.clear().await.unwrap();
    assert!(store.load().await.unwrap().is_none());
}
