//! A code from a login becomes tokens.

use super::{Issued, issued::resource};
use crate::{
    Bridge, Client,
    oauth_error::OAuthError,
    parameters::Parameters,
    session::{Decision, EndReason, ParsedToken, Redeemed, Redemption},
};

/// Redeems the code in `form`, once: whoever presents it again ends what it gave.
/// [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)
pub(crate) async fn redeem(bridge: &Bridge, client: &Client, form: &Parameters) -> Result<Issued, OAuthError> {
    let inner = bridge.inner();
    let presented = ParsedToken::code(form.required("code")?);
    let code_verifier = form.required("code_verifier")?;
    let resource = resource(form)?;
    let ParsedToken { of: id, secret } = presented.ok_or_else(unknown)?;
    let request = Redemption {
        code: &secret,
        client_id: client.id(),
        redirect_uri: form.optional("redirect_uri"),
        code_verifier,
        resource,
    };
    let decided =
        inner.sessions.decide(id, |session, now| match session.redeem(&request, &inner.config.lifetimes, now) {
            Redeemed::Issued(pair) => Decision::Replace(Ok(Issued { id, session: session.clone(), pair })),
            Redeemed::Reused => {
                tracing::warn!(session = %id, "a code was presented again: what it gave is withdrawn");
                Decision::End(EndReason::CodeReused, Err(OAuthError::invalid_grant("the code was used before")))
            }
            Redeemed::Refused(error) => Decision::Keep(Err(error)),
        });
    decided.await?.ok_or_else(unknown)?
}

fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the code is not good any more")
}
