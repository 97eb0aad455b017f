//! Authorization server metadata.

use bytes::Bytes;
use http::{Method, Request, Response};
use portcullis_bridge::{AccessTokenKind, BridgeConfig, ClientMetadataDocumentPolicy, RegistrationPolicy, SigningKeys};
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use serde_json::{Value, json};

use crate::fixture::{Fixture, ISSUER, RESOURCE};

async fn metadata(fixture: &Fixture) -> Value {
    let response = fixture.send(Request::get(format!("{ISSUER}/.well-known/oauth-authorization-server")), "").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/json"));
    serde_json::from_slice(response.body()).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn as_04_the_metadata_says_what_a_client_has_to_know() {
    let fixture = Fixture::new().await;
    let found = metadata(&fixture).await;
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    let methods = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    let expected = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://mcp.example.test/authorize",
        "token_endpoint": "https://mcp.example.test/token",
        "registration_endpoint": "https://mcp.example.test/register",
        "revocation_endpoint": "https://mcp.example.test/revoke",
        "introspection_endpoint": "https://mcp.example.test/introspect",
        "jwks_uri": "https://mcp.example.test/jwks",
        "scopes_supported": ["mcp:read", "mcp:write"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ],
        "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    });
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn as_04_the_metadata_is_where_either_kind_of_client_looks() {
    for (issuer, paths) in [
        (ISSUER, &["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] as &[_]),
        (
            "https://mcp.example.test/tenants/one",
            &[
                "/.well-known/oauth-authorization-server/tenants/one",
                "/.well-known/openid-configuration/tenants/one",
                "/tenants/one/.well-known/openid-configuration",
            ],
        ),
    ] {
        let fixture = Fixture::with(|_| BridgeConfig::new(Issuer::new(issuer).expect("issuer"), resource())).await;
        for path in paths {
            let response = fixture.send(Request::get(format!("{ISSUER}{path}")), "").await;
            let found: Value = serde_json::from_slice(response.body()).expect(path);
            assert_eq!(
                (&found["issuer"], &found["token_endpoint"]),
                (&json!(issuer), &json!(format!("{issuer}/token")))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_04_who_looks_where_openid_providers_have_it_finds_what_such_a_document_must_have() {
    let fixture = Fixture::new().await;
    let response = fixture.send(Request::get(format!("{ISSUER}/.well-known/openid-configuration")), "").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/json"));
    let mut found: Value = serde_json::from_slice(response.body()).expect("JSON");
    let openid = found.as_object_mut().expect("an object");
    assert_eq!(openid.remove("subject_types_supported"), Some(json!(["public"])));
    assert_eq!(openid.remove("id_token_signing_alg_values_supported"), Some(json!([])), "there are no ID tokens");
    assert_eq!(found, metadata(&fixture).await, "and otherwise the same");
}

#[tokio::test(start_paused = true)]
async fn a_bridge_that_signs_nothing_has_an_empty_key_set() {
    let fixture = Fixture::new().await;
    let url = metadata(&fixture).await["jwks_uri"].as_str().expect("a URL").to_owned();
    let response = fixture.send(Request::get(url), "").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/jwk-set+json"));
    assert_eq!(&**response.body(), br#"{"keys":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn a_token_response_without_scopes_omits_scope() {
    let fixture = Fixture::with(|config| config.with_scopes(ScopeSet::default())).await;
    let first = fixture.log_in().await;
    let second = fixture.app().await.refresh(first.refresh_token()).await.expect("a response");
    for answer in [first, second] {
        assert_eq!((answer.status().as_u16(), &answer["scope"]), (200, &Value::Null), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn braces_in_the_path_of_an_issuer_are_literal() {
    for (path, other) in [("/:tenant", "/x"), ("/*all", "/x")] {
        let issuer = Issuer::new(&format!("{ISSUER}{path}")).expect("issuer");
        let fixture = Fixture::with(|_| BridgeConfig::new(issuer, resource())).await;
        let at = |path: &str| Request::get(format!("{ISSUER}{path}/.well-known/openid-configuration"));
        assert_eq!(fixture.send(at(path), "").await.status(), 200, "{path}");
        assert_eq!(fixture.send(at(other), "").await.status(), 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_06_the_issuer_is_published_byte_for_byte() {
    for issuer in ["https://mcp.example.test/", "https://MCP.example.test:443/a"] {
        let fixture = Fixture::with(|_| BridgeConfig::new(Issuer::new(issuer).expect("issuer"), resource())).await;
        let path = if issuer.ends_with("/a") { "/a" } else { "" };
        let url = format!("{ISSUER}/.well-known/oauth-authorization-server{path}");
        let response = fixture.send(Request::get(url), "").await;
        let found: Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(found["issuer"], issuer);
    }
}

#[tokio::test(start_paused = true)]
async fn as_09_every_endpoint_is_below_the_issuer_and_that_is_https() {
    let found = metadata(&Fixture::new().await).await;
    let endpoints = found.as_object().expect("an object").iter().filter(|(name, _)| name.ends_with("_endpoint"));
    let urls: Vec<_> = endpoints.map(|(_, url)| url.as_str().expect("a URL")).collect();
    assert_eq!(urls.len(), 5);
    assert!(urls.iter().all(|url| url.starts_with("https://mcp.example.test/")), "{urls:?}");
    assert!(Issuer::new("http://mcp.example.test").is_err(), "a bridge cannot be set up otherwise");
    // Independent of the `Host` header.
    let fixture = Fixture::new().await;
    let request = Request::get(format!("{ISSUER}/.well-known/oauth-authorization-server"));
    let request = request.header("x-forwarded-host", "evil.example").header("x-forwarded-proto", "http");
    assert!(!String::from_utf8_lossy(fixture.send(request, "").await.body()).contains("evil"));
}

#[tokio::test(start_paused = true)]
async fn as_10_the_metadata_says_that_pkce_is_demanded() {
    let found = metadata(&Fixture::new().await).await;
    assert_eq!(found["code_challenge_methods_supported"], json!(["S256"]));
}

#[tokio::test(start_paused = true)]
async fn as_25_the_metadata_says_whether_clients_may_have_documents() {
    assert_eq!(metadata(&Fixture::new().await).await["client_id_metadata_document_supported"], true);
    let fixture = Fixture::with(|config| config.with_documents(ClientMetadataDocumentPolicy::disabled())).await;
    assert_eq!(metadata(&fixture).await["client_id_metadata_document_supported"], false);
}

#[tokio::test(start_paused = true)]
async fn ema_09_identity_assertions_are_announced_if_an_issuer_of_them_is_trusted() {
    let found = metadata(&Fixture::new().await).await;
    assert_eq!(found["authorization_grant_profiles_supported"], json!(["urn:ietf:params:oauth:grant-profile:id-jag"]));
    let fixture = Fixture::with(|_| bare()).await;
    let found = metadata(&fixture).await;
    assert_eq!(found["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(found.get("authorization_grant_profiles_supported"), None);
}

#[tokio::test(start_paused = true)]
async fn the_metadata_of_the_resource_lists_the_scopes_that_basic_use_requires() {
    let scopes = |text| ScopeSet::parse(text).expect("scopes");
    for (default, listed) in [("mcp:read", json!(["mcp:read"])), ("", json!(null))] {
        let fixture = Fixture::with(|config| config.with_default_scopes(scopes(default))).await;
        let document: Value = serde_json::from_slice(&fixture.bridge.resource_metadata().to_json()).expect("JSON");
        assert_eq!(document["scopes_supported"], listed);
        assert_eq!(metadata(&fixture).await["scopes_supported"], json!(["mcp:read", "mcp:write"]), "all of the server");
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_features_are_neither_in_the_metadata_nor_served() {
    let fixture = Fixture::with(|_| bare().with_registration(RegistrationPolicy::disabled())).await;
    let found = metadata(&fixture).await;
    for (member, path) in [("registration_endpoint", "register"), ("introspection_endpoint", "introspect")] {
        assert_eq!(found.get(member), None, "{member}");
        let response = fixture.send(Request::post(format!("{ISSUER}/{path}")), "").await;
        assert_eq!(response.status(), 404, "{path}");
    }
    for empty in ["scopes_supported", "introspection_endpoint_auth_methods_supported"] {
        assert_eq!(found.get(empty), None, "an empty list is left out (RFC 8414 section 3.2): {empty}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_for_programs_allow_every_origin() {
    let keys = SigningKeys::generate();
    let fixture = Fixture::with(|config| config.with_access_tokens(AccessTokenKind::Jwt(keys))).await;
    for (method, path) in [
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/jwks"),
        ("POST", "/token"),
        ("POST", "/revoke"),
    ] {
        let preflight = Request::options(format!("{ISSUER}{path}"))
            .header("origin", "https://app.example")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization, mcp-protocol-version");
        let response = fixture.send(preflight, "").await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "access-control-allow-origin")),
            (200, "*"),
            "{path}"
        );
        let allowed = header(&response, "access-control-allow-headers");
        assert!(allowed.contains("authorization") && allowed.contains("mcp-protocol-version"), "{allowed}");
        assert_eq!(response.headers().get("access-control-allow-credentials"), None);
        let actual =
            Request::builder().method(method).uri(format!("{ISSUER}{path}")).header("origin", "https://app.example");
        assert_eq!(
            fixture.send(actual, "").await.headers()["access-control-allow-origin"],
            "*",
            "also of a refusal: {path}"
        );
    }
    let preflight = Request::options(format!("{ISSUER}/introspect")).header("origin", "https://app.example");
    let response = fixture.send(preflight, "").await;
    assert_eq!(response.headers().get("access-control-allow-origin"), None, "no page has a resource server's secret");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_method_gets_405_with_the_allowed_methods() {
    let fixture = Fixture::new().await;
    for (path, wrong, allowed) in [
        ("/token", Method::GET, "POST"),
        ("/revoke", Method::PUT, "POST"),
        ("/introspect", Method::GET, "POST"),
        ("/.well-known/oauth-authorization-server", Method::POST, "GET,HEAD"),
    ] {
        let response = fixture.send(Request::builder().method(wrong).uri(format!("{ISSUER}{path}")), "").await;
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, allowed), "{path}");
    }
    let url = format!("{ISSUER}/.well-known/oauth-authorization-server");
    assert_eq!(fixture.send(Request::head(&url), "").await.status(), 200);
    assert_eq!(fixture.send(Request::get(&url), "").await.headers()["cache-control"], "public, max-age=300");
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers()[name].to_str().expect("text")
}

fn resource() -> ResourceUri {
    ResourceUri::new(RESOURCE).expect("resource")
}

/// Returns a minimal configuration.
fn bare() -> BridgeConfig {
    BridgeConfig::new(Issuer::new(ISSUER).expect("issuer"), resource())
}
