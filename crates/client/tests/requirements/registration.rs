//! Which client this application is at an authorization server.

use std::sync::Arc;

use portcullis_client::{Grant as _, GrantErrorKind, NoClientError, UserAgent, collections};
use portcullis_core::{Clock as _, SystemClock};
use portcullis_oauth::{
    ClientAuthentication,
    assertion::{self, ClientAssertionPolicy},
    jwt::{KeySet, SigningKey},
    registration::ClientDocumentUrl,
};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_test_support::{Endpoint, Fault, IdentityProvider};
use serde_json::{Value, json};

use crate::fixture::{PATH_INSERTED, World, authorization, authorization_server, causes, issuer, log_in, log_in_after};

const DOCUMENT: &str = "https://app.example.com/client.json";

fn store() -> SealedStore {
    SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("as arranged")
}

fn document() -> ClientDocumentUrl {
    ClientDocumentUrl::new(DOCUMENT).expect("as arranged")
}

fn configured() -> ClientAuthentication {
    ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into())
}

/// Accepts the URL of the document as the id of a client.
fn accept_document(provider: &IdentityProvider) {
    provider.set_metadata("client_id_metadata_document_supported", true.into());
    provider.set_public_client(DOCUMENT);
}

#[tokio::test]
async fn cl_07_each_authorization_server_has_a_client_of_its_own() {
    let (world, store) = (World::new().await, store());
    let (second, _running) = authorization_server().await;
    let grant = world.grant().with_store(store);
    let (first_binding, _) = log_in(&grant).await.expect("as arranged");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    let (second_binding, _) =
        log_in_after(&grant, Some(&world.site.challenge(PATH_INSERTED)), "").await.expect("as arranged");
    assert_ne!(first_binding.grant_id("code"), second_binding.grant_id("code"), "other tokens");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&world.provider.issuer()]);
    let back = grant.resolve(Some(&world.site.challenge(PATH_INSERTED))).await.expect("as arranged");
    assert_eq!(back, first_binding, "the first client is still registered at the first server");
    assert_eq!((world.provider.calls(Endpoint::Registration), second.calls(Endpoint::Registration)), (1, 1));
}

#[tokio::test]
async fn cl_08_nothing_of_the_first_authorization_server_is_sent_to_the_second() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    // So that a client of the first server would have another id than one of the second.
    assert!(!second.token("bob").jwt().is_empty());
    let grant = world.grant();
    let (first, tokens) = log_in(&grant).await.expect("as arranged");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    log_in_after(&grant, Some(&world.site.challenge(PATH_INSERTED)), "").await.expect("as arranged");
    let seen = second.last_request(Endpoint::Token).expect("as arranged");
    let seen = format!(
        "{} {}",
        second.last_request(Endpoint::Authorization).expect("as arranged").uri(),
        String::from_utf8_lossy(seen.body())
    );
    assert!(!seen.contains(&format!("client_id={}&", first.client_id)), "{seen}");
    assert!(
        !seen.contains(&secrecy::ExposeSecret::expose_secret(&tokens.refresh_token.expect("as arranged")).to_owned())
    );
    assert_eq!(world.provider.calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn cl_09_without_a_way_to_a_client_id_the_user_is_not_sent_anywhere() {
    let world = World::new().await;
    world.provider.set_metadata("registration_endpoint", Value::Null);
    let outcome = log_in(&world.grant().with_client_document(document())).await;
    assert!(causes(outcome).contains("register the client there and configure its id"));
    assert!(world.browser.state().opened.is_empty());
}

#[tokio::test]
async fn cl_10_a_configured_client_comes_before_the_document_and_that_before_registration() {
    let world = World::new().await;
    accept_document(&world.provider);
    let grant = || world.grant().with_client_document(document());
    let all = grant().with_client(issuer(&world.provider), configured());
    assert_eq!(&*log_in(&all).await.expect("as arranged").0.client_id, IdentityProvider::CLIENT_ID);
    assert_eq!(&*log_in(&grant()).await.expect("as arranged").0.client_id, DOCUMENT);
    assert_eq!(world.provider.calls(Endpoint::Registration), 0);
    let (registered, _) = log_in(&world.grant()).await.expect("as arranged");
    assert!(registered.client_id.starts_with("registered-"));
}

#[tokio::test]
async fn cl_11_the_url_of_the_document_is_the_client_id() {
    let world = World::new().await;
    accept_document(&world.provider);
    log_in(&world.grant().with_client_document(document())).await.expect("as arranged");
    assert_eq!(world.authorization()["client_id"], DOCUMENT);
    assert_eq!(world.token_request()["client_id"], DOCUMENT);
    assert!(!world.token_request().contains_key("client_secret"));
}

#[tokio::test]
async fn cl_13_the_client_of_a_document_with_a_key_signs_an_assertion_for_each_token_request() {
    let world = World::new().await;
    accept_document(&world.provider);
    let key = SigningKey::generate();
    let keys = KeySet::parse(json!({"keys": [key.jwk()]}).to_string().as_bytes()).expect("as arranged");
    let grant = world.grant().with_confidential_client_document(document(), key);
    let (binding, tokens) = log_in(&grant).await.expect("as arranged");
    let first = world.token_request();
    grant.refresh(&binding, &tokens.refresh_token.expect("as arranged")).await.expect("as arranged");
    let second = world.token_request();
    assert_ne!(first["client_assertion"], second["client_assertion"]);
    for request in [first, second] {
        assert_eq!(request["client_id"], DOCUMENT);
        let policy = ClientAssertionPolicy::new(DOCUMENT, issuer(&world.provider));
        let jwt = assertion::parse(&request["client_assertion"].as_str().into()).expect("a JWT");
        let jwt = policy.check_header(jwt).expect("of its type");
        let signed = { keys.select(&jwt).expect("the key").clone() };
        let jwt = jwt.verify(&signed).expect("signed by the key");
        policy.check(jwt, SystemClock::new().now()).expect("for this authorization server");
    }
}

#[tokio::test]
async fn cl_14_a_document_that_the_server_does_not_advertise_is_not_used() {
    let world = World::new().await;
    let (binding, _) = log_in(&world.grant().with_client_document(document())).await.expect("as arranged");
    assert!(binding.client_id.starts_with("registered-"));
}

#[tokio::test]
async fn cl_15_a_configured_client_needs_no_registration() {
    let world = World::new().await;
    world.provider.set_metadata("registration_endpoint", Value::Null);
    let grant = world.grant().with_client(issuer(&world.provider), configured());
    let (_, tokens) = log_in(&grant).await.expect("as arranged");
    assert!(tokens.refresh_token.is_some());
    assert_eq!(world.authorization()["client_id"], IdentityProvider::CLIENT_ID);
}

#[tokio::test]
async fn cl_16_a_client_registers_once_also_with_a_secret_and_across_restarts() {
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let (world, store) = (World::new().await, store());
        world.provider.set_metadata("token_endpoint_auth_methods_supported", json!([method]));
        let (binding, tokens) = log_in(&world.grant().with_store(store.clone())).await.expect("as arranged");
        assert_eq!(world.registration()["token_endpoint_auth_method"], method);
        // Another process with the same store, and the stored binding: nothing is discovered before it is needed.
        let restarted = world.grant().with_store(store.clone());
        let refreshed =
            restarted.refresh(&binding, &tokens.refresh_token.expect("as arranged")).await.expect("as arranged");
        assert!(refreshed.refresh_token.is_some(), "{method}");
        let (again, _) = log_in(&world.grant().with_store(store)).await.expect("as arranged");
        assert_eq!(again, binding);
        assert_eq!(world.provider.calls(Endpoint::Registration), 1, "{method}");
    }
}

