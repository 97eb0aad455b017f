//! The rules of redemption and rotation, without a store. `tests/tokens` tests the endpoint.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Issuer, ResourceUri, ScopeSet, UnixTime};
use proptest::{collection::vec, prelude::*};
use serde_json::Map;

use super::{
    authorization_code::{CodeRedemption, Redeemed},
    refresh_token::{Rotation, RotationRequest},
};
use crate::{
    response::ErrorCode,
    session::{CodeBinding, Lifetimes, ParsedToken, Secret, Session, SessionUser, Stage, TokenFamily, TokenPair},
};

const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";
const REDIRECT_URI: &str = "http://127.0.0.1:4711/callback";
const RESOURCE: &str = "https://mcp.example.com/mcp";
const BEGINNING: UnixTime = UnixTime::from_secs(1_800_000_000);

fn lifetimes() -> Lifetimes {
    Lifetimes {
        access_token: Duration::from_mins(10),
        refresh_token: Duration::from_hours(24),
        rotation_grace: Duration::from_mins(2),
    }
}

fn user() -> SessionUser {
    SessionUser {
        issuer: Issuer::new("https://idp.example.com").expect("issuer"),
        subject: "alice".into(),
        profile: Map::new(),
        claims: Map::new(),
    }
}

fn with_code(code: &Secret) -> Session {
    Session {
        family: TokenFamily::random(),
        client_id: "client".into(),
        resource: ResourceUri::new(RESOURCE).expect("resource"),
        scopes: ScopeSet::parse("mcp:read mcp:write").expect("scopes"),
        user: user(),
        has_upstream: true,
        is_refreshable: true,
        began_at: BEGINNING,
        ends_at: BEGINNING + Duration::from_hours(72),
        stage: Stage::Code(CodeBinding {
            code: code.hash(),
            challenge: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes())).into(),
            redirect_uri: REDIRECT_URI.into(),
            expires_at: BEGINNING + Duration::from_mins(1),
        }),
    }
}

fn redemption(code: &Secret) -> CodeRedemption<'_> {
    CodeRedemption { code, client_id: "client", redirect_uri: None, code_verifier: VERIFIER, resource: None }
}

fn rotation(token: &Secret) -> RotationRequest<'_> {
    RotationRequest { token, client_id: "client", scopes: None, resource: None, from: None }
}

/// A session with its first tokens.
fn redeemed() -> (Session, TokenPair) {
    let code = Secret::random();
    let mut session = with_code(&code);
    match session.redeem_code(&redemption(&code), &lifetimes(), BEGINNING) {
        Redeemed::Issued(pair) => (session, pair),
        other => panic!("{other:?}"),
    }
}

fn after(seconds: u64) -> UnixTime {
    BEGINNING + Duration::from_secs(seconds)
}

fn rotated(session: &mut Session, token: &Secret, now: UnixTime) -> TokenPair {
    match session.rotate(&rotation(token), &lifetimes(), now) {
        Rotation::Rotated(pair) => pair,
        other => panic!("{other:?}"),
    }
}

fn works(session: &Session, token: &Secret, now: UnixTime) -> bool {
    session.active_tokens().is_some_and(|tokens| tokens.access(token.hash(), now).is_some())
}

fn refresh(pair: &TokenPair) -> &Secret {
    pair.refresh.as_ref().expect("a refresh token")
}

#[test]
fn a_plain_code_challenge_is_rejected() {
    let code = Secret::random();
    let mut session = with_code(&code);
    if let Stage::Code(binding) = &mut session.stage {
        binding.challenge = VERIFIER.into();
    }
    assert!(matches!(session.redeem_code(&redemption(&code), &lifetimes(), BEGINNING), Redeemed::Rejected(_)));
}

