//! Fuzzes the key set of an issuer.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/key_set.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
