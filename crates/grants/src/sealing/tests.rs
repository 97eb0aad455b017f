//! Tests of sealing: what opens, and above all what does not.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use portcullis_core::{BearerToken, GrantId, Issuer, ScopeSet, UnixTime};
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{
    GrantRecord, TokenSet,
    records::{Collection, RecordKey},
};

const ALICE: Place = Place::Grant(GrantId::from_bytes([1; 16]));
const BOB: Place = Place::Grant(GrantId::from_bytes([2; 16]));

fn ring(keys: &[u8]) -> KeyRing {
    let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
    KeyRing::new(&keys).expect("keys")
}

#[test]
fn what_was_sealed_for_a_place_opens_in_that_place_only() {
    let ring = ring(&[7]);
    let record = |table, byte| Place::Record(RecordKey::new(table, [byte; 32]));
    let places = [
        ALICE,
        BOB,
        record(Collection::LOGINS, 1),
        record(Collection::LOGINS, 2),
        record(Collection::CLIENTS, 1),
        Place::Text(""),
        Place::Text("form"),
    ];
    for (number, place) in places.into_iter().enumerate() {
        let sealed = ring.seal(place, b"a secret");
        for (other, elsewhere) in places.into_iter().enumerate() {
            let opened = ring.open(elsewhere, &sealed).map(|plain| plain.to_vec());
            let expected = if number == other { Ok(b"a secret".to_vec()) } else { Err(SealError::Damaged) };
            assert_eq!(opened, expected, "place {number} in place {other}");
        }
        assert!(!sealed.windows(8).any(|window| window == b"a secret"));
        assert_ne!(ring.seal(place, b"a secret"), sealed, "no two alike");
    }
}

