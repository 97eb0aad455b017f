//! `Mcp-Method` and `Mcp-Name`: never trusted, and rejected if they contradict the body.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{Empty, Full};
use serde_json::{Value, json};

use super::support::{ask, call, post};

const MODERN: &str = "2026-07-28";

fn mirrored(token: &str, version: &str, body: &str, headers: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request = post(token, body.to_owned());
    request.headers_mut().insert("mcp-protocol-version", HeaderValue::from_str(version).expect("version"));
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("value");
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    request
}

#[tokio::test]
async fn tr_15_a_mirrored_header_is_never_trusted() {
    let harmless = [("mcp-method", "tools/list"), ("mcp-name", "echo")];
    for version in ["2025-03-26", "2025-11-25"] {
        ask(mirrored("none", version, &call("admin_echo"), &harmless)).await.assert_forbidden("admin audit");
    }
    let mut without_version = mirrored("none", "x", &call("admin_echo"), &harmless);
    without_version.headers_mut().remove("mcp-protocol-version");
    ask(without_version).await.assert_forbidden("admin audit");
}

#[tokio::test]
async fn tr_15_honest_headers_change_nothing() {
    let honest = [("mcp-method", "tools/call"), ("mcp-name", "admin_echo")];
    ask(mirrored("none", MODERN, &call("admin_echo"), &honest)).await.assert_forbidden("admin audit");
    ask(mirrored("admin~audit", MODERN, &call("admin_echo"), &honest)).await.assert_passed();
    ask(mirrored("admin~audit", MODERN, &call("admin_echo"), &[])).await.assert_passed();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    ask(mirrored("none", MODERN, ping, &[("mcp-method", "ping")])).await.assert_passed();
}

#[tokio::test]
async fn tr_15_a_header_that_contradicts_the_body_is_refused_on_the_wire_that_has_it() {
    for lie in [
        &[("mcp-method", "tools/list")][..],
        &[("mcp-method", "Tools/Call")],
        &[("mcp-method", "")],
        &[("mcp-name", "echo")],
        &[("mcp-method", "tools/call"), ("mcp-name", "Admin_Echo")],
        &[("mcp-method", "tools/call"), ("mcp-method", "tools/list")],
        &[("mcp-name", "admin_echo"), ("mcp-name", "echo")],
        &[("mcp-name", "admin_ech\u{f6}")],
    ] {
        ask(mirrored("admin~audit", MODERN, &call("admin_echo"), lie)).await.assert_mismatch();
        ask(mirrored("admin~audit", "2027-01-01", &call("admin_echo"), lie)).await.assert_mismatch();
        ask(mirrored("admin~audit", "2025-11-25", &call("admin_echo"), lie)).await.assert_passed();
    }
}

#[tokio::test]
async fn tr_15_the_error_for_a_contradiction_is_that_of_mcp_with_the_id_of_the_request() {
    let lie = [("mcp-method", "tools/list")];
    for (id, repeated) in [("7", json!(7)), ("\"x\"", json!("x")), ("null", Value::Null), ("[1]", Value::Null)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let outcome = ask(mirrored("none", MODERN, &body, &lie)).await;
        outcome.assert_mismatch();
        assert_eq!(serde_json::from_slice::<Value>(&outcome.body).expect("JSON")["id"], repeated);
    }
}

#[tokio::test]
async fn tr_15_a_second_version_header_does_not_switch_the_check_off() {
    let mut request = mirrored("admin~audit", "2025-11-25", &call("admin_echo"), &[("mcp-name", "echo")]);
    request.headers_mut().append("mcp-protocol-version", HeaderValue::from_static(MODERN));
    ask(request).await.assert_mismatch();
}

#[tokio::test]
async fn tr_15_a_name_in_base64_is_decoded_before_it_is_compared() {
    let body = call("Ünïcode");
    ask(mirrored("none", MODERN, &body, &[("mcp-name", "=?base64?w5xuw69jb2Rl?=")])).await.assert_passed();
    for lie in ["=?base64?YWRtaW5fZWNobw==?=", "=?base64?w5xuw69jb2Rl", "=?base64?***?=", "=?BASE64?w5xuw69jb2Rl?="] {
        ask(mirrored("none", MODERN, &body, &[("mcp-name", lie)])).await.assert_mismatch();
    }
    let literal = call("=?base64?ZWNobw==?=");
    ask(mirrored("none", MODERN, &literal, &[("mcp-name", "=?base64?ZWNobw==?=")])).await.assert_mismatch();
}

#[tokio::test]
async fn tr_15_headers_that_mirror_nothing_are_refused() {
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let batch = format!("[{},{}]", call("echo"), call("admin_echo"));
    for body in [response, &batch] {
        for lie in [("mcp-method", "tools/call"), ("mcp-name", "echo")] {
            ask(mirrored("admin~audit", MODERN, body, &[lie])).await.assert_mismatch();
        }
        ask(mirrored("admin~audit", MODERN, body, &[])).await.assert_passed();
    }
    let empty = mirrored("none", MODERN, "", &[("mcp-method", "tools/call"), ("mcp-name", "admin_echo")]);
    ask(empty.map(|_| Empty::new())).await.assert_mismatch();
}
