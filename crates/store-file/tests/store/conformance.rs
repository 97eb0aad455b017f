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
use portcullis_store_file::{FileConfig, FileStore};
use portcullis_testkit::TestClock;

use crate::fixture::Folder;

/// Every store has a file of its own, opened by three handles as three processes would.
#[derive(Default)]
struct Files {
    clock: TestClock,
    folders: Mutex<Vec<Folder>>,
}

impl Subject for Files {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn Store>>> {
        Box::pin(async {
            let folder = Folder::in_memory();
            let mut handles = Vec::new();
            for _ in 0..3 {
                let config = FileConfig::new(folder.file()).with_clock(Arc::new(self.clock.clone()));
                // The suite keeps the file busy for as long as it takes.
                let config = config.with_lock_timeout(Duration::from_mins(1));
                handles.push(Arc::new(FileStore::open(config).await.expect("a store")) as _);
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
