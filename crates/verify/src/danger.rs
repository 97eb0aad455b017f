//! The one door to what is not safe. Every use of this module is worth a second reader.

use crate::AudienceCheck;

/// Takes tokens issued for **anybody**. No check at all of who a token is for.
///
/// Whoever gets hold of any token of a user, such as the operator of any other app the user has ever logged in to at this
/// provider, is that user here (MCP authorization, *Access Token Privilege Restriction*: such tokens MUST be rejected). Use it
/// only if no other app can get tokens from the provider, as in a test.
#[must_use]
pub const fn any_audience() -> AudienceCheck {
    AudienceCheck::any()
}
