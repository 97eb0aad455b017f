//! Options that are not safe. Every use of this module should be reviewed.

use crate::AudienceCheck;

/// Accepts tokens that were issued for **any** audience.
///
/// Any party with a token of a user, such as the operator of any other app that the user has logged in to at this
/// provider, is accepted as that user (MCP authorization, *Access Token Privilege Restriction*: such tokens MUST be rejected). Use it
/// only if no other app can get tokens from the provider, as in a test.
#[must_use]
pub const fn any_audience() -> AudienceCheck {
    AudienceCheck::any()
}
