//! [`ReadBody`]: reads a body up to a limit.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use portcullis_core::{AuthError, Reason};

pin_project! {
/// Reads a body up to a limit. Frames are joined as they arrive, so that many small frames take no more memory than one, and no more
    /// memory is reserved than the size hint of the body.
    #[derive(Debug)]
    pub(super) struct ReadBody<B> {
        #[pin]
        body: B,
        bytes: Vec<u8>,
        trailers: Option<HeaderMap>,
        limit: usize,
    }
}

impl<B> ReadBody<B> {
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self { body, bytes: Vec::new(), trailers: None, limit }
    }
}

impl<B: Body> Future for ReadBody<B> {
    type Output = Result<(Bytes, Option<HeaderMap>), AuthError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let room = *this.limit - this.bytes.len();
            // A body whose size hint exceeds the limit is not read.
            if this.body.size_hint().lower() > room as u64 {
                return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
            }
            match ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                None => {
                    let mut bytes = std::mem::take(this.bytes);
                    bytes.shrink_to_fit();
                    return Poll::Ready(Ok((bytes.into(), this.trailers.take())));
                }
                Some(Ok(Ok(data))) if data.remaining() > room => {
                    return Poll::Ready(Err(AuthError::new(Reason::BodyTooLarge)));
                }
                Some(Ok(Ok(data))) => {
                    let rest = this.body.size_hint().exact().and_then(|rest| usize::try_from(rest).ok());
                    let most = rest.map_or(room, |rest| data.remaining().saturating_add(rest).min(room));
                    make_room(this.bytes, data.remaining(), most);
                    this.bytes.put(data);
                }
                Some(Ok(Err(frame))) => *this.trailers = frame.into_trailers().ok(),
                Some(Err(_)) => {
                    let error = AuthError::new(Reason::MalformedBody).with_source("the body ended early");
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// Reserves memory for `more` bytes: doubles the capacity, but reserves no more than `most`.
fn make_room(bytes: &mut Vec<u8>, more: usize, most: usize) {
    if bytes.capacity() - bytes.len() < more {
        bytes.reserve_exact(bytes.len().max(more).min(most));
    }
}
