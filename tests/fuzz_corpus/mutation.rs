//! [`mutate`]: an input a little different from another, as a fuzzer would make it.

use rand::{Rng, RngExt as _};

/// Bytes that mean something to one of the parsers.
const MEANINGFUL: &[u8] = b"\0\t\n\r \"\\,;:=.-_/+~%{}[]eE019aAzZ\x7f\x80\xc5\xe2\xff";

/// `seed` with one to four changes.
pub(crate) fn mutate(seed: &[u8], seeds: &[Vec<u8>], random: &mut impl Rng) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        let end = (at + random.random_range(0..=16)).min(input.len());
        let byte = MEANINGFUL[random.random_range(0..MEANINGFUL.len())];
        match random.random_range(0..7) {
            0 => input.insert(at, byte),
            1 => input.truncate(at),
            2 => drop(input.drain(at..end)),
            // A part twice: members, parameters, values.
            3 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            4 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..=64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            5 => input[at..end].make_ascii_uppercase(),
            _ => {
                if let Some(present) = input.get_mut(at) {
                    *present = if random.random() { byte } else { *present ^ (1 << random.random_range(0..8)) };
                }
            }
        }
    }
    input
}
