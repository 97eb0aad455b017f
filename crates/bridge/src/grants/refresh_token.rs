//! A refresh token becomes the next one, and an access token.

use portcullis_core::GrantId;

use super::{Issued, issued::resource};
use crate::{
    Bridge, Client,
    oauth_error::OAuthError,
    parameters::Parameters,
    session::{Decision, End, Kind, Presented, Rotation, RotationRequest},
};

/// Rotates the refresh token in `form`. [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)
///
/// Whoever repeats it within the grace period gets the same answer; whoever does so later ends the session.
/// [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)
pub(crate) async fn rotate(bridge: &Bridge, client: &Client, form: &Parameters) -> Result<Issued, OAuthError> {
    let inner = bridge.inner();
    let presented = Presented::parse(Kind::RefreshToken, form.required("refresh_token")?);
    let scopes = form.scopes()?;
    let resource = resource(form)?;
    let Presented { of: handle, secret } = presented.ok_or_else(unknown)?;
    let id = handle.session();
    end_without_grant(bridge, id).await?;
    let request = RotationRequest { token: &secret, client_id: client.id(), scopes: scopes.as_ref(), resource };
    let decided = inner.sessions.decide(id, |session, now| {
        let issued = |session, pair| Ok(Issued { id, handle, session, pair });
        match session.rotate(&request, &inner.config.lifetimes, now) {
            Rotation::Rotated(pair) => Decision::Replace(issued(session.clone(), pair)),
            Rotation::Repeated(pair) => {
                inner.telemetry.repeated();
                Decision::Keep(issued(session.clone(), pair))
            }
            Rotation::Reused(why) => {
                tracing::warn!(session = %id, why, "a refresh token was used twice: its session ends");
                Decision::End(
                    End::RefreshTokenReused,
                    Err(OAuthError::invalid_grant("the refresh token was used before")),
                )
            }
            Rotation::Refused(error) => Decision::Keep(Err(error)),
        }
    });
    decided.await?.ok_or_else(unknown)?
}

/// Ends a session whose grant at the provider is gone: its user has to log in again, and is told so here rather than by every tool.
async fn end_without_grant(bridge: &Bridge, id: GrantId) -> Result<(), OAuthError> {
    let sessions = &bridge.inner().sessions;
    let Some(session) = sessions.load(id).await? else { return Err(unknown()) };
    if session.has_upstream && session.live().is_some() && !sessions.has_grant(id).await? {
        sessions.end(id, End::GrantEnded).await?;
        return Err(OAuthError::invalid_grant("what the user allowed at the provider has ended"));
    }
    Ok(())
}

fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the session has ended")
}
