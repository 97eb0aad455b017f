//! Fuzzes a registered redirect URI, and the one of an authorization request.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/redirect_uri.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
