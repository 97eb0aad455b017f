//! Forged encodings: texts that are not the canonical form of one JWT.

use portcullis_core::Reason;
use serde_json::json;

use super::{Forgery, forgery};
use crate::signing::{RSA, claims, encode};

pub(super) fn forgeries() -> Vec<Forgery> {
    [parts(), headers(), base64url(), huge()].concat()
}

fn parts() -> Vec<Forgery> {
    let token = RSA.token(|_, _| {});
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = [parts[0], parts[1], parts[2]];
    [
        ("opaque", "0123456789abcdef".to_owned()),
        ("dots", "..".to_owned()),
        ("one dot", ".".to_owned()),
        ("two parts", format!("{header}.{payload}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("four parts", format!("{token}.{signature}")),
        ("a dot at the end", format!("{token}.")),
        ("a dot before", format!(".{token}")),
        ("six parts", format!("{token}.{token}")),
        ("parts swapped", format!("{payload}.{header}.{signature}")),
    ]
    .map(|(name, token)| {
        // Swapped, the claims are the header: an object, but without an algorithm.
        let reason = if name == "parts swapped" { Reason::AlgorithmRefused } else { Reason::MalformedToken };
        forgery(name, token, reason)
    })
    .to_vec()
}

fn headers() -> Vec<Forgery> {
    let payload = claims().to_string();
    [
        ("alg twice", r#"{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"rsa"}"#),
        ("kid twice", r#"{"alg":"RS256","typ":"at+jwt","kid":"other-rsa","kid":"rsa"}"#),
        ("crit hidden by an escape", r#"{"crit":["x"],"\u0063rit":[],"alg":"RS256","typ":"at+jwt","kid":"rsa"}"#),
        ("a list", r#"[{"alg":"RS256","typ":"at+jwt","kid":"rsa"}]"#),
        ("something after", r#"{"alg":"RS256","typ":"at+jwt","kid":"rsa"}{}"#),
        ("empty", ""),
        ("not JSON", "alg=RS256"),
    ]
    .map(|(name, header)| {
        forgery(format!("header: {name}"), RSA.raw_token(header.as_bytes(), payload.as_bytes()), Reason::MalformedToken)
    })
    .to_vec()
}

/// Each part in another encoding of the same bytes, with a signature over that text.
fn base64url() -> Vec<Forgery> {
    let mut forgeries = Vec::new();
    let sign = |message: String| format!("{message}.{}", encode(RSA.sign("RS256", message.as_bytes())));
    // A length that leaves spare bits in each part.
    let pad = |text: String| format!("{text}{}", " ".repeat((4 - text.len() % 3) % 3));
    let (header, payload) = (encode(pad(RSA.header().to_string())), encode(pad(claims().to_string())));
    assert_eq!((header.len() % 4, payload.len() % 4), (2, 2));
    let spare = |text: &str| loosened(text);
    forgeries.push(forgery(
        "spare bits in the header",
        sign(format!("{}.{payload}", spare(&header))),
        Reason::MalformedToken,
    ));
    forgeries.push(forgery(
        "spare bits in the payload",
        sign(format!("{header}.{}", spare(&payload))),
        Reason::MalformedToken,
    ));
    let token = RSA.token(|_, _| {});
    forgeries.push(forgery("spare bits in the signature", loosened(&token), Reason::MalformedToken));
    forgeries.push(forgery("padding", format!("{token}=="), Reason::MalformedToken));

    // 62 and 63 in plain base64.
    let long = RSA.token(|_, claims| claims["x"] = json!("???>>>~~~".repeat(9)));
    assert!(long.contains(['-', '_']));
    forgeries.push(forgery("plain base64", long.replace('-', "+").replace('_', "/"), Reason::MalformedToken));
    forgeries.push(forgery("a character of no alphabet", format!("{token}~"), Reason::MalformedToken));
    forgeries
}

/// Returns an encoding of the same bytes with a spare bit set in the last character.
fn loosened(text: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let value = ALPHABET.iter().position(|letter| [*letter] == last.as_bytes()).expect("base64url");
    assert_eq!(value % 4, 0, "no spare bits");
    format!("{rest}{}", char::from(ALPHABET[value + 1]))
}

fn huge() -> Vec<Forgery> {
    let fill = |len: usize| RSA.token(|_, claims| claims["x"] = json!("x".repeat(len)));
    vec![
        forgery("larger than 16 KiB", fill(13_000), Reason::TokenTooLarge),
        forgery("a megabyte", fill(1_000_000), Reason::TokenTooLarge),
        forgery("a megabyte of nothing", "A".repeat(1_000_000), Reason::TokenTooLarge),
        forgery("ten thousand dots", ".".repeat(10_000), Reason::MalformedToken),
    ]
}
