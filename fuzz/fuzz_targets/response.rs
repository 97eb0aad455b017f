//! What a provider answers.
#![no_main]

#[path = "../../tests/hostile/property/response.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
