//! What must hold for every input, one function a parser: `hold(input)` fails if it does not.
//!
//! The fuzz targets of `fuzz/` include these files one by one.

pub(crate) mod bearer_token;
pub(crate) mod challenge;
pub(crate) mod json_rpc;
pub(crate) mod jwt;
pub(crate) mod key_set;
pub(crate) mod redirect_uri;
pub(crate) mod response;
pub(crate) mod signed_jwt;
pub(crate) mod strict_json;
