//! The state machine, without a store.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Issuer, ResourceUri, ScopeSet, UnixTime};
use proptest::{collection::vec, prelude::*};
use serde_json::Map;

use super::{
    CodeBinding, Lifetimes, ParsedToken, Redeemed, Redemption, Rotation, RotationRequest, Secret, Session, SessionUser,
    Stage, TokenFamily, TokenPair,
};
use crate::oauth_error::ErrorCode;

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
        handle: TokenFamily::random(),
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

fn redemption(code: &Secret) -> Redemption<'_> {
    Redemption { code, client_id: "client", redirect_uri: None, code_verifier: VERIFIER, resource: None }
}

fn rotation(token: &Secret) -> RotationRequest<'_> {
    RotationRequest { token, client_id: "client", scopes: None, resource: None, from: None }
}

/// A session that has been given its first tokens.
fn live() -> (Session, TokenPair) {
    let code = Secret::random();
    let mut session = with_code(&code);
    match session.redeem(&redemption(&code), &lifetimes(), BEGINNING) {
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
    session.live().is_some_and(|live| live.access(token.hash(), now).is_some())
}

fn refresh(pair: &TokenPair) -> &Secret {
    pair.refresh.as_ref().expect("a refresh token")
}

#[test]
fn a_code_is_good_once_and_its_second_use_is_noticed() {
    let code = Secret::random();
    let mut session = with_code(&code);
    assert!(matches!(session.redeem(&redemption(&code), &lifetimes(), BEGINNING), Redeemed::Issued(_)));
    assert!(matches!(session.redeem(&redemption(&code), &lifetimes(), BEGINNING), Redeemed::Reused));
}

#[test]
fn a_code_that_is_presented_wrongly_is_refused_and_stays_good() {
    let (code, other) = (Secret::random(), Secret::random());
    let mut session = with_code(&code);
    let right = redemption(&code);
    let wrong = [
        Redemption { code: &other, ..redemption(&code) },
        Redemption { client_id: "another", ..redemption(&code) },
        Redemption { redirect_uri: Some("http://127.0.0.1:4712/callback"), ..redemption(&code) },
        Redemption { code_verifier: "another-verifier-of-43-characters-and-more-", ..redemption(&code) },
        Redemption { code_verifier: "short", ..redemption(&code) },
    ];
    for wrong in wrong {
        let refused = session.redeem(&wrong, &lifetimes(), BEGINNING);
        assert!(matches!(&refused, Redeemed::Refused(error) if error.code == ErrorCode::InvalidGrant), "{wrong:?}");
    }
    let elsewhere = Redemption { resource: Some("https://other.example.com"), ..redemption(&code) };
    let refused = session.redeem(&elsewhere, &lifetimes(), BEGINNING);
    assert!(matches!(refused, Redeemed::Refused(error) if error.code == ErrorCode::InvalidTarget));
    let late = session.redeem(&right, &lifetimes(), after(60));
    assert!(matches!(late, Redeemed::Refused(_)));
    let right = Redemption { redirect_uri: Some(REDIRECT_URI), resource: Some(RESOURCE), ..right };
    assert!(matches!(session.redeem(&right, &lifetimes(), after(59)), Redeemed::Issued(_)));
}

#[test]
fn a_plain_challenge_is_none() {
    let code = Secret::random();
    let mut session = with_code(&code);
    if let Stage::Code(binding) = &mut session.stage {
        binding.challenge = VERIFIER.into();
    }
    assert!(matches!(session.redeem(&redemption(&code), &lifetimes(), BEGINNING), Redeemed::Refused(_)));
}

#[test]
fn a_repetition_within_the_grace_period_gets_the_same_pair() {
    let (mut session, first) = live();
    let pair = rotated(&mut session, refresh(&first), after(5));
    let before = without_grace(&session);
    let Rotation::Repeated { pair: again, .. } = session.rotate(&rotation(refresh(&first)), &lifetimes(), after(125))
    else {
        panic!("not repeated");
    };
    assert_eq!(again.access.hash(), pair.access.hash());
    assert_eq!(refresh(&again).hash(), refresh(&pair).hash());
    assert_eq!((again.issued_at, again.access_expires_at), (pair.issued_at, pair.access_expires_at));
    assert_eq!(without_grace(&session), before, "a repetition changes no token");
}

/// The row of a session as versions wrote it that did not remember repetitions.
fn without_grace(session: &Session) -> serde_json::Value {
    let mut row = serde_json::to_value(session).expect("plain data");
    row["stage"]["live"]["refresh"].as_object_mut().expect("a refresh token").remove("grace");
    row
}

#[test]
fn a_row_of_an_older_version_opens_and_repetitions_are_counted_from_then_on() {
    let (mut session, first) = live();
    let mut pair = rotated(&mut session, refresh(&first), after(5));
    assert_eq!(serde_json::to_value(&session).expect("plain data"), without_grace(&session), "nothing to remember");
    let mut presented = first;
    for (number, is_suspicious) in [(1, false), (2, false), (3, true)] {
        session = match number {
            1 => serde_json::from_value(without_grace(&session)).expect("an older row"),
            _ => serde_json::from_value(serde_json::to_value(&session).expect("plain data")).expect("a row"),
        };
        let now = after(number * 100);
        let outcome = session.rotate(&rotation(refresh(&presented)), &lifetimes(), now);
        let Rotation::Repeated { is_noted, suspected, .. } = outcome else { panic!("not repeated") };
        assert!(is_noted, "{number}");
        assert_eq!(suspected.is_some(), is_suspicious, "{number}: {suspected:?}");
        let next = rotated(&mut session, refresh(&pair), now);
        presented = std::mem::replace(&mut pair, next);
    }
}

#[test]
fn a_repetition_after_the_grace_period_is_a_theft() {
    let (mut session, first) = live();
    drop(rotated(&mut session, refresh(&first), after(5)));
    assert!(matches!(session.rotate(&rotation(refresh(&first)), &lifetimes(), after(126)), Rotation::Reused(_)));
}

#[test]
fn a_refresh_token_whose_successor_was_used_is_a_theft_even_within_the_grace_period() {
    let (mut session, first) = live();
    let second = rotated(&mut session, refresh(&first), after(5));
    drop(rotated(&mut session, refresh(&second), after(10)));
    assert!(matches!(session.rotate(&rotation(refresh(&first)), &lifetimes(), after(11)), Rotation::Reused(_)));
}

#[test]
fn c05_a_refresh_token_is_good_for_its_client_alone() {
    let (mut session, first) = live();
    let evil = RotationRequest { client_id: "EVIL", ..rotation(refresh(&first)) };
    assert!(
        matches!(session.rotate(&evil, &lifetimes(), after(5)), Rotation::Refused(error) if error.code == ErrorCode::InvalidGrant)
    );
    drop(rotated(&mut session, refresh(&first), after(6)));
}

#[test]
fn scopes_can_be_narrowed_for_one_access_token_and_never_widened() {
    let (mut session, first) = live();
    let (read, admin) = ("mcp:read".parse().expect("scope"), "mcp:read mcp:admin".parse().expect("scopes"));
    let wide = RotationRequest { scopes: Some(&admin), ..rotation(refresh(&first)) };
    assert!(
        matches!(session.rotate(&wide, &lifetimes(), after(1)), Rotation::Refused(error) if error.code == ErrorCode::InvalidScope)
    );
    let narrow = RotationRequest { scopes: Some(&read), ..rotation(refresh(&first)) };
    let Rotation::Rotated(pair) = session.rotate(&narrow, &lifetimes(), after(2)) else { panic!("not rotated") };
    assert_eq!(pair.scopes.to_string(), "mcp:read");
    let entry = session.live().and_then(|live| live.access(pair.access.hash(), after(3)));
    assert_eq!(entry.and_then(|entry| entry.scopes.as_ref()).map(ToString::to_string).as_deref(), Some("mcp:read"));
    let next = rotated(&mut session, refresh(&pair), after(300));
    assert_eq!(next.scopes.to_string(), "mcp:read mcp:write");
}

#[test]
fn an_access_token_lives_its_time_whatever_is_refreshed_and_no_token_outlives_the_session() {
    let (mut session, first) = live();
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
            Rotation::Refused(error) => break assert_eq!(error.code, ErrorCode::InvalidGrant),
            other => panic!("{other:?}"),
        }
        assert!(pair.access_expires_at <= session.ends_at && session.expires_at() <= session.ends_at);
    }
    assert!(hour >= 72, "the session is over after three days, and not before");
}

