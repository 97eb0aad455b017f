//! Tokens and codes that an attacker has found, and sessions that end during an outage.

use portcullis_bridge::collections;
use portcullis_core::Reason;
use portcullis_testkit::{Endpoint, Fault};

use crate::fixture::Fixture;

#[tokio::test(start_paused = true)]
async fn an_access_token_of_a_public_client_alone_cannot_end_its_session() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    let user = fixture.verify(answer.access_token()).await.expect("a user");
    let client = fixture.app().await;
    let other = client.refresh(answer.refresh_token()).await.expect("a response");

    assert_eq!(client.revoke(answer.access_token()).await.expect("a response").status(), 200);
    assert_eq!(fixture.verify(answer.access_token()).await.expect_err("revoked").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked(), "also for existing contexts");
    assert!(fixture.verify(other.access_token()).await.is_ok(), "another token of the session");
    let next = client.refresh(other.refresh_token()).await.expect("a response");
    assert_eq!(next.status(), 200, "the session is alive");
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_secret_ends_its_session_by_an_access_token() {
    let fixture = Fixture::new().await;
    let client = fixture.server().await;
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!(client.revoke(answer.access_token()).await.expect("a response").status(), 200);
    let refused = client.refresh(answer.refresh_token()).await.expect("a response");
    assert_eq!(refused.error(), Some("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn an_old_code_from_the_history_of_a_browser_ends_no_session() {
    let fixture = Fixture::new().await;
    let client = fixture.app().await;
    let (authorization, code) = fixture.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("a response");
    assert_eq!(answer.status(), 200);

    let verifier = "another-verifier-of-more-than-forty-three-characters";
    let found = client.redeem(&authorization, &code).with("code_verifier", verifier).await.expect("a response");
    assert_eq!(found.error(), Some("invalid_grant"));
    let elsewhere = fixture.server().await.redeem(&authorization, &code).await.expect("a response");
    assert_eq!(elsewhere.error(), Some("invalid_grant"));
    // A refresh token cannot be constructed from a code or an access token.
    for made_up in [code.replace("pcac_", "pcrt_"), answer.access_token().replace("pcat_", "pcrt_")] {
        let refused = client.refresh(&made_up).await.expect("a response");
        assert_eq!(refused.error(), Some("invalid_grant"));
        let revoked = client.revoke(&made_up).await.expect("a response");
        assert_eq!(revoked.status(), 200);
    }
    assert!(fixture.verify(answer.access_token()).await.is_ok());
    assert_eq!(client.refresh(answer.refresh_token()).await.expect("a response").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_whose_access_token_has_expired_gets_another_one() {
    let short = std::time::Duration::from_secs(60);
    let fixture = Fixture::with(|config| config.with_access_token_ttl(short)).await;
    let client = fixture.app().await;
    let first = fixture.log_in().await;
    let second = client.refresh(first.refresh_token()).await.expect("a response");
    fixture.pass(90);
    let again = client.refresh(first.refresh_token()).await.expect("a response");
    assert_eq!((again.status().as_u16(), again.refresh_token()), (200, second.refresh_token()));
    assert_ne!(again.access_token(), second.access_token());
    assert!(fixture.verify(again.access_token()).await.is_ok());
    let next = client.refresh(again.refresh_token()).await.expect("a response");
    assert_eq!(next.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_failed_revocation_at_the_provider_is_repeated_until_it_succeeds() {
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    fixture.idp.set_fault(Endpoint::Revocation, Fault::status(503));
    assert_eq!(fixture.app().await.revoke(answer.refresh_token()).await.expect("a response").status(), 200);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(fixture.verify(answer.access_token()).await.is_err(), "here it is over at once");
    let issuer: portcullis_core::Issuer = portcullis_testkit::IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(fixture.bridge.end_sessions_of(&issuer, "alice").await.expect("the store"), 0, "it has ended already");
    assert_eq!(
        fixture.app().await.refresh(answer.refresh_token()).await.expect("a response").error(),
        Some("invalid_grant")
    );
    // The process ends; another one completes the revocation.
    let fixture = {
        let bridge = fixture.another(|config| config);
        fixture.replaced_by(bridge)
    };
    fixture.idp.heal(Endpoint::Revocation);
    let before = fixture.idp.calls(Endpoint::Revocation);
    assert!(before >= 1);
    tokio::time::sleep(std::time::Duration::from_mins(10)).await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), before + 1);
}

#[tokio::test(start_paused = true)]
async fn undecryptable_rows_do_not_prevent_ending_sessions_of_a_user() {
    use portcullis_core::{Issuer, UnixTime};
    use portcullis_store::{Expected, RecordKey, Row, Store as _, Swap};
    let fixture = Fixture::new().await;
    let answer = fixture.log_in().await;
    for first in 0..200 {
        let mut key = [0; 32];
        key[31] = first;
        let nonsense = Row::new("nonsense".into(), UnixTime::MAX);
        let key = RecordKey::new(collections::SESSIONS, key);
        assert!(matches!(
            fixture.store.compare_and_swap(key, Expected::Absent, nonsense, None).await,
            Ok(Swap::Written(_))
        ));
    }
    let issuer: Issuer = portcullis_testkit::IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(fixture.bridge.end_sessions_of(&issuer, "alice").await.expect("the store"), 1);
    assert!(fixture.verify(answer.access_token()).await.is_err());
}
