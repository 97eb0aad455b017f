//! [`ReadBody`] and [`RequestBody`]: a request body that is read up to a limit, and the body that the inner service receives.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
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

pin_project! {
/// The request body of [`ToolScopes`](crate::scope::ToolScopes): the same bytes and trailers as received, in one frame if they had to
    /// be read, else frame by frame.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Passed { #[pin] body: B },
        Read { bytes: Bytes, trailers: Option<HeaderMap> },
    }
}

impl<B> RequestBody<B> {
    pub(super) const fn passed(body: B) -> Self {
        Self { content: Content::Passed { body } }
    }

    pub(super) const fn read(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { content: Content::Read { bytes, trailers } }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data: From<Bytes>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().content.project() {
            ContentProjection::Passed { body } => body.poll_frame(cx),
            ContentProjection::Read { bytes, trailers } => {
                let frame = if bytes.is_empty() {
                    trailers.take().map(Frame::trailers)
                } else {
                    Some(Frame::data(std::mem::take(bytes).into()))
                };
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Passed { body } => body.is_end_stream(),
            Content::Read { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Passed { body } => body.size_hint(),
            Content::Read { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
