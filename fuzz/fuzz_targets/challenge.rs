//! Fuzzes the value of a `WWW-Authenticate` header.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/challenge.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