#[test]
fn a_code_verifier_has_43_to_128_unreserved_characters() {
    let mixed = "AZaz09-._~".repeat(5);
    let (shortest, longest) = ("x".repeat(43), "x".repeat(128));
    let (short, long, blank) = ("x".repeat(42), "x".repeat(129), format!("{} x", "x".repeat(43)));
    for (verifier, is_valid) in
        [(&shortest, true), (&longest, true), (&mixed, true), (&short, false), (&long, false), (&blank, false)]
    {
        let code = Secret::random();
        let mut session = with_code(&code);
        if let Stage::Code(binding) = &mut session.stage {
            binding.challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes())).into();
        }
        let request = CodeRedemption { code_verifier: verifier, ..redemption(&code) };
        let redeemed = session.redeem_code(&request, &lifetimes(), BEGINNING);
        assert_eq!(matches!(redeemed, Redeemed::Issued(_)), is_valid, "{verifier}");
    }
}

/// The row of a session as older versions wrote it, without repetitions.
fn without_grace(session: &Session) -> serde_json::Value {
    let mut row = serde_json::to_value(session).expect("plain data");
    row["stage"]["live"]["refresh"].as_object_mut().expect("a refresh token").remove("grace");
    row
}

#[test]
fn rows_of_older_versions_open_and_repetitions_are_counted_from_then_on() {
    let (mut session, first) = redeemed();
    let mut pair = rotated(&mut session, refresh(&first), after(5));
    assert_eq!(serde_json::to_value(&session).expect("plain data"), without_grace(&session), "no repetitions yet");
    let mut presented = first;
    for (number, is_suspicious) in [(1, false), (2, false), (3, true)] {
        session = match number {
            1 => serde_json::from_value(without_grace(&session)).expect("an older row"),
            _ => serde_json::from_value(serde_json::to_value(&session).expect("plain data")).expect("a row"),
        };
        let now = after(number * 100);
        let outcome = session.rotate(&rotation(refresh(&presented)), &lifetimes(), now);
        let Rotation::Repeated { is_changed, suspected, .. } = outcome else { panic!("not repeated") };
        assert!(is_changed, "{number}");
        assert_eq!(suspected.is_some(), is_suspicious, "{number}: {suspected:?}");
        let next = rotated(&mut session, refresh(&pair), now);
        presented = std::mem::replace(&mut pair, next);
    }
}

#[test]
fn refreshes_do_not_shorten_an_access_token_and_no_token_outlives_the_session() {
    let (mut session, first) = redeemed();
    let second = rotated(&mut session, refresh(&first), after(300));
    for (token, second_that_works, second_that_does_not) in [(&first.access, 599, 600), (&second.access, 899, 900)] {
        assert!(works(&session, token, after(second_that_works)));
        assert!(!works(&session, token, after(second_that_does_not)));
    }
    let mut pair = second;
    let mut hour = 0;
    loop {
        hour += 20;
        match session.rotate(&rotation(refresh(&pair)), &lifetimes(), after(hour * 3600)) {
            Rotation::Rotated(next) => pair = next,
            Rotation::Rejected(error) => break assert_eq!(error.code, ErrorCode::InvalidGrant),
            other => panic!("{other:?}"),
        }
        assert!(pair.access_expires_at <= session.ends_at && session.expires_at() <= session.ends_at);
    }
    assert!(hour >= 72, "the session is over after three days, and not before");
}

#[test]
fn a_client_that_refreshes_in_a_loop_is_rate_limited_and_loses_no_token() {
    let (mut session, mut pair) = redeemed();
    let mut issued = vec![];
    let refused = loop {
        match session.rotate(&rotation(refresh(&pair)), &lifetimes(), after(1)) {
            Rotation::Rotated(next) => issued.push(std::mem::replace(&mut pair, next)),
            Rotation::Rejected(error) => break error,
            other => panic!("{other:?}"),
        }
        assert!(issued.len() < 1000);
    };
    assert_eq!(refused.status(), http::StatusCode::TOO_MANY_REQUESTS);
    assert!(issued.iter().all(|pair| works(&session, &pair.access, after(2))));
    drop(rotated(&mut session, refresh(&pair), after(601)));
}

