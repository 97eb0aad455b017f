//! Hostile input: the seeds of the fuzz targets, as they are and thousands of times altered, through the same functions.
//!
//! It takes seconds and runs with every test; `just fuzz` searches for longer, guided by coverage.

mod mutation;
mod property;
mod reader;
mod seeds;

use property::{bearer_token, challenge, json_rpc, jwt, key_set, redirect_uri, response, signed_jwt, strict_json};
use seeds::withstands;

#[test]
fn bearer_tokens() {
    withstands("bearer_token", 20_000, bearer_token::hold);
}

#[test]
fn challenges() {
    withstands("challenge", 20_000, challenge::hold);
}

#[test]
fn json_rpc_bodies() {
    withstands("json_rpc", 20_000, json_rpc::hold);
}

#[test]
fn forged_jwts() {
    withstands("jwt", 5_000, jwt::hold);
}

#[test]
fn key_sets() {
    withstands("key_set", 2_000, key_set::hold);
}

#[test]
fn redirect_uris() {
    withstands("redirect_uri", 20_000, redirect_uri::hold);
}

#[test]
fn responses_of_providers() {
    withstands("response", 10_000, response::hold);
}

#[test]
fn signed_jwts() {
    withstands("signed_jwt", 5_000, signed_jwt::hold);
}

#[test]
fn strict_json_texts() {
    withstands("strict_json", 20_000, strict_json::hold);
}
