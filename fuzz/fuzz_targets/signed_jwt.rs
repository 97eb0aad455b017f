//! Fuzzes the header and the claims of a JWT with a valid signature.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/signed_jwt.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
