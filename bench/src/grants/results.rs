//! The measurements of grants.

use std::{error::Error, path::Path, rc::Rc};

use portcullis_testkit::Endpoint;

use super::{access_token, memory, scenes, sqlite, wave};
use crate::{
    load::{
        cold::{self, Cold},
        disconnects::{self, Disconnects},
        expired::{self, Expired},
        failing::{self, Failing},
        fixture::Expiry,
        late::{self, Late},
    },
    measure::{Measured, measure},
};

/// The results.
pub(crate) struct Results {
    pub(crate) access_token: Vec<Measured>,
    pub(crate) memory: memory::Memory,
    pub(crate) wave: wave::Wave,
    pub(crate) sqlite: sqlite::Sqlite,
    pub(crate) concurrent: ConcurrentRequests,
    pub(crate) scenes: Vec<scenes::Scene>,
}

/// The costs of concurrent requests at a provider, in paused time, so that delays are exact.
pub(crate) struct ConcurrentRequests {
    pub(crate) cold: Cold,
    /// A dead token whose expiry is known.
    pub(crate) told: Expired,
    /// A dead token whose expiry is unknown.
    pub(crate) untold: Expired,
    /// The same two in real time: the round trips until the last request was served, in the median run.
    pub(crate) real_time: [f64; 2],
    /// UserInfo responds 500; the token endpoint responds 500.
    pub(crate) failing: [Failing; 2],
    /// Requests that arrive during a resolution; after a rejected token was reported.
    pub(crate) late: [Late; 2],
    pub(crate) disconnects: Disconnects,
}

/// The number of concurrent requests.
pub(crate) const REQUESTS: usize = 1_000;
/// The number of requests that arrive later.
pub(crate) const LATE: usize = 50;
/// The number of clients that disconnect.
pub(crate) const GONE: usize = 250;

const ROUNDS: usize = 400;

/// Runs the measurements; `target` is a folder on the disk of the sources.
pub(crate) fn run(target: &Path) -> Result<Results, Box<dyn Error>> {
    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?);
    eprintln!("tokens at hand ..");
    let access_token = measure(access_token::cases(&runtime)?, ROUNDS);
    eprintln!("memory of grants ..");
    let memory = memory::run(&runtime)?;
    eprintln!("a wave of refreshes ..");
    let wave = wave::run()?;
    eprintln!("a store on disk ..");
    let sqlite = sqlite::run(target)?;
    eprintln!("concurrent requests, scenarios ..");
    Ok(Results { access_token, memory, wave, sqlite, concurrent: concurrent()?, scenes: scenes::run()? })
}

/// The number of runs in real time.
const RUNS: usize = 9;

/// Runs in real time, where computing takes time and the granularity of the timer prolongs each call of the provider.
fn in_real_time(expiry: Expiry) -> Result<f64, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let middle = |run: &dyn Fn() -> f64| {
        let mut runs: Vec<_> = (0..RUNS).map(|_| run()).collect();
        runs.sort_by(f64::total_cmp);
        runs[RUNS / 2]
    };
    let wall = middle(&|| runtime.block_on(expired::run(expiry, REQUESTS)).round_trips);
    Ok(wall / middle(&|| runtime.block_on(expired::one_call())))
}

fn concurrent() -> Result<ConcurrentRequests, Box<dyn Error>> {
    let real_time = [in_real_time(Expiry::Told)?, in_real_time(Expiry::Untold)?];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        Ok(ConcurrentRequests {
            cold: cold::run(REQUESTS).await,
            told: expired::run(Expiry::Told, REQUESTS).await,
            untold: expired::run(Expiry::Untold, REQUESTS).await,
            real_time,
            failing: [failing::run(Endpoint::UserInfo, REQUESTS).await, failing::run(Endpoint::Token, REQUESTS).await],
            late: [late::during_resolution(LATE).await, late::after_a_report(LATE).await],
            disconnects: disconnects::run(GONE).await,
        })
    })
}
