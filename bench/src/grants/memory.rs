//! The memory of a grant.

use std::{error::Error, sync::Arc};

use portcullis::{
    refresh::{GrantRecord, GrantStore},
    store::{KeyRing, MemoryStore},
};
use tokio::runtime::Runtime;

use super::tokens;
use crate::alloc;

const GRANTS: usize = 100_000;

/// The bytes per grant, for 100,000 grants.
pub(crate) struct Memory {
    /// In the store, the refresher and the handle.
    pub(crate) whole: f64,
    /// In the store only.
    pub(crate) store: f64,
}

pub(crate) fn run(runtime: &Runtime) -> Result<Memory, Box<dyn Error>> {
    let vault = || GrantStore::new(Arc::new(MemoryStore::new()), KeyRing::ephemeral()).expect("not durable");
    let each = |live: i64| live as f64 / GRANTS as f64;

    let ((_stored, outcome), weight) = alloc::count(|| {
        let vault = vault();
        let outcome = runtime.block_on(async {
            for number in 0..GRANTS {
                let record = GrantRecord::new(tokens::issuer(), Arc::new(tokens::fresh(number)?));
                vault.create(tokens::id(number), &record).await?;
            }
            Ok::<_, Box<dyn Error>>(())
        });
        (vault, outcome)
    });
    outcome?;
    let store = each(weight.live);

    let ((held, outcome), weight) = alloc::count(|| {
        let mut held = Vec::with_capacity(GRANTS);
        let outcome = runtime.block_on(async {
            let refresher = tokens::idle(vault());
            for number in 0..GRANTS {
                refresher.create(tokens::id(number), tokens::fresh(number)?).await?;
                held.push(refresher.upstream(tokens::id(number)));
            }
            Ok::<_, Box<dyn Error>>(())
        });
        (held, outcome)
    });
    outcome?;
    assert_eq!(held.len(), GRANTS);
    Ok(Memory { whole: each(weight.live), store })
}
