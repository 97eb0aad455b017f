//! The client of the token endpoint: authentication, errors, metadata.

use std::time::Duration;

use http::Response;
use portcullis_client::{
    AcquireError, ClientCredential, Grant, GrantErrorKind, TokenEndpoint, TokenManager,
    grants::{ClientCredentials, CrossAppAccess, JwtBearer, RefreshTokenGrant, TokenExchange, TokenTarget},
};
use portcullis_core::{Clock as _, SystemClock};
use portcullis_egress::{Egress, EgressConfig};
use portcullis_oauth::{
    ClientAuthentication, TokenRequest,
    assertion::{self, ClientAssertionPolicy},
    jwt::{KeySet, SigningKey},
    token_type,
};
use portcullis_testkit::{Endpoint, IdentityProvider};
use serde_json::json;
use tokio::time::sleep;

use crate::server::{ISSUER, RESOURCE, Server, answer, issuer, refusal, resource, scopes, source, tokens};

#[tokio::test]
async fn cl_31_every_token_request_names_the_resource_byte_for_byte() {
    let refresh_token = "rt".into();
    for index in 0..4 {
        let server = Server::answering([tokens(json!({})), tokens(json!({}))]);
        let target = server.target().with_scopes(scopes("mcp:read"));
        let grant: Box<dyn Grant> = match index {
            0 => Box::new(ClientCredentials::new(target)),
            1 => Box::new(RefreshTokenGrant::new(target, "imported".into())),
            2 => Box::new(JwtBearer::new(target, source("workload"))),
            _ => Box::new(TokenExchange::new(target, "alice", source("user"), token_type::ACCESS_TOKEN)),
        };
        let binding = grant.resolve(None).await.unwrap();
        assert_eq!(
            (binding.resource.as_str(), binding.issuer.as_str(), &*binding.client_id),
            (RESOURCE, ISSUER, "app")
        );
        grant.obtain(&binding, &binding.scopes).await.unwrap();
        let seen = server.last();
        let asked = if index == 1 { "" } else { "mcp:read" };
        assert_eq!((seen.field("resource"), seen.field("scope")), (RESOURCE, asked), "{}", grant.name());
        grant.refresh(&binding, &refresh_token).await.unwrap();
        let seen = server.last();
        assert_eq!(
            (seen.field("grant_type"), seen.field("refresh_token")),
            ("refresh_token", "rt"),
            "{}",
            grant.name()
        );
        assert_eq!((seen.field("resource"), seen.field("scope")), (RESOURCE, ""), "{}", grant.name());
    }
}

#[tokio::test]
async fn the_client_authenticates_itself_by_secret_in_header_or_form_or_not_at_all() {
    for (client, header, fields) in [
        (ClientAuthentication::public("app"), false, ["app", ""]),
        (ClientAuthentication::basic("app", "hush".into()), true, ["", ""]),
        (ClientAuthentication::post("app", "hush".into()), false, ["app", "hush"]),
    ] {
        let server = Server::answering([tokens(json!({}))]);
        server.endpoint(client).request(&TokenRequest::client_credentials()).await.unwrap();
        let seen = server.last();
        assert_eq!(seen.headers.contains_key("authorization"), header);
        assert_eq!([seen.field("client_id"), seen.field("client_secret")], fields);
    }
}

#[tokio::test]
async fn a_private_key_signs_an_assertion_for_each_request_for_the_issuer_alone() {
    for is_explicit in [false, true] {
        let key = SigningKey::generate();
        let keys = KeySet::parse(json!({"keys": [key.jwk()]}).to_string().as_bytes()).unwrap();
        let credential = ClientCredential::private_key_jwt("app", key);
        let credential = if is_explicit { credential.with_explicit_type() } else { credential };
        let server = Server::answering([tokens(json!({})), tokens(json!({}))]);
        let endpoint = server.endpoint(credential);
        let policy = ClientAssertionPolicy::new("app", issuer(ISSUER));
        let mut ids = Vec::new();
        for _ in 0..2 {
            endpoint.request(&TokenRequest::client_credentials()).await.unwrap();
            let seen = server.last();
            assert_eq!(seen.field("client_id"), "app");
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            assert_eq!(seen.field("client_assertion_type"), kind);
            let jwt = assertion::parse(&seen.field("client_assertion").into()).unwrap();
            let jwt = policy.check_header(jwt).unwrap();
            let signed = { keys.select(&jwt).unwrap().clone() };
            let checked = policy.check(jwt.verify(&signed).unwrap(), SystemClock::new().now()).unwrap();
            ids.push(checked.jti().to_owned());
        }
        assert_ne!(ids[0], ids[1], "each is valid once");
    }
}

#[tokio::test]
async fn a_workload_presents_the_jwt_of_its_platform_as_its_authentication() {
    let server = Server::answering([tokens(json!({}))]);
    let endpoint = server.endpoint(ClientCredential::assertion("app", source("of.the.platform")));
    endpoint.request(&TokenRequest::client_credentials()).await.unwrap();
    assert_eq!(server.last().field("client_assertion"), "of.the.platform");
}

