//! A text that is, or is not, JSON.
#![no_main]

#[path = "../../tests/hostile/property/strict_json.rs"]
mod property;
#[path = "../../tests/hostile/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
