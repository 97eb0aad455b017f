//! Guarantee 15: how long metadata is used, and what makes it be fetched again.

use std::{sync::Arc, time::Duration};

use portcullis_client::{Discovery, Grant as _, GrantErrorKind, Issuer, ResourceUri};
use portcullis_egress::Egress;
use portcullis_test_support::{Endpoint, Fault, IdentityProvider, Network};
use secrecy::SecretString;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::advance;

use crate::fixture::{PATH_INSERTED, World, log_in};

const HOUR: Duration = Duration::from_hours(1);

/// A resource without a socket, so that time can be paused: its metadata, and how often it was fetched.
#[derive(Clone, Default)]
struct Documents {
    fetched: Arc<AtomicUsize>,
    response: Arc<std::sync::Mutex<(u16, Option<&'static str>, String)>>,
}

impl Documents {
    fn new(cache_control: Option<&'static str>) -> Self {
        let this = Self::default();
        this.set(200, cache_control, "https://mcp.example/mcp");
        this
    }

    fn set(&self, status: u16, cache_control: Option<&'static str>, resource: &str) {
        let body = json!({"resource": resource, "authorization_servers": [IdentityProvider::ISSUER]});
        *self.response.lock().expect("as arranged") = (status, cache_control, body.to_string());
    }

    fn discovery(&self) -> Discovery {
        let this = self.clone();
        let service = tower::service_fn(move |_: http::Request<bytes::Bytes>| {
            let this = this.clone();
            async move {
                this.fetched.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
                let (status, cache_control, body) = this.response.lock().expect("as arranged").clone();
                let response = http::Response::builder().status(status);
                let response = match cache_control {
                    Some(value) => response.header("cache-control", value),
                    None => response,
                };
                Ok::<_, std::io::Error>(response.body(bytes::Bytes::from(body)).expect("as arranged"))
            }
        });
        Discovery::new(Egress::from_service(service))
    }

