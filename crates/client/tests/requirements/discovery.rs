//! From the URL of an MCP server to its authorization server.

use portcullis_client::{Challenge, Discovery, Grant as _, GrantErrorKind, ResourceUri};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_oauth::registration::ClientMetadata;
use portcullis_test_support::{Endpoint, Fault};
use serde_json::json;

use crate::fixture::{PATH_INSERTED, ROOT, World, authorization_server, causes, egress, issuer, log_in};

#[tokio::test]
async fn cl_01_the_metadata_of_the_resource_names_the_authorization_server() {
    let world = World::new().await;
    let binding = world.grant().resolve(None).await.expect("as arranged");
    assert_eq!(binding.issuer, issuer(&world.provider));
    assert_eq!(binding.resource, world.resource());
    assert_eq!(world.site.requests(), [PATH_INSERTED]);
}

#[tokio::test]
async fn cl_02_both_kinds_of_metadata_are_understood() {
    for silent in [Endpoint::AuthorizationServerMetadata, Endpoint::OpenIdConfiguration] {
        let world = World::new().await;
        world.provider.set_fault(silent, Fault::status(404));
        assert!(log_in(&world.grant()).await.is_ok(), "without {silent:?}");
    }
}

#[tokio::test]
async fn cl_03_the_challenge_says_where_the_metadata_is() {
    let world = World::new().await;
    world.site.describe("/elsewhere", &world.site.url("/mcp"), &[&world.provider.issuer()]);
    let challenge = world.site.challenge("/elsewhere");
    assert!(world.grant().resolve(Some(&challenge)).await.is_ok());
    assert_eq!(world.site.requests(), ["/elsewhere"]);
}

#[tokio::test]
async fn cl_03_a_place_that_cannot_be_fetched_is_no_reason_to_ignore_the_well_known_ones() {
    let world = World::new().await;
    world.site.publish("/broken", 503, &json!({}));
    let (absent, broken) = (world.site.url("/absent"), world.site.url("/broken"));
    for place in [&*absent, &*broken, "/relative", "https://169.254.169.254/latest", "http://127.0.0.1:1/metadata"] {
        let challenge = Challenge::bearer().with("resource_metadata", place);
        let binding = world.grant().resolve(Some(&challenge)).await.expect(place);
        assert_eq!(binding.issuer, issuer(&world.provider), "{place}");
    }
    world.site.withdraw(PATH_INSERTED);
    for place in [&*broken, "/relative", "https://169.254.169.254/latest", "http://127.0.0.1:1/metadata"] {
        let challenge = Challenge::bearer().with("resource_metadata", place);
        let text = causes(world.grant().resolve(Some(&challenge)).await);
        assert!(text.contains(place) && text.contains("there is none at the well-known URLs"), "{text}");
    }
    assert!(world.browser.state().opened.is_empty());
}

#[tokio::test]
async fn cl_03_without_a_challenge_the_path_is_inserted_and_then_left_out() {
    let world = World::new().await;
    world.site.withdraw(PATH_INSERTED);
    world.site.describe(ROOT, &world.site.url(""), &[&world.provider.issuer()]);
    let binding = world.grant().resolve(None).await.expect("as arranged");
    assert_eq!(world.site.requests(), [PATH_INSERTED, ROOT]);
    assert_eq!(binding.resource.as_str(), world.site.url(""), "the resource is called what its metadata says");
}

#[tokio::test]
async fn cl_03_metadata_of_another_resource_is_refused_before_the_user_sees_anything() {
    let world = World::new().await;
    for other in ["https://evil.example.com/mcp", &world.site.url("/other"), &world.site.url("/mcp/more")] {
        world.site.describe(PATH_INSERTED, other, &[&world.provider.issuer()]);
        let outcome = log_in(&world.grant()).await;
        assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured), "{other}");
        assert!(causes(outcome).contains(other), "the error names {other}");
    }
    assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), 0);
    assert!(world.browser.state().opened.is_empty());
}

#[tokio::test]
async fn cl_03_an_outage_is_not_taken_for_absent_metadata() {
    let world = World::new().await;
    world.site.publish(PATH_INSERTED, 503, &json!({}));
    let error = world.grant().resolve(None).await.expect_err("as arranged");
    assert_eq!(error.kind(), GrantErrorKind::NotSent);
    assert_eq!(world.site.requests(), [PATH_INSERTED], "no other place is asked");
}

#[tokio::test]
async fn cl_05_a_server_is_found_at_each_of_the_well_known_places() {
    let world = World::new().await;
    world.provider.set_fault(Endpoint::AuthorizationServerMetadata, Fault::status(404));
    world.grant().resolve(None).await.expect("as arranged");
    assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), 1);
    assert_eq!(world.provider.calls(Endpoint::OpenIdConfiguration), 1);
}

