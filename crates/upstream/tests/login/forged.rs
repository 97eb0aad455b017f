//! ID tokens that say something else than who has just logged in here.

use portcullis_core::Reason;
use portcullis_testkit::{KeyAlgorithm, TestClock, TokenBuilder, TokenPolicy, Vendor};
use portcullis_upstream::{LoginErrorKind, LoginStep};
use serde_json::json;

use crate::world::World;

type Forge = fn(TokenBuilder) -> TokenBuilder;

const NOW: u64 = TestClock::START.as_secs();

#[tokio::test(start_paused = true)]
async fn a_forged_id_token_logs_no_user_in_and_its_tokens_are_revoked() {
    let cases: [(Forge, Reason); 12] = [
        (|token| token.with_claim("nonce", "of another login"), Reason::NotOfThisLogin),
        (|token| token.without_claim("nonce"), Reason::MissingClaim),
        (|token| token.with_claim("at_hash", "77QmUPtjPfzWtF2AnpK9RQ"), Reason::NotOfThisLogin),
        (|token| token.with_claim("aud", "another-app").without_claim("azp"), Reason::WrongAudience),
        (|token| token.with_claim("azp", "another-app"), Reason::WrongClient),
        (|token| token.with_claim("iss", "https://idp.example.test/"), Reason::WrongIssuer),
        (|token| token.with_claim("exp", NOW - 60), Reason::Expired),
        (|token| token.with_claim("iat", NOW - 3600), Reason::Expired),
        (|token| token.with_header("typ", "at+jwt"), Reason::WrongType),
        (|token| token.with_header("jwk", json!({})), Reason::EmbeddedKey),
        (|token| token.unsigned(), Reason::AlgorithmRefused),
        (|token| token.signed_by_hmac(b"resource-server-secret"), Reason::AlgorithmRefused),
    ];
    let world = World::of(None);
    for (number, (forge, reason)) in cases.into_iter().enumerate() {
        world.idp.forge_id_tokens(forge);
        let error = world.log_in().await.expect_err("forged");
        assert_eq!(error.cause().reason(), reason, "{number}");
        assert_eq!((error.kind(), error.step()), (LoginErrorKind::Identity, LoginStep::IdToken), "{number}");
        assert_eq!(world.revocations().await, number + 1, "{number}");
    }
    world.idp.stop_forging();
    world.log_in().await.expect("as it is, it is good");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_published_verifies_no_token() {
    let world = World::of(None);
    let kid = world.idp.add_key(KeyAlgorithm::Rs256);
    world.idp.retire_old_keys();
    world.idp.forge_id_tokens(move |id_token| id_token.signed_by(&kid));
    let error = world.log_in().await.expect_err("an unknown key");
    assert_eq!((error.kind(), error.cause().reason()), (LoginErrorKind::Identity, Reason::UnknownKey));
}

#[tokio::test(start_paused = true)]
async fn the_profile_must_be_of_the_user_of_the_id_token() {
    for vendor in [None, Some(Vendor::Keycloak), Some(Vendor::Google), Some(Vendor::Salesforce)] {
        let world = World::of(vendor);
        world.idp.forge_id_tokens(|id_token| id_token.with_claim("sub", "bob"));
        let error = world.log_in().await.expect_err("two users");
        assert_eq!(error.cause().reason(), Reason::SubjectMismatch, "{}", world.name());
        assert_eq!((error.kind(), error.step()), (LoginErrorKind::Identity, LoginStep::Profile), "{}", world.name());
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_token_that_must_come_and_does_not_is_no_login() {
    let world = World::of(None);
    world.idp.set_token_policy(TokenPolicy::new().without_id_tokens());
    let error = world.log_in().await.expect_err("none came");
    assert_eq!((error.step(), error.cause().reason()), (LoginStep::IdToken, Reason::MissingClaim));
    assert_eq!(world.revocations().await, 1);
}
