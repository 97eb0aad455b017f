//! A refresh token becomes the next one, and an access token.

use portcullis_core::{GrantId, ScopeSet};

use super::{Issued, issued::resource};
use crate::{
    Bridge, BridgeConfig, Client,
    inner::Inner,
    limits::Caller,
    oauth_error::OAuthError,
    parameters::Parameters,
    session::{Decision, EndReason, ParsedToken, Rotation, RotationRequest, SuspectedReuse},
};

/// Rotates the refresh token in `form`. [RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)
///
/// Whoever repeats it within the grace period gets the same answer; whoever does so later ends the session.
/// [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)
pub(crate) async fn rotate(
    bridge: &Bridge,
    client: &Client,
    form: &Parameters,
    caller: &Caller,
) -> Result<Issued, OAuthError> {
    let inner = bridge.inner();
    let presented = ParsedToken::refresh_token(form.required("refresh_token")?);
    let scopes = form.scopes()?;
    let resource = resource(form)?;
    let ParsedToken { of: handle, secret } = presented.ok_or_else(unknown)?;
    let id = handle.session();
    end_without_grant(bridge, id).await?;
    let from = caller.address();
    let decided = inner.sessions.decide(id, |session, now| {
        let issued = |session, pair, suspected| Ok((Issued { id, session, pair }, suspected));
        let scopes = still_allowed(scopes.as_ref(), &session.scopes, &inner.config, client);
        let request = RotationRequest { token: &secret, client_id: client.id(), scopes: Some(&scopes), resource, from };
        match session.rotate(&request, &inner.config.lifetimes, now) {
            Rotation::Rotated(pair) | Rotation::Repeated { pair, .. }
                if pair.scopes.is_empty() && !session.scopes.is_empty() =>
            {
                Decision::Keep(Err(OAuthError::invalid_grant("nothing of what was granted may be had any more")))
            }
            Rotation::Rotated(pair) => Decision::Replace(issued(session.clone(), pair, None)),
            Rotation::Repeated { pair, is_noted, suspected } => {
                let outcome = issued(session.clone(), pair, Some(suspected));
                if is_noted { Decision::Replace(outcome) } else { Decision::Keep(outcome) }
            }
            Rotation::Reused(why) => {
                tracing::warn!(session = %id, why, "a refresh token was used twice: its session ends");
                Decision::End(
                    EndReason::RefreshTokenReused,
                    Err(OAuthError::invalid_grant("the refresh token was used before")),
                )
            }
            Rotation::Refused(error) => Decision::Keep(Err(error)),
        }
    });
    let (issued, repetition) = decided.await?.ok_or_else(unknown)??;
    if let Some(suspected) = repetition {
        inner.telemetry.repeated();
        if let Some(suspected) = suspected {
            report(inner, &issued, &suspected);
        }
    }
    Ok(issued)
}

/// Counts what the repetitions of a session suggest, and names it in the log now and then.
fn report(inner: &Inner, Issued { id, session, .. }: &Issued, suspected: &SuspectedReuse) {
    let SuspectedReuse { signs, in_a_row, rotated_from, repeated_from, is_to_be_logged } = suspected;
    signs.iter().for_each(|sign| inner.telemetry.reuse_suspected(*sign));
    if *is_to_be_logged {
        let signs: Vec<_> = signs.iter().map(|sign| sign.as_str()).collect();
        tracing::warn!(
            session = %id,
            client_id = &*session.client_id,
            signs = signs.join(" "),
            in_a_row,
            ?rotated_from,
            ?repeated_from,
            "a refresh token is presented again in a way that a stolen copy would be: end the session if its client does not do that by itself",
        );
    }
}

/// Of the scopes that are asked for, or else of all that were granted, those that the bridge still has and the client may still have.
/// The session keeps the others, for the day they come back. More than was granted is left for the session to refuse.
fn still_allowed(asked: Option<&ScopeSet>, granted: &ScopeSet, config: &BridgeConfig, client: &Client) -> ScopeSet {
    let limits = [Some(&config.scopes), client.scopes.as_ref()].into_iter().flatten();
    let allowed = limits.fold(granted.clone(), |scopes, limit| scopes.intersection(limit));
    match asked {
        Some(asked) if granted.is_superset(asked) => asked.intersection(&allowed),
        Some(asked) => asked.clone(),
        None => allowed,
    }
}

/// Ends a session whose grant at the provider is gone: its user has to log in again, and is told so here rather than by every tool. A
/// session without a grant has no refresh tokens.
async fn end_without_grant(bridge: &Bridge, id: GrantId) -> Result<(), OAuthError> {
    let sessions = &bridge.inner().sessions;
    if sessions.has_grant(id).await? {
        return Ok(());
    }
    let is_known = sessions.end(id, EndReason::GrantEnded).await?;
    Err(if is_known { OAuthError::invalid_grant("what the user allowed at the provider has ended") } else { unknown() })
}

fn unknown() -> OAuthError {
    OAuthError::invalid_grant("the session has ended")
}
