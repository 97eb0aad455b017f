//! What is of no use to whoever has found it.

use portcullis_bridge::collections;
use portcullis_core::Reason;
use portcullis_testkit::{Endpoint, Fault};

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn an_access_token_of_a_public_client_alone_cannot_end_its_session() {
    let world = World::new().await;
    let answer = world.log_in().await;
    let user = world.verify(answer.access_token()).await.expect("a user");
    let client = world.app().await;
    let other = client.refresh(answer.refresh_token()).await.expect("an answer");

    assert_eq!(client.revoke(answer.access_token()).await.expect("an answer").status(), 200);
    assert_eq!(world.verify(answer.access_token()).await.expect_err("taken back").reason(), Reason::Inactive);
    assert!(user.revocation().is_revoked(), "also for who has it already");
    assert!(world.verify(other.access_token()).await.is_ok(), "another token of the session");
    let next = client.refresh(other.refresh_token()).await.expect("an answer");
    assert_eq!(next.status(), 200, "the session is alive");
    assert_eq!(world.idp.calls(Endpoint::Revocation), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_secret_ends_its_session_by_an_access_token() {
    let world = World::new().await;
    let client = world.server().await;
    let (authorization, code) = world.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(client.revoke(answer.access_token()).await.expect("an answer").status(), 200);
    let refused = client.refresh(answer.refresh_token()).await.expect("an answer");
    assert_eq!(refused.error(), Some("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn an_old_code_from_the_history_of_a_browser_ends_no_session() {
    let world = World::new().await;
    let client = world.app().await;
    let (authorization, code) = world.code(&client).await;
    let answer = client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(answer.status(), 200);

    let verifier = "another-verifier-of-more-than-forty-three-characters";
    let found = client.redeem(&authorization, &code).with("code_verifier", verifier).await.expect("an answer");
    assert_eq!(found.error(), Some("invalid_grant"));
    let elsewhere = world.server().await.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(elsewhere.error(), Some("invalid_grant"));
    // What the code and the refresh tokens have in common would be a handle to make up an old refresh token with.
    for made_up in [code.replace("pcac_", "pcrt_"), answer.access_token().replace("pcat_", "pcrt_")] {
        let refused = client.refresh(&made_up).await.expect("an answer");
        assert_eq!(refused.error(), Some("invalid_grant"));
        let revoked = client.revoke(&made_up).await.expect("an answer");
        assert_eq!(revoked.status(), 200);
    }
    assert!(world.verify(answer.access_token()).await.is_ok());
    assert_eq!(client.refresh(answer.refresh_token()).await.expect("an answer").status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_whose_access_token_has_expired_gets_another_one() {
    let short = std::time::Duration::from_secs(60);
    let world = World::with(|config| config.with_access_token_ttl(short)).await;
    let client = world.app().await;
    let first = world.log_in().await;
    let second = client.refresh(first.refresh_token()).await.expect("an answer");
    world.pass(90);
    let again = client.refresh(first.refresh_token()).await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.refresh_token()), (200, second.refresh_token()));
    assert_ne!(again.access_token(), second.access_token());
    assert!(world.verify(again.access_token()).await.is_ok());
    let next = client.refresh(again.refresh_token()).await.expect("an answer");
    assert_eq!(next.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_out_of_order_hears_of_an_end_later_and_once() {
    let world = World::new().await;
    let answer = world.log_in().await;
    world.idp.set_fault(Endpoint::Revocation, Fault::status(503));
    assert_eq!(world.app().await.revoke(answer.refresh_token()).await.expect("an answer").status(), 200);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(world.verify(answer.access_token()).await.is_err(), "here it is over at once");
    let issuer: portcullis_core::Issuer = portcullis_testkit::IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(world.bridge.end_sessions_of(&issuer, "alice").await.expect("the store"), 0, "it has ended already");
    assert_eq!(
        world.app().await.refresh(answer.refresh_token()).await.expect("an answer").error(),
        Some("invalid_grant")
    );
    // The process dies; another one finds what is left to do.
    let world = {
        let bridge = world.another(|config| config);
        world.replaced_by(bridge)
    };
    world.idp.heal(Endpoint::Revocation);
    let before = world.idp.calls(Endpoint::Revocation);
    assert!(before >= 1);
    tokio::time::sleep(std::time::Duration::from_mins(10)).await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_does_not_open_keeps_no_administrator_from_ending_sessions() {
    use portcullis_core::{Issuer, UnixTime};
    use portcullis_store::{Expected, RecordKey, Row, Store as _, Swap};
    let world = World::new().await;
    let answer = world.log_in().await;
    for first in 0..200 {
        let mut key = [0; 32];
        key[31] = first;
        let nonsense = Row::new("nonsense".into(), UnixTime::MAX);
        let key = RecordKey::new(collections::SESSIONS, key);
        assert!(matches!(
            world.shelf.compare_and_swap(key, Expected::Absent, nonsense, None).await,
            Ok(Swap::Written(_))
        ));
    }
    let issuer: Issuer = portcullis_testkit::IdentityProvider::ISSUER.parse().expect("issuer");
    assert_eq!(world.bridge.end_sessions_of(&issuer, "alice").await.expect("the store"), 1);
    assert!(world.verify(answer.access_token()).await.is_err());
}
