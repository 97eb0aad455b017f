//! The body of a request, read for the check of scopes.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/json_rpc.rs"]
mod property;
#[path = "../../tests/fuzz_corpus/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
