//! The login: from a client's request to a code.
