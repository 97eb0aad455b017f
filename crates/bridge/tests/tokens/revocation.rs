//! The revocation endpoint.

use portcullis_core::Reason;

use crate::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn an_access_token_that_is_revoked_works_no_more() {
    let fixture = Fixture::new().await;
    let answer = fixture.asserted().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let revoked = fixture.server().await.revoke(answer.access_token()).with("token_type_hint", hint).await;
        assert_eq!(revoked.expect("a response").status(), 200, "{hint}");
    }
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked(), "also for existing contexts");
}

#[tokio::test(start_paused = true)]
async fn revoking_an_invalid_token_succeeds() {
    let fixture = Fixture::new().await;
    for token in ["x", "pcat_x", "pcrt_x", &fixture.idp.token("alice").jwt()] {
        let revoked = fixture.server().await.revoke(token).await.expect("a response");
        assert_eq!((revoked.status().as_u16(), revoked.error()), (200, None), "{token}");
    }
    let nothing = fixture.server().await.call("revocation_endpoint").await.expect("a response");
    assert_eq!((nothing.status().as_u16(), nothing.error()), (400, Some("invalid_request")));
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_revoke_the_token_of_another_client() {
    let fixture = Fixture::new().await;
    let answer = fixture.asserted().await;
    let refused = fixture.app().await.revoke(answer.access_token()).await.expect("a response");
    assert_eq!((refused.status().as_u16(), refused.error()), (400, Some("invalid_grant")));
    assert!(fixture.verify(answer.access_token()).await.is_ok());
}
