//! Logins that fail: whose fault it is, and what becomes of the tokens.

use std::time::Duration;

use futures_util::FutureExt as _;
use portcullis_core::Reason;
use portcullis_oauth::ClientAuthentication;
use portcullis_testkit::{Endpoint, Fault, IdentityProvider, Vendor};
use portcullis_upstream::{LoginErrorKind, LoginStep};
use secrecy::ExposeSecret as _;
use tokio::time::{sleep, timeout};

use crate::world::{NONCE, SCOPES, VENDORS, World};

#[tokio::test(start_paused = true)]
async fn it_is_told_whose_fault_it_is() {
    use LoginErrorKind::{Misconfigured, Unavailable};
    let world = World::of(None);
    let mut taken_back = 0;
    for (endpoint, status, kind, step, reason) in [
        (Endpoint::Token, 500, Unavailable, LoginStep::Code, Reason::ProviderUnavailable),
        (Endpoint::Token, 401, Misconfigured, LoginStep::Code, Reason::ClientRefused),
        (Endpoint::KeySet, 500, Unavailable, LoginStep::IdToken, Reason::KeySetUnavailable),
        (Endpoint::UserInfo, 503, Unavailable, LoginStep::Profile, Reason::ProviderUnavailable),
        (Endpoint::UserInfo, 403, Misconfigured, LoginStep::Profile, Reason::ClientRefused),
        (Endpoint::UserInfo, 401, Misconfigured, LoginStep::Profile, Reason::FreshTokenRefused),
    ] {
        world.idp.set_fault(endpoint, Fault::status(status));
        let error = world.log_in().await.expect_err("a fault");
        assert_eq!((error.kind(), error.step()), (kind, step), "{endpoint:?} {status}");
        assert_eq!(error.cause().reason(), reason, "{endpoint:?} {status}");
        taken_back += usize::from(endpoint != Endpoint::Token);
        assert_eq!(world.revocations().await, taken_back, "{endpoint:?} {status}");
        world.idp.heal(endpoint);
        sleep(Duration::from_secs(60)).await;
    }
    world.log_in().await.expect("all is well again");
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_spent_is_the_users_to_get_again() {
    for vendor in VENDORS {
        let world = World::of(vendor);
        let code = world.code(SCOPES).await;
        world.redeem(&code, SCOPES).await.expect("the first time");
        let error = world.redeem(&code, SCOPES).await.expect_err("the second time");
        assert_eq!((error.kind(), error.step()), (LoginErrorKind::Refused, LoginStep::Code), "{}", world.name());
        assert_eq!(world.revocations().await, 0, "{}: there is nothing to take back", world.name());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_ours() {
    for vendor in VENDORS {
        let app = ClientAuthentication::basic(IdentityProvider::CLIENT_ID, "wrong".into());
        let world = World::with(vendor, app, |provider| provider);
        let error = world.log_in().await.expect_err("wrong");
        assert_eq!((error.kind(), error.step()), (LoginErrorKind::Misconfigured, LoginStep::Code), "{}", world.name());
        let again = world.log_in().await.expect_err("wrong");
        assert_eq!(again.kind(), LoginErrorKind::Misconfigured, "{}: nor does it change by waiting", world.name());
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_revoked_if_their_login_was_abandoned() {
    let world = World::of(None);
    let code = world.code(SCOPES).await;
    world.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(5));
    let waited = timeout(Duration::from_secs(1), world.redeem(&code, SCOPES)).await;
    assert!(waited.is_err(), "the browser went away");
    assert_eq!(world.revocations().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_ends_no_other_login_of_the_user() {
    for vendor in [Vendor::Google, Vendor::Keycloak] {
        let world = World::of(Some(vendor));
        world.idp.set_fault(Endpoint::UserInfo, Fault::status(503));
        world.log_in().await.expect_err("no profile");
        assert_eq!(world.revocations().await, 0, "{vendor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_as_well_changes_nothing() {
    let world = World::of(None);
    world.idp.set_fault(Endpoint::UserInfo, Fault::status(503));
    world.idp.set_fault(Endpoint::Revocation, Fault::status(500));
    world.log_in().await.expect_err("no profile");
    assert_eq!(world.revocations().await, 1);
    world.idp.heal(Endpoint::UserInfo);
    sleep(Duration::from_secs(60)).await;
    world.log_in().await.expect("another login");
}

#[test]
fn tokens_that_are_dropped_with_the_runtime_panic_nowhere() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let (world, first) = (World::of(None), runtime());
    let code = first.block_on(world.code(SCOPES));
    world.idp.set_latency(Endpoint::UserInfo, Duration::from_secs(60));
    let mut login = Box::pin(world.redeem(&code, SCOPES));
    first.block_on(async {
        for _ in 0..50 {
            assert!((&mut login).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(world.idp.calls(Endpoint::UserInfo), 1, "the tokens have come");
    drop(first);
    drop(login);
}

#[tokio::test(start_paused = true)]
async fn a_failure_prints_no_secret() {
    let world = World::of(None);
    world.idp.set_fault(Endpoint::UserInfo, Fault::status(401));
    let code = world.code(SCOPES).await;
    let error = world.redeem(&code, SCOPES).await.expect_err("refused");
    let printed = format!("{error} {error:?} {:?}", world.client);
    for secret in [code.expose_secret(), IdentityProvider::CLIENT_SECRET, NONCE] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
