//! Fuzzes the value of an `Authorization` header.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/bearer_token.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
