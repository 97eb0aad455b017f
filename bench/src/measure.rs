//! Measures interleaved cases in short rounds, so that a disturbance of the machine affects all of them.

use std::time::Duration;

use crate::alloc::Allocations;

/// Repeatable work.
pub(crate) trait Run {
    /// Returns the time of `times` repetitions, without preparations.
    fn time(&mut self, times: usize) -> Duration;

    /// Returns the allocations of one repetition, without preparations.
    fn allocations(&mut self) -> Allocations;
}

/// A case to measure.
pub(crate) struct Case {
    name: String,
    run: Box<dyn Run>,
    times: usize,
}

/// The result of a case.
#[derive(Clone)]
pub(crate) struct Measured {
    /// The name of the case.
    pub(crate) name: String,
    /// Nanoseconds per repetition, in the fastest round.
    pub(crate) min: f64,
    /// Nanoseconds per repetition, in the median round.
    pub(crate) median: f64,
    /// The allocations of one repetition.
    pub(crate) allocations: Allocations,
}

impl Case {
    /// Creates a case; `times` is the number of repetitions per round, for a round of about 1 ms.
    pub(crate) fn new(name: &str, times: usize, run: impl Run + 'static) -> Self {
        Self { name: name.to_owned(), run: Box::new(run), times }
    }
}

/// Measures `cases`, interleaved.
pub(crate) fn measure(mut cases: Vec<Case>, rounds: usize) -> Vec<Measured> {
    let mut rounds_of: Vec<Vec<f64>> = cases.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (case, times) in cases.iter_mut().zip(&mut rounds_of) {
            // A warm-up, because the previous case has used the caches of the processor.
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

/// Returns the case called `name`.
pub(crate) fn find<'a>(measured: &'a [Measured], name: &str) -> &'a Measured {
    measured.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name:?}"))
}