#[test]
fn a_client_that_refreshes_without_end_is_slowed_down_and_loses_nothing() {
    let (mut session, mut pair) = live();
    let first = TokenPair { refresh: None, ..live().1 };
    drop(first);
    let mut issued = vec![];
    let refused = loop {
        match session.rotate(&rotation(refresh(&pair)), &lifetimes(), after(1)) {
            Rotation::Rotated(next) => issued.push(std::mem::replace(&mut pair, next)),
            Rotation::Refused(error) => break error,
            other => panic!("{other:?}"),
        }
        assert!(issued.len() < 1000);
    };
    assert_eq!(refused.status(), http::StatusCode::TOO_MANY_REQUESTS);
    assert!(issued.iter().all(|pair| works(&session, &pair.access, after(2))));
    drop(rotated(&mut session, refresh(&pair), after(601)));
}

#[test]
fn a_session_is_read_back_from_what_is_stored_and_shows_no_secret() {
    let (mut session, first) = live();
    let second = rotated(&mut session, refresh(&first), after(1));
    let stored = serde_json::to_string(&session).expect("json");
    let mut restored: Session = serde_json::from_str(&stored).expect("a session");
    for secret in [&first.access, refresh(&first), &second.access, refresh(&second)] {
        let text = secret.refresh_token(TokenFamily::random());
        let text = secrecy::ExposeSecret::expose_secret(&text).to_owned();
        // The last 43 characters are the secret's, whatever handle comes before it.
        assert!(!stored.contains(&text[text.len() - 42..]));
    }
    drop(rotated(&mut restored, refresh(&second), after(2)));
}

