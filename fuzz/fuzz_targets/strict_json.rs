//! Fuzzes a text that may be JSON.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/strict_json.rs"]
mod property;
#[path = "../../tests/fuzz_corpus/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
