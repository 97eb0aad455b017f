//! A redirect URI, and what is presented as it.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/redirect_uri.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
