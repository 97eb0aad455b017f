//! [`RegistrationRequest`]: the metadata in a registration request.

use portcullis_core::ScopeSet;

use crate::{
    clients::{
        ClientKeys, GrantType, RedirectUri,
        metadata::{ClientMetadata, InvalidMetadata},
    },
    parameters::parse_untrusted_scopes,
};

/// The metadata in a registration request, with the defaults of
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

/// The requested authentication method.
#[derive(Clone, Debug)]
pub(super) enum Method {
    None,
    SecretBasic,
    SecretPost,
    PrivateKeyJwt(ClientKeys),
}

/// Where a client runs, which determines the allowed redirect URIs.
/// [OpenID Connect Dynamic Client Registration, section 2](https://openid.net/specs/openid-connect-registration-1_0.html#ClientMetadata)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApplicationType {
    /// On a server: `https` redirect URIs that are not on loopback.
    Web,
    /// On the user's machine: loopback and private schemes are allowed as well.
    Native,
}

impl RegistrationRequest {
    /// Reads the request in `members`.
    ///
    /// # Errors
    /// The invalid member.
    pub(super) fn read(members: &ClientMetadata) -> Result<Self, InvalidMetadata> {
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

impl ApplicationType {
    /// Returns the type `named`, or the type that the redirect URIs imply: most MCP clients run on the user's machine and omit it.
    pub(super) fn of(named: Option<&str>, redirect_uris: &[RedirectUri]) -> Result<Self, InvalidMetadata> {
        let is_local = redirect_uris.iter().any(|uri| uri.is_loopback() || uri.is_app());
        match named {
            None if is_local => Ok(Self::Native),
            None => Ok(Self::Web),
            Some("native") => Ok(Self::Native),
            Some("web") if is_local => {
                Err(InvalidMetadata::new("redirect_uris", "a web application requires https without loopback"))
            }
            Some("web") => Ok(Self::Web),
            Some(_) => Err(InvalidMetadata::new("application_type", "must be web or native")),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Native => "native",
        }
    }
}

fn redirect_uris(members: &ClientMetadata) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    let invalid = |why| InvalidMetadata::new("redirect_uris", why);
    let written = members.texts("redirect_uris")?.unwrap_or_default();
    if written.is_empty() {
        return Err(invalid("is missing or empty"));
    }
    written.into_iter().map(|text| RedirectUri::new(text).map_err(|error| invalid(error.why))).collect()
}

/// Unsupported grant types are dropped, and the response says so. `authorization_code` is required. Assertions are for clients that
/// the enterprise knows, so `jwt-bearer` cannot be registered.
fn grant_types(members: &ClientMetadata) -> Result<Vec<GrantType>, InvalidMetadata> {
    let Some(written) = members.texts("grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let wanted = |grant_type: &GrantType| written.contains(&grant_type.as_str());
    let known: Vec<_> = [GrantType::AuthorizationCode, GrantType::RefreshToken].into_iter().filter(wanted).collect();
    match known.first() {
        Some(GrantType::AuthorizationCode) => Ok(known),
        _ => Err(InvalidMetadata::new("grant_types", "must include authorization_code")),
    }
}

fn response_types(members: &ClientMetadata) -> Result<(), InvalidMetadata> {
    match members.texts("response_types")? {
        Some(written) if !written.contains(&"code") => Err(InvalidMetadata::new("response_types", "must include code")),
        _ => Ok(()),
    }
}

fn method(members: &ClientMetadata) -> Result<Method, InvalidMetadata> {
    const MEMBER: &str = "token_endpoint_auth_method";
    match members.text(MEMBER)? {
        None | Some("client_secret_basic") => Ok(Method::SecretBasic),
        Some("client_secret_post") => Ok(Method::SecretPost),
        Some("none") => Ok(Method::None),
        Some("private_key_jwt") => Ok(Method::PrivateKeyJwt(members.keys()?)),
        Some(_) => Err(InvalidMetadata::new(MEMBER, "unsupported method")),
    }
}

fn scopes(members: &ClientMetadata) -> Result<ScopeSet, InvalidMetadata> {
    let text = members.text("scope")?.unwrap_or_default();
    parse_untrusted_scopes(text).ok_or(InvalidMetadata::new("scope", "malformed or too long"))
}
