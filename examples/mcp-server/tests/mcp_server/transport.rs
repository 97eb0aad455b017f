//! Both wires, and what browsers ask.

use portcullis_testkit::IdentityProvider;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::process::{Running, text};
