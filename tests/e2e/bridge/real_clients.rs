//! The table of real clients in `docs/compatibility.md`, which each test of a client checks for its client.

use std::path::Path;

use portcullis_test_support::check_document_table;

/// How a client identifies itself to the bridge.
#[derive(Clone, Copy)]
enum Identity {
    Registration,
    Document,
    /// A document where the client has one, otherwise registration.
    Either,
}

/// A client that the tests run: each one logs in, refreshes, and logs in again after the revocation of its refresh token.
struct RealClient {
    name: &'static str,
    wire: &'static str,
    identity: Identity,
    /// Whether the client requests further scopes after a 403.
    steps_up: bool,
}

const fn client(name: &'static str, wire: &'static str, identity: Identity, steps_up: bool) -> RealClient {
    RealClient { name, wire, identity, steps_up }
}

const CLIENTS: [RealClient; 13] = [
    client("TypeScript SDK 1", "2025-11-25", Identity::Either, true),
    client("TypeScript SDK 2", "2025-11-25", Identity::Either, true),
    client("TypeScript SDK 2", "2026-07-28", Identity::Either, true),
    client("rmcp", "2025-11-25", Identity::Registration, true),
    client("rmcp", "2026-07-28", Identity::Document, true),
    client("Python SDK 1", "2025-11-25", Identity::Registration, true),
    client("Python SDK 2", "2025-11-25", Identity::Registration, true),
    client("Python SDK 2", "2026-07-28", Identity::Registration, true),
    client("FastMCP 3", "2025-11-25", Identity::Registration, true),
    client("FastMCP 4", "2026-07-28", Identity::Registration, true),
    client("mcp-remote", "2025-11-25", Identity::Registration, false),
    client("MCP Inspector, command line", "2025-11-25", Identity::Registration, false),
    client("MCP Inspector, command line", "2026-07-28", Identity::Registration, false),
];

/// Checks what the table says of a client that has identified itself as `client_id`.
pub(super) fn assert_in_table(name: &str, wire: &str, client_id: &str, steps_up: bool) {
    let row = CLIENTS.iter().find(|client| (client.name, client.wire) == (name, wire));
    let row = row.unwrap_or_else(|| panic!("{name} with the protocol {wire} is not in the table of real clients"));
    let has_document = client_id.starts_with("https:");
    let is_identity = match row.identity {
        Identity::Registration => !has_document,
        Identity::Document => has_document,
        Identity::Either => true,
    };
    assert!(is_identity && row.steps_up == steps_up, "the table of real clients differs: {name}, {wire}, {client_id}");
}

#[test]
fn the_table_of_real_clients_is_that_of_these_tests() {
    let rows = CLIENTS.map(|client| {
        let identity = match client.identity {
            Identity::Registration => "yes",
            Identity::Document => "shows its document",
            Identity::Either => "yes, or shows its document",
        };
        let step_up = if client.steps_up { "yes" } else { "no: it requests the scopes of its configuration" };
        [client.name, client.wire, identity, "yes", "yes", step_up, "yes"].map(str::to_owned).to_vec()
    });
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    check_document_table(&document, "real clients", &rows);
}
