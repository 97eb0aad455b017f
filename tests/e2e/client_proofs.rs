//! Tokens that are bound to a key (DPoP), at oidc-provider, and a resource that checks the proofs.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::join_all;
use portcullis_client::{
    DpopKey, Grant as _, GrantErrorKind, Issuer, McpLogin, ResourceUri, TokenEndpoint, TokenLayer, TokenManager,
    adapters::ReqwestService,
};
use portcullis_oauth::{ClientAuthentication, TokenRequest, registration::ClientMetadata};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, time::sleep};
use tower::{Layer as _, ServiceExt as _};

use crate::{
    client_logins::{User, egress, scopes},
    harness::Provider,
};

const LIFE: u32 = 2;
const NONCE: &str = "nonce-of-the-resource";

/// A public client: its refresh tokens are bound to its key as well.
fn client() -> ClientAuthentication {
    ClientAuthentication::public("native")
}

/// A resource that accepts a token only with a proof of its key, with a nonce, once.
#[derive(Clone)]
struct Resource {
    url: ResourceUri,
    proofs: Arc<Mutex<HashSet<String>>>,
}

impl Resource {
    async fn start(issuer: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("bound"));
        let metadata = json!({"resource": url, "authorization_servers": [issuer]});
        let this = Self { url: ResourceUri::new(&url).expect("a resource"), proofs: Arc::default() };
        let app = Router::new()
            .route("/.well-known/oauth-protected-resource/mcp", get(async || Json(metadata)))
            .route("/mcp", post(respond))
            .with_state(this.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        this
    }

    /// Returns why the request is refused, as the error of a challenge.
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(token) = text("authorization").strip_prefix("DPoP ") else { return Err("invalid_request") };
        let parts: Vec<_> = text("dpop").split('.').collect();
        let [head, payload, signature] = parts[..] else { return Err("invalid_dpop_proof") };
        let (jwk, claims) = (&decoded(head)["jwk"], decoded(payload));
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).expect("base64");
        let key = [&[4][..], &bytes("x"), &bytes("y")].concat();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
        let signed = format!("{head}.{payload}");
        let is_signed =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed.as_bytes(), &signature).is_ok();
        // RFC 7638: the required members, in the order of their names.
        let required = json!({"crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]});
        let expected = json!({"htm": "POST", "htu": self.url.as_str(), "ath": hash(token)});
        let is_for_this = ["htm", "htu", "ath"].iter().all(|name| claims[name] == expected[name]);
        if !is_signed || !is_for_this {
            return Err("invalid_dpop_proof");
        }
        let token = decoded(token.split('.').nth(1).unwrap_or_default());
        if token["cnf"]["jkt"] != hash(&required.to_string()) || token["aud"] != self.url.as_str() {
            return Err("invalid_token");
        }
        if claims["nonce"] != NONCE {
            return Err("use_dpop_nonce");
        }
        let id = claims["jti"].as_str().unwrap_or_default().to_owned();
        if self.proofs.lock().expect("no panic").insert(id) { Ok(()) } else { Err("invalid_dpop_proof") }
    }
}

async fn respond(State(resource): State<Resource>, headers: HeaderMap) -> Response {
    let Err(error) = resource.check(&headers) else { return "accepted".into_response() };
    let challenge = format!("DPoP error=\"{error}\", algs=\"ES256\"");
    let mut response = (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    response.headers_mut().insert("dpop-nonce", HeaderValue::from_static(NONCE));
    response
}

fn decoded(part: &str) -> Value {
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

fn hash(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

#[tokio::test]
async fn bound_tokens_are_refreshed_with_their_key_and_are_of_no_use_without_it() {
    let provider = Provider::start_with_proofs(LIFE).await;
    let resource = Resource::start(&provider.issuer).await;
    let (key, issuer) = (DpopKey::generate(), Issuer::new(&provider.issuer).expect("an issuer"));
    let login = McpLogin::new(resource.url.clone(), ClientMetadata::new("Test"), User::alice().agent(), egress())
        .with_client(issuer.clone(), client())
        .with_scopes(scopes("openid mcp:read"))
        .with_dpop(key.clone());
    let manager = TokenManager::builder(login.clone()).with_login_on_demand().build();
    let http =
        TokenLayer::new(manager.clone()).with_dpop(key.clone()).layer(ReqwestService::new(reqwest::Client::new()));
    let ask = async || {
        let request = http::Request::post(resource.url.as_str()).body(Bytes::new()).expect("a request");
        http.clone().oneshot(request).await.expect("a response").status()
    };

    assert_eq!(ask().await, StatusCode::OK, "after a login, and with the nonces of both servers");
    assert_eq!(provider.count("POST /token 200").await, 1);
    let asked_for_nonce = provider.count("POST /token 400").await;
    assert_eq!(asked_for_nonce, 1, "the first proof has no nonce");
    let first = manager.acquire().await.expect("a token");
    for round in 2..=3 {
        sleep(Duration::from_secs(LIFE.into()) + Duration::from_millis(100)).await;
        let statuses = join_all((0..20).map(|_| ask())).await;
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
        assert_eq!(provider.count("POST /token 200").await, round, "one exchange");
    }
    assert_ne!(manager.acquire().await.expect("a token").expose_secret(), first.expose_secret());

    // A token without its key: as a bearer token, and with a proof of another key.
    let token = manager.acquire().await.expect("a token");
    let send = async |headers: HeaderMap| {
        let request = reqwest::Client::new().post(resource.url.as_str()).headers(headers);
        request.send().await.expect("a response").status()
    };
    let bearer = HeaderMap::from_iter([(header::AUTHORIZATION, token.authorization())]);
    assert_eq!(send(bearer).await, StatusCode::UNAUTHORIZED);
    let url = resource.url.as_str().parse().expect("a URL");
    for (presenter, status) in [(DpopKey::generate(), StatusCode::UNAUTHORIZED), (key.clone(), StatusCode::OK)] {
        let mut headers =
            HeaderMap::from_iter([("dpop-nonce".parse().expect("a name"), HeaderValue::from_static(NONCE))]);
        presenter.note_nonce(&url, &headers);
        headers.clear();
        presenter.authorize(&mut headers, &http::Method::POST, &url, token.token());
        assert_eq!(send(headers.clone()).await, status);
        assert_eq!(send(headers).await, StatusCode::UNAUTHORIZED, "a proof is accepted once");
    }

    // A refresh token without its key.
    let binding = login.resolve(None).await.expect("a binding");
    let tokens = login.obtain(&binding, &scopes("openid mcp:read")).await.expect("a login");
    let refresh_token = tokens.refresh_token.expect("a refresh token");
    let form =
        [("grant_type", "refresh_token"), ("client_id", "native"), ("refresh_token", refresh_token.expose_secret())];
    let request = reqwest::Client::new().post(format!("{}/token", provider.issuer)).form(&form);
    assert_eq!(request.send().await.expect("a response").status(), StatusCode::BAD_REQUEST);
    let endpoint = TokenEndpoint::discovered(egress(), issuer, client()).with_dpop(DpopKey::generate());
    let outcome = endpoint.request(&TokenRequest::refresh_token(&refresh_token)).await;
    assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Refused), "{outcome:?}");
    assert_eq!(manager.shutdown().await, 0);
}
