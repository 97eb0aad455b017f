//! A provider that answers with the messages of one row.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, providers::Provider, revocation::RevokedTokens};
use portcullis_testkit::{Endpoint, IdentityProvider, TestClock};
use portcullis_upstream::ProviderClient;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) const NONCE: &str = "n-0S6_WzA2Mj";

/// The messages of a provider, and what it was asked.
#[derive(Clone)]
pub(crate) struct Stub(Arc<Inner>);

struct Inner {
    row: Value,
    provider: Provider,
    id_token: String,
    signed_profile: String,
    keys: Bytes,
    is_dead: AtomicBool,
    asked: Mutex<Vec<(Uri, String)>>,
}

impl Stub {
    /// Creates a stub that signs the ID token of the row, if it has one, for the client `app`.
    pub(crate) async fn new(row: Value, provider: Provider, clock: &TestClock) -> Self {
        let signer = IdentityProvider::new().with_clock(Arc::new(clock.clone()));
        let claims = row["id_token"].as_object().cloned().unwrap_or_default();
        let token = signer.token("ada").with_header("typ", "JWT").with_audience("app").with_claim("nonce", NONCE);
        let token = token.without_claim("client_id").with_claim("iss", provider.issuer().as_str());
        let id_token = claims.into_iter().fold(token, |token, (name, value)| token.with_claim(&name, value)).jwt();
        let profile = signer.token("ada").with_header("typ", "JWT").with_claim("iss", provider.issuer().as_str());
        let claims = row["signed_profile"].as_object().cloned().unwrap_or_default();
        let signed_profile =
            claims.into_iter().fold(profile, |profile, (name, value)| profile.with_claim(&name, value)).jwt();
        let request = Request::get(signer.endpoint_url(Endpoint::KeySet)).body(Bytes::new()).expect("request");
        let keys = signer.oneshot(request).await.expect("keys").into_body();
        let (is_dead, asked) = (AtomicBool::default(), Mutex::default());
        Self(Arc::new(Inner { row, provider, id_token, signed_profile, keys, is_dead, asked }))
    }

    pub(crate) fn client(&self, provider: Provider, app: ClientAuthentication, clock: TestClock) -> ProviderClient {
        let stub = self.clone();
        let egress = Egress::from_service(tower::service_fn(move |request: Request<Bytes>| {
            let response = stub.answer(&request);
            async move { Ok::<_, std::convert::Infallible>(response) }
        }));
        ProviderClient::new(provider, app, egress).with_clock(Arc::new(clock))
    }

    /// Ends the grant.
    pub(crate) fn kill(&self) {
        self.0.is_dead.store(true, Ordering::Relaxed);
    }

    /// Returns the access token of the login.
    pub(crate) fn access_token(&self) -> &str {
        let login = &self.0.row["login"];
        login["access_token"].as_str().or_else(|| login["authed_user"]["access_token"].as_str()).expect("a token")
    }

    pub(crate) fn last_body(&self) -> String {
        self.0.asked.lock().expect("lock").last().expect("a request").1.clone()
    }

    pub(crate) fn sends_verifier(&self) -> bool {
        self.bodies("authorization_code").iter().any(|(_, body)| body.contains("code_verifier"))
    }

    /// Reports whether refreshes go to another URL than codes.
    pub(crate) fn refresh_is_elsewhere(&self) -> bool {
        let refreshes: Vec<_> = self.bodies("refresh_token").into_iter().filter(|(_, body)| is_refresh(body)).collect();
        refreshes.iter().all(|(uri, _)| uri != self.0.provider.token_endpoint())
    }

    fn bodies(&self, part: &str) -> Vec<(Uri, String)> {
        self.0.asked.lock().expect("lock").iter().filter(|(_, body)| body.contains(part)).cloned().collect()
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let Inner { row, provider, id_token, signed_profile, keys, is_dead, asked } = &*self.0;
        let body = String::from_utf8_lossy(request.body()).into_owned();
        asked.lock().expect("lock").push((request.uri().clone(), body.clone()));
        let app = ClientAuthentication::basic("app", "s3cret".into());
        let token = portcullis_core::BearerToken::issued(self.access_token()).expect("token");
        let revocation = provider.revocation_request(&app, RevokedTokens::new(&token, None));
        if body.contains("authorization_code") {
            let login = row["login"].to_string().replace("(signed)", id_token);
            return json(200, &serde_json::from_str(&login).expect("JSON"));
        }
        if is_refresh(&body) {
            if is_dead.load(Ordering::Relaxed) {
                let status = u16::try_from(row["dead"][0].as_u64().expect("status")).expect("status");
                return json(status, &row["dead"][1]);
            }
            return json(200, &row["refresh"]);
        }
        if Some(request.uri()) == provider.jwks_uri() {
            return Response::builder().header("content-type", "application/json").body(keys.clone()).expect("keys");
        }
        if revocation.is_some_and(|revocation| revocation.uri() == request.uri()) {
            let status = u16::try_from(row["revoke"][0].as_u64().expect("status")).expect("status");
            return match &row["revoke"][1] {
                Value::Null => Response::builder().status(status).body(Bytes::new()).expect("response"),
                body => json(status, body),
            };
        }
        match provider.profile_request(&token) {
            Some(profile) if profile.uri() == request.uri() && row["profile"] == "(signed)" => {
                let response = Response::builder().header("content-type", "application/jwt");
                response.body(signed_profile.clone().into()).expect("response")
            }
            Some(profile) if profile.uri() == request.uri() && !row["profile"].is_null() => json(200, &row["profile"]),
            _ => Response::builder().status(404).body(Bytes::new()).expect("response"),
        }
    }
}

fn is_refresh(body: &str) -> bool {
    body.contains("grant_type=refresh_token") || body.contains(r#""grant_type":"refresh_token""#)
}

/// Returns a response with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    response.body(body.to_string().into()).expect("response")
}
