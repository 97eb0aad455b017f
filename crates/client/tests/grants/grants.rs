//! What each grant does that is its own.

use std::sync::Arc;

use portcullis_client::{
    AcquireError, Binding, Grant, GrantError, GrantErrorKind, TokenEndpoint, TokenManager,
    grants::{ClientCredentials, JwtBearer, RefreshTokenGrant, TokenExchange, TokenTarget, from_fn},
};
use portcullis_core::BearerToken;
use portcullis_egress::Egress;
use portcullis_oauth::{ClientAuthentication, TokenResponse, token_type};
use portcullis_refresh::GrantStore;
use portcullis_store::{KeyRing, MemoryStore};
use portcullis_testkit::IdentityProvider;
use serde_json::{Value, json};

use crate::server::{ISSUER, Server, answer, issuer, refusal, resource, scopes, source, tokens};

/// The token endpoint of the fake provider, for its confidential client.
fn provider_endpoint(provider: &IdentityProvider) -> TokenEndpoint {
    let client = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    TokenEndpoint::discovered(Egress::from_service(provider.clone()), issuer(&provider.issuer()), client)
}

fn claims(token: &BearerToken) -> Value {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = token.expose_secret().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn an_imported_refresh_token_is_presented_once() {
    let provider = IdentityProvider::new();
    let imported = provider.issue_grant("alice", "mcp:read").refresh_token;
    let target = TokenTarget::new(resource(), provider_endpoint(&provider));
    let grant = RefreshTokenGrant::new(target, imported.clone().into());
    let binding = grant.resolve(None).await.unwrap();
    let first = grant.obtain(&binding, &scopes("")).await.unwrap();
    let next = grant.refresh(&binding, first.refresh_token.as_ref().unwrap()).await.unwrap();
    assert!(next.refresh_token.is_some(), "the successors are refreshed");
    let error = grant.obtain(&binding, &scopes("")).await.unwrap_err();
    assert_eq!(error.kind(), GrantErrorKind::Refused);
    assert_eq!(provider.times_presented(&imported), 1);
    assert!(!format!("{grant:?} {error:?}").contains(&imported));
}

#[tokio::test]
async fn an_imported_refresh_token_is_presented_again_if_it_may_be_good() {
    let outage = || answer(503, &json!({}));
    let gave_up = || answer(504, &json!({}));
    for (what, answers, kinds) in [
        ("an outage spends nothing", vec![outage(), outage(), tokens(json!({}))], vec!["transient", "transient", "ok"]),
        ("once more without an answer", vec![gave_up(), tokens(json!({}))], vec!["ambiguous", "ok", "refused"]),
        ("but not for ever", vec![gave_up(), gave_up()], vec!["ambiguous", "ambiguous", "refused"]),
        ("never after a refusal", vec![refusal("invalid_grant")], vec!["refused", "refused"]),
    ] {
        let count = answers.len();
        let server = Server::answering(answers);
        let grant = RefreshTokenGrant::new(server.target(), "imported".into());
        let binding = grant.resolve(None).await.unwrap();
        for expected in kinds {
            tokio::time::pause();
            // Beyond every window of the circuit breaker.
            tokio::time::sleep(std::time::Duration::from_mins(10)).await;
            tokio::time::resume();
            let outcome = grant.obtain(&binding, &scopes("")).await;
            assert_eq!(outcome.map_or_else(|error| error.kind().as_str(), |_| "ok"), expected, "{what}");
        }
        assert_eq!(server.seen().len(), count, "{what}");
    }
}

#[tokio::test]
async fn no_login_of_a_user_is_asked_for_where_there_is_no_user() {
    for is_workload in [false, true] {
        let server = Server::answering([refusal("invalid_grant")]);
        let grant: Box<dyn Grant> = if is_workload {
            Box::new(JwtBearer::new(server.target(), source("workload")))
        } else {
            Box::new(ClientCredentials::new(server.target()))
        };
        let binding = grant.resolve(None).await.unwrap();
        let refused = grant.obtain(&binding, &binding.scopes).await.unwrap_err();
        assert_eq!(refused.kind(), GrantErrorKind::Misconfigured, "{refused:?}");
        assert!(refused.cause().is_transient(), "{refused:?}");
        let unanswered = grant.obtain(&binding, &binding.scopes).await.unwrap_err();
        assert_eq!(unanswered.kind(), GrantErrorKind::Transient, "what was presented can be presented again");
    }
}

#[tokio::test]
async fn a_token_of_the_user_is_exchanged_and_the_new_one_names_the_actor() {
    let provider = IdentityProvider::new();
    let user = provider.token("alice").with_audience("https://front.example.test").jwt();
    let agent = provider.token("agent-7").jwt();
    let target = TokenTarget::new(resource(), provider_endpoint(&provider)).with_subject("alice");
    let grant = TokenExchange::new(target, "alice", source(&user), token_type::ACCESS_TOKEN)
        .with_actor(source(&agent), token_type::ACCESS_TOKEN)
        .with_requested_token_type(token_type::ACCESS_TOKEN)
        .with_audience("reports");
    let binding = grant.resolve(None).await.unwrap();
    assert_eq!(binding.subject.as_deref(), Some("alice"));
    let exchanged = grant.obtain(&binding, &scopes("mcp:read")).await.unwrap();
    let claims = claims(&exchanged.access_token);
    assert_eq!([&claims["sub"], &claims["act"]["sub"]], ["alice", "agent-7"]);
    assert_eq!([&claims["aud"], &claims["scope"]], [resource().as_str(), "mcp:read"]);

    provider.revoke(&user);
    let error = grant.obtain(&binding, &scopes("mcp:read")).await.unwrap_err();
    assert_eq!(error.kind(), GrantErrorKind::Refused, "the user has to log in again");
}

#[tokio::test]
async fn only_an_access_token_comes_of_an_exchange() {
    for (issued, is_accepted) in [
        (json!({}), true),
        (json!({"issued_token_type": token_type::ACCESS_TOKEN}), true),
        (json!({"issued_token_type": token_type::JWT}), true),
        (json!({"issued_token_type": token_type::ID_TOKEN}), false),
        (json!({"issued_token_type": token_type::ID_JAG, "token_type": "N_A"}), false),
        (json!({"issued_token_type": token_type::REFRESH_TOKEN}), false),
    ] {
        let server = Server::answering([tokens(issued.clone())]);
        let grant = TokenExchange::new(server.target(), "alice", source("user"), token_type::JWT);
        let binding = grant.resolve(None).await.unwrap();
        assert_eq!(grant.obtain(&binding, &binding.scopes).await.is_ok(), is_accepted, "{issued}");
        assert_eq!(server.last().field("subject_token_type"), token_type::JWT);
    }
}

#[tokio::test]
async fn a_function_is_a_grant_and_its_refresh_tokens_are_dropped() {
    let binding = Binding::new(resource(), issuer(ISSUER), "app");
    let grant = from_fn(binding.clone(), |scopes| async move {
        if scopes.contains("admin") {
            return Err(GrantError::refused("the user is no administrator"));
        }
        let mut tokens = TokenResponse::new(BearerToken::new("at").unwrap());
        tokens.refresh_token = Some("rt".into());
        Ok(tokens)
    });
    assert_eq!(grant.resolve(None).await.unwrap(), binding);
    assert!(grant.obtain(&binding, &scopes("mcp:read")).await.unwrap().refresh_token.is_none());
    let error = grant.obtain(&binding, &scopes("admin")).await.unwrap_err();
    assert_eq!(error.kind(), GrantErrorKind::Refused);
    assert!(!grant.is_interactive());
}

#[tokio::test]
async fn an_imported_refresh_token_is_presented_neither_for_more_scopes_nor_for_another_login() {
    let server = Server::answering([tokens(json!({"refresh_token": "next", "scope": "mcp:read"}))]);
    let store = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("not durable");
    let start = || {
        let grant = RefreshTokenGrant::new(server.target(), "imported".into());
        TokenManager::builder(grant).with_store(store.clone()).build()
    };
    start().acquire().await.expect("a token");
    // A new process does not know that the refresh token was presented.
    let manager = start();
    let refused = manager.acquire_for(&scopes("mcp:admin")).await;
    assert!(matches!(refused, Err(AcquireError::StepUpRequired { .. })), "{refused:?}");
    let refused = manager.login(&scopes("mcp:admin")).await;
    assert!(matches!(refused, Err(AcquireError::ReauthRequired(_))), "{refused:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn g12_a_user_and_the_program_itself_never_share_tokens() {
    let server =
        Server::answering([tokens(json!({"access_token": "program"})), tokens(json!({"access_token": "user"}))]);
    let store = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("not durable");
    let program = TokenManager::builder(ClientCredentials::new(server.target())).with_store(store.clone()).build();
    let user = RefreshTokenGrant::new(server.target(), "imported".into());
    let user = TokenManager::builder(user).with_store(store).build();
    assert_eq!(program.acquire().await.expect("a token").expose_secret(), "program");
    assert_eq!(user.acquire().await.expect("a token").expose_secret(), "user");
}
