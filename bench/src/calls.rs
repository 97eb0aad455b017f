//! [`Calls`]: repeated calls of a service.

use std::{
    convert::Infallible,
    future::poll_fn,
    hint::black_box,
    marker::PhantomData,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::runtime::Runtime;
use tower::Service;

use crate::{
    alloc::{self, Allocations},
    mcp::request,
    measure::Run,
};

/// The number of requests that are created before the clock starts: few enough for the processor's and the allocator's caches.
const BATCH: usize = 4;

/// Repeated calls of a service on one thread, with requests whose credentials `credentials` creates.
pub(crate) struct Calls<S, F, B> {
    runtime: Rc<Runtime>,
    service: S,
    credentials: F,
    body: PhantomData<fn() -> B>,
}

impl<S, F, B, C> Calls<S, F, B>
where
    S: Service<Request<B>, Response = Response<C>, Error = Infallible>,
    F: FnMut() -> HeaderValue,
    B: From<Bytes>,
{
    /// Creates the calls of `service` on `runtime`.
    pub(crate) fn new(runtime: &Rc<Runtime>, service: S, credentials: F) -> Self {
        Self { runtime: Rc::clone(runtime), service, credentials, body: PhantomData }
    }

    fn batch(&mut self, size: usize) -> Vec<Request<B>> {
        (0..size).map(|_| request((self.credentials)())).collect()
    }
}

impl<S, F, B, C> Run for Calls<S, F, B>
where
    S: Service<Request<B>, Response = Response<C>, Error = Infallible>,
    F: FnMut() -> HeaderValue,
    B: From<Bytes>,
{
    fn time(&mut self, times: usize) -> Duration {
        let runtime = Rc::clone(&self.runtime);
        runtime.block_on(async {
            let mut spent = Duration::ZERO;
            for at in (0..times).step_by(BATCH) {
                let batch = self.batch(BATCH.min(times - at));
                let begun = Instant::now();
                call_all(&mut self.service, batch).await;
                spent += begun.elapsed();
            }
            spent
        })
    }

    fn allocations(&mut self) -> Allocations {
        const TIMES: usize = 64;
        let runtime = Rc::clone(&self.runtime);
        let batch = self.batch(TIMES);
        let ((), all) = alloc::count(|| runtime.block_on(call_all(&mut self.service, batch)));
        all.each(TIMES)
    }
}

async fn call_all<S, B, C>(service: &mut S, batch: Vec<Request<B>>)
where
    S: Service<Request<B>, Response = Response<C>, Error = Infallible>,
{
    for request in batch {
        let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
        let Ok(response) = service.call(request).await;
        assert_eq!(black_box(&response).status(), StatusCode::OK);
    }
}
