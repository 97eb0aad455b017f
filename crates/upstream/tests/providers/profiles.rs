//! Every class of error at the profile, inside one resolution: dead tokens are replaced, everything else is not the user's fault.

use portcullis_core::{AuthErrorKind, GrantId, Reason};
use portcullis_testkit::{ErrorClass, Fault, Vendor};

use crate::world::{VENDORS, World};

/// A forbidden one as the standard has it.
fn fault(vendor: Option<Vendor>, class: ErrorClass) -> Fault {
    match (vendor, class) {
        (Some(vendor), class) => vendor.fault(class),
        (None, ErrorClass::AccessTokenDead) => Fault::status(401),
        (None, ErrorClass::Forbidden) => Fault::status(403),
        (None, _) => Fault::status(429),
    }
}

#[tokio::test]
async fn a_dead_token_costs_one_dead_call_one_refresh_and_one_profile() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        world.log_in().await;
        world.idp.set_fault(world.profile_endpoint(), fault(vendor, ErrorClass::AccessTokenDead).times(1));
        let user = world.resolve().await.expect(name);
        assert_eq!(user.email(), Some("alice@example.test"), "{name}");
        assert_eq!((world.profile_calls(), world.token_calls()), (2, 2), "{name}");
    }
}

#[tokio::test]
async fn a_token_that_is_known_to_have_expired_costs_no_dead_call() {
    for vendor in VENDORS {
        let world = World::expired(vendor).await;
        let name = world.name();
        world.resolve().await.expect(name);
        assert_eq!((world.profile_calls(), world.token_calls()), (1, 2), "{name}");
        assert_eq!(world.idp.dead_calls(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_missing_permission_a_limit_and_an_outage_are_no_reason_to_refresh_or_to_log_in() {
    for vendor in VENDORS {
        for (fault, reason) in [
            (fault(vendor, ErrorClass::Forbidden), Reason::ClientRefused),
            (fault(vendor, ErrorClass::RateLimited), Reason::ProviderRateLimited),
            (Fault::status(503), Reason::ProviderUnavailable),
            (Fault::disconnect(), Reason::ProviderUnavailable),
            (Fault::body("text/html", "<h1>Maintenance</h1>"), Reason::ProviderMisbehaved),
        ] {
            let world = World::of(vendor).await;
            let name = world.name();
            world.log_in().await;
            world.idp.set_fault(world.profile_endpoint(), fault);
            let error = world.resolve().await.expect_err(name);
            assert_eq!((error.kind(), error.reason()), (AuthErrorKind::Unavailable, reason), "{name}");
            assert_eq!((world.profile_calls(), world.token_calls()), (1, 1), "{name}: no refresh");
            assert!(world.stored().await.is_some(), "{name}: the grant is kept");
        }
    }
}

#[tokio::test]
async fn a_failing_provider_gets_one_call_for_the_profile_in_a_window() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        world.log_in().await;
        world.idp.set_fault(world.profile_endpoint(), Fault::status(503));
        for _ in 0..20 {
            assert!(world.resolve().await.is_err_and(|error| error.is_transient()), "{}", world.name());
        }
        assert_eq!(world.profile_calls(), 1, "{}", world.name());
    }
}

#[tokio::test]
async fn a_user_whose_limit_is_reached_is_asked_about_once_until_it_ends() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        world.log_in().await;
        let limited = fault(vendor, ErrorClass::RateLimited).with_retry_after("30").times(1);
        world.idp.set_fault(world.profile_endpoint(), limited);
        for _ in 0..20 {
            let error = world.resolve().await.expect_err(name);
            assert_eq!(error.reason(), Reason::ProviderRateLimited, "{name}");
            assert!(error.retry_after().is_some_and(|delay| delay.as_secs() > 25), "{name}");
        }
        assert_eq!((world.profile_calls(), world.token_calls()), (1, 1), "{name}");
        let another = world.log_in_as(GrantId::from_bytes([8; 16])).await;
        world.client.profile(another.access_token()).await.expect(name);
    }
}

#[tokio::test]
async fn an_answer_without_a_usable_token_is_requested_again_by_the_next_request() {
    for vendor in VENDORS {
        for fault in [fault(vendor, ErrorClass::Forbidden), Fault::body("text/html", "<h1>Maintenance</h1>")] {
            let world = World::of(vendor).await;
            let name = world.name();
            world.log_in().await;
            world.idp.set_fault(world.profile_endpoint(), fault.times(2));
            for _ in 0..2 {
                assert_eq!(world.resolve().await.expect_err(name).kind(), AuthErrorKind::Unavailable, "{name}");
            }
            world.resolve().await.expect(name);
            assert_eq!((world.profile_calls(), world.token_calls()), (3, 1), "{name}");
        }
    }
}

#[tokio::test]
async fn a_user_who_withdrew_the_grant_is_refused_at_once() {
    for vendor in VENDORS {
        let world = World::of(vendor).await;
        let name = world.name();
        world.log_in().await;
        world.idp.revoke_grant("alice");
        for _ in 0..5 {
            let error = world.resolve().await.expect_err(name);
            assert_eq!((error.kind(), error.reason()), (AuthErrorKind::InvalidToken, Reason::GrantEnded), "{name}");
        }
        assert_eq!((world.profile_calls(), world.token_calls()), (1, 2), "{name}: asked once, refreshed once");
        assert!(world.stored().await.is_none(), "{name}");
    }
}
