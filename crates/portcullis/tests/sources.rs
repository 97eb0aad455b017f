//! A source of invalid tokens does not use up the calls of other sources to the authorization server.
#![cfg(feature = "verify")]

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode, Uri, header};
use portcullis::{
    AuthConfig, AuthError, AuthLayer, Issuer, ResourceUri,
    egress::Egress,
    oauth::{ClientAuthentication, introspection::IntrospectionPolicy, protected_resource::ProtectedResourceMetadata},
    types::RequestSource,
    verify::{Cache, CacheConfig, IntrospectionVerifier},
};
use tokio::{
    task::JoinSet,
    time::{advance, sleep},
};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

const ISSUER: &str = "https://idp.example.test";
const RESOURCE: &str = "https://mcp.example.test/mcp";
const JUNK: &str = "192.0.2.66";
const OTHER: &str = "192.0.2.7";

type Server = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A server whose authorization server accepts tokens that begin with `good`, and the number of calls.
fn server() -> (Server, Arc<AtomicUsize>) {
    let calls = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&calls);
    let introspection = service_fn(move |request: Request<Bytes>| {
        counted.fetch_add(1, Relaxed);
        let is_good = String::from_utf8_lossy(request.body()).contains("token=good");
        let members = format!(r#","sub":"ada","aud":"{RESOURCE}","exp":4000000000"#);
        let body = if is_good { format!(r#"{{"active":true{members}}}"#) } else { r#"{"active":false}"#.to_owned() };
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json").body(Bytes::from(body));
        async move {
            sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>(response.expect("a response"))
        }
    });
    let issuer = || Issuer::new(ISSUER).expect("issuer");
    let resource = || ResourceUri::new(RESOURCE).expect("resource");
    let client = ClientAuthentication::basic("gate", "secret".into());
    let policy = IntrospectionPolicy::new(issuer(), resource());
    let egress = Egress::from_service(introspection);
    let verifier = IntrospectionVerifier::new(policy, client, egress)
        .with_endpoint(Uri::from_static("https://idp.example.test/introspect"));
    let metadata = ProtectedResourceMetadata::new(resource(), issuer());
    let config = AuthConfig::new(metadata, Cache::around(verifier, CacheConfig::new()));
    let mcp = service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let service = AuthLayer::new(config).layer(mcp).map_response(|response: Response<_>| response.map(Body::new));
    (BoxCloneSyncService::new(service), calls)
}

async fn response(server: &Server, token: &str, source: Option<&str>) -> Response<Body> {
    let mut request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(source) = source {
        let address: IpAddr = source.parse().expect("an address");
        request = request.extension(RequestSource::new(address));
    }
    server.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("a response")
}

async fn status(server: &Server, token: &str, source: Option<&str>) -> StatusCode {
    response(server, token, source).await.status()
}

/// Sends `tokens` concurrently, and counts the responses with 401 and 503.
async fn junk(server: &Server, tokens: std::ops::Range<usize>, source: Option<&'static str>) -> (usize, usize) {
    let mut requests = JoinSet::new();
    for n in tokens {
        let server = server.clone();
        requests.spawn(async move { status(&server, &format!("junk-{n}"), source).await });
    }
    let statuses = requests.join_all().await;
    let of = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(of(StatusCode::UNAUTHORIZED) + of(StatusCode::SERVICE_UNAVAILABLE), statuses.len());
    (of(StatusCode::UNAUTHORIZED), of(StatusCode::SERVICE_UNAVAILABLE))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_invalid_tokens_of_one_source_cause_a_hundred_calls_and_no_limit_for_other_sources() {
    let (server, calls) = server();
    assert_eq!(status(&server, "good-before", Some(JUNK)).await, StatusCode::OK);
    assert_eq!(junk(&server, 0..1_000, Some(JUNK)).await, (100, 900));
    assert_eq!(calls.load(Relaxed), 101);

    let limited = response(&server, "good-new", Some(JUNK)).await;
    assert_eq!(limited.status(), StatusCode::SERVICE_UNAVAILABLE, "a new token of the same source");
    assert_eq!(limited.extensions().get::<AuthError>().map(|error| error.reason().as_str()), Some("source_limited"));
    assert_eq!(limited.headers()[header::RETRY_AFTER], "1");
    assert_eq!(status(&server, "good-before", Some(JUNK)).await, StatusCode::OK, "one that is remembered");
    assert_eq!(status(&server, "good-other", Some(OTHER)).await, StatusCode::OK, "a new token of another source");

    advance(Duration::from_secs(10)).await;
    assert_eq!(junk(&server, 1_000..2_000, Some(JUNK)).await, (10, 990), "one more call a second");
    assert_eq!(calls.load(Relaxed), 112);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_accepted_tokens_of_one_source_at_once_are_not_counted() {
    let (server, calls) = server();
    let mut requests = JoinSet::new();
    for n in 0..1_000 {
        let server = server.clone();
        requests.spawn(async move { status(&server, &format!("good-{n}"), Some(JUNK)).await });
    }
    let accepted = requests.join_all().await.into_iter().filter(|status| *status == StatusCode::OK).count();
    assert_eq!((accepted, calls.load(Relaxed)), (1_000, 1_000));
    assert_eq!(junk(&server, 0..101, Some(JUNK)).await, (100, 1), "all of them were given back");
}

#[tokio::test(start_paused = true)]
async fn requests_without_a_source_are_not_limited() {
    let (server, calls) = server();
    assert_eq!((junk(&server, 0..1_000, None).await, calls.load(Relaxed)), ((1_000, 0), 1_000));
}
