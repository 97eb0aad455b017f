//! Access across applications: an identity assertion of the enterprise's provider becomes an access token.

use std::{error::Error as _, sync::Arc};

use portcullis_bridge::{Bridge, BridgeConfig, Client, GrantType, RedirectUri, TrustedIssuer};
use portcullis_client::{
    Grant, GrantError, GrantErrorKind, TokenEndpoint,
    grants::{CrossAppAccess, CrossAppAccessError, CrossAppAccessLeg, TokenTarget},
};
use portcullis_core::BearerToken;
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, TokenResponse, providers::Provider, token_type};
use portcullis_refresh::GrantStore;
use portcullis_remote::{RemoteKeySet, discover};
use portcullis_store::{KeyRing, MemoryStore, SealedStore};
use portcullis_test_support::{Endpoint, IdentityProvider, Network, TokenBuilder};
use portcullis_upstream::ProviderClient;
use serde_json::json;
use tower::ServiceExt as _;

use crate::server::{ISSUER, RESOURCE, Server, answer, issuer, refusal, resource, scopes, source, tokens};

/// The client has one name at both servers, and two secrets.
const CLIENT: &str = IdentityProvider::CLIENT_ID;
const SECRET: &str = "its secret at the bridge";

fn at_provider() -> ClientAuthentication {
    ClientAuthentication::basic(CLIENT, IdentityProvider::CLIENT_SECRET.into())
}

/// An ID token of alice, issued to the client.
fn id_token(provider: &IdentityProvider) -> String {
    provider.token("alice").with_header("typ", "JWT").with_audience(CLIENT).jwt()
}

/// The grant with the enterprise's provider `provider`, and an authorization server that answers as `server` does.
fn grant(provider: &IdentityProvider, server: &Server) -> CrossAppAccess {
    let egress = Egress::from_service(provider.clone());
    let enterprise = TokenEndpoint::discovered(egress, issuer(&provider.issuer()), at_provider());
    let endpoint = server.endpoint(ClientAuthentication::post(CLIENT, SECRET.into()));
    let target = TokenTarget::new(resource(), endpoint).with_scopes(scopes("mcp:read"));
    CrossAppAccess::new(target, "alice", enterprise, source(&id_token(provider)))
}

/// The grant at an enterprise's provider that answers `answers`.
fn grant_at(enterprise: &Server, server: &Server) -> CrossAppAccess {
    let endpoint = server.endpoint(ClientAuthentication::post(CLIENT, SECRET.into()));
    let provider = TokenEndpoint::at(
        enterprise.egress(),
        issuer(IdentityProvider::ISSUER),
        "https://idp.example.test/token".parse().unwrap(),
        at_provider(),
    );
    let target = TokenTarget::new(resource(), endpoint).with_scopes(scopes("mcp:read"));
    CrossAppAccess::new(target, "alice", provider, source("id-token"))
}

async fn obtain(grant: &CrossAppAccess) -> Result<TokenResponse, GrantError> {
    let binding = grant.resolve(None).await.unwrap();
    assert_eq!((binding.issuer.as_str(), &*binding.client_id), (ISSUER, CLIENT), "of the resource's server");
    grant.obtain(&binding, &binding.scopes).await
}

fn id_jag(provider: &IdentityProvider) -> TokenBuilder {
    provider.id_jag("alice", ISSUER, CLIENT).with_claim("resource", RESOURCE).with_scope("mcp:read")
}

fn issued(id_jag: TokenBuilder) -> http::Response<bytes::Bytes> {
    let issued_token_type = token_type::ID_JAG;
    answer(200, &json!({"access_token": id_jag.jwt(), "issued_token_type": issued_token_type, "token_type": "N_A"}))
}

/// The request that failed.
fn leg(error: &GrantError) -> CrossAppAccessLeg {
    let source = error.cause().source().expect("a source");
    source.downcast_ref::<CrossAppAccessError>().expect("the leg").leg
}