#[test]
fn tokens_are_read_back_from_what_is_handed_out_and_from_nothing_else() {
    use secrecy::ExposeSecret as _;
    let (handle, secret) = (TokenFamily::random(), Secret::random());
    let text = secret.refresh_token(handle);
    let text = text.expose_secret();
    let presented = ParsedToken::refresh_token(text).expect("a refresh token");
    assert_eq!((presented.of.session(), presented.secret.hash()), (handle.session(), secret.hash()));
    assert!(ParsedToken::code(text).is_none(), "a refresh token is no code");
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
    let access = secret.access_token(handle.session());
    let presented = ParsedToken::access_token(access.expose_secret()).expect("an access token");
    assert_eq!(presented.of, handle.session());
    assert!(!access.expose_secret().contains(&text[5..26]), "an access token does not tell the handle");
}

/// What somebody does with a session of which copies of tokens have spread.
#[derive(Clone, Debug)]
enum Act {
    Wait(u16),
    /// Presents the n-th newest refresh token that was ever handed out.
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
    /// Whatever is repeated in whatever order: a token has one successor, a thief is noticed, and what was handed out works.
    #[test]
    fn every_refresh_token_has_one_successor_and_older_ones_end_the_session(acts in acts()) {
        let (mut session, first) = live();
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
                (0, Rotation::Refused(error)) => prop_assert_eq!(error.status(), http::StatusCode::TOO_MANY_REQUESTS),
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
