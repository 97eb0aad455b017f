//! Oversized bodies, headers and parameters, and incomplete bodies.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};

use crate::fixture::{APP, Fixture};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The endpoints that read a body, with its content type.
const READING: [(&str, &str); 5] =
    [("/token", FORM), ("/revoke", FORM), ("/introspect", FORM), ("/consent", FORM), ("/register", "application/json")];

/// Asserts a permanent error that is not stored.
#[track_caller]
fn assert_refused(answer: &Response<Bytes>, what: &str) {
    assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{what}");
    assert_eq!(answer.headers().get(header::LOCATION), None, "{what}");
}

#[tokio::test(start_paused = true)]
async fn an_oversized_body_is_rejected_before_its_end() {
    let fixture = Fixture::new();
    for (path, content_type) in READING {
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'a'; 1024])));
        let answer = fixture.post(path, content_type, Body::from_stream(endless)).await;
        assert_refused(&answer, path);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_body_times_out() {
    let fixture = Fixture::new();
    for (path, content_type) in READING {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let answer =
            tokio::time::timeout(Duration::from_mins(1), fixture.post(path, content_type, Body::from_stream(never)));
        assert_refused(&answer.await.expect(path), path);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_type_is_refused() {
    let fixture = Fixture::new();
    for (path, content_type) in READING {
        for other in ["text/plain", "multipart/form-data; boundary=a", "application/xml", "", FORM, "application/json"]
        {
            if other != content_type {
                let answer = fixture.post(path, other, "client_id=app&grant_type=refresh_token").await;
                assert_refused(&answer, &format!("{path} {other}"));
            }
        }
        let twice = Request::post(path).header("content-type", content_type).header("content-type", content_type);
        let answer = fixture.send(twice.body(Body::from("{}")).expect("a request")).await;
        assert_refused(&answer, &format!("{path} twice"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_is_repeated_is_refused_at_every_endpoint() {
    let fixture = Fixture::new();
    let repeated =
        "client_id=app&grant_type=refresh_token&refresh_token=a&token=a&client_id=app&form=a&decision=approve";
    for (path, content_type) in READING {
        if content_type == FORM {
            let answer = fixture.post(path, FORM, repeated).await;
            assert_refused(&answer, path);
        }
    }
    for path in ["/authorize", "/callback"] {
        for name in ["state", "code", "client_id", "redirect_uri"] {
            let query = format!("{path}?response_type=code&client_id={APP}&state=a&code=b&{name}=c&{name}=d");
            let answer = fixture.send(Request::get(&query).body(Body::empty()).expect("a request")).await;
            assert_refused(&answer, &query);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_or_too_long_parameters_are_refused() {
    let fixture = Fixture::new();
    let many: String = (0..5000).map(|n| format!("a{n}=b&")).collect();
    let long = format!("client_id={APP}&state={}", "s".repeat(30_000));
    for (path, content_type) in READING {
        if content_type == FORM {
            assert_refused(&fixture.post(path, FORM, many.clone()).await, path);
        }
    }
    for path in ["/authorize", "/callback"] {
        for query in [&many, &long] {
            let request = Request::get(format!("{path}?{query}")).body(Body::empty());
            assert_refused(&fixture.send(request.expect("a request")).await, path);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_are_not_allowed() {
    let fixture = Fixture::new();
    for (path, content_type) in READING {
        for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE"] {
            let request = Request::builder().method(method).uri(path).header("content-type", content_type);
            let answer = fixture.send(request.body(Body::from("client_id=app")).expect("a request")).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
    for path in ["/authorize", "/callback"] {
        for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty());
            let answer = fixture.send(request.expect("a request")).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn headers_full_of_cookies_and_credentials_are_refused_or_ignored() {
    let fixture = Fixture::new();
    for (name, value) in [
        ("cookie", "a=b; ".repeat(3000)),
        ("authorization", format!("Basic {}", "A".repeat(20_000))),
        ("authorization", "Basic %%%".to_owned()),
        ("authorization", "Bearer a".to_owned()),
        ("x-forwarded-for", "1.2.3.4, ".repeat(2000)),
    ] {
        for (path, content_type) in READING {
            let request = Request::post(path).header("content-type", content_type).header(name, &value);
            let body = "client_id=app&grant_type=refresh_token&refresh_token=a&token=a";
            let answer = fixture.send(request.body(Body::from(body)).expect("a request")).await;
            assert!(!answer.status().is_server_error(), "{path} {name}: {}", answer.status());
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store", "{path} {name}");
        }
    }
}
