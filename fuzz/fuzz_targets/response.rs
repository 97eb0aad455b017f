//! Fuzzes the response of a provider.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/response.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
