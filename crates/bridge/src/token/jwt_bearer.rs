//! The JWT bearer grant: an identity assertion (ID-JAG) of an enterprise's identity provider becomes an access token.

use portcullis_core::{ResourceUri, ScopeSet};
use portcullis_oauth::assertion::IdJag;
use secrecy::SecretString;

use super::issuer::{Issued, TokenIssuer, requested_resource};
use crate::{
    BridgeConfig, Client,
    clients::ClientAuthenticationMethod,
    parameters::{Parameters, known_scopes, names_resource},
    response::{ErrorCode, OAuthError},
    session::{EndReason, Session, SessionUser, user_claims},
};

impl TokenIssuer {
    /// Redeems the assertion in `form`, at most once. No refresh token is issued: the client asks the identity provider again, so that
    /// an administrator's decision takes effect. MCP, Enterprise-Managed Authorization, section 5;
    /// [RFC 7523 section 2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1).
    pub(super) async fn redeem_assertion(&self, client: &Client, form: &Parameters) -> Result<Issued, OAuthError> {
        let assertion = SecretString::from(form.required("assertion")?);
        if matches!(client.authentication, ClientAuthenticationMethod::None) {
            let description = "public clients cannot present assertions";
            return Err(OAuthError::new(ErrorCode::UnauthorizedClient, description));
        }
        let id_jag = self.assertions.verify(&assertion, client.id()).await?;
        let resource = resource_of(&id_jag, &self.config, requested_resource(form)?)?.clone();
        let user = user(&id_jag);
        let scopes = scopes_of(&id_jag, &self.config, client, form.scopes()?.as_ref())?;
        let scopes = self.config.allowed_scopes(&user, &scopes)?;
        if self.assertions.is_used(&id_jag).await? {
            return Err(used());
        }
        let (issuer, subject) = (id_jag.issuer(), id_jag.subject());
        self.limits.check_id_jag(issuer, subject, client.id())?;
        let (pair, session) =
            Session::from_assertion(client.id(), resource, scopes, user, &self.config.lifetimes, self.clock.now());
        let id = session.family.session();
        if !self.sessions.begin(id, &session, None).await? {
            return Err(OAuthError::new(ErrorCode::ServerError, "session id collision"));
        }
        // Last, so that an assertion can be presented again after a failure. A session that loses this race has no token in use.
        if !self.assertions.mark_used(&id_jag).await? {
            self.sessions.end(id, EndReason::Expired).await?;
            return Err(used());
        }
        self.limits.record_id_jag(issuer, subject, client.id());
        Ok(Issued { id, session, pair })
    }
}

fn used() -> OAuthError {
    OAuthError::invalid_grant("assertion already used")
}

fn user(id_jag: &IdJag) -> SessionUser {
    SessionUser {
        issuer: id_jag.issuer().clone(),
        subject: id_jag.subject().into(),
        profile: serde_json::Map::new(),
        claims: user_claims(id_jag.claims().clone()),
    }
}

/// Returns the resource of the token: the requested one, or else the first one of the assertion, whose resources must all be the
/// bridge's.
fn resource_of<'a>(
    id_jag: &IdJag,
    config: &'a BridgeConfig,
    asked: Option<&str>,
) -> Result<&'a ResourceUri, OAuthError> {
    let ours = |name: &str| config.resources.iter().find(|resource| names_resource(name, resource));
    let named: Option<Vec<_>> = id_jag.resources().iter().map(|resource| ours(resource.as_str())).collect();
    let mut allowed = named.ok_or_else(|| OAuthError::invalid_grant("assertion names another resource"))?;
    if allowed.is_empty() {
        allowed.extend(&config.resources);
    }
    match asked {
        None => Ok(allowed[0]),
        Some(asked) => allowed
            .into_iter()
            .find(|resource| names_resource(asked, resource))
            .ok_or_else(|| OAuthError::new(ErrorCode::InvalidTarget, "assertion does not name this resource")),
    }
}

/// Returns the scopes that assertion, client and bridge allow, limited to those that the request names, if it names any of them.
fn scopes_of(
    id_jag: &IdJag,
    config: &BridgeConfig,
    client: &Client,
    asked: Option<&ScopeSet>,
) -> Result<ScopeSet, OAuthError> {
    let wanted = id_jag.scopes().unwrap_or_else(|| config.basic_scopes());
    let limits = [Some(&config.scopes), client.scopes.as_ref()];
    let scopes = limits.into_iter().flatten().fold(wanted.clone(), |scopes, limit| scopes.intersection(limit));
    if scopes.is_empty() && !wanted.is_empty() {
        return Err(OAuthError::new(ErrorCode::InvalidScope, "no scope of the assertion is allowed"));
    }
    Ok(known_scopes(asked, &scopes).unwrap_or(scopes))
}
