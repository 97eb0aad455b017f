//! [`ReadBody`]: reads a body, up to a limit.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use portcullis_core::{AuthError, Reason};

pin_project! {
    /// Reads a body, up to a limit. Frames are joined as they come, so that many small ones take no more memory than one.
    #[derive(Debug)]
    pub(super) struct ReadBody<B> {
        #[pin]
        body: B,
        bytes: BytesMut,
        trailers: Option<HeaderMap>,
        limit: usize,
    }
}

impl<B> ReadBody<B> {
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self { body, bytes: BytesMut::new(), trailers: None, limit }
    }
}

impl<B: Body> Future for ReadBody<B> {
    type Output = Result<(Bytes, Option<HeaderMap>), AuthError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let room = *this.limit - this.bytes.len();
            // Nothing is read of a body that says itself that it is too large.
            if this.body.size_hint().lower() > room as u64 {
                return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
            }
            match ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(Ok((this.bytes.split().freeze(), this.trailers.take()))),
                Some(Ok(Ok(data))) if data.remaining() > room => {
                    return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
                }
                Some(Ok(Ok(data))) => this.bytes.put(data),
                Some(Ok(Err(frame))) => *this.trailers = frame.into_trailers().ok(),
                Some(Err(_)) => {
                    let error = AuthError::new(Reason::MalformedBody).with_source("the body broke off");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}