#[test]
fn a_stored_session_can_be_read_back_and_contains_no_secret() {
    let (mut session, first) = redeemed();
    let second = rotated(&mut session, refresh(&first), after(1));
    let stored = serde_json::to_string(&session).expect("json");
    let mut restored: Session = serde_json::from_str(&stored).expect("a session");
    for secret in [&first.access, refresh(&first), &second.access, refresh(&second)] {
        let text = secret.refresh_token(TokenFamily::random());
        let text = secrecy::ExposeSecret::expose_secret(&text).to_owned();
        // The last 43 characters are the secret's.
        assert!(!stored.contains(&text[text.len() - 42..]));
    }
    drop(rotated(&mut restored, refresh(&second), after(2)));
}

#[test]
fn only_well_formed_tokens_are_parsed() {
    use secrecy::ExposeSecret as _;
    let (family, secret) = (TokenFamily::random(), Secret::random());
    let text = secret.refresh_token(family);
    let text = text.expose_secret();
    let presented = ParsedToken::refresh_token(text).expect("a refresh token");
    assert_eq!((presented.of.session(), presented.secret.hash()), (family.session(), secret.hash()));
    assert!(ParsedToken::code(text).is_none(), "a refresh token is not a code");
    for wrong in [
        "",
        "pcrt_",
        &text[..text.len() - 1],
        &format!("{text}A"),
        &text.replace("pcrt_", "PCRT_"),
        &format!("{text}="),
    ] {
        assert!(ParsedToken::refresh_token(wrong).is_none(), "{wrong}");
    }
    let access = secret.access_token(family.session());
    let presented = ParsedToken::access_token(access.expose_secret()).expect("an access token");
    assert_eq!(presented.of, family.session());
    assert!(!access.expose_secret().contains(&text[5..26]), "an access token does not contain the family");
}

/// An action of parties that hold copies of a session's tokens.
#[derive(Clone, Debug)]
enum Act {
    Wait(u16),
    /// Presents the n-th newest refresh token.
    Refresh(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        1 => (0..200_u16).prop_map(Act::Wait),
        4 => Just(Act::Refresh(0)),
        2 => Just(Act::Refresh(1)),
        1 => (0..6_u8).prop_map(Act::Refresh),
    ];
    vec(act, 1..60)
}

proptest! {
    /// In any order of actions, a token has one successor, reuse is detected, and issued tokens are valid.
    #[test]
    fn every_refresh_token_has_one_successor_and_older_ones_end_the_session(acts in acts()) {
        let (mut session, first) = redeemed();
        let mut chain = vec![first];
        let mut rotated_at = vec![];
        let mut now = BEGINNING;
        for act in acts {
            let back = match act {
                Act::Wait(seconds) => { now = now + Duration::from_secs(seconds.into()); continue }
                Act::Refresh(back) => usize::from(back),
            };
            let Some(at) = chain.len().checked_sub(back + 1) else { continue };
            let outcome = session.rotate(&rotation(refresh(&chain[at])), &lifetimes(), now);
            match (back, outcome) {
                (0, Rotation::Rotated(pair)) => { chain.push(pair); rotated_at.push(now); }
                (0, Rotation::Rejected(error)) => prop_assert_eq!(error.status(), http::StatusCode::TOO_MANY_REQUESTS),
                (1, Rotation::Repeated { pair, .. }) => {
                    prop_assert!(now <= rotated_at[at] + lifetimes().rotation_grace);
                    prop_assert_eq!(pair.access.hash(), chain[at + 1].access.hash());
                    prop_assert_eq!(refresh(&pair).hash(), refresh(&chain[at + 1]).hash());
                }
                (1, Rotation::Reused(_)) => { prop_assert!(now > rotated_at[at] + lifetimes().rotation_grace); break }
                (_, Rotation::Reused(_)) => { prop_assert!(back > 1); break }
                (back, outcome) => prop_assert!(false, "{} back: {:?}", back, outcome),
            }
            for pair in chain.iter().filter(|pair| now < pair.access_expires_at) {
                prop_assert!(works(&session, &pair.access, now));
            }
        }
    }
}
