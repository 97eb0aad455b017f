//! Clients of the bridge: who they are, and where they may be sent.

mod redirect_uri;
