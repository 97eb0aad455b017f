//! The layer over hyper-util and reqwest, and as a middleware of reqwest-middleware, on real sockets; and the store for rmcp.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, response::Redirect, routing::post};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use portcullis_client::{
    DpopKey, ResourceUri, TokenLayer,
    adapters::{self, ReqwestService, RmcpClient, RmcpStore, TokenMiddleware},
};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use rmcp::transport::{
    auth::{CredentialStore as _, StoredCredentials},
    streamable_http_client::{StreamableHttpClient as _, StreamableHttpError},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::{Layer as _, ServiceExt as _};

use crate::world::{World, listen};

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

/// A resource that redirects to another origin, which refuses all tokens. Returns its URL, and the record of the other origin.
async fn redirecting(world: &World) -> (String, World) {
    let elsewhere = World::default();
    let target = elsewhere.serve(Router::new()).await;
    let url = world.serve(Router::new().route("/mcp", post(async move || Redirect::temporary(&target)))).await;
    (url, elsewhere)
}

/// What `reqwest` follows by default.
#[tokio::test]
async fn g12_a_redirect_below_an_adapter_loses_the_token_and_its_response_says_nothing_about_it() {
    let world = World::default();
    let (url, elsewhere) = redirecting(&world).await;
    let client = TokenLayer::new(world.manager_for(&url)).layer(ReqwestService::new(reqwest::Client::new()));
    let response = client.oneshot(Request::post(&url).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!((response.status(), elsewhere.credentials()), (StatusCode::UNAUTHORIZED, vec!["none".to_owned()]));
    assert_eq!(world.counts(), (1, 1, 0), "a challenge of another origin causes no exchange");

    let world = World::default();
    let (url, elsewhere) = redirecting(&world).await;
    let middleware = TokenMiddleware::new(world.manager_for(&url));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware).build();
    assert_eq!(client.post(&url).send().await.unwrap().status(), 401);
    assert_eq!((elsewhere.credentials(), world.counts()), (vec!["none".to_owned()], (1, 1, 0)));
}

#[tokio::test]
async fn g12_redirects_are_followed_within_the_origin_only() {
    let world = World::default();
    let (url, elsewhere) = redirecting(&world).await;
    let reqwest = reqwest::Client::builder().redirect(adapters::within_origin()).build().unwrap();
    let client = TokenLayer::new(world.manager_for(&url)).layer(ReqwestService::new(reqwest.clone()));
    let response = client.oneshot(Request::post(&url).body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!((response.status(), elsewhere.credentials()), (StatusCode::TEMPORARY_REDIRECT, Vec::new()));

    let world = World::default();
    let app = Router::new()
        .route("/mcp", post(async || Redirect::temporary("/mcp/")))
        .route("/mcp/", post(async |body: Bytes| body))
        .route("/mcp/loop", post(async || Redirect::temporary("/mcp/loop")));
    let url = world.serve(app).await;
    let client = TokenLayer::new(world.manager_for(&url)).layer(ReqwestService::new(reqwest));
    let response = client.clone().oneshot(Request::post(&url).body(Bytes::from("body")).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-1"]);
    let endless = client.oneshot(Request::post(format!("{url}/loop")).body(Bytes::new()).unwrap()).await;
    assert!(endless.is_err());
}

/// The claims of each proof that a resource gets, which asks for the nonce `n1`.
async fn bound() -> (String, Arc<Mutex<Vec<Value>>>) {
    let proofs = Arc::<Mutex<Vec<Value>>>::default();
    let seen = proofs.clone();
    let respond = async move |headers: HeaderMap, body: Bytes| {
        assert!(headers["authorization"].to_str().unwrap().starts_with("DPoP access-"));
        let claims = headers["dpop"].to_str().unwrap().split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let is_complete = claims["nonce"] == "n1";
        seen.lock().unwrap().push(claims);
        let challenge = r#"DPoP error="use_dpop_nonce""#;
        if is_complete {
            Ok(body)
        } else {
            Err((StatusCode::UNAUTHORIZED, [("www-authenticate", challenge), ("dpop-nonce", "n1")]))
        }
    };
    (listen(Router::new().route("/mcp", post(respond))).await, proofs)
}

#[tokio::test]
async fn bound_tokens_are_presented_with_a_proof_for_each_request() {
    for is_middleware in [false, true] {
        let world = World::default();
        let (url, proofs) = bound().await;
        let manager = world.manager_with(&url, Some(DpopKey::generate()));
        if is_middleware {
            let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
            let client = client.with(TokenMiddleware::new(manager)).build();
            for _ in 0..2 {
                assert_eq!(client.post(&url).body("body").send().await.unwrap().text().await.unwrap(), "body");
            }
        } else {
            // The key is that of the grant.
            let client = TokenLayer::new(manager).layer(ReqwestService::new(reqwest::Client::new()));
            for _ in 0..2 {
                let request = Request::post(&url).body(Bytes::from("body")).unwrap();
                assert_eq!(client.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
            }
        }
        assert_eq!(world.state().exchanges, 1, "a nonce is no refusal of the token");
        let proofs = proofs.lock().unwrap();
        assert_eq!(proofs.len(), 3, "one repetition for the first nonce");
        assert!(proofs.iter().all(|proof| proof["htm"] == "POST" && proof["htu"] == *url), "{proofs:?}");
        assert_ne!(proofs[0]["jti"], proofs[1]["jti"]);
    }
}

#[tokio::test]
async fn a_resource_that_asks_for_a_nonce_again_has_not_refused_the_token() {
    let world = World::default();
    let respond = async || {
        let headers = [("www-authenticate", r#"DPoP error="use_dpop_nonce""#), ("dpop-nonce", "another")];
        (StatusCode::UNAUTHORIZED, headers)
    };
    let url = listen(Router::new().route("/mcp", post(respond))).await;
    let manager = world.manager_with(&url, Some(DpopKey::generate()));
    let client = TokenLayer::new(manager.clone()).layer(ReqwestService::new(reqwest::Client::new()));
    for _ in 0..2 {
        let request = Request::post(&url).body(Bytes::from("body")).unwrap();
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.state().exchanges, 1);
    assert!(manager.fresh().is_some(), "the token is as good as before");
}

#[tokio::test]
async fn bound_tokens_are_refused_where_no_proof_can_be_presented() {
    let world = World::default();
    let url = echo(&world).await;
    let manager = world.manager_with(&url, Some(DpopKey::generate()));
    let client = RmcpClient::new(reqwest::Client::new(), manager);
    let outcome = client.delete_session(url.into(), "session".into(), None, Default::default()).await;
    let Err(StreamableHttpError::Io(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("TokenLayer"), "{error}");
    assert_eq!(world.counts(), (0, 0, 0), "nothing is sent");
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
