//! Doors: where secrets are taken out, where an identity is asserted, where time comes in.

use std::collections::BTreeSet;

use syn::{UseTree, visit::Visit};

use crate::sources::{Source, none, sources};

/// Where the text of a token or a secret is taken out of its wrapper: to be read or sent, never to be kept.
const SECRETS: [&str; 27] = [
    "crates/bridge/src/access_tokens/mod.rs",
    "crates/bridge/src/access_tokens/signing_key.rs",
    // The response to a registration request.
    "crates/bridge/src/clients/registration/response.rs",
    "crates/bridge/src/login/cookies.rs",
    "crates/bridge/src/login/pending_login.rs",
    "crates/bridge/src/login/provider_redirect.rs",
    "crates/bridge/src/login/response_target.rs",
    "crates/bridge/src/session/secret.rs",
    // The response of the token endpoint.
    "crates/bridge/src/token/mod.rs",
    "crates/core/src/access_token.rs",
    "crates/core/src/bearer_token.rs",
    // Hashed in the same breath.
    "crates/grants/src/provider_client/presented.rs",
    // Sealed in the same breath.
    "crates/grants/src/record.rs",
    "crates/oauth/src/assertion/common.rs",
    "crates/oauth/src/client_authentication.rs",
    // Hashed in the same breath.
    "crates/oauth/src/id_token/access_token_hash.rs",
    "crates/oauth/src/id_token/policy.rs",
    "crates/oauth/src/introspection/message.rs",
    "crates/oauth/src/jwt/header.rs",
    "crates/oauth/src/jwt/unverified.rs",
    "crates/oauth/src/pkce.rs",
    "crates/oauth/src/providers/authorization_response.rs",
    "crates/oauth/src/providers/github.rs",
    "crates/oauth/src/providers/token_request.rs",
    "crates/oauth/src/revocation.rs",
    "crates/oauth/src/token_check.rs",
    // Whether it is given at all.
    "crates/server/src/config/section.rs",
];

/// Where a user context is built from an identity that was established.
const IDENTITIES: [&str; 4] = [
    "crates/bridge/src/session/model.rs",
    "crates/grants/src/provider_client/profile_verifier.rs",
    "crates/oauth/src/verified.rs",
    "crates/verify/src/user_info/verifier.rs",
];

/// Where the evidence that a token was verified is created.
const VERIFIED: [&str; 3] =
    ["crates/oauth/src/introspection/policy.rs", "crates/oauth/src/jwt/policy.rs", "crates/oauth/src/token_check.rs"];

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
    listed("SystemTime::now(", &["crates/core/src/clock.rs"]);
    listed("clippy::disallowed_methods", &["crates/core/src/clock.rs"]);
}

#[test]
fn durations_are_measured_by_the_time_that_tests_can_pause() {
    let std = sources().into_iter().filter(|source| !source.is_test() && uses_std_instant(source));
    none(&std.map(|source| source.path).collect::<Vec<_>>());
}

/// Exactly the `files` contain `door` in their code.
#[track_caller]
fn listed(door: &str, files: &[&str]) {
    let opens = |source: &Source| source.code().any(|(_, line)| line.contains(door));
    let found: BTreeSet<_> =
        sources().into_iter().filter(|source| !source.is_test() && opens(source)).map(|source| source.path).collect();
    let expected: BTreeSet<_> = files.iter().map(|&file| file.to_owned()).collect();
    let new = found.difference(&expected).map(|file| format!("{file}: {door} is new here"));
    let gone = expected.difference(&found).map(|file| format!("{file}: {door} is gone; take it off the list"));
    none(&new.chain(gone).collect::<Vec<_>>());
}

fn uses_std_instant(source: &Source) -> bool {
    let mut imports = Imports(Vec::new());
    imports.visit_file(&source.parse());
    // The type alone is harmless: moka's expiry is told the time.
    let asks = source.code().any(|(_, line)| line.contains("Instant::now"));
    let is_std = imports.0.iter().any(|path| path == "std::time::Instant")
        || source.code().any(|(_, line)| line.contains("std::time::Instant"));
    asks && is_std
}

/// Every imported path.
struct Imports(Vec<String>);

impl Visit<'_> for Imports {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        self.add("", &item.tree);
    }
}

impl Imports {
    fn add(&mut self, prefix: &str, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.add(&format!("{prefix}{}::", path.ident), &path.tree),
            UseTree::Name(name) => self.0.push(format!("{prefix}{}", name.ident)),
            UseTree::Rename(name) => self.0.push(format!("{prefix}{}", name.ident)),
            UseTree::Glob(_) => self.0.push(format!("{prefix}*")),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(prefix, tree)),
        }
    }
}
