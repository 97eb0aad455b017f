//! Forged tokens, by what is forged.

mod claims;
mod encoding;
mod header;
mod keys;
mod manifest;

use manifest::{Forgery, forgery};
