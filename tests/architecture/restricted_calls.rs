//! Restricted calls: the files that may take a secret out of its type, state an identity, or read the calendar clock.

use std::collections::BTreeSet;

use crate::sources::{Source, none, product};

/// Files that take the text of a token or a secret out of its type: to read or send it, never to keep it.
const SECRETS: [&str; 33] = [
    "crates/bridge/src/access_tokens.rs",
    // The response to a registration request.
    "crates/bridge/src/clients/registration.rs",
    "crates/bridge/src/login/consent.rs",
    "crates/bridge/src/login/pending_logins.rs",
    "crates/bridge/src/login/provider_login.rs",
    "crates/bridge/src/login/authorization.rs",
    "crates/bridge/src/session/secret.rs",
    // The response of the token endpoint.
    "crates/bridge/src/token/issuer.rs",
    // The header of the request.
    "crates/client/src/dpop.rs",
    // From an access token to the assertion of the next request.
    "crates/client/src/grants/cross_app_access.rs",
    // The header of the request for a token.
    "crates/client/src/token_source.rs",
    // Hashed in the same breath.
    // Sealed in the same breath.
    "crates/client/src/registration.rs",
    "crates/core/src/upstream.rs",
    "crates/core/src/bearer_token.rs",
    // Hashed in the same breath.
    "crates/upstream/src/provider_client.rs",
    // Sealed in the same breath.
    "crates/refresh/src/grant_store.rs",
    "crates/oauth/src/assertion.rs",
    "crates/oauth/src/client_authentication.rs",
    // Hashed in the same breath.
    "crates/oauth/src/dpop.rs",
    // Hashed in the same breath.
    "crates/oauth/src/id_token.rs",
    "crates/oauth/src/introspection.rs",
    "crates/oauth/src/jwt/header.rs",
    "crates/oauth/src/jwt/signing_key.rs",
    "crates/oauth/src/jwt/unverified.rs",
    "crates/oauth/src/pkce.rs",
    "crates/oauth/src/providers/authorization.rs",
    "crates/oauth/src/providers/github.rs",
    "crates/oauth/src/providers/profile.rs",
    "crates/oauth/src/providers/token.rs",
    "crates/oauth/src/providers/token_status.rs",
    "crates/oauth/src/revocation.rs",
    "crates/oauth/src/token_request.rs",
    // Whether it is given at all.
    "crates/server/src/config/section.rs",
];

/// Where a user context is built from an identity that was established.
const IDENTITIES: [&str; 3] =
    ["crates/bridge/src/session/model.rs", "crates/oauth/src/user_info.rs", "crates/oauth/src/verified.rs"];

/// Where the evidence that a token was verified is created.
const VERIFIED: [&str; 3] = [
    "crates/oauth/src/introspection.rs",
    "crates/oauth/src/jwt/policy.rs",
    "crates/oauth/src/providers/token_status.rs",
];

#[test]
fn secrets_are_exposed_in_listed_files_only() {
    listed("expose_secret(", &SECRETS);
}

#[test]
fn identities_are_asserted_in_listed_files_only() {
    listed("UserContext::builder(", &IDENTITIES);
    listed("Verified::assertion(", &VERIFIED);
}

#[test]
fn calendar_time_comes_in_at_one_place() {
    listed("SystemTime::now(", &["crates/core/src/time.rs"]);
    listed("clippy::disallowed_methods", &["crates/core/src/time.rs"]);
}

#[test]
fn durations_are_measured_by_the_time_that_tests_can_pause() {
    let std = product().filter(|source| uses_std_instant(source));
    none(&std.map(|source| source.path.clone()).collect::<Vec<_>>());
}

/// Fails unless exactly the `files` contain `call` in their code.
#[track_caller]
fn listed(call: &str, files: &[&str]) {
    let contains = |source: &&Source| source.code().any(|(_, line)| line.contains(call));
    let found: BTreeSet<_> = product().filter(contains).map(|source| source.path.clone()).collect();
    let expected: BTreeSet<_> = files.iter().map(|&file| file.to_owned()).collect();
    let new = found.difference(&expected).map(|file| format!("{file}: {call} is new here"));
    let gone = expected.difference(&found).map(|file| format!("{file}: {call} is gone; take it off the list"));
    none(&new.chain(gone).collect::<Vec<_>>());
}

fn uses_std_instant(source: &Source) -> bool {
    // The type alone is harmless: moka passes it to its expiry policies.
    let calls = source.code().any(|(_, line)| line.contains("Instant::now"));
    let is_std = source.facts.imports.iter().any(|import| import.path == ["std", "time", "Instant"])
        || source.code().any(|(_, line)| line.contains("std::time::Instant"));
    calls && is_std
}