#[tokio::test]
async fn errors_say_what_became_of_the_credential() {
    use GrantErrorKind::{Ambiguous, Misconfigured, Refused, Transient, Unexplained};
    let bearer_less = tokens(json!({"token_type": "mac"}));
    let page = Response::builder().status(200).header("content-type", "text/html").body("<p>".into()).unwrap();
    for (what, answer, kind) in [
        ("refused", Some(refusal("invalid_grant")), Refused),
        ("another login is needed", Some(refusal("insufficient_user_authentication")), Refused),
        ("the client is refused", Some(refusal("invalid_client")), Misconfigured),
        ("the client is refused the grant type", Some(refusal("unauthorized_client")), Misconfigured),
        ("refused without a word", Some(answer(400, &json!({}))), Unexplained),
        ("an outage", Some(answer(503, &json!({}))), Transient),
        ("too many requests", Some(answer(429, &json!({}))), Transient),
        ("a gateway gave up", Some(answer(504, &json!({}))), Ambiguous),
        ("a token of another type", Some(bearer_less), Ambiguous),
        ("a page", Some(page), Ambiguous),
        ("no answer", None, Ambiguous),
    ] {
        let server = Server::answering(answer);
        let endpoint = server.endpoint(ClientAuthentication::public("app"));
        let error = endpoint.request(&TokenRequest::refresh_token(&"a-secret-token".into())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        assert!(!format!("{error:?} {error} {endpoint:?}").contains("a-secret-token"), "{what}");
        assert_eq!(server.seen().len(), 1, "{what}: nothing is retried");
    }
}

#[tokio::test]
async fn the_metadata_of_a_real_server_names_the_endpoint() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.unwrap();
    let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).unwrap();
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let endpoint = TokenEndpoint::discovered(egress, issuer(running.url()), client);
    let grant = ClientCredentials::new(TokenTarget::new(resource(), endpoint).with_scopes(scopes("mcp:read")));
    let binding = grant.resolve(None).await.unwrap();
    assert_eq!(binding.issuer.as_str(), running.url());
    let tokens = grant.obtain(&binding, &binding.scopes).await.unwrap();
    assert!(tokens.access_token.is_likely_jwt());
    assert_eq!(tokens.expires_in.map(|lifetime| lifetime.as_secs()), Some(600));
    assert_eq!(provider.calls(Endpoint::Token), 1);
    running.shutdown().await;
    let error = grant.obtain(&binding, &binding.scopes).await.unwrap_err();
    // Whether the closed connection was noticed before the request was written is a matter of time.
    assert!(matches!(error.kind(), GrantErrorKind::NotSent | GrantErrorKind::Transient), "{error:?}");
}

/// How often a manager presents a refresh token that is refused for a reason that no standard defines, and what callers get at last.
async fn refused_without_a_reason(client: ClientAuthentication) -> (usize, AcquireError) {
    let refused = || answer(400, &json!({"error": "session_gone"}));
    let first = tokens(json!({"refresh_token": "next", "expires_in": 60}));
    let server = Server::answering([first].into_iter().chain((0..50).map(|_| refused())));
    let target = TokenTarget::new(resource(), server.endpoint(client));
    let manager = TokenManager::builder(RefreshTokenGrant::new(target, "imported".into())).build();
    manager.acquire().await.expect("a token");
    sleep(Duration::from_mins(1)).await;
    let mut last = None;
    for _ in 0..30 {
        last = manager.acquire().await.err();
        sleep(Duration::from_secs(10)).await;
    }
    (server.seen().len() - 1, last.expect("an error"))
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_of_a_public_client_that_is_refused_again_and_again_is_dead() {
    let (presented, error) = refused_without_a_reason(ClientAuthentication::public("app")).await;
    assert!(
        matches!(error, AcquireError::ReauthRequired(_)),
        "no credentials of the client can be the reason: {error:?}"
    );
    assert!((3..=8).contains(&presented), "{presented}");
    let (_, error) = refused_without_a_reason(ClientAuthentication::basic("app", "hush".into())).await;
    assert!(matches!(error, AcquireError::Unavailable(_)), "its secret may be the reason: {error:?}");
}

#[tokio::test]
async fn an_issuer_without_metadata_spends_no_credential() {
    let server = Server::answering([answer(404, &json!({})), answer(404, &json!({}))]);
    let client = ClientAuthentication::public("app");
    let endpoint = TokenEndpoint::discovered(server.egress(), issuer(ISSUER), client);
    let grant = RefreshTokenGrant::new(TokenTarget::new(resource(), endpoint.clone()), "imported".into());
    let binding = grant.resolve(None).await.unwrap();
    let error = grant.obtain(&binding, &binding.scopes).await.unwrap_err();
    assert_eq!(error.kind(), GrantErrorKind::NotSent);
    assert!(server.seen().iter().all(|seen| seen.fields.is_empty() && seen.uri.path().starts_with("/.well-known/")));
    let enterprise =
        CrossAppAccess::new(TokenTarget::new(resource(), endpoint.clone()), "alice", endpoint, source("id"));
    let error = enterprise.obtain(&binding, &binding.scopes).await.unwrap_err();
    assert_eq!(error.kind(), GrantErrorKind::NotSent);
}