#[tokio::test]
async fn cl_16_the_method_without_a_secret_is_registered_else_the_first_that_the_server_lists() {
    for (listed, expected) in [
        (json!(["client_secret_post", "client_secret_basic", "none"]), "none"),
        (json!(["private_key_jwt", "client_secret_post", "client_secret_basic"]), "client_secret_post"),
        (json!(["client_secret_basic", "client_secret_post"]), "client_secret_basic"),
    ] {
        let world = World::new().await;
        world.provider.set_metadata("token_endpoint_auth_methods_supported", listed);
        log_in(&world.grant()).await.expect("as arranged");
        assert_eq!(world.registration()["token_endpoint_auth_method"], expected);
    }
}

#[tokio::test]
async fn cl_16_of_many_at_once_one_registers() {
    let world = World::new().await;
    let grant = world.grant();
    let bindings = futures_util::future::join_all((0..50).map(|_| grant.resolve(None))).await;
    assert!(
        bindings
            .iter()
            .all(|binding| binding.as_ref().is_ok_and(|own| own == bindings[0].as_ref().expect("as arranged")))
    );
    assert_eq!(world.provider.calls(Endpoint::Registration), 1);
}

#[tokio::test]
async fn cl_16_a_client_that_the_server_has_forgotten_registers_again() {
    let world = World::new().await;
    let grant = world.grant();
    let (first, tokens) = log_in(&grant).await.expect("as arranged");
    world.provider.remove_client(&first.client_id);
    let refused = grant.refresh(&first, &tokens.refresh_token.expect("as arranged")).await.expect_err("as arranged");
    assert_eq!(refused.kind(), GrantErrorKind::Misconfigured);
    let (second, _) = log_in(&grant).await.expect("as arranged");
    assert_ne!(first.client_id, second.client_id);
    assert_eq!(world.provider.calls(Endpoint::Registration), 2);
    let stale = grant.obtain(&first, &first.scopes).await;
    assert!(causes(stale).contains("is not registered"), "the old id is not used any more");
}

#[tokio::test]
async fn cl_16_a_client_that_the_store_has_lost_registers_again() {
    let (world, store) = (World::new().await, store());
    let grant = world.grant().with_store(store.clone());
    let (first, _) = log_in(&grant).await.expect("as arranged");
    let page = store.page::<Value>(collections::REGISTRATIONS, None, 9).await.expect("as arranged");
    for (key, record) in page {
        assert!(store.remove(key, record.expect("as arranged").version).await.expect("as arranged"));
    }
    let (second, _) = log_in(&grant).await.expect("a client is registered before the user is asked");
    assert_ne!(first.client_id, second.client_id);
    assert!(causes(grant.obtain(&first, &first.scopes).await).contains("is not registered"));
}

