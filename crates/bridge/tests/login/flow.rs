//! What a login is when all goes well.

use crate::world::{APP, World};

#[tokio::test(start_paused = true)]
async fn a_user_consents_logs_in_and_the_client_gets_tokens() {
    let world = World::new().await;
    let client = world.client(APP, portcullis_test_support::OAuthClient::REDIRECT_URI).await;
    let tokens = client.log_in(&mut world.browser(), "alice").await.expect("tokens");
    let user = world.verify(tokens.access_token()).await.expect("a user");
    assert_eq!((user.subject(), user.issuer().as_str()), ("alice", &*world.idp.issuer()));
}
