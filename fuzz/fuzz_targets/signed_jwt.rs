//! A header and claims, signed by the issuer.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/signed_jwt.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
