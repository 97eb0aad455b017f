//! A client logs its user out.

use portcullis_core::Reason;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn an_access_token_that_is_revoked_works_no_more() {
    let world = World::new().await;
    let answer = world.asserted().await;
    let user = world.verify(answer.access_token()).await.expect("a user");
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let revoked = world.server().await.revoke(answer.access_token()).with("token_type_hint", hint).await;
        assert_eq!(revoked.expect("an answer").status(), 200, "{hint}");
    }
    assert_eq!(world.verify(answer.access_token()).await.expect_err("over").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked(), "also for who has it already");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_is_revoked_without_a_word() {
    let world = World::new().await;
    for token in ["x", "pcat_x", "pcrt_x", &world.idp.token("alice").jwt()] {
        let revoked = world.server().await.revoke(token).await.expect("an answer");
        assert_eq!((revoked.status().as_u16(), revoked.error()), (200, None), "{token}");
    }
    let nothing = world.server().await.call("revocation_endpoint").await.expect("an answer");
    assert_eq!((nothing.status().as_u16(), nothing.error()), (400, Some("invalid_request")));
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_revoke_the_token_of_another_client() {
    let world = World::new().await;
    let answer = world.asserted().await;
    let refused = world.app().await.revoke(answer.access_token()).await.expect("an answer");
    assert_eq!((refused.status().as_u16(), refused.error()), (400, Some("invalid_grant")));
    assert!(world.verify(answer.access_token()).await.is_ok());
}
