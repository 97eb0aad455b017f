//! Validation of client metadata documents.

use portcullis_bridge::ClientMetadataDocumentPolicy;
use portcullis_test_support::LogCapture;
use serde_json::{Value, json};

use crate::{
    document_host::{CLIENT, REDIRECT_URI, document},
    fixture::{Fixture, Outcome, with},
};

#[tokio::test(start_paused = true)]
async fn as_02_a_client_is_what_its_document_says() {
    let fixture = Fixture::new();
    let metadata = fixture.client("").await.metadata().clone();
    assert_eq!(metadata["client_id_metadata_document_supported"], true);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await);
    assert_eq!(fixture.documents().await, 0, "it was not given tokens");
}

#[tokio::test(start_paused = true)]
async fn as_14_the_document_of_a_url_is_fetched() {
    let fixture = Fixture::new();
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert_eq!(fixture.host.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn as_15_a_document_is_for_its_own_url_only_to_the_letter() {
    let fixture = Fixture::new();
    for id in [
        "https://app.example.test/other.json",
        "https://app.example.test/client.json/",
        "https://app.example.test/Client.json",
        "https://app.example.test/%63lient.json",
    ] {
        assert_eq!(fixture.outcome(id).await, Outcome::Refused, "{id}");
        assert!(!fixture.sends_codes_to(id, REDIRECT_URI).await, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_15_an_id_that_is_not_the_plain_url_of_a_document_is_not_fetched() {
    let fixture = Fixture::new();
    for id in [
        "http://app.example.test/client.json",
        "https://app.example.test",
        "https://app.example.test/",
        "https://app.example.test/client.json?x=1",
        "https://app.example.test/client.json?",
        "https://app.example.test/client.json#x",
        "https://app.example.test/client.json#",
        "https://app.example.test/a/../client.json",
        "https://app.example.test/./client.json",
        "https://app.example.test/a/%2e%2e/client.json",
        "https://app.example.test:443/client.json",
        "https://APP.example.test/client.json",
        "https://user@app.example.test/client.json",
        "https://:word@app.example.test/client.json",
        "https:///app.example.test/client.json",
        "https://app.example.test\\client.json",
        "https://app.example.test/cli\tent.json",
        "https://äpp.example.test/client.json",
        "HTTPS://app.example.test/client.json",
        "https:app.example.test/client.json",
        "https://localhost/client.json",
        "http://localhost/client.json",
        "https://127.0.0.1/client.json",
        "https://2130706433/client.json",
    ] {
        assert_eq!(fixture.outcome(id).await, Outcome::Refused, "{id}");
    }
    let long = format!("https://app.example.test/{}", "x".repeat(1024));
    assert_eq!(fixture.outcome(&long).await, Outcome::Refused);
    assert_eq!(fixture.host.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn as_17_codes_go_to_what_the_document_lists() {
    let fixture = Fixture::new();
    let listed = json!([
        REDIRECT_URI,
        "http://localhost/cb",
        "vscode://vscode.dev/cb",
        "https://*.example.test/",
        "javascript:x"
    ]);
    fixture.host.says(&with(&document(), "redirect_uris", &listed));
    for (redirect_uri, is_listed) in [
        (REDIRECT_URI, true),
        ("http://localhost:49152/cb", true),
        ("vscode://vscode.dev/cb", true),
        ("https://app.example.test/callback2", false),
        ("http://127.0.0.1:49152/cb", false),
        ("https://evil.example.test/", false),
        ("https://*.example.test/", false),
        ("javascript:x", false),
    ] {
        assert_eq!(fixture.sends_codes_to(CLIENT, redirect_uri).await, is_listed, "{redirect_uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_18_a_document_says_all_that_it_must_and_in_json() {
    let (no_json, no_object) = (Outcome::Unavailable, Outcome::Refused);
    for (body, expected) in [
        ("", no_json),
        ("<html>", no_json),
        (r#"{"client_id":"#, no_json),
        (&format!("{}x", document()), no_json),
        ("[]", no_object),
        ("null", no_object),
    ] {
        let fixture = Fixture::new();
        fixture.host.sends(body.to_owned());
        assert_eq!(fixture.outcome(CLIENT).await, expected, "{body}");
    }
    let twice = document()
        .to_string()
        .replace("\"client_name\":", "\"client_id\":\"https://evil.example.test/x\",\"client_name\":");
    for (member, value) in [
        ("client_id", Value::Null),
        ("client_name", Value::Null),
        ("client_name", json!("")),
        ("client_name", json!(1)),
        ("redirect_uris", Value::Null),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        ("redirect_uris", json!(REDIRECT_URI)),
        ("grant_types", json!(["implicit"])),
        ("token_endpoint_auth_methods_supported", json!("none")),
    ] {
        let fixture = Fixture::new();
        fixture.host.says(&with(&document(), member, &value));
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "{member} {value}");
    }
    let fixture = Fixture::new();
    fixture.host.sends(twice);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "a repeated member");
}

#[tokio::test(start_paused = true)]
async fn as_18_a_member_without_effect_on_security_invalidates_no_document() {
    for (member, value) in [
        ("client_uri", json!("javascript:alert(1)")),
        ("client_uri", json!("")),
        ("logo_uri", json!("data:,x")),
        ("grant_types", json!([])),
        ("grant_types", json!(["authorization_code", "implicit"])),
        ("client_name", json!("x".repeat(201))),
        ("redirect_uris", json!([REDIRECT_URI, Value::Null, "myapp:callback"])),
    ] {
        let fixture = Fixture::new();
        fixture.host.says(&with(&document(), member, &value));
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{member} {value}");
        assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await, "{member} {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_19_a_document_has_no_secret_in_it() {
    for (member, value) in [
        ("client_secret", json!("secret")),
        ("client_secret_expires_at", json!(0)),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("token_endpoint_auth_method", json!("client_secret_post")),
        ("token_endpoint_auth_method", json!("client_secret_jwt")),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
    ] {
        let fixture = Fixture::new();
        fixture.host.says(&with(&document(), member, &value));
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "{member} {value}");
    }
    let fixture = Fixture::new();
    fixture.host.says(&with(&document(), "token_endpoint_auth_method", &json!("none")));
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn as_19_a_document_is_a_200_in_json_and_not_too_long() {
    for status in [201, 204, 206, 301, 302, 307, 308, 404, 410] {
        let fixture = Fixture::new();
        fixture.host.answers(status);
        fixture.host.with_header("location", CLIENT);
        assert_ne!(fixture.outcome(CLIENT).await, Outcome::Known, "{status}");
        assert_eq!(fixture.host.calls(), 1, "{status} is not followed");
    }
    for content_type in ["text/html", "text/json", "application/jwt", ""] {
        let fixture = Fixture::new();
        fixture.host.with_header("content-type", content_type);
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "{content_type}");
    }
    for content_type in ["application/json; charset=utf-8", "application/client-metadata+json"] {
        let fixture = Fixture::new();
        fixture.host.with_header("content-type", content_type);
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{content_type}");
    }
    let text = document().to_string();
    for (len, expected) in [(5 * 1024, Outcome::Known), (5 * 1024 + 1, Outcome::Unavailable)] {
        let fixture = Fixture::new();
        fixture.host.sends(format!("{text}{}", " ".repeat(len - text.len())));
        assert_eq!(fixture.outcome(CLIENT).await, expected, "{len}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_and_the_log_of_a_document_that_cannot_be_fetched_name_the_key_to_set() {
    let fixture = Fixture::new();
    fixture.host.answers(502);
    let log = LogCapture::of_this_thread();
    let client = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    let request = http::Request::get(client.authorization().expect("an endpoint").url()).body(bytes::Bytes::new());
    let page = fixture.network.send(request.expect("a request")).await.expect("a response");
    assert_eq!(page.status(), 503);
    let text = String::from_utf8_lossy(page.body());
    assert!(text.contains("cannot be fetched") && text.contains("bridge.documents.enabled = false"), "{text}");
    let [line] = &log.lines("client metadata document request failed")[..] else { panic!("{}", log.text()) };
    for part in [CLIENT, "502", "bridge.documents.enabled"] {
        assert!(line.contains(part), "{line}");
    }

    let fixture = Fixture::new();
    fixture.host.says(&with(&document(), "client_id", &json!("https://app.example.test/other.json")));
    let log = LogCapture::of_this_thread();
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused);
    let [line] = &log.lines("client metadata document rejected")[..] else { panic!("{}", log.text()) };
    for part in [CLIENT, "client_id", "other.json", "must be the URL of the document"] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_24_the_operator_says_whose_documents_are_good() {
    let allowed = Fixture::with_documents(ClientMetadataDocumentPolicy::new().with_allowed_hosts(["App.example.test"]));
    assert_eq!(allowed.outcome(CLIENT).await, Outcome::Known);

    for policy in [
        ClientMetadataDocumentPolicy::new().with_allowed_hosts([
            "example.test",
            "sub.app.example.test",
            "app.example.test:8443",
        ]),
        ClientMetadataDocumentPolicy::new().with_allowed_hosts([]),
        ClientMetadataDocumentPolicy::disabled(),
    ] {
        let fixture = Fixture::with_documents(policy.clone());
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "{policy:?}");
        assert_eq!(fixture.host.calls(), 0);
    }
    let none = Fixture::with_documents(ClientMetadataDocumentPolicy::disabled());
    assert_eq!(none.client("").await.metadata()["client_id_metadata_document_supported"], false);
}

#[tokio::test(start_paused = true)]
async fn as_24_errors_go_to_clients_of_trusted_hosts_only() {
    let redirected = async |policy: ClientMetadataDocumentPolicy| {
        let fixture = Fixture::with_documents(policy);
        let client = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
        let url = client.authorization().expect("an endpoint").with("response_type", "token").url();
        let request = http::Request::get(url).body(bytes::Bytes::new()).expect("a request");
        let answer = fixture.network.send(request).await.expect("a response");
        answer.headers().get("location").is_some_and(|to| to.to_str().expect("text").starts_with(REDIRECT_URI))
    };
    assert!(!redirected(ClientMetadataDocumentPolicy::new()).await);
    assert!(redirected(ClientMetadataDocumentPolicy::new().with_trusted_hosts(["app.example.test"])).await);
    assert!(!redirected(ClientMetadataDocumentPolicy::new().with_trusted_hosts(["example.test"])).await);
}
