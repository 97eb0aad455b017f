//! A reverse proxy that lets the right people in: the gate in front of an MCP server that is not ours.
fn main() {}