    fn fetched(&self) -> usize {
        self.fetched.swap(0, Ordering::Relaxed)
    }
}

fn resource() -> ResourceUri {
    ResourceUri::new("https://mcp.example/mcp").expect("as arranged")
}

#[tokio::test(start_paused = true)]
async fn g15_metadata_is_used_for_the_lifetime_that_its_response_states() {
    for (cache_control, lifetime) in [
        (None, HOUR),
        (Some("max-age=60"), Duration::from_mins(1)),
        (Some("public, max-age=31536000"), 24 * HOUR),
        (Some("no-store"), Duration::ZERO),
    ] {
        let documents = Documents::new(cache_control);
        let discovery = documents.discovery();
        discovery.resource(&resource(), None).await.expect("as arranged");
        assert_eq!(documents.fetched(), 1);
        advance(lifetime.saturating_sub(Duration::from_secs(1))).await;
        discovery.resource(&resource(), None).await.expect("as arranged");
        assert_eq!(documents.fetched(), usize::from(lifetime.is_zero()), "{cache_control:?}");
        advance(Duration::from_secs(1)).await;
        discovery.resource(&resource(), None).await.expect("as arranged");
        assert_eq!(documents.fetched(), 1, "{cache_control:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn g15_callers_at_the_same_time_share_one_request_which_none_of_them_cancels() {
    let documents = Documents::new(None);
    let discovery = documents.discovery();
    let url = resource();
    let impatient = tokio::time::timeout(Duration::from_millis(10), discovery.resource(&url, None)).await;
    assert!(impatient.is_err());
    let all = futures_util::future::join_all((0..100).map(|_| discovery.resource(&url, None))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(documents.fetched(), 1);
}

#[tokio::test(start_paused = true)]
async fn g15_metadata_that_cannot_be_fetched_again_stays_in_use_for_a_day() {
    for status in [503, 404, 429] {
        let documents = Documents::new(None);
        let discovery = documents.discovery();
        discovery.resource(&resource(), None).await.expect("as arranged");
        documents.set(status, None, "https://mcp.example/mcp");
        advance(2 * HOUR).await;
        documents.fetched();
        assert!(discovery.resource(&resource(), None).await.expect("as arranged").is_some(), "{status}");
        assert!(discovery.resource(&resource(), None).await.expect("as arranged").is_some(), "{status}");
        assert!(documents.fetched() <= 3, "the failure is remembered for a time");
        advance(24 * HOUR).await;
        assert!(discovery.resource(&resource(), None).await.is_err(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn g15_metadata_that_must_not_be_used_replaces_what_was_known() {
    let documents = Documents::new(None);
    let discovery = documents.discovery();
    discovery.resource(&resource(), None).await.expect("as arranged");
    documents.set(200, None, "https://evil.example/mcp");
    advance(2 * HOUR).await;
    assert!(discovery.resource(&resource(), None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn g15_the_metadata_of_a_server_is_cached_by_its_issuer_and_can_be_invalidated() {
    let provider = IdentityProvider::new();
    let discovery = Discovery::new(Egress::from_service(Network::new().with_provider(&provider)));
    let issuer = Issuer::new(IdentityProvider::ISSUER).expect("as arranged");
    for _ in 0..3 {
        discovery.server(&issuer).await.expect("as arranged");
    }
    assert_eq!(provider.calls(Endpoint::AuthorizationServerMetadata), 1);
    discovery.invalidate_server(&issuer);
    discovery.server(&issuer).await.expect("as arranged");
    assert_eq!(provider.calls(Endpoint::AuthorizationServerMetadata), 2);
    provider.set_fault(Endpoint::AuthorizationServerMetadata, Fault::status(503));
    provider.set_fault(Endpoint::OpenIdConfiguration, Fault::status(503));
    discovery.invalidate_server(&issuer);
    assert!(discovery.server(&issuer).await.is_ok(), "the last document stays in use");
}

#[tokio::test]
async fn g15_a_challenge_makes_the_metadata_of_the_resource_be_fetched_again() {
    let world = World::new().await;
    let grant = world.grant();
    grant.resolve(None).await.expect("as arranged");
    grant.resolve(None).await.expect("as arranged");
    assert_eq!(world.site.requests(), [PATH_INSERTED], "without a challenge nothing is fetched");
    world.site.describe("/moved", world.resource().as_str(), &[&world.provider.issuer()]);
    grant.resolve(Some(&world.site.challenge("/moved"))).await.expect("as arranged");
    assert_eq!(world.site.requests(), ["/moved"]);
    // During an outage the authorization server in use remains.
    world.site.publish("/moved", 503, &json!({}));
    assert!(grant.resolve(Some(&world.site.challenge("/moved"))).await.is_ok());
}

#[tokio::test]
async fn g15_an_endpoint_that_is_gone_makes_the_metadata_be_fetched_again() {
    for status in [404, 405] {
        let world = World::new().await;
        let grant = world.grant();
        let (binding, tokens) = log_in(&grant).await.expect("as arranged");
        let refresh_token: SecretString = tokens.refresh_token.expect("as arranged");
        world.provider.set_fault(Endpoint::Token, Fault::status(status).times(1));
        assert!(grant.refresh(&binding, &refresh_token).await.is_err());
        let before = world.provider.calls(Endpoint::AuthorizationServerMetadata);
        grant.refresh(&binding, &refresh_token).await.expect("as arranged");
        assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), before + 1, "{status}");
    }
}

#[tokio::test]
async fn g15_a_rejected_client_makes_the_metadata_be_fetched_again() {
    let world = World::new().await;
    let grant = world.grant();
    let (binding, tokens) = log_in(&grant).await.expect("as arranged");
    world.provider.set_fault(Endpoint::Token, Fault::status(401).times(1));
    let error = grant.refresh(&binding, &tokens.refresh_token.expect("as arranged")).await.expect_err("as arranged");
    assert_eq!(error.kind(), GrantErrorKind::Misconfigured);
    let before = world.provider.calls(Endpoint::AuthorizationServerMetadata);
    grant.resolve(None).await.expect("as arranged");
    assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), before + 1);
}
