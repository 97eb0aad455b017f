//! Tokens of other parties: files, metadata servers, jobs.

use bytes::Bytes;
use http::{Request, Response};
use portcullis_client::{Grant, GrantErrorKind, TokenPlace, TokenSource, grants::JwtBearer};
use serde_json::json;

use crate::server::{Server, answer, tokens};

/// Presents the token of `source` and returns the assertion that was sent.
async fn presented(source: TokenSource) -> Result<String, GrantErrorKind> {
    let server = Server::answering([tokens(json!({}))]);
    let grant = JwtBearer::new(server.target(), source);
    let binding = grant.resolve(None).await.unwrap();
    grant.obtain(&binding, &binding.scopes).await.map_err(|error| error.kind())?;
    let seen = server.last();
    assert_eq!(seen.field("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    Ok(seen.field("assertion").to_owned())
}

#[tokio::test]
async fn a_file_is_read_again_each_time() {
    let path = std::env::temp_dir().join(format!("portcullis-token-{}", std::process::id()));
    let source = TokenSource::file(&path);
    assert_eq!(presented(source.clone()).await, Err(GrantErrorKind::NotSent), "there is no file yet");
    for token in ["first", "second"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        assert_eq!(presented(source.clone()).await.as_deref(), Ok(token));
    }
    std::fs::write(&path, "\n").unwrap();
    assert_eq!(presented(source).await, Err(GrantErrorKind::NotSent), "it is empty");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_metadata_server_is_asked_with_its_header() {
    let server = Server::answering([Response::new(Bytes::from("of.google\n"))]);
    let url =
        "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity?audience=a";
    let request = Request::get(url).header("metadata-flavor", "Google").body(()).unwrap();
    let source = TokenSource::url(server.egress(), request, TokenPlace::Body);
    assert_eq!(presented(source.clone()).await.as_deref(), Ok("of.google"));
    let seen = server.last();
    assert_eq!((seen.uri.to_string().as_str(), &seen.headers["metadata-flavor"]), (url, &"Google".parse().unwrap()));
    assert_eq!(presented(source).await, Err(GrantErrorKind::NotSent), "it does not answer");
}

#[tokio::test]
async fn a_job_of_github_actions_gets_an_id_token_for_its_audience() {
    let server = Server::answering([answer(200, &json!({"count": 1, "value": "of.github"}))]);
    let source = TokenSource::github_actions(
        server.egress(),
        "https://actions.example.test/token?api-version=2.0",
        &"request-token".into(),
        "https://as.example.test",
    );
    let source = source.unwrap();
    assert!(!format!("{source:?}").contains("request-token"));
    assert_eq!(presented(source).await.as_deref(), Ok("of.github"));
    let seen = server.last();
    assert_eq!(seen.uri.query(), Some("api-version=2.0&audience=https%3A%2F%2Fas.example.test"));
    assert_eq!(seen.headers["authorization"], "Bearer request-token");
}

#[tokio::test]
async fn a_response_without_a_token_is_no_token() {
    for response in [
        answer(403, &json!({"value": "token"})),
        answer(200, &json!({"other": "token"})),
        answer(200, &json!({"value": ""})),
        answer(200, &json!({"value": 7})),
        Response::new(Bytes::from("not JSON")),
        Response::new(Bytes::from_static(b"\xff")),
    ] {
        let server = Server::answering([response]);
        let request = Request::get("https://source.example.test/").body(()).unwrap();
        let source = TokenSource::url(server.egress(), request, TokenPlace::Member("value"));
        assert_eq!(presented(source).await, Err(GrantErrorKind::NotSent));
    }
}
