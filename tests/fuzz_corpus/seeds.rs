//! The seeds of a fuzz target, and what comes of altering them.

use std::{fs, path::Path};

use rand::{SeedableRng as _, rngs::StdRng};

use crate::mutation::mutate;

/// Shows `hold` every seed of `target`, and `count` altered ones: the same in every run.
pub(crate) fn withstands(target: &str, count: usize, hold: impl Fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        hold(seed);
    }
    let mut random = StdRng::seed_from_u64(1);
    for at in 0..count {
        hold(&mutate(&seeds[at % seeds.len()], &seeds, &mut random));
    }
}

/// In the order of their names, which is the same on every machine.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "there are few seeds for {target}");
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}
