//! Writes to a store on disk with its default settings: each write is durable before it is reported.

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use portcullis::{
    refresh::GrantStore,
    store::{Expected, Row, Store, Swap},
    types::UnixTime,
};
use portcullis_store_sqlite::SqliteStore;

use super::tokens;

const TIME: Duration = Duration::from_secs(3);
const CALLERS: usize = 8;
/// A row of the size of a sealed grant.
const SEALED: usize = 400;

/// The writes per second.
pub(crate) struct Sqlite {
    /// `compare_and_swap` by eight concurrent callers, each with its own grant.
    pub(crate) swaps: f64,
    /// `compare_and_swap` by one caller, in sequence.
    pub(crate) swaps_of_one: f64,
    /// The limit of the disk: 4 KiB appended to a file and flushed.
    pub(crate) flushes: f64,
}

/// Runs the measurements in the folder `target`, which is on the disk of the sources.
pub(crate) fn run(target: &Path) -> Result<Sqlite, Box<dyn Error>> {
    let folder = target.join(format!("sqlite-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path) -> Result<Sqlite, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(folder.join("grants.db")).await?;
        Ok(Sqlite {
            flushes: flushes(&folder.join("plain"))?,
            swaps_of_one: swaps(&store, 1).await?,
            swaps: swaps(&store, CALLERS).await?,
        })
    })
}

async fn swaps(store: &SqliteStore, callers: usize) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    let tasks = (0..callers).map(|caller| tokio::spawn(swap(store.clone(), callers * 100 + caller, begun + TIME)));
    let swaps: Vec<_> = try_join_all(tasks).await?;
    let swaps = swaps.into_iter().sum::<Result<usize, _>>()?;
    Ok(swaps as f64 / begun.elapsed().as_secs_f64())
}

/// Writes one grant repeatedly. Returns the number of writes.
async fn swap(store: SqliteStore, number: usize, end: Instant) -> Result<usize, portcullis::store::StoreError> {
    let key = GrantStore::key(tokens::id(number));
    let (mut expected, mut swaps) = (Expected::Absent, 0);
    while Instant::now() < end {
        let grant = Row::new(Bytes::from(vec![swaps as u8; SEALED]), UnixTime::MAX);
        match store.compare_and_swap(key, expected, grant, None).await? {
            Swap::Written(written) => expected = Expected::Unexpired(written),
            refused => panic!("there is no other writer: {refused:?}"),
        }
        swaps += 1;
    }
    Ok(swaps)
}

fn flushes(path: &Path) -> Result<f64, Box<dyn Error>> {
    let mut file = File::create(path)?;
    let (begun, mut flushes) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        flushes += 1;
    }
    Ok(f64::from(flushes) / begun.elapsed().as_secs_f64())
}
