//! [`RegistrationRequest`]: what a client wants to be registered as.

use portcullis_core::ScopeSet;

use super::ApplicationType;
use crate::{
    clients::{
        ClientKeys, GrantType, RedirectUri,
        metadata::{InvalidMetadata, Members},
    },
    parameters::scopes_of_stranger,
};

/// What a client wants to be registered as, with the defaults of
/// [RFC 7591 section 2](https://www.rfc-editor.org/rfc/rfc7591#section-2).
#[derive(Debug)]
pub(super) struct RegistrationRequest {
    pub(super) name: Option<Box<str>>,
    pub(super) uri: Option<Box<str>>,
    pub(super) redirect_uris: Vec<RedirectUri>,
    pub(super) application_type: ApplicationType,
    pub(super) grant_types: Vec<GrantType>,
    pub(super) method: Method,
    pub(super) scopes: ScopeSet,
}

/// How a client wants to prove who it is.
#[derive(Clone, Debug)]
pub(super) enum Method {
    None,
    SecretBasic,
    SecretPost,
    PrivateKeyJwt(ClientKeys),
}

impl RegistrationRequest {
    /// What `members` ask for.
    ///
    /// # Errors
    /// Which member cannot be registered.
    pub(super) fn read(members: &Members) -> Result<Self, InvalidMetadata> {
        let redirect_uris = redirect_uris(members)?;
        response_types(members)?;
        Ok(Self {
            name: members.name()?.map(Into::into),
            uri: members.home_page()?.map(Into::into),
            application_type: ApplicationType::of(members.text("application_type")?, &redirect_uris)?,
            redirect_uris,
            grant_types: grant_types(members)?,
            method: method(members)?,
            scopes: scopes(members)?,
        })
    }
}

fn redirect_uris(members: &Members) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    let invalid = |why| InvalidMetadata::new("redirect_uris", why);
    let written = members.texts("redirect_uris")?.unwrap_or_default();
    if written.is_empty() {
        return Err(invalid("there is none"));
    }
    written.into_iter().map(|text| RedirectUri::new(text).map_err(|error| invalid(error.why))).collect()
}

/// What else a client can do is not registered, which it is told; without codes it can do nothing here. Assertions of an enterprise
/// are for clients that the enterprise knows.
fn grant_types(members: &Members) -> Result<Vec<GrantType>, InvalidMetadata> {
    let Some(written) = members.texts("grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let wanted = |grant_type: &GrantType| written.contains(&grant_type.as_str());
    let known: Vec<_> = [GrantType::AuthorizationCode, GrantType::RefreshToken].into_iter().filter(wanted).collect();
    match known.first() {
        Some(GrantType::AuthorizationCode) => Ok(known),
        _ => Err(InvalidMetadata::new("grant_types", "authorization_code is not among them")),
    }
}

fn response_types(members: &Members) -> Result<(), InvalidMetadata> {
    match members.texts("response_types")? {
        Some(written) if !written.contains(&"code") => {
            Err(InvalidMetadata::new("response_types", "code is not among them"))
        }
        _ => Ok(()),
    }
}

fn method(members: &Members) -> Result<Method, InvalidMetadata> {
    const MEMBER: &str = "token_endpoint_auth_method";
    match members.text(MEMBER)? {
        None | Some("client_secret_basic") => Ok(Method::SecretBasic),
        Some("client_secret_post") => Ok(Method::SecretPost),
        Some("none") => Ok(Method::None),
        Some("private_key_jwt") => Ok(Method::PrivateKeyJwt(members.keys()?)),
        Some(_) => Err(InvalidMetadata::new(MEMBER, "it is not supported")),
    }
}

fn scopes(members: &Members) -> Result<ScopeSet, InvalidMetadata> {
    let text = members.text("scope")?.unwrap_or_default();
    scopes_of_stranger(text).ok_or(InvalidMetadata::new("scope", "it is no list of scopes, or too long a one"))
}
