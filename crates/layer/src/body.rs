//! [`ResponseBody`]: the body of the inner service, of the auth layer itself, or of a stream that ends with its token.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::stream_end::{Recheck, StreamEnd};

pin_project! {
/// The body of a response of [`Auth`](crate::Auth): it passes the frames of the inner service on without delay.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Passed { #[pin] body: B },
        Stream { #[pin] body: B, end: Box<StreamEnd> },
        Own { bytes: Bytes },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self { content: Content::Passed { body } }
    }

    pub(crate) const fn own(bytes: Bytes) -> Self {
        Self { content: Content::Own { bytes } }
    }

    /// Creates a body that ends when `end` is reached.
    pub(crate) fn until_token_ends<R: Recheck + 'static>(body: B, end: StreamEnd<R>) -> Self {
        Self { content: Content::Stream { body, end: Box::new(end) } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data: From<Bytes>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut content = self.project().content;
        match content.as_mut().project() {
            ContentProjection::Passed { body } => body.poll_frame(cx),
            ContentProjection::Own { bytes } if bytes.is_empty() => Poll::Ready(None),
            ContentProjection::Own { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes).into())))),
            ContentProjection::Stream { body, end } => {
                if !end.is_over(cx) {
                    let frame = body.poll_frame(cx);
                    if frame.is_ready() || end.poll_waiting(cx).is_pending() {
                        return frame;
                    }
                }
                // The inner body is dropped, so that its producer learns that the stream has ended.
                content.set(Content::Own { bytes: Bytes::new() });
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Passed { body } | Content::Stream { body, .. } => body.is_end_stream(),
            Content::Own { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Passed { body } => body.size_hint(),
            // The stream may end early, so that its size is unknown.
            Content::Stream { .. } => SizeHint::default(),
            Content::Own { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