#[tokio::test]
async fn cl_17_a_registration_says_what_kind_of_application_it_is() {
    let world = World::new().await;
    log_in(&world.grant()).await.expect("as arranged");
    assert_eq!(world.registration()["application_type"], "native");
    let web = UserAgent::custom("https://app.example.com/callback", |_| async { Err("no browser".into()) });
    let web = world.grant_with(web);
    web.resolve(None).await.expect("as arranged");
    assert_eq!(world.registration()["application_type"], "web");
}

#[tokio::test]
async fn cl_19_a_refused_registration_says_why_and_is_not_an_outage() {
    let world = World::new().await;
    let body = json!({"error": "invalid_redirect_uri", "error_description": "loopback is not allowed"}).to_string();
    let refusal = http::Response::builder().status(400).header("content-type", "application/json").body(body.into());
    world.provider.set_fault(Endpoint::Registration, Fault::answer(refusal.expect("as arranged")));
    let outcome = log_in(&world.grant()).await;
    assert!(outcome.as_ref().is_err_and(|error| error.kind() == GrantErrorKind::Misconfigured));
    let text = causes(outcome);
    for part in ["invalid_redirect_uri", "loopback is not allowed", "http://127.0.0.1:"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    world.provider.set_fault(Endpoint::Registration, Fault::status(503));
    let outage = log_in(&world.grant()).await.expect_err("as arranged");
    assert_eq!(outage.kind(), GrantErrorKind::Transient);
}

#[tokio::test]
async fn cl_20_a_client_registers_anew_when_the_authorization_server_changes() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let grant = world.grant();
    log_in(&grant).await.expect("as arranged");
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &[&second.issuer()]);
    let (binding, _) = log_in_after(&grant, Some(&world.site.challenge(PATH_INSERTED)), "").await.expect("as arranged");
    assert_eq!(binding.issuer, issuer(&second));
    assert_eq!(second.calls(Endpoint::Registration), 1);
    assert_eq!(authorization(&second)["client_id"], *binding.client_id);
}

#[tokio::test]
async fn cl_20_the_authorization_server_in_use_is_kept_while_the_resource_names_it() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let grant = world.grant();
    let binding = grant.resolve(None).await.expect("as arranged");
    let both = [&*second.issuer(), &world.provider.issuer()];
    world.site.describe(PATH_INSERTED, world.resource().as_str(), &both);
    assert_eq!(grant.resolve(Some(&world.site.challenge(PATH_INSERTED))).await.expect("as arranged"), binding);
}

#[tokio::test]
async fn cl_21_a_configured_client_of_another_server_is_an_error_and_a_document_is_portable() {
    let world = World::new().await;
    let (second, _running) = authorization_server().await;
    let grant = || world.grant().with_client(issuer(&second), configured());
    let error = grant().resolve(None).await.expect_err("as arranged");
    let source = std::error::Error::source(error.cause()).and_then(|source| source.downcast_ref());
    let expected = NoClientError::OtherIssuer { issuer: world.provider.issuer(), configured: vec![second.issuer()] };
    assert_eq!(source, Some(&expected));
    assert_eq!(world.provider.calls(Endpoint::Registration), 0, "nothing is registered in its place");
    accept_document(&world.provider);
    let portable = grant().with_client_document(document());
    assert_eq!(&*portable.resolve(None).await.expect("as arranged").client_id, DOCUMENT);
}

#[tokio::test]
async fn cl_44_another_redirect_uri_is_another_registration() {
    let (world, store) = (World::new().await, store());
    let elsewhere = || UserAgent::custom("https://app.example.com/callback", |_| async { Err("no browser".into()) });
    let resolve = async |agent| {
        let grant = world.grant_with(agent).with_store(store.clone());
        grant.resolve(None).await.expect("as arranged").client_id
    };
    let first = resolve(world.browser.agent()).await;
    let second = resolve(elsewhere()).await;
    assert_ne!(first, second, "the first client may not be redirected there");
    assert_eq!((resolve(world.browser.agent()).await, resolve(elsewhere()).await), (first, second), "on any port");
    assert_eq!(world.provider.calls(Endpoint::Registration), 2);
}

#[tokio::test]
async fn cl_44_the_redirect_uri_is_the_registered_one() {
    let world = World::new().await;
    let grant = world.grant();
    log_in(&grant).await.expect("as arranged");
    let registered = world.registration()["redirect_uris"][0].as_str().expect("as arranged").to_owned();
    assert_eq!(world.authorization()["redirect_uri"], registered);
    assert_eq!(world.token_request()["redirect_uri"], registered);
    log_in(&grant).await.expect("as arranged");
    assert_eq!(world.authorization()["redirect_uri"], registered, "the second login has the same port");
}
