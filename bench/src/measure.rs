//! Times cases side by side: round after round, each for a moment, so that whatever disturbs the machine disturbs all.

use std::time::Duration;

use crate::alloc::Allocations;

/// Something that can be done many times.
pub(crate) trait Run {
    /// How long `times` take, preparations excluded.
    fn time(&mut self, times: usize) -> Duration;

    /// What one time allocates, preparations excluded.
    fn allocations(&mut self) -> Allocations;
}

/// Something to be measured.
pub(crate) struct Case {
    name: String,
    run: Box<dyn Run>,
    times: usize,
}

/// What came of it.
#[derive(Clone)]
pub(crate) struct Measured {
    /// What was measured.
    pub(crate) name: String,
    /// Nanoseconds for one, in the least disturbed round.
    pub(crate) min: f64,
    /// Nanoseconds for one, in the round in the middle.
    pub(crate) median: f64,
    /// What one allocates.
    pub(crate) allocations: Allocations,
}

impl Case {
    /// `run`, so many `times` a round that the round takes a millisecond or so.
    pub(crate) fn new(name: &str, times: usize, run: impl Run + 'static) -> Self {
        Self { name: name.to_owned(), run: Box::new(run), times }
    }
}

/// Measures `cases`, interleaved.
pub(crate) fn measure(mut cases: Vec<Case>, rounds: usize) -> Vec<Measured> {
    let mut rounds_of: Vec<Vec<f64>> = cases.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (case, times) in cases.iter_mut().zip(&mut rounds_of) {
            // The case before has left its traces in the caches of the processor.
            case.run.time(case.times / 4);
            times.push(case.run.time(case.times).as_nanos() as f64 / case.times as f64);
        }
    }
    cases
        .into_iter()
        .zip(rounds_of)
        .map(|(mut case, mut times)| {
            times.sort_by(f64::total_cmp);
            let (min, median) = (times[0], times[times.len() / 2]);
            Measured { name: case.name, min, median, allocations: case.run.allocations() }
        })
        .collect()
}

/// The case called `name`.
pub(crate) fn find<'a>(measured: &'a [Measured], name: &str) -> &'a Measured {
    measured.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name:?}"))
}
