//! The tokens after a refresh, for random responses.

use std::time::Duration;

use portcullis_core::{BearerToken, Generation, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;
use portcullis_refresh::{RefreshError, TokenSet};
use proptest::prelude::{Strategy, any, prop, proptest};
use secrecy::{ExposeSecret as _, SecretString};

const LOGIN: UnixTime = UnixTime::from_secs(1_800_000_000);

/// A token response whose optional members are present or absent.
fn response() -> impl Strategy<Value = TokenResponse> {
    let lifetime = || prop::option::of(0_u64..10_000_000);
    let token = "[a-z]{1,8}";
    let scopes = prop::option::of(prop::collection::vec("[a-c]", 0..3));
    (token, prop::option::of(token), lifetime(), lifetime(), lifetime(), scopes, any::<bool>()).prop_map(
        |(access, refresh, expires_in, expires_at, refresh_expires_in, scopes, further)| {
            let mut response = TokenResponse::new(BearerToken::issued(&access).expect("token"));
            response.refresh_token = refresh.map(SecretString::from);
            response.expires_in = expires_in.map(Duration::from_secs);
            response.expires_at = expires_at.map(|seconds| LOGIN + Duration::from_secs(seconds));
            response.refresh_expires_in = refresh_expires_in.map(Duration::from_secs);
            response.scopes = scopes.map(|names| ScopeSet::new(names).expect("scopes"));
            if further {
                response.further.insert("instance_url".to_owned(), access.into());
            }
            response
        },
    )
}

fn secret(tokens: &TokenSet) -> Option<&str> {
    tokens.refresh_token().map(|token| token.expose_secret())
}

proptest! {
    #[test]
    fn a_refresh_changes_what_it_names_and_nothing_else(
        login in response(),
        refreshes in prop::collection::vec((response(), 0_u64..100_000), 1..6),
    ) {
        let asked = ScopeSet::parse("a b c").expect("scopes");
        let mut tokens = TokenSet::from_login(login, &asked, LOGIN);
        assert_eq!(tokens.generation(), Generation::default());
        let mut now = LOGIN;
        for (response, elapsed) in refreshes {
            now = now + Duration::from_secs(elapsed);
            let old = tokens;
            tokens = old.refreshed(response.clone(), now);

            assert_eq!(tokens.generation(), old.generation().next(), "grows by one");
            assert_eq!(tokens.access_token().expose_secret(), response.access_token.expose_secret());
            assert_eq!(tokens.received_at(), now);
            let expected = response.expires_in.map(|lifetime| now + lifetime).or(response.expires_at);
            assert_eq!(tokens.expires_at(), expected, "the old expiry says nothing about the new token");

            let named = response.refresh_token.as_ref().map(|token| token.expose_secret());
            assert_eq!(secret(&tokens), named.or_else(|| secret(&old)), "an omitted refresh token keeps the old one");
            let told = response.refresh_expires_in.map(|lifetime| now + lifetime);
            let stored = if named.is_some() { None } else { old.refresh_expires_at() };
            assert_eq!(tokens.refresh_expires_at(), told.or(stored), "its expiry goes with it");

            assert_eq!(tokens.scopes(), response.scopes.as_ref().unwrap_or_else(|| old.scopes()));
            for (name, value) in old.extra() {
                assert_eq!(tokens.extra().get(name), response.further.get(name).or(Some(value)));
            }
            outlives(&tokens);
        }
    }
}

/// Asserts that a grant is stored for as long as any of its tokens may be valid.
fn outlives(tokens: &TokenSet) {
    let Some(unusable_after) = tokens.unusable_after() else { return };
    assert!(
        tokens.expires_at().is_some_and(|expires_at| unusable_after >= expires_at),
        "the record outlives the access token"
    );
    if tokens.refresh_token().is_some() {
        assert!(tokens.refresh_expires_at().is_some_and(|end| unusable_after >= end), "and the refresh token");
    }
}

#[test]
fn a_token_of_unknown_expiry_is_not_considered_dead() {
    let set = |refresh: Option<&str>, expires_in: Option<u64>, refresh_expires_in: Option<u64>| {
        let mut response = TokenResponse::new(BearerToken::issued("a").expect("token"));
        response.refresh_token = refresh.map(SecretString::from);
        response.expires_in = expires_in.map(Duration::from_secs);
        response.refresh_expires_in = refresh_expires_in.map(Duration::from_secs);
        TokenSet::from_login(response, &ScopeSet::default(), LOGIN).unusable_after()
    };
    assert_eq!(set(Some("r"), Some(60), None), None);
    assert_eq!(set(None, None, None), None);
    assert_eq!(set(Some("r"), None, Some(60)), None, "the access token may live longer than the refresh token");
    assert_eq!(set(None, Some(60), None), Some(LOGIN + Duration::from_secs(60)));
    assert_eq!(set(Some("r"), Some(60), Some(600)), Some(LOGIN + Duration::from_secs(600)));
    assert_eq!(set(Some("r"), Some(600), Some(60)), Some(LOGIN + Duration::from_secs(600)));
}

#[test]
fn the_error_of_a_refresh_names_its_cause() {
    let error = RefreshError::refused("invalid_grant: revoked");
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("invalid_grant: revoked"));
    assert_eq!(error.to_string(), "token refresh failed (refused): grant_ended");
}
