//! A successful login.

use crate::fixture::{APP, Fixture};

#[tokio::test(start_paused = true)]
async fn a_user_consents_and_logs_in_and_the_client_gets_tokens() {
    let fixture = Fixture::new().await;
    let client = fixture.client(APP, portcullis_test_support::OAuthClient::REDIRECT_URI).await;
    let tokens = client.log_in(&mut fixture.browser(), "alice").await.expect("tokens");
    let user = fixture.verify(tokens.access_token()).await.expect("a user");
    assert_eq!((user.subject(), user.issuer().as_str()), ("alice", &*fixture.idp.issuer()));
}
