//! What works, at every vendor.

use portcullis_core::{Issuer, Reason};
use portcullis_egress::Egress;
use portcullis_oauth::{
    ClientAuthentication,
    providers::{Provider, SubjectMember},
};
use portcullis_testkit::{Endpoint, IdentityProvider, Vendor};
use serde_json::json;

use crate::world::{NONCE, VENDORS, World};

#[tokio::test(start_paused = true)]
async fn a_user_logs_in_at_every_vendor() {
    for vendor in VENDORS {
        let world = World::of(vendor);
        let name = world.name();
        let login = world.log_in().await.expect(name);
        assert_eq!(login.profile.members()["email"], "alice@example.test", "{name}");
        assert!(login.tokens.refresh_token().is_some() && login.tokens.expires_at().is_some(), "{name}");
        let has_id_token = !matches!(vendor, Some(Vendor::GitHub | Vendor::Atlassian));
        assert_eq!(login.id_token_claims.is_some(), has_id_token, "{name}");
        if let Some(claims) = &login.id_token_claims {
            assert_eq!(claims.subject().expect("sub"), Some(login.profile.subject()), "{name}");
            assert_eq!(claims.claim("nonce"), Some(&json!(NONCE)), "{name}");
        }
        assert_eq!(world.revocations().await, 0, "{name}: what is kept is not taken back");
        let printed = format!("{login:?}");
        assert!(!printed.contains(login.tokens.access_token().expose_secret()), "{name}: {printed}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_openid_the_profile_alone_says_who_it_is() {
    let world = World::of(None);
    let code = world.code("email").await;
    let login = world.redeem(&code, "email").await.expect("a login");
    assert_eq!((login.profile.subject(), login.id_token_claims.is_some()), ("alice", false));
    assert_eq!(world.idp.calls(Endpoint::KeySet), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_for_all_logins() {
    let world = World::of(None);
    for _ in 0..3 {
        world.log_in().await.expect("a login");
    }
    assert_eq!(world.idp.calls(Endpoint::KeySet), 1);
}

#[tokio::test(start_paused = true)]
async fn only_google_may_leave_out_its_scheme() {
    for vendor in [None, Some(Vendor::Google), Some(Vendor::Salesforce)] {
        let world = World::of(vendor);
        world.idp.forge_id_tokens(|id_token| id_token.with_claim("iss", "accounts.google.com"));
        assert_eq!(world.log_in().await.is_ok(), vendor == Some(Vendor::Google), "{}", world.name());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_metadata_say_is_enough() {
    let idp = IdentityProvider::new();
    let issuer = Issuer::new(&idp.issuer()).expect("issuer");
    let metadata = portcullis_remote::discover(&Egress::from_service(idp.clone()), &issuer).await.expect("metadata");
    let provider = Provider::oidc(&metadata).expect("endpoints");
    assert!(provider.jwks_uri().is_some() && provider.advertises_issuer());
    assert_eq!(metadata.code_challenge_methods(), ["S256".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_said_to_have_no_id_tokens_needs_none() {
    let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
    let world = World::with(None, app, Provider::without_id_tokens);
    let login = world.log_in().await.expect("a login");
    assert_eq!((login.profile.subject(), login.id_token_claims.is_some()), ("alice", false));
    assert_eq!(world.idp.calls(Endpoint::KeySet), 0, "the one that came is not looked at");
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_named_by_another_member_still_has_the_sub_of_the_id_token() {
    for vendor in [None, Some(Vendor::Keycloak)] {
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, IdentityProvider::CLIENT_SECRET.into());
        let by_address =
            |provider: Provider| provider.with_vendor(|vendor| vendor.subject = SubjectMember::Any("email".into()));
        let world = World::with(vendor, app, by_address);
        let login = world.log_in().await.expect("a login");
        assert_eq!(login.profile.subject(), "alice@example.test");
        world.idp.forge_id_tokens(|id_token| id_token.with_claim("sub", "alice@example.test"));
        let error = world.log_in().await.expect_err("the name is not the `sub`");
        assert_eq!(error.cause().reason(), Reason::SubjectMismatch);
    }
}
