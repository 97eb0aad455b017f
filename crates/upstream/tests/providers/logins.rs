//! What works: a login, a profile, refreshes, a revocation.

use portcullis_core::{Generation, Reason};
use portcullis_testkit::Vendor;
use serde_json::json;

use crate::world::{VENDORS, World};

#[tokio::test]
async fn a_code_brings_tokens_and_tokens_a_profile() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        let tokens = world.log_in().await;
        assert!(tokens.refresh_token().is_some() && tokens.expires_at().is_some(), "{name}");
        assert!(!tokens.scopes().is_empty(), "{name}: also where an app has none");
        let profile = world.client.profile(tokens.access_token()).await.expect(name);
        let subject = match vendor {
            Some(Vendor::GitHub) => profile.members()["id"].to_string(),
            Some(Vendor::Salesforce) => profile.members()["sub"].as_str().expect("sub").to_owned(),
            _ => "alice".to_owned(),
        };
        assert_eq!(profile.subject(), subject, "{name}");
        assert_eq!(profile.members()["email"], "alice@example.test", "{name}");
        match vendor {
            Some(Vendor::Atlassian) => {
                assert_eq!(profile.members()["accessible_resources"][0]["url"], "https://example.atlassian.test")
            }
            Some(Vendor::Salesforce) => {
                assert!(tokens.extra().contains_key("instance_url"));
                let lifetime = tokens.expires_at().map(|end| end.as_secs() - tokens.received_at().as_secs());
                assert_eq!(lifetime, Some(7200), "by introspection");
            }
            Some(Vendor::Keycloak) => {
                let roles = json!({"roles": ["offline_access", "default-roles-test"]});
                assert_eq!(profile.claims().claim("realm_access"), Some(&roles));
                assert_eq!(tokens.refresh_expires_at(), None, "the end of an offline session is not known");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused_by_its_provider_and_replaced_before_a_caller_gets_it() {
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let name = world.name();
        let old = world.stored().await.expect("a grant");
        let refused = world.client.profile(old.access_token()).await.expect_err(name);
        assert_eq!(refused.reason(), Reason::Inactive, "{name}");
        let token = world.upstream().access_token().await.expect(name);
        assert_eq!(token.generation(), Generation::new(1), "{name}");
        assert_eq!(world.client.profile(&token).await.expect(name).members()["email"], "alice@example.test", "{name}");
        assert_eq!(world.token_calls(), 2, "{name}: the code, and one refresh");
    }
}

#[tokio::test]
async fn every_refresh_presents_the_newest_refresh_token_once_or_the_only_one_again() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        let login = world.log_in().await;
        let mut seen = vec![world.stored_refresh_token().await.expect(name)];
        for generation in 1..=3 {
            world.expire().await;
            let tokens = world.tokens().await.expect(name);
            assert_eq!(tokens.generation(), Generation::new(generation), "{name}");
            assert_eq!(tokens.scopes(), login.scopes(), "{name}: a refresh takes no right away");
            seen.push(world.stored_refresh_token().await.expect(name));
        }
        seen.dedup();
        let (kinds, presented) = if vendor == Some(Vendor::Google) { (1, 3) } else { (4, 1) };
        assert_eq!((seen.len(), world.idp.most_times_presented()), (kinds, presented), "{name}");
        assert_eq!(world.idp.families_killed(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_grant_that_is_revoked_is_of_no_use_any_more() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        let tokens = world.log_in().await;
        let refresh_token = world.stored_refresh_token().await.expect(name);
        let was_told = world.client.revoke(&tokens).await.expect(name);
        assert_eq!(was_told, vendor != Some(Vendor::Atlassian), "{name}");
        assert_eq!(world.idp.is_refreshable(&refresh_token), !was_told, "{name}");
        assert_eq!(world.client.revoke(&tokens).await.expect(name), was_told, "{name}: nor is it an error that it was");
    }
}

#[tokio::test]
async fn an_oauth_app_of_github_has_one_token_and_no_refresh() {
    let world = World::of(Some(Vendor::GitHub)).await;
    let policy = Vendor::GitHub.token_policy().without_refresh_tokens().without_access_token_expiry();
    world.idp.set_token_policy(policy);
    let tokens = world.log_in().await;
    assert!(tokens.refresh_token().is_none() && tokens.expires_at().is_none());
    assert_eq!(tokens.scopes().to_string(), crate::world::SCOPES, "separated by commas");
    world.clock.advance(std::time::Duration::from_hours(24 * 300));
    let token = world.upstream().access_token().await.expect("it has no end");
    let error = world.upstream().rejected(&token).await.expect_err("nothing to refresh it with");
    assert_eq!((error.reason(), world.token_calls()), (Reason::GrantEnded, 1));
    assert!(world.stored().await.is_none());
}
