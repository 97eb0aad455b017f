//! Request bodies: read up to a limit, replayed unchanged, and never awaited without need.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use portcullis_layer::{
    Auth,
    scope::{RequestBody, ToolScopesLayer},
};
use portcullis_testkit::StrictService;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use super::support::{Outcome, ask_with, call, config, echo, policy, post};

/// A body of several frames, which then fails, ends, or stays pending.
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    end: Poll<Option<io::ErrorKind>>,
    hint: u64,
}

impl Frames {
    fn new(parts: &[&str]) -> Self {
        let frames = parts.iter().map(|part| Frame::data(Bytes::copy_from_slice(part.as_bytes())));
        Self { frames: frames.collect(), end: Poll::Ready(None), hint: 0 }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => self.end.map(|error| error.map(|error| Err(error.into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.hint);
        hint
    }
}

fn in_frames(token: &str, body: Frames) -> Request<Frames> {
    post(token, "").map(|_| body)
}

fn layer() -> ToolScopesLayer {
    ToolScopesLayer::new(policy())
}

#[tokio::test]
async fn a_body_in_pieces_is_read_as_a_whole_and_replayed_byte_for_byte() {
    let call = format!(" {}\n", call("admin_echo"));
    let (head, tail) = call.split_at(call.find("tools").expect("method") + 3);
    ask_with(layer(), in_frames("none", Frames::new(&[head, "", tail]))).await.assert_forbidden("admin audit");
    let passed = ask_with(layer(), in_frames("admin~audit", Frames::new(&[head, "", tail]))).await;
    passed.assert_passed();
    assert_eq!(passed.body, call);
}

#[tokio::test]
async fn trailers_and_the_length_are_replayed() {
    let mut body = Frames::new(&[r#"{"method":"ping"}"#]);
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    body.frames.push_back(Frame::trailers(trailers.clone()));
    let inner = StrictService::new(async |request: Request<RequestBody<Frames>>| {
        let body = request.into_body();
        assert_eq!(body.size_hint().exact(), Some(17));
        let body = body.collect().await.expect("body");
        assert_eq!(body.trailers().map(|trailers| trailers["etag"].clone()), Some(HeaderValue::from_static("x")));
        Ok::<_, Infallible>(Response::new(Full::new(body.to_bytes())))
    });
    let response = Auth::new(layer().layer(inner.clone()), config()).oneshot(in_frames("none", body)).await;
    Outcome::of(response.expect("response"), inner.calls()).await.assert_passed();
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let call = call("echo");
    let at = layer().with_body_limit(call.len());
    let under = layer().with_body_limit(call.len() - 1);
    ask_with(at.clone(), post("none", call.clone())).await.assert_passed();
    ask_with(under.clone(), post("none", call.clone())).await.assert_unreadable("body_too_large");
    let (head, tail) = call.split_at(9);
    ask_with(at, in_frames("none", Frames::new(&[head, tail]))).await.assert_passed();
    ask_with(under, in_frames("none", Frames::new(&[head, tail]))).await.assert_unreadable("body_too_large");
}

#[tokio::test]
async fn the_default_body_limit_is_four_mebibytes() {
    let fill = |size: usize| {
        let frame = r#"{"method":"ping","params":{"x":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(size - frame.len())))
    };
    ask_with(layer(), post("none", fill(4 << 20))).await.assert_passed();
    ask_with(layer(), post("none", fill((4 << 20) + 1))).await.assert_unreadable("body_too_large");
}

#[tokio::test]
async fn a_body_with_a_too_large_size_hint_is_not_read() {
    let mut body = Frames::new(&[]);
    body.end = Poll::Pending;
    body.hint = 101;
    let outcome = ask_with(layer().with_body_limit(100), in_frames("none", body)).now_or_never();
    outcome.expect("an answer at once").assert_unreadable("body_too_large");
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_empty_asks_for_nothing() {
    ask_with(layer(), in_frames("none", Frames::new(&[]))).await.assert_passed();
    ask_with(layer(), in_frames("none", Frames::new(&["", " "]))).await.assert_unreadable("malformed_body");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let mut body = Frames::new(&[r#"{"method":"ping"}"#]);
    body.end = Poll::Ready(Some(io::ErrorKind::ConnectionReset));
    ask_with(layer(), in_frames("none", body)).await.assert_unreadable("malformed_body");
}

#[tokio::test]
async fn the_inner_service_is_not_called_before_the_whole_body_is_there() {
    let mut body = Frames::new(&[r#"{"method":"ping"}"#]);
    body.end = Poll::Pending;
    let inner = StrictService::new(echo::<RequestBody<Frames>>);
    let mut response = pin!(Auth::new(layer().layer(inner.clone()), config()).oneshot(in_frames("none", body)));
    assert!(response.as_mut().now_or_never().is_none());
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn nothing_happens_before_the_first_poll_and_a_dropped_response_drops_the_inner_one() {
    let inner = StrictService::new(async |_: Request<RequestBody<Full<Bytes>>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>().await
    });
    let gate = Auth::new(layer().layer(inner.clone()), config());
    drop(gate.clone().oneshot(post("none", call("echo"))));
    assert_eq!(inner.calls(), 0);
    assert!(gate.oneshot(post("none", call("echo"))).now_or_never().is_none());
    assert_eq!((inner.calls(), inner.dropped()), (1, 1));
}

#[tokio::test]
async fn a_response_streams_through() {
    let inner = StrictService::new(async |_: Request<RequestBody<Full<Bytes>>>| {
        let mut body = Frames::new(&["data: 1\n\n"]);
        body.end = Poll::Pending;
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = Auth::new(layer().layer(inner), config()).oneshot(post("none", call("echo"))).await;
    let mut body = response.expect("response").into_body();
    let frame = body.frame().now_or_never().expect("the first frame at once").expect("frame").expect("no error");
    assert_eq!(frame.into_data().expect("data"), "data: 1\n\n");
    assert!(body.frame().now_or_never().is_none());
}