#[tokio::test]
async fn cl_06_a_server_that_calls_itself_otherwise_is_not_used() {
    let world = World::new().await;
    for name in [format!("{}/", world.provider.issuer()), world.provider.issuer().replace("127.0.0.1", "localhost")] {
        world.provider.set_metadata("issuer", name.clone().into());
        let outcome = log_in(&world.grant()).await;
        assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured), "{name}");
        assert!(causes(outcome).contains(&name));
    }
    assert_eq!(world.provider.calls(Endpoint::Registration), 0);
    assert!(world.browser.state().opened.is_empty());
}

/// The revision 2025-03-26 of MCP: there is no metadata of the resource, and its origin is the authorization server.
#[tokio::test]
async fn cl_03_without_metadata_of_the_resource_its_origin_is_the_authorization_server() {
    let world = World::new().await;
    world.site.withdraw(PATH_INSERTED);
    let origin = world.site.url("");
    world.site.publish(
        "/.well-known/oauth-authorization-server",
        200,
        &json!({
            "issuer": origin,
            "authorization_endpoint": world.provider.url("/authorize"),
            "token_endpoint": world.provider.url("/token"),
            "registration_endpoint": world.provider.url("/register"),
            "code_challenge_methods_supported": ["S256"],
        }),
    );
    // The provider names itself in its responses.
    world.provider.set_login_policy(
        portcullis_test_support::LoginPolicy::new().with_auto_login("alice").without_issuer_parameter(),
    );
    let (binding, _) = log_in(&world.grant()).await.expect("as arranged");
    assert_eq!(binding.issuer.as_str(), origin);
    assert_eq!(binding.resource, world.resource());
    assert_eq!(world.authorization()["resource"], world.resource().as_str());
}

/// The revision 2025-03-26 of MCP, Fallbacks for Servers without Metadata Discovery.
#[tokio::test]
async fn cl_03_without_any_metadata_the_endpoints_are_at_the_origin() {
    let (provider, _running) = authorization_server().await;
    for endpoint in [Endpoint::AuthorizationServerMetadata, Endpoint::OpenIdConfiguration] {
        provider.set_fault(endpoint, Fault::status(404));
    }
    let policy = portcullis_test_support::LoginPolicy::new().with_auto_login("alice").without_issuer_parameter();
    provider.set_login_policy(policy);
    let world = World::new().await;
    let resource = ResourceUri::new(&format!("{}/mcp", provider.issuer())).expect("as arranged");
    let agent = world.browser.agent();
    let grant = portcullis_client::McpLogin::new(resource, ClientMetadata::new("Test client"), agent, egress());
    let (binding, _) = log_in(&grant).await.expect("as arranged");
    assert_eq!(binding.issuer, issuer(&provider));
    assert_eq!((provider.calls(Endpoint::Registration), provider.calls(Endpoint::Token)), (1, 1));
}

#[tokio::test]
async fn cl_46_no_url_of_the_discovery_leads_into_a_private_network() {
    let world = World::new().await;
    // An egress as a server has it: loopback is a private network too.
    let discovery = Discovery::new(Egress::new(EgressConfig::new()).expect("as arranged"));
    assert!(discovery.resource(&world.resource(), None).await.is_err());
    assert!(discovery.server(&issuer(&world.provider)).await.is_err());
    // Its own documents cannot be fetched either.
    let public = ResourceUri::new("https://192.0.2.1/mcp").expect("as arranged");
    for location in [
        world.site.url(PATH_INSERTED),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/x".to_owned(),
        "https://[::ffff:127.0.0.1]/x".to_owned(),
        "http://example.com/x".to_owned(),
        "/relative".to_owned(),
    ] {
        let challenge = Challenge::bearer().with("resource_metadata", &location);
        let error = discovery.resource(&public, Some(&challenge)).await.expect_err("as arranged");
        assert_eq!(error.reason().as_str(), "client_refused", "{location}");
    }
    assert_eq!(world.site.requests(), [] as [&str; 0]);
    assert_eq!(world.provider.calls(Endpoint::AuthorizationServerMetadata), 0);
}

#[tokio::test]
async fn cl_46_an_endpoint_of_the_metadata_leads_into_no_private_network_and_no_redirect_is_followed() {
    let world = World::new().await;
    for (member, calls) in [("registration_endpoint", "registration"), ("token_endpoint", "token")] {
        world.provider.set_metadata(member, "https://169.254.169.254/latest".into());
        let outcome = log_in(&world.grant()).await;
        assert!(causes(outcome).contains("not allowed to call https://169.254.169.254/latest"), "{calls}");
        world
            .provider
            .set_metadata(member, world.provider.url(if calls == "token" { "/token" } else { "/register" }).into());
    }
    let redirect = http::Response::builder().status(307).header("location", world.site.url("/stolen"));
    world.provider.set_fault(Endpoint::Token, Fault::answer(redirect.body(bytes::Bytes::new()).expect("as arranged")));
    world.site.requests();
    assert!(log_in(&world.grant()).await.is_err());
    assert!(!world.site.requests().contains(&"/stolen".to_owned()));
}
