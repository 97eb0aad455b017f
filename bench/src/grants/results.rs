//! Everything that is measured of grants.

use std::{error::Error, path::Path, rc::Rc};

use portcullis_testkit::Endpoint;

use super::{access_token, memory, scenes, sqlite, wave};
use crate::{
    load::{
        cold::{self, Cold},
        disconnects::{self, Disconnects},
        expired::{self, Expired},
        failing::{self, Failing},
        late::{self, Late},
        fixture::Expiry,
    },
    measure::{Measured, measure},
};

/// Everything that was measured.
pub(crate) struct Results {
    pub(crate) access_token: Vec<Measured>,
    pub(crate) memory: memory::Memory,
    pub(crate) wave: wave::Wave,
    pub(crate) sqlite: sqlite::Sqlite,
    pub(crate) crowds: Crowds,
    pub(crate) scenes: Vec<scenes::Scene>,
}

/// What crowds cost at a provider. In paused time, so delays are exact.
pub(crate) struct Crowds {
    pub(crate) cold: Cold,
    /// Dead tokens whose expiry was known.
    pub(crate) told: Expired,
    /// Dead tokens whose expiry nobody knew.
    pub(crate) untold: Expired,
    /// The same two in real time: after how many round trips the last was served, in the middle run.
    pub(crate) real_time: [f64; 2],
    /// UserInfo answers 500; the token endpoint does.
    pub(crate) failing: [Failing; 2],
    /// Arrivals during a resolution; after a report.
    pub(crate) late: [Late; 2],
    pub(crate) disconnects: Disconnects,
}

/// How many come at once.
pub(crate) const REQUESTS: usize = 1_000;
/// How many come late.
pub(crate) const LATE: usize = 50;
/// How many go away.
pub(crate) const GONE: usize = 250;

const ROUNDS: usize = 400;

/// Measures it; `target` is a folder on the disk of the sources.
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
    eprintln!("crowds, scenarios ..");
    Ok(Results { access_token, memory, wave, sqlite, crowds: crowds()?, scenes: scenes::run()? })
}

/// How often an experiment runs in real time.
const RUNS: usize = 9;

/// In real time computing takes time, and one call of the provider a little more than it was told to, by the grain of the timer.
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

fn crowds() -> Result<Crowds, Box<dyn Error>> {
    let real_time = [in_real_time(Expiry::Told)?, in_real_time(Expiry::Untold)?];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        Ok(Crowds {
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
