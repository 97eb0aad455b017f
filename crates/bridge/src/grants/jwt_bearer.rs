//! An identity assertion (ID-JAG) of the enterprise's identity provider becomes an access token.

use portcullis_core::{ResourceUri, ScopeSet};
use portcullis_oauth::assertion::IdJag;
use secrecy::SecretString;

use super::{Issued, issued::resource};
use crate::{
    Bridge, BridgeConfig, Client,
    clients::ClientAuthenticationMethod,
    oauth_error::{ErrorCode, OAuthError},
    parameters::Parameters,
    session::{EndReason, Session, SessionUser},
    user_claims::user_claims,
};

/// Redeems the assertion in `form`, once. There is no refresh token: the identity provider is asked again, which is how an
/// administrator's decision takes effect. MCP, Enterprise-Managed Authorization, section 5;
/// [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1).
pub(crate) async fn redeem(bridge: &Bridge, client: &Client, form: &Parameters) -> Result<Issued, OAuthError> {
    let inner = bridge.inner();
    let assertion = SecretString::from(form.required("assertion")?);
    if matches!(client.authentication, ClientAuthenticationMethod::None) {
        let description = "a client that does not authenticate itself cannot present assertions";
        return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
    }
    let id_jag = inner.assertions.judge(&assertion, client.id()).await?;
    let resource = resource_of(&id_jag, &inner.config, resource(form)?)?.clone();
    let user = user(&id_jag);
    let scopes = scopes_of(&id_jag, &inner.config, client, form.scopes()?.as_ref())?;
    let scopes = inner.config.allowed_scopes(&user, &scopes)?;
    if inner.assertions.is_used(&id_jag).await? {
        return Err(used());
    }
    let (issuer, subject) = (id_jag.issuer(), id_jag.subject());
    inner.limits.check_id_jag(issuer, subject, client.id())?;
    let (pair, session) =
        Session::asserted(client.id(), resource, scopes, user, &inner.config.lifetimes, inner.clock.now());
    let id = session.handle.session();
    if !inner.sessions.begin(id, &session, None).await? {
        return Err(OAuthError::new(ErrorCode::ServerError, "two sessions of one name"));
    }
    // Last: an assertion of which nothing came is good for another try. Of a session that comes too late nobody has a token.
    if !inner.assertions.use_up(&id_jag).await? {
        inner.sessions.end(id, EndReason::Expired).await?;
        return Err(used());
    }
    inner.limits.record_id_jag(issuer, subject, client.id());
    Ok(Issued { id, session, pair })
}

fn used() -> OAuthError {
    OAuthError::invalid_grant("the assertion was used before")
}

fn user(id_jag: &IdJag) -> SessionUser {
    SessionUser {
        issuer: id_jag.issuer().clone(),
        subject: id_jag.subject().into(),
        profile: serde_json::Map::new(),
        claims: user_claims(id_jag.claims().clone()),
    }
}

/// The one resource that the token is for: of those that the assertion is for, which must all be ours, the one that is asked for,
/// else the first.
fn resource_of<'a>(
    id_jag: &IdJag,
    config: &'a BridgeConfig,
    asked: Option<&str>,
) -> Result<&'a ResourceUri, OAuthError> {
    let ours = |name: &str| config.resources.iter().find(|resource| resource.is_named_by(name));
    let named: Option<Vec<_>> = id_jag.resources().iter().map(|resource| ours(resource.as_str())).collect();
    let mut allowed = named.ok_or_else(|| OAuthError::invalid_grant("the assertion is for another resource"))?;
    if allowed.is_empty() {
        allowed.extend(&config.resources);
    }
    match asked {
        None => Ok(allowed[0]),
        Some(asked) => allowed
            .into_iter()
            .find(|resource| resource.is_named_by(asked))
            .ok_or_else(|| OAuthError::new(ErrorCode::InvalidTarget, "the assertion is not for this resource")),
    }
}

/// What the assertion, the client's registration, the bridge and the request all allow.
fn scopes_of(
    id_jag: &IdJag,
    config: &BridgeConfig,
    client: &Client,
    asked: Option<&ScopeSet>,
) -> Result<ScopeSet, OAuthError> {
    let wanted = id_jag.scopes().or(config.default_scopes.as_ref()).unwrap_or(&config.scopes);
    let limits = [Some(&config.scopes), client.scopes.as_ref(), asked];
    let scopes = limits.into_iter().flatten().fold(wanted.clone(), |scopes, limit| scopes.intersection(limit));
    if scopes.is_empty() && !wanted.is_empty() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "nothing of what the assertion allows is left"));
    }
    Ok(scopes)
}
