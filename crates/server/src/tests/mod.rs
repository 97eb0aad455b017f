//! Tests of the whole of a configuration: token shapes of issuers, as documented.

mod issuers;
mod token_shapes;
