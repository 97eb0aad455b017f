//! The suites that judge every store.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::Clock;
use portcullis_grants::{
    TokenStore,
    conformance::{self, Subject, SubjectFuture},
    records::RecordStore,
};
use portcullis_store_sqlite::SqliteStore;
use portcullis_testkit::TestClock;

use crate::folder::Folder;

/// Every store has a file of its own, opened by three handles as three processes would.
struct Files<S: ?Sized> {
    clock: TestClock,
    folders: Mutex<Vec<Folder>>,
    judged: fn(SqliteStore) -> Arc<S>,
}

impl<S: ?Sized> Files<S> {
    fn new(judged: fn(SqliteStore) -> Arc<S>) -> Self {
        Self { clock: TestClock::new(), folders: Mutex::default(), judged }
    }
}

impl<S: ?Sized + Send + Sync> Subject<S> for Files<S> {
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<S>>> {
        Box::pin(async {
            let folder = Folder::new();
            let mut handles = Vec::new();
            for _ in 0..3 {
                let store = SqliteStore::open(folder.database(), Arc::new(self.clock.clone())).await;
                handles.push((self.judged)(store.expect("a store")));
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

    fn put_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        self.clock.step_back(by);
        Box::pin(std::future::ready(true))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_rule_for_grants() {
    let files = Files::<dyn TokenStore>::new(|store| Arc::new(store));
    conformance::check(&files).await.expect("no violation");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_every_rule_for_records() {
    let files = Files::<dyn RecordStore>::new(|store| Arc::new(store));
    conformance::records::check(&files).await.expect("no violation");
}
