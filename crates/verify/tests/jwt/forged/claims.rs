//! Valid signatures on claims with a wrong audience, a wrong time, or a wrong form.

use portcullis_core::Reason;
use serde_json::{Value, json};

use super::{Forgery, forgery};
use crate::signing::{ISSUER, NOW, RESOURCE, RSA};

pub(super) fn forgeries() -> Vec<Forgery> {
    [audiences(), times(), subjects(), malformed()].concat()
}

fn with(claim: &str, value: &Value) -> String {
    RSA.token(|_, claims| claims[claim] = value.clone())
}

fn all(claim: &str, reason: Reason, values: &[Value]) -> Vec<Forgery> {
    values.iter().map(|value| forgery(format!("{claim} {value}"), with(claim, value), reason)).collect()
}

fn audiences() -> Vec<Forgery> {
    [
        all(
            "aud",
            Reason::WrongAudience,
            &[
                json!("https://other.example.com/mcp"),
                json!("https://mcp.example.com"),
                json!("https://mcp.example.com/mcp/"),
                json!("https://mcp.example.com/MCP"),
                json!("https://mcp.example.com/mcp?x"),
                json!("https://mcp.example.com:443/mcp"),
                json!("http://mcp.example.com/mcp"),
                json!("https://mcp.example.com.attacker.example/mcp"),
                json!("client"),
                json!(""),
                json!(["a", "b"]),
                json!([format!("{RESOURCE} ")]),
            ],
        ),
        all("aud", Reason::MissingClaim, &[json!([]), json!(null), json!(1), json!({}), json!([RESOURCE, 1])]),
        all(
            "iss",
            Reason::WrongIssuer,
            &[
                json!(format!("{ISSUER}/")),
                json!("https://idp.example.com"),
                json!("https://IDP.example.com/realms/x"),
                json!("https://idp.example.com:443/realms/x"),
                json!("https://attacker.example"),
                json!(""),
            ],
        ),
        all("iss", Reason::MissingClaim, &[json!([ISSUER]), json!(null)]),
    ]
    .concat()
}

fn times() -> Vec<Forgery> {
    let now = NOW.as_secs();
    [
        all("exp", Reason::Expired, &[json!(now - 60), json!(now - 3600), json!(0), json!(0.5)]),
        all("exp", Reason::MissingClaim, &[json!(null), json!((now + 600).to_string()), json!(-1), json!([now + 600])]),
        all("nbf", Reason::NotYetValid, &[json!(now + 61), json!(1e300), json!(u64::MAX)]),
        all("nbf", Reason::MissingClaim, &[json!("now"), json!(null), json!(-1)]),
        all("iat", Reason::IssuedInFuture, &[json!(now + 61), json!(1e18)]),
        all("iat", Reason::MissingClaim, &[json!(true)]),
    ]
    .concat()
}

fn subjects() -> Vec<Forgery> {
    let without = |claim: &str| {
        RSA.token(|_, claims| {
            claims.as_object_mut().expect("object").remove(claim);
        })
    };
    let mut forgeries = [
        all("sub", Reason::NoSubject, &[json!(""), json!(7), json!(null)]),
        all("client_id", Reason::MissingClaim, &[json!(7), json!("")]),
        all("scope", Reason::MissingClaim, &[json!("a\"b"), json!(7), json!(["a b"])]),
        all(
            "cnf",
            Reason::KeyBound,
            &[json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({"jwk": RSA.jwk()}), json!({}), json!(null)],
        ),
    ]
    .concat();
    for claim in ["iss", "aud", "exp", "sub"] {
        let reason = if claim == "sub" { Reason::NoSubject } else { Reason::MissingClaim };
        forgeries.push(forgery(format!("{claim} missing"), without(claim), reason));
    }
    forgeries
}

/// Payloads that parsers interpret differently.
fn malformed() -> Vec<Forgery> {
    let header = RSA.header().to_string();
    let good = crate::signing::claims().to_string();
    let inner = &good[1..good.len() - 1];
    let payloads: Vec<(&str, Vec<u8>)> = vec![
        ("aud twice", format!(r#"{{"aud":"other",{inner}}}"#).into_bytes()),
        ("aud twice, escaped", format!(r#"{{"\u0061ud":"other",{inner}}}"#).into_bytes()),
        ("sub twice, the same", format!(r#"{{"sub":"alice",{inner}}}"#).into_bytes()),
        ("twice inside", format!(r#"{{"x":[{{"y":1,"y":1}}],{inner}}}"#).into_bytes()),
        (
            "private name of the parser",
            format!(r#"{{"x":{{"$serde_json::private::Number":"1"}},{inner}}}"#).into_bytes(),
        ),
        ("something after", format!("{good} {{}}").into_bytes()),
        ("a comma too many", format!("{{{inner},}}").into_bytes()),
        ("byte order mark", format!("\u{feff}{good}").into_bytes()),
        ("not UTF-8", [b"{\"x\":\"\xff\",", inner.as_bytes(), b"}"].concat()),
        ("nesting bomb", format!(r#"{{"x":{}1{},{inner}}}"#, "[".repeat(1000), "]".repeat(1000)).into_bytes()),
        ("NaN", format!(r#"{{"x":NaN,{inner}}}"#).into_bytes()),
        ("a list", format!("[{good}]").into_bytes()),
        ("a string", json!(good).to_string().into_bytes()),
        ("null", b"null".to_vec()),
        ("empty", Vec::new()),
        ("a nested JWT", RSA.token(|_, _| {}).into_bytes()),
    ];
    payloads
        .into_iter()
        .map(|(name, payload)| {
            forgery(format!("payload: {name}"), RSA.raw_token(header.as_bytes(), &payload), Reason::MalformedToken)
        })
        .collect()
}
