//! `access_token()` on a fresh grant, beside other implementations.

use std::{
    error::Error,
    hint::black_box,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis::{
    refresh::GrantStore,
    store::{KeyRing, MemoryStore},
    types::Upstream,
};
use tokio::{runtime::Runtime, sync::Mutex};

use super::{rmcp::Fresh, tokens};
use crate::{
    alloc::{self, Allocations},
    measure::{Case, Run},
};

/// The handle of this project.
pub(crate) const ACCESS_TOKEN: &str = "`access_token()` on a fresh grant";
/// A minimal implementation by hand.
const MUTEX: &str = "a token and its expiry behind tokio's `Mutex`, cloned";
/// The implementation of rmcp.
pub(crate) const RMCP: &str = "rmcp 3.11 `AuthClient::get_access_token()`, in memory";

const TIMES: usize = 2048;

/// Returns the three cases.
pub(crate) fn cases(runtime: &Rc<Runtime>) -> Result<Vec<Case>, Box<dyn Error>> {
    let (upstream, fresh) = runtime.block_on(async {
        let vault = GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral())?;
        let refresher = tokens::idle(vault);
        refresher.create(tokens::id(0), tokens::fresh(0)?).await?;
        Ok::<_, Box<dyn Error>>((refresher.upstream(tokens::id(0)), Fresh::new().await?))
    })?;
    let token =
        ("a_0123456789012345678901234567890123456789012".to_owned(), Instant::now() + Duration::from_secs(3600));
    let mutex = Arc::new(Mutex::new(token));
    Ok(vec![
        Case::new(ACCESS_TOKEN, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || ask(&upstream).await }),
        Case::new(MUTEX, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || lock(&mutex).await }),
        Case::new(RMCP, TIMES, Asked { runtime: Rc::clone(runtime), ask: async move || fresh.access_token().await }),
    ])
}

async fn ask(upstream: &Upstream) {
    black_box(black_box(upstream).access_token().await.expect("a fresh token"));
}

async fn lock(mutex: &Mutex<(String, Instant)>) {
    let token = black_box(mutex).lock().await;
    assert!(token.1 > Instant::now(), "it is fresh");
    black_box(token.0.clone());
}

/// Repeated calls for a token.
pub(crate) struct Asked<F> {
    pub(crate) runtime: Rc<Runtime>,
    pub(crate) ask: F,
}

impl<F: AsyncFn()> Run for Asked<F> {
    fn time(&mut self, times: usize) -> Duration {
        self.runtime.block_on(async {
            let begun = Instant::now();
            for _ in 0..times {
                (self.ask)().await;
            }
            begun.elapsed()
        })
    }

    fn allocations(&mut self) -> Allocations {
        const TIMES: usize = 64;
        let ((), all) = alloc::count(|| {
            self.runtime.block_on(async {
                for _ in 0..TIMES {
                    (self.ask)().await;
                }
            });
        });
        all.each(TIMES)
    }
}
