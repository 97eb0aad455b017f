//! Every class of error at a refresh.

use std::time::Duration;

use portcullis_core::{AuthErrorKind, GrantId, Reason};
use portcullis_testkit::{Endpoint, ErrorClass, Fault, Vendor};

use crate::world::{GRANT, VENDORS, WINDOW, World};

fn fault(vendor: Option<Vendor>, class: ErrorClass) -> Fault {
    match vendor {
        Some(vendor) => vendor.fault(class),
        None => Fault::status(match class {
            ErrorClass::RateLimited => 429,
            _ => 401,
        }),
    }
}

#[tokio::test]
async fn a_dead_refresh_token_ends_the_grant_at_once_and_is_never_presented_again() {
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let name = world.name();
        let end = world.upstream().revocation().expect("a revocation");
        // As the user does it, in the provider's settings.
        world.idp.revoke_grant("alice");
        for _ in 0..20 {
            let error = world.upstream().access_token().await.expect_err(name);
            assert_eq!((error.kind(), error.reason()), (AuthErrorKind::InvalidToken, Reason::GrantEnded), "{name}");
        }
        assert_eq!(world.token_calls(), 2, "{name}: the code, and one refresh");
        assert!(world.stored().await.is_none(), "{name}: nothing is kept");
        assert!(end.is_revoked(), "{name}: contexts made from it are withdrawn");
    }
}

#[tokio::test]
async fn a_refusal_of_this_server_logs_no_user_out_and_is_not_repeated_for_every_request() {
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let name = world.name();
        let before = world.stored_refresh_token().await;
        // The same error of the provider itself, after the secret was changed.
        world.idp.set_client(portcullis_testkit::IdentityProvider::CLIENT_ID, "another secret");
        for _ in 0..20 {
            let error = world.upstream().access_token().await.expect_err(name);
            assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::ClientRefused), "{name}");
        }
        assert_eq!(world.token_calls(), 2, "{name}");
        assert_eq!(world.stored_refresh_token().await, before, "{name}: the grant is kept as it was");
        assert!(before.is_some_and(|token| world.idp.is_refreshable(&token)), "{name}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_not_presented_for_every_user() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let (name, other) = (world.name(), GrantId::from_bytes([8; 16]));
        world.log_in().await;
        world.log_in_as(other).await;
        world.expire().await;
        world.clock.advance(Duration::from_secs(1));
        world.idp.set_client(portcullis_testkit::IdentityProvider::CLIENT_ID, "another secret");
        for grant in [GRANT, other] {
            let error = world.refresher.upstream(grant).access_token().await.expect_err(name);
            assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, Reason::ClientRefused), "{name}");
        }
        assert_eq!(world.token_calls(), 3, "{name}: two codes, and one refresh");
    }
}

#[tokio::test]
async fn a_provider_that_limits_the_rate_is_left_alone_for_as_long_as_it_asks() {
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let name = world.name();
        let before = world.stored_refresh_token().await;
        world.idp.set_fault(Endpoint::Token, fault(vendor, ErrorClass::RateLimited).with_retry_after("30"));
        for _ in 0..20 {
            let error = world.upstream().access_token().await.expect_err(name);
            assert_eq!(error.reason(), Reason::ProviderRateLimited, "{name}");
            assert!(error.retry_after().is_some_and(|delay| delay > Duration::from_secs(25)), "{name}");
        }
        assert_eq!(world.token_calls(), 2, "{name}");
        assert_eq!(world.stored_refresh_token().await, before, "{name}");
    }
}

#[tokio::test]
async fn an_outage_is_over_when_it_is_over() {
    let mut worlds = Vec::new();
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let before = world.stored_refresh_token().await;
        world.idp.set_fault(Endpoint::Token, Fault::status(503));
        for _ in 0..20 {
            let error = world.upstream().access_token().await.expect_err(world.name());
            assert_eq!(error.kind(), AuthErrorKind::Unavailable, "{}", world.name());
        }
        assert_eq!(world.token_calls(), 2, "{}: one call in a window", world.name());
        assert_eq!(world.stored_refresh_token().await, before, "{}", world.name());
        world.idp.heal(Endpoint::Token);
        worlds.push(world);
    }
    tokio::time::sleep(WINDOW).await;
    for world in worlds {
        let name = world.name();
        world.upstream().access_token().await.expect(name);
        assert_eq!(world.token_calls(), 3, "{name}");
    }
}

#[tokio::test]
async fn while_the_token_works_an_outage_is_not_reported() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        let tokens = world.log_in().await;
        world.idp.set_fault(Endpoint::Token, Fault::status(503));
        // A minute before its end it is to be renewed.
        world.clock.set(tokens.expires_at().expect("an expiry").saturating_sub(Duration::from_secs(10)));
        for _ in 0..20 {
            let token = world.upstream().access_token().await.expect(name);
            assert_eq!(token.generation(), tokens.generation(), "{name}");
        }
        world.refresher.shutdown().await;
        // Where a refresh ends the token that others are using, it is not done ahead of time.
        let ahead = usize::from(vendor != Some(Vendor::GitHub));
        assert_eq!(world.token_calls(), 1 + ahead, "{name}: tried once in the background");
    }
}
