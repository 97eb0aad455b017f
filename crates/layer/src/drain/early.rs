//! [`Early`]: a response that does not need the request's body, and waits for it all the same.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_body::Body;
use pin_project_lite::pin_project;

use super::rest::{Rest, expects_continue, is_needed};

/// A response that does not need the request's body, and waits for it all the same, within the bounds of [`Rest`].
pub(crate) struct Early<B, C>(Pin<Box<Waiting<B, C>>>);

pin_project! {
    struct Waiting<B, C> {
        response: Option<Response<C>>,
        // `None` if there is nothing to wait for.
        #[pin]
        rest: Option<Rest<B>>,
    }
}

impl<B: Body, C> Early<B, C> {
    /// Answers `request`, of whose body nothing has been read, with `response`.
    pub(crate) fn new(request: Request<B>, mut response: Response<C>) -> Self {
        let (parts, body) = request.into_parts();
        if !is_needed(parts.version, &body) {
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        if expects_continue(&parts.headers) {
            // RFC 9110 section 10.1.1: a final response instead of `100 Continue`, after which the client may still send the
            // body or not. The server cannot tell which.
            close(&mut response, parts.version);
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        Self::after(body, response)
    }

    /// Sends `response` after the rest of `body`, a body of HTTP/1.
    pub(super) fn after(body: B, response: Response<C>) -> Self {
        Self(Box::pin(Waiting { response: Some(response), rest: Some(Rest::new(body)) }))
    }
}

impl<B: Body, C> Future for Early<B, C> {
    type Output = Response<C>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<C>> {
        let mut this = self.0.as_mut().project();
        let is_read = match this.rest.as_mut().as_pin_mut() {
            Some(rest) => ready!(rest.poll(cx)),
            None => true,
        };
        // The body is dropped before the response is sent.
        this.rest.set(None);
        let mut response = this.response.take().expect("polled after it was done");
        if !is_read {
            close(&mut response, Version::HTTP_11);
        }
        Poll::Ready(response)
    }
}

/// Says that the connection ends with `response` to a request of `version`. Over HTTP/2 it does not, and the header is forbidden.
pub(crate) fn close<C>(response: &mut Response<C>, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether `response` says that the connection ends with it.
pub(super) fn says_close<C>(response: &Response<C>) -> bool {
    response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl<B, C> fmt::Debug for Early<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Early").field("rest", &self.0.rest).finish_non_exhaustive()
    }
}
