//! The checks of an authorization response.

use portcullis_client::{GrantErrorKind, McpLogin, UserAgent};
use portcullis_test_support::{AuthorizationResponse, Endpoint, LoginPolicy};

use crate::fixture::{World, authorization_server, causes, log_in};

/// Logs in, with `forge` applied to the authorization response.
async fn forged(
    world: &World,
    forge: impl Fn(AuthorizationResponse) -> AuthorizationResponse + Send + Sync + 'static,
) -> Result<(), String> {
    world.provider.forge_callbacks(forge);
    let grant: McpLogin = world.grant();
    match log_in(&grant).await {
        Ok(_) => Ok(()),
        error => Err(causes(error)),
    }
}

#[tokio::test]
async fn cl_27_the_issuer_of_the_request_is_the_one_that_a_response_is_compared_with() {
    let world = World::new().await;
    let (other, _running) = authorization_server().await;
    let issuer = other.issuer();
    let outcome = forged(&world, move |response| response.with("iss", &issuer)).await;
    assert!(outcome.expect_err("as arranged").contains("another issuer"));
    assert_eq!(world.provider.calls(Endpoint::Token) + other.calls(Endpoint::Token), 0, "the code is sent nowhere");
}

#[tokio::test]
async fn cl_28_the_four_cases_of_iss() {
    let world = World::new().await;
    let issuer = world.provider.issuer();
    for (is_advertised, sent, is_accepted) in [
        (true, Some(&*issuer), true),
        (true, None, false),
        (true, Some("https://evil.example.com"), false),
        (false, Some(&*issuer), true),
        (false, Some("https://evil.example.com"), false),
        (false, None, true),
    ] {
        world.provider.set_metadata("authorization_response_iss_parameter_supported", is_advertised.into());
        let before = world.provider.calls(Endpoint::Token);
        let owned = sent.map(str::to_owned);
        let outcome = forged(&world, move |response| match &owned {
            Some(issuer) => response.with("iss", issuer),
            None => response.without("iss"),
        })
        .await;
        assert_eq!(outcome.is_ok(), is_accepted, "advertised {is_advertised}, sent {sent:?}: {outcome:?}");
        let sent_code = world.provider.calls(Endpoint::Token) > before;
        assert_eq!(sent_code, is_accepted, "the code is sent only after the comparison");
    }
}

#[tokio::test]
async fn cl_29_the_issuer_is_compared_as_it_is_written() {
    let world = World::new().await;
    let issuer = world.provider.issuer();
    for other in [format!("{issuer}/"), issuer.replace("http:", "HTTP:"), issuer.replace("127.0.0.1", "127.0.0.01")] {
        assert!(forged(&world, move |response| response.with("iss", &other)).await.is_err());
    }
}

#[tokio::test]
async fn cl_30_an_error_of_another_issuer_is_neither_shown_nor_acted_upon() {
    let world = World::new().await;
    let outcome = forged(&world, |response| {
        let response = response.without("code").with("iss", "https://evil.example.com");
        response.with("error", "call_this_number").with("error_description", "and say your password")
    })
    .await
    .expect_err("as arranged");
    let (_, page) = world.browser.pages(1).await.remove(0);
    for text in [outcome, page] {
        assert!(!text.contains("call_this_number") && !text.contains("password"), "{text}");
    }
}

#[tokio::test]
async fn cl_45_a_response_with_another_state_is_discarded_and_does_not_end_the_login() {
    let world = World::new().await;
    world.browser.state().before =
        ["?code=stolen&state=wrong", "?code=stolen", "?error=access_denied&state=", "", "/favicon.ico"]
            .map(str::to_owned)
            .into();
    log_in(&world.grant()).await.expect("as arranged");
    assert_ne!(world.token_request()["code"], "stolen");
    let pages = world.browser.pages(6).await;
    assert!(pages[..5].iter().all(|(status, _)| status.is_client_error()), "{pages:?}");
    assert!(pages[5].0.is_success());
}

#[tokio::test]
async fn cl_45_every_login_has_a_state_of_its_own() {
    let world = World::new().await;
    let grant = world.grant();
    log_in(&grant).await.expect("as arranged");
    let first = world.authorization()["state"].clone();
    log_in(&grant).await.expect("as arranged");
    assert_ne!(world.authorization()["state"], first);
    assert!(first.len() >= 43);
}

#[tokio::test]
async fn cl_45_an_application_that_receives_another_state_gets_no_token() {
    let world = World::new().await;
    let pasted = UserAgent::custom("https://app.example.com/callback", |_| async { Ok("code=x&state=y".to_owned()) });
    let outcome = log_in(&world.grant_with(pasted)).await;
    assert!(causes(outcome).contains("its state is another one"));
    assert_eq!(world.provider.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_login_that_the_user_refuses_is_the_users_decision() {
    let world = World::new().await;
    world.provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    let error = log_in(&world.grant()).await.expect_err("as arranged");
    assert_eq!(error.kind(), GrantErrorKind::Refused);
}
