//! Answers that are lost after the provider has done its work.

use portcullis_core::{AuthErrorKind, Generation, Reason};
use portcullis_testkit::{Endpoint, Fault, Vendor};

use crate::world::{VENDORS, WINDOW, World};

/// Whether a provider takes a refresh token again that it has taken before.
fn takes_it_again(vendor: Option<Vendor>) -> bool {
    matches!(vendor, Some(Vendor::Google | Vendor::Keycloak | Vendor::Atlassian))
}

#[tokio::test]
async fn a_lost_answer_costs_a_login_only_where_a_refresh_token_is_good_once() {
    let mut worlds = Vec::new();
    for fault in [Fault::disconnect(), Fault::body("text/html", "<h1>Maintenance</h1>")] {
        for vendor in VENDORS {
            let world = World::expired(vendor).await;
            let name = world.name();
            let before = world.stored_refresh_token().await.expect(name);
            world.idp.set_fault(Endpoint::Token, fault.clone().after_processing().times(1));
            let error = world.upstream().access_token().await.expect_err(name);
            assert_eq!(error.kind(), AuthErrorKind::Unavailable, "{name}: no user has to log in for that");
            assert_eq!(world.idp.times_presented(&before), 1, "{name}: and nothing is tried again at once");
            assert_eq!(world.stored_refresh_token().await.as_ref(), Some(&before), "{name}");
            worlds.push((world, before));
        }
    }
    tokio::time::sleep(WINDOW).await;
    for (world, before) in worlds {
        let name = world.name();
        let again = world.upstream().access_token().await;
        assert_eq!(world.idp.times_presented(&before), 2, "{name}: the only hope left");
        if takes_it_again(world.vendor) {
            assert_eq!(again.expect(name).generation(), Generation::new(1), "{name}");
        } else {
            assert_eq!(again.expect_err(name).reason(), Reason::GrantEnded, "{name}");
            assert!(world.stored().await.is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_request_that_was_not_sent_costs_nothing() {
    for vendor in VENDORS {
        let mut world = World::expired(vendor).await;
        let before = world.stored_refresh_token().await;
        let name = world.name();
        let upstream = world.upstream();
        world.unplug().await;
        let error = upstream.access_token().await.expect_err(name);
        assert_eq!(error.reason(), Reason::ProviderUnavailable, "{name}");
        assert_eq!(world.stored_refresh_token().await, before, "{name}");
        assert!(before.is_some_and(|token| world.idp.times_presented(&token) == 0), "{name}");
    }
}
