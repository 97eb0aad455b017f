//! [`RequestBody`]: a request body that was passed on unread, or read and replayed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

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