#[tokio::test]
async fn ema_01_an_id_jag_is_requested_for_the_authorization_server_and_the_resource() {
    let provider = IdentityProvider::new();
    let enterprise = Server::answering([issued(id_jag(&provider))]);
    let server = Server::answering([tokens(json!({}))]);
    obtain(&grant_at(&enterprise, &server)).await.unwrap();
    let seen = enterprise.last();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("audience", ISSUER),
        ("resource", RESOURCE),
        ("scope", "mcp:read"),
        ("subject_token", "id-token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ] {
        assert_eq!(seen.field(name), value, "{name}");
    }
}

#[tokio::test]
async fn ema_02_the_client_authenticates_itself_at_both_servers_with_the_credentials_of_each() {
    let provider = IdentityProvider::new();
    let server = Server::answering([tokens(json!({}))]);
    obtain(&grant(&provider, &server)).await.unwrap();
    let exchange = provider.last_request(Endpoint::Token).unwrap();
    assert!(exchange.headers().contains_key("authorization"));
    let seen = server.last();
    assert_eq!([seen.field("client_id"), seen.field("client_secret")], [CLIENT, SECRET]);
    assert!(!seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn ema_04_an_id_jag_that_is_not_for_this_use_is_not_presented() {
    let provider = IdentityProvider::new();
    let with = |name: &str, value: serde_json::Value| id_jag(&provider).with_claim(name, value);
    for (what, id_jag) in [
        ("an access token", provider.token("alice").with_audience(ISSUER).with_claim("client_id", CLIENT)),
        ("no type", id_jag(&provider).without_header("typ")),
        ("unsigned", id_jag(&provider).unsigned()),
        ("a symmetric signature", id_jag(&provider).signed_by_hmac(b"secret")),
        ("of another issuer", with("iss", json!("https://other.example.test"))),
        ("for another server", with("aud", json!("https://other.example.test"))),
        ("for two servers", with("aud", json!([ISSUER, "https://other.example.test"]))),
        ("for a server of almost that name", with("aud", json!(format!("{ISSUER}/")))),
        ("for another client", with("client_id", json!("other"))),
        ("for no client", id_jag(&provider).without_claim("client_id")),
        ("for another resource", with("resource", json!("https://other.example.test/mcp"))),
        ("for two resources", with("resource", json!([RESOURCE, "https://other.example.test/mcp"]))),
        ("expired", with("exp", json!(1))),
        ("without an expiry", id_jag(&provider).without_claim("exp")),
        ("without an identifier", id_jag(&provider).without_claim("jti")),
        ("without a user", id_jag(&provider).without_claim("sub")),
        ("without a time", id_jag(&provider).without_claim("iat")),
    ] {
        let (enterprise, server) = (Server::answering([issued(id_jag)]), Server::default());
        let error = obtain(&grant_at(&enterprise, &server)).await.unwrap_err();
        assert_eq!(
            (error.kind(), leg(&error)),
            (GrantErrorKind::Misconfigured, CrossAppAccessLeg::EnterpriseProvider),
            "{what}"
        );
        assert!(server.seen().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn ema_04_a_response_without_the_types_of_an_id_jag_is_not_used() {
    let provider = IdentityProvider::new();
    let jwt = id_jag(&provider).jwt();
    for members in [
        json!({"access_token": jwt, "token_type": "N_A"}),
        json!({"access_token": jwt, "token_type": "N_A", "issued_token_type": token_type::ACCESS_TOKEN}),
        json!({"access_token": jwt, "token_type": "Bearer", "issued_token_type": token_type::ID_JAG}),
        json!({"access_token": jwt, "issued_token_type": token_type::ID_JAG}),
        json!({"access_token": "opaque", "token_type": "N_A", "issued_token_type": token_type::ID_JAG}),
    ] {
        let (enterprise, server) = (Server::answering([answer(200, &members)]), Server::default());
        assert!(obtain(&grant_at(&enterprise, &server)).await.is_err(), "{members}");
        assert!(server.seen().is_empty(), "{members}");
    }
    // The parameter `resource` is optional, so the claim is.
    let without_resource = issued(id_jag(&provider).without_claim("resource"));
    let (enterprise, server) = (Server::answering([without_resource]), Server::answering([tokens(json!({}))]));
    assert!(obtain(&grant_at(&enterprise, &server)).await.is_ok());
}

#[tokio::test]
async fn ema_05_an_id_jag_becomes_an_access_token_at_our_own_bridge() {
    let provider = IdentityProvider::new();
    let network = Network::new().with_provider(&provider);
    let egress = Egress::from_service(network.clone());
    let bridge = bridge(&provider, &egress).await;
    let network = network.with_service(ISSUER, bridge.router());
    let egress = Egress::from_service(network);

    let enterprise = TokenEndpoint::discovered(egress.clone(), issuer(&provider.issuer()), at_provider());
    let client = ClientAuthentication::basic(CLIENT, SECRET.into());
    let endpoint = TokenEndpoint::discovered(egress, issuer(ISSUER), client);
    let target = TokenTarget::new(resource(), endpoint).with_scopes(scopes("mcp:read"));
    let grant = CrossAppAccess::new(target, "alice", enterprise, source(&id_token(&provider)));
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let response = obtain(&grant).await.unwrap();
        assert!(response.refresh_token.is_none());
        assert_eq!(response.scopes, Some(scopes("mcp:read")));
        let token: BearerToken = response.access_token;
        let user = bridge.verifier().oneshot(token.clone()).await.unwrap();
        assert_eq!((user.principal().subject(), user.client_id()), ("alice", Some(CLIENT)));
        tokens.push(token.expose_secret().to_owned());
    }
    assert_ne!(tokens[0], tokens[1], "each is of an ID-JAG of its own");
}

async fn bridge(provider: &IdentityProvider, egress: &Egress) -> Bridge {
    let idp = issuer(&provider.issuer());
    let metadata = discover(egress, &idp).await.unwrap();
    let upstream = ProviderClient::new(Provider::oidc(&metadata).unwrap(), at_provider(), egress.clone());
    let redirect_uris = vec![RedirectUri::new("https://client.example.test/callback").unwrap()];
    let client = Client::confidential(CLIENT, "An agent", &SECRET.into(), redirect_uris);
    let client = client.with_grant_types([GrantType::AuthorizationCode, GrantType::JwtBearer]);
    let config = BridgeConfig::new(issuer(ISSUER), resource())
        .with_scopes(scopes("mcp:read mcp:write"))
        .with_upstream_scopes(scopes("openid"))
        .with_trusted_issuer(TrustedIssuer::new(idp.clone(), RemoteKeySet::discovered(idp, egress.clone())))
        .with_client(client)
        .unwrap();
    let grants = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).unwrap();
    let records = SealedStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).unwrap();
    Bridge::builder(config, upstream, egress.clone()).build(grants, records)
}

#[tokio::test]
async fn ema_07_an_id_jag_is_presented_once_whatever_the_answer() {
    let provider = IdentityProvider::new();
    // The first answer is lost, the second a failure: each time the next attempt has another ID-JAG.
    let server = Server::answering([answer(504, &json!({})), refusal("invalid_grant"), tokens(json!({}))]);
    let grant = grant(&provider, &server);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(obtain(&grant).await.map_err(|error| error.kind()).err());
        tokio::time::pause();
        tokio::time::sleep(std::time::Duration::from_mins(10)).await;
        tokio::time::resume();
    }
    assert_eq!(kinds, [Some(GrantErrorKind::Transient), Some(GrantErrorKind::Misconfigured), None]);
    let mut presented: Vec<_> = server.seen().iter().map(|seen| seen.field("assertion").to_owned()).collect();
    assert_eq!((presented.len(), provider.calls(Endpoint::Token)), (3, 3));
    presented.sort();
    presented.dedup();
    assert_eq!(presented.len(), 3, "none is presented twice");
}

#[tokio::test]
async fn ema_08_a_refresh_token_is_dropped_so_that_the_enterprise_decides_about_each_token() {
    let provider = IdentityProvider::new();
    let server = Server::answering([tokens(json!({"refresh_token": "rt"}))]);
    let grant = grant(&provider, &server);
    assert!(obtain(&grant).await.unwrap().refresh_token.is_none());
    let binding = grant.resolve(None).await.unwrap();
    let error = grant.refresh(&binding, &"rt".into()).await.unwrap_err();
    assert_eq!((error.kind(), server.seen().len()), (GrantErrorKind::Refused, 1));
}

#[tokio::test]
async fn ema_10_no_token_is_in_a_url_or_prints() {
    let provider = IdentityProvider::new();
    let token = id_token(&provider);
    let server = Server::answering([refusal("invalid_grant")]);
    let grant = grant(&provider, &server);
    let error = obtain(&grant).await.unwrap_err();
    let seen = server.last();
    let id_jag = seen.field("assertion");
    assert!(id_jag.starts_with("eyJ") && seen.uri.query().is_none());
    assert!(provider.last_request(Endpoint::Token).unwrap().uri().query().is_none());
    let printed = format!("{grant:?} {error:?} {error} {:?}", error.cause().causes());
    for secret in [id_jag, &token, SECRET, IdentityProvider::CLIENT_SECRET] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn g18_the_end_of_the_session_at_the_enterprise_is_told_apart_from_a_refusal_of_the_authorization_server() {
    use CrossAppAccessLeg::{AuthorizationServer, EnterpriseProvider};
    use GrantErrorKind::{Misconfigured, Refused, Transient};
    for (code, kind) in [
        ("invalid_grant", Refused),
        ("insufficient_user_authentication", Refused),
        ("login_required", Refused),
        ("unauthorized_client", Misconfigured),
        ("invalid_client", Misconfigured),
        ("temporarily_unavailable", Transient),
    ] {
        let (enterprise, server) = (Server::answering([refusal(code)]), Server::default());
        let error = obtain(&grant_at(&enterprise, &server)).await.unwrap_err();
        assert_eq!((error.kind(), leg(&error)), (kind, EnterpriseProvider), "{code}");
        assert!(server.seen().is_empty(), "{code}");
    }
    let provider = IdentityProvider::new();
    for (code, kind) in [
        ("invalid_grant", Misconfigured),
        ("invalid_client", Misconfigured),
        ("invalid_target", Misconfigured),
        ("temporarily_unavailable", Transient),
    ] {
        let server = Server::answering([refusal(code)]);
        let error = obtain(&grant(&provider, &server)).await.unwrap_err();
        assert_eq!((error.kind(), leg(&error)), (kind, AuthorizationServer), "{code}");
        assert!(error.cause().is_transient(), "{code}: no login of the user repairs it");
    }
}

#[tokio::test]
async fn g18_a_session_that_ended_at_a_real_provider_asks_for_a_login() {
    let provider = IdentityProvider::new();
    let token = id_token(&provider);
    let endpoint = Server::default().endpoint(ClientAuthentication::public(CLIENT));
    let egress = Egress::from_service(provider.clone());
    let enterprise = TokenEndpoint::discovered(egress, issuer(&provider.issuer()), at_provider());
    let grant = CrossAppAccess::new(TokenTarget::new(resource(), endpoint), "alice", enterprise, source(&token));
    provider.revoke(&token);
    let error = obtain(&grant).await.unwrap_err();
    assert_eq!((error.kind(), leg(&error)), (GrantErrorKind::Refused, CrossAppAccessLeg::EnterpriseProvider));
    let error = portcullis_client::AcquireError::from(error.cause().clone());
    assert!(matches!(error, portcullis_client::AcquireError::ReauthRequired(_)), "{error:?}");
}
