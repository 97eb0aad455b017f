//! The suite that judges every store.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::Clock;
use portcullis_store::{
    Store,
    conformance::{self, Subject, SubjectFuture},
};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use portcullis_testkit::TestClock;

use crate::folder::Folder;

/// Every store has a file of its own, opened by three handles as three processes would.
#[derive(Default)]
struct Files {
    clock: TestClock,
    folders: Mutex<Vec<Folder>>,
}

impl Subject for Files {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn Store>>> {
        Box::pin(async {
            let folder = Folder::new();
            let mut handles = Vec::new();
            for _ in 0..3 {
                let store =
                    SqliteStore::open(SqliteConfig::new(folder.database()).with_clock(Arc::new(self.clock.clone())))
                        .await;
                handles.push(Arc::new(store.expect("a store")) as _);
            }
            self.folders.lock().expect("no panic").push(folder);
            handles
        })
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()> {
        self.clock.advance(by);
        Box::pin(std::future::ready(()))
    }

    fn set_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        self.clock.step_back(by);
        Box::pin(std::future::ready(true))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_rule() {
    conformance::check(&Files::default()).await.expect("no violation");
}
