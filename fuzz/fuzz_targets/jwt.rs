//! Fuzzes a bearer token, which may be a JWT of the issuer.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/jwt.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
