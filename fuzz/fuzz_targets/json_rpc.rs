//! Fuzzes the body of a JSON-RPC request, which the scope check parses.
#![no_main]

#[path = "../../tests/fuzz_corpus/property/json_rpc.rs"]
mod property;
#[path = "../../tests/fuzz_corpus/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|input: &[u8]| property::hold(input));
