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
async fn a_public_client_revokes_its_token_without_a_client_id() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let revoke = async |token: &str| client.revoke(token).without("client_id").await.expect("a response");
    let answer = fixture.log_in().await;
    assert_eq!(revoke(answer.access_token()).await.status(), 200);
    assert!(fixture.verify(answer.access_token()).await.is_err(), "the access token alone");
    let next = client.refresh(answer.refresh_token()).await.expect("a response");
    assert!(fixture.verify(next.access_token()).await.is_ok());
    assert_eq!(revoke(next.refresh_token()).await.status(), 200);
    assert!(fixture.verify(next.access_token()).await.is_err(), "the session");
    assert_eq!(revoke("pcrt_x").await.status(), 200, "an invalid token is no error");

    let confidential = fixture.asserted().await;
    let refused = revoke(confidential.access_token()).await;
    assert_eq!((refused.status().as_u16(), refused.error()), (401, Some("invalid_client")));
    assert!(fixture.verify(confidential.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_client_cannot_revoke_the_token_of_another_client() {
    let fixture = Fixture::new().await;
    let answer = fixture.asserted().await;
    let refused = fixture.app().await.revoke(answer.access_token()).await.expect("a response");
    assert_eq!((refused.status().as_u16(), refused.error()), (400, Some("invalid_grant")));
    assert!(fixture.verify(answer.access_token()).await.is_ok());
}