#[test]
fn what_is_in_databases_still_opens() {
    let record = Place::Record(RecordKey::new(Collection::LOGINS, [3; 32]));
    for (place, sealed) in [
        (ALICE, "AbbYk922WLngjKFOiexjAz9MLqhfAlPzySLO/VV1YT4ey08yf4IO/4nHL8ib"),
        (record, "AbbYk922WLngpZy+TISXwxIX86IvsV9+6qZwbtK6BJlYAUY6iw800Ie4WNpB"),
        (Place::Text("form"), "AbbYk922WLng5g3ioXfQGpHleUMfprc1nYxOC9Aq0YaQhxgfO1v8AhBezAGh"),
    ] {
        let bytes = BASE64.decode(sealed).expect("base64");
        assert_eq!(**ring(&[7]).open(place, &bytes).expect(sealed), *b"a secret");
    }
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_noticed() {
    let ring = ring(&[7]);
    let sealed = ring.seal(ALICE, b"a secret");
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(ring.open(ALICE, &flipped).is_err(), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(ring.open(ALICE, &sealed[..len]).is_err(), "{len} bytes");
    }
    assert!(ring.open(ALICE, &[&sealed[..], b"x"].concat()).is_err());
}

#[test]
fn the_first_key_seals_and_all_open() {
    let (old, rotated, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
    let sealed = old.seal(ALICE, b"before");
    assert!(rotated.open(ALICE, &sealed).is_ok());
    assert!(!rotated.is_current(&sealed));
    assert_eq!(new.open(ALICE, &sealed).unwrap_err(), SealError::UnknownKey);

    let sealed = rotated.seal(ALICE, b"after");
    assert!(rotated.is_current(&sealed));
    assert!(new.open(ALICE, &sealed).is_ok());
    assert_eq!(old.open(ALICE, &sealed).unwrap_err(), SealError::UnknownKey);
}

#[test]
fn a_ring_does_not_print_its_keys() {
    let text = "3031323334353637383930313233343536373839303132333435363738393031";
    let ring = KeyRing::parse(text).expect("a key");
    let printed = format!("{ring:?} {ring:#?}");
    for secret in [text, "01234567890123456789012345678901", "48, 49, 50"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

const HEX: &str = "fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfb";
const ALL_FORMS: [&str; 6] = [
    HEX,
    "FBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFB",
    "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=",
    "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s",
    "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s=",
    "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s",
];

#[test]
fn a_key_is_the_same_in_every_form() {
    let sealed = ring(&[0xfb]).seal(ALICE, b"a secret");
    for text in ALL_FORMS {
        let ring = KeyRing::parse(&format!("# comment\r\n\r\n  {text}  # of today\r\n")).expect(text);
        assert!(ring.open(ALICE, &sealed).is_ok(), "{text}");
    }
}

#[test]
fn the_order_of_the_lines_is_the_order_of_the_ring() {
    let other = "00".repeat(32);
    let parsed = KeyRing::parse(&format!("{other}\n{HEX}\n")).expect("two keys");
    assert!(parsed.is_current(&ring(&[0]).seal(ALICE, b"")));
    assert!(parsed.open(ALICE, &ring(&[0xfb]).seal(ALICE, b"")).is_ok());
}

#[test]
fn text_that_is_no_ring_is_refused_by_line_and_not_repeated() {
    for (text, error) in [
        ("", InvalidKeyRing::Empty),
        ("# nothing\n\n", InvalidKeyRing::Empty),
        ("hunter2", InvalidKeyRing::Malformed { line: 1 }),
        (&format!("\n{HEX} {HEX}"), InvalidKeyRing::Malformed { line: 2 }),
        (&HEX[2..], InvalidKeyRing::Malformed { line: 1 }),
        (&format!("{HEX}fb"), InvalidKeyRing::Malformed { line: 1 }),
        (&HEX.replacen("fb", "+b", 1), InvalidKeyRing::Malformed { line: 1 }),
        // 31 and 33 bytes.
        ("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+w==", InvalidKeyRing::Malformed { line: 1 }),
        ("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7", InvalidKeyRing::Malformed { line: 1 }),
        // The alphabets are not mixed.
        ("-/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=", InvalidKeyRing::Malformed { line: 1 }),
        (&format!("{HEX}\n\n{}", ALL_FORMS[5]), InvalidKeyRing::Repeated { line: 3, first: 1 }),
    ] {
        let refusal = KeyRing::parse(text).unwrap_err();
        assert_eq!(refusal, error, "{text}");
        assert!(text.is_empty() || !refusal.to_string().contains(text));
    }
}

/// Tokens as providers issue them: any visible characters.
fn token() -> impl Strategy<Value = String> {
    prop_oneof!["[!-~]{1,300}", r#"[\\"]{1,20}"#]
}

fn extra() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    prop::collection::hash_map(".{0,20}", ".{0,40}", 0..4)
        .prop_map(|map| map.into_iter().map(|(name, value)| (name, value.into())).collect())
}

proptest! {
    #[test]
    fn a_record_comes_out_as_it_went_in(
        issuer in "https://[a-z]{1,9}\\.example(/[a-z]{0,9})?",
        access in token(),
        refresh in prop::option::of(token()),
        times in any::<[u64; 2]>(),
        expiries in any::<[Option<u64>; 2]>(),
        generation in any::<u64>(),
        scopes in prop::collection::vec("[a-z:/.]{1,9}", 0..4),
        extra in extra(),
    ) {
        let rest = crate::token_set::Restored {
            refresh_token: refresh.clone().map(SecretString::from),
            began_at: UnixTime::from_nanos(times[1]),
            received_at: UnixTime::from_nanos(times[0]),
            refresh_expires_at: expiries[0].map(UnixTime::from_nanos),
            scopes: ScopeSet::new(&scopes).expect("scopes"),
            extra: extra.clone(),
        };
        let tokens = TokenSet::restored(
            BearerToken::issued(&access).expect("visible"),
            portcullis_core::Generation::new(generation),
            expiries[1].map(UnixTime::from_nanos),
            rest,
        );
        let ring = ring(&[9]);
        let sealed = ring.seal(ALICE, &GrantRecord::new(Issuer::new(&issuer).expect("issuer"), Arc::new(tokens.clone())).to_bytes());
        let record = GrantRecord::from_bytes(&ring.open(ALICE, &sealed).expect("opens")).expect("a record");
        let read = record.tokens();
        prop_assert_eq!(record.issuer().as_str(), issuer);
        prop_assert_eq!(read.began_at(), tokens.began_at());
        prop_assert_eq!(read.access_token().expose_secret(), access);
        prop_assert_eq!(read.refresh_token().map(|token| token.expose_secret().to_owned()), refresh);
        prop_assert_eq!(read.received_at(), tokens.received_at());
        prop_assert_eq!(read.expires_at(), tokens.expires_at());
        prop_assert_eq!(read.refresh_expires_at(), tokens.refresh_expires_at());
        prop_assert_eq!(read.generation(), tokens.generation());
        prop_assert_eq!(read.scopes().to_string(), tokens.scopes().to_string());
        prop_assert_eq!(read.extra(), &extra);
    }
}

#[cfg(unix)]
#[test]
fn a_key_file_is_read_only_if_it_is_closed_to_others() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let folder = std::env::temp_dir().join(format!("portcullis-key-file-{}", rand::random::<u64>()));
    fs::create_dir(&folder).expect("a folder");
    let path = folder.join("keys");
    fs::write(&path, HEX).expect("written");
    for (mode, is_read) in
        [(0o600, true), (0o400, true), (0o440, true), (0o604, false), (0o660, false), (0o644, false), (0o602, false)]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let read = KeyRing::from_file(&path);
        assert_eq!(read.is_ok(), is_read, "{mode:o}");
        if let Err(error) = read {
            let text = error.to_string();
            assert!(text.contains("keys is open to others (mode 6") && !text.contains(HEX), "{text}");
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    fs::write(&path, "hunter2").expect("written");
    let text = KeyRing::from_file(&path).unwrap_err().to_string();
    assert!(text.contains("line 1") && !text.contains("hunter2"), "{text}");
    fs::remove_dir_all(&folder).expect("removed");
    assert!(KeyRing::from_file(&path).is_err());
}
