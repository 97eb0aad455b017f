//! Codes are redeemed, and grants revoked.

use portcullis_core::{Generation, Reason, ScopeSet};
use portcullis_oauth::{CodeVerifier, providers::Provider};
use portcullis_refresh::{RefreshError, RefreshErrorKind, TokenSet};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::script::{Line, Script, bare, json, oidc, tokens};

async fn redeem(script: &Script) -> Result<TokenSet, RefreshError> {
    let asked = ScopeSet::parse("openid email").expect("scopes");
    let (code, verifier) = ("c0de".into(), CodeVerifier::new([7; 32]));
    script.client(oidc()).exchange_code(&code, "https://mcp.example.test/callback", &verifier, &asked).await
}

#[tokio::test(start_paused = true)]
async fn a_code_becomes_the_tokens_of_a_new_grant() {
    let answer = json!({"access_token": "at-1", "token_type": "bearer", "expires_in": 60, "refresh_token": "rt-1"});
    let script = Script::new([json(200, &answer)]);
    let tokens = redeem(&script).await.expect("tokens");
    assert_eq!(tokens.access_token().expose_secret(), "at-1");
    assert_eq!(tokens.refresh_token().map(|token| token.expose_secret()), Some("rt-1"));
    assert_eq!(tokens.generation(), Generation::default());
    assert_eq!(
        tokens.scopes().to_string(),
        "openid email",
        "what was asked for, if the response does not say otherwise"
    );
    let request = &script.asked()[0];
    let form = std::str::from_utf8(request.body()).expect("form");
    assert!(form.contains("code=c0de") && form.contains("code_verifier=BwcHBw"), "{form}");
    assert!(request.headers()["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_user_may_allow_less_than_was_asked_for() {
    let answer = json!({"access_token": "at-1", "token_type": "Bearer", "expires_in": 60, "scope": "email"});
    let tokens = redeem(&Script::new([json(200, &answer)])).await.expect("tokens");
    assert_eq!(tokens.scopes().to_string(), "email");
}

#[tokio::test(start_paused = true)]
async fn a_dead_code_is_the_users_and_everything_else_is_not() {
    let error = redeem(&Script::new([json(400, &json!({"error": "invalid_grant"}))])).await.expect_err("dead");
    assert_eq!((error.kind(), error.cause().reason()), (RefreshErrorKind::Refused, Reason::GrantEnded));
    for line in [bare(500), bare(401), bare(400), Line::Silence] {
        let error = redeem(&Script::new([line.clone()])).await.expect_err("no tokens");
        assert!(error.cause().is_transient(), "{line:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_revoked_where_that_is_possible() {
    let script = Script::new([bare(200)]);
    assert!(script.client(oidc()).revoke(&tokens()).await.expect("revoked"));
    assert_eq!(script.asked()[0].body(), "token=rt-0&token_type_hint=refresh_token");
    let script = Script::new([]);
    assert!(!script.client(Provider::atlassian()).revoke(&tokens()).await.expect("no way"));
    assert_eq!(script.calls(), 0);
    let error = Script::new([bare(503)]).client(oidc()).revoke(&tokens()).await.expect_err("not known");
    assert_eq!(error.reason(), Reason::ProviderUnavailable);
}
