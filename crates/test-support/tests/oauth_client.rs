//! A client: careful when it is left alone, and hostile on demand.

use axum::{Json, Router, http::HeaderMap, routing::post};
use portcullis_test_support::{Browser, ClientError, Endpoint, IdentityProvider, LoginPolicy, Network, OAuthClient};
use serde_json::{Value, json};

async fn client(provider: &IdentityProvider) -> Result<(OAuthClient, Browser), ClientError> {
    let network = Network::new().with_provider(provider);
    let client = OAuthClient::discover(&network, &provider.issuer()).await?.with_resource(IdentityProvider::AUDIENCE);
    let client = client.with_client_id(IdentityProvider::CLIENT_ID).with_secret(IdentityProvider::CLIENT_SECRET);
    Ok((client, Browser::new(network)))
}

#[tokio::test(start_paused = true)]
async fn a_login_brings_tokens_and_every_request_can_be_changed() -> Result<(), ClientError> {
    let provider = IdentityProvider::new();
    let (client, mut browser) = client(&provider).await?;
    let client = client.with_scope("openid mcp:read");
    let tokens = client.log_in(&mut browser, "alice").await?;
    assert_eq!((&tokens["scope"], tokens["id_token"].is_string()), (&json!("openid mcp:read"), true));
    let seen = provider.last_request(Endpoint::Token).expect("a request");
    let form: Vec<_> = url::form_urlencoded::parse(seen.body()).map(|(name, _)| name.into_owned()).collect();
    assert_eq!(form, ["grant_type", "code", "redirect_uri", "code_verifier", "resource"]);

    let refresh_token = tokens.refresh_token();
    let refused = client.refresh(refresh_token).with_another("grant_type", "authorization_code").await?;
    assert_eq!(refused.error(), Some("invalid_request"));
    let in_body = client.clone().with_secret_in_body(IdentityProvider::CLIENT_SECRET);
    assert!(in_body.refresh(refresh_token).await?["access_token"].is_string());
    assert_eq!(client.introspect(tokens.access_token()).await?["active"], true);
    assert_eq!(client.revoke(tokens.access_token()).await?.status(), 200);
    assert_eq!(client.introspect(tokens.access_token()).await?["active"], false);
    assert_eq!(client.redeem_id_jag("x").await?.error(), Some("unsupported_grant_type"));
    assert!(!format!("{tokens:?} {client:?}").contains(tokens.access_token()));
    Ok(())
}

#[tokio::test]
async fn what_does_not_belong_to_its_request_is_not_taken() -> Result<(), ClientError> {
    let provider = IdentityProvider::new();
    let (client, mut browser) = client(&provider).await?;
    type Forge = fn(portcullis_testkit::AuthorizationResponse) -> portcullis_testkit::AuthorizationResponse;
    let forgeries: [(Forge, &str); 6] = [
        (|response| response.with("state", "guessed"), "the authorization response has the wrong state"),
        (|response| response.with("iss", "https://evil.test"), "the authorization response has the wrong iss"),
        (|response| response.without("iss"), "the authorization response has the wrong iss"),
        (
            |response| response.with_another("code", "c"),
            "the authorization response has the wrong number of parameters",
        ),
        (|response| response.without("code"), "the authorization response has the wrong code"),
        (|response| response.with("error", "server_error").with("error_description", "Oh"), "server_error: Oh"),
    ];
    for (forge, expected) in forgeries {
        provider.forge_callbacks(forge);
        let error = client.log_in(&mut browser, "alice").await.expect_err("forged");
        assert_eq!(error.to_string(), expected);
    }
    provider.stop_forging();
    provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    let error = client.log_in(&mut browser, "alice").await.expect_err("denied");
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    let network = Network::new().with_provider(&provider);
    let other = OAuthClient::discover(&network, "https://idp.example.test/").await.expect_err("not that issuer");
    assert_eq!(other.to_string(), "no metadata of https://idp.example.test/: status 200");
    Ok(())
}

#[tokio::test]
async fn it_goes_by_the_name_that_registration_gives_it() -> Result<(), ClientError> {
    const AS: &str = "https://as.test/tenant";
    let metadata = json!({
        "issuer": AS, "registration_endpoint": format!("{AS}/register"), "token_endpoint": format!("{AS}/token"),
    });
    let register = async |Json(body): Json<Value>| {
        assert_eq!(body["redirect_uris"], json!(["com.example.app:/callback"]));
        Json(json!({"client_id": "c 1", "client_secret": "s/1", "token_endpoint_auth_method": "client_secret_basic"}))
    };
    let token = async |headers: HeaderMap| headers["authorization"].to_str().unwrap_or_default().to_owned();
    let app: Router = Router::new()
        .route("/.well-known/oauth-authorization-server/tenant", axum::routing::get(async || Json(metadata)))
        .route("/tenant/register", post(register))
        .route("/tenant/token", post(token));
    let network = Network::new().with_service(AS, app);
    let mut client = OAuthClient::discover(&network, AS).await?.with_redirect_uri("com.example.app:/callback");
    client.register(&client.registration()).await?;
    assert_eq!(client.client_id(), "c 1");
    // c+1:s%2F1
    assert_eq!(client.refresh("r").await?.body(), "Basic YysxOnMlMkYx");
    let nowhere = client.revoke("r").await.expect_err("no such endpoint");
    assert_eq!(nowhere.to_string(), "the metadata has no revocation_endpoint");
    Ok(())
}
