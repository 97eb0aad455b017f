//! [`Vendor`]: what the authorization servers of one vendor do differently from the standards.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use crate::{
    Claims, ClientAuthentication, ProtocolError,
    revocation::{self, RevokedTokens},
};

/// What the authorization servers of one vendor do differently: data, and a few functions where data does not suffice.
///
/// Each vendor is one constant: its own fields, and the rest from [`Vendor::STANDARD`].
#[derive(Debug)]
pub(super) struct Vendor {
    /// The name in metric labels and logs.
    pub(super) name: &'static str,
    /// The brand that users see; `None` for servers that organizations run under a name of their own.
    pub(super) display_name: Option<&'static str>,
    /// Additional parameters of the authorization request.
    pub(super) authorization_parameters: &'static [(&'static str, &'static str)],
    pub(super) token_format: TokenFormat,
    /// Error codes of the token endpoint, with a part of the description that must be present. They take precedence over the standard's.
    pub(super) errors: &'static [(&'static str, &'static str, ErrorMeaning)],
    /// The character that separates scopes in a token response, beside the space.
    pub(super) scope_separator: char,
    /// Reports whether an access token has rights of another kind than scopes, so that an empty list does not mean that nothing was
    /// granted.
    pub(super) has_no_scopes: fn(&BearerToken) -> bool,
    /// The member with the lifetime of a refresh token. No standard defines one; 0 means unknown.
    pub(super) refresh_lifetime_member: &'static str,
    /// Additional members of a token response that are kept. None of them is a secret.
    pub(super) extra_members: &'static [&'static str],
    /// The lifetime of access tokens for which neither the response nor the token nor introspection states one.
    pub(super) default_lifetime: Option<Duration>,
    pub(super) rotation: Rotation,
    /// Whether a refresh ends the previous access token.
    pub(super) refresh_ends_access_token: bool,
    /// Whether a login with the scope `openid` returns an ID token.
    pub(super) id_tokens: bool,
    /// A second name under which it issues.
    pub(super) issuer_alias: Option<&'static str>,
    pub(super) subject: SubjectMember,
    /// Members of the profile that OpenID Connect calls otherwise: the vendor's name, the standard's name.
    pub(super) renamed_members: &'static [(&'static str, &'static str)],
    pub(super) supplement: Option<Supplement>,
    /// Whether the access token is a JWT with more claims about the user than the profile has.
    pub(super) claims_in_token: bool,
    pub(super) token_check: Option<TokenCheck>,
    pub(super) revocation: fn(&Uri, &ClientAuthentication, RevokedTokens<'_>) -> Request<Bytes>,
    /// Whether revoking the tokens of one login ends other logins of the same user as well.
    pub(super) revocation_ends_other_logins: bool,
    /// The statuses for an unknown token, which counts as revoked.
    pub(super) revoked_already: &'static [StatusCode],
}

/// What a provider does when a refresh token is presented twice: what can be lost if the first response does not arrive.
///
/// It does **not** say whether a refresh returns a new refresh token: any response may.
/// [RFC 9700 section 4.14](https://www.rfc-editor.org/rfc/rfc9700#section-4.14)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rotation {
    /// Nothing: a refresh token remains valid until it is revoked or expires.
    Reusable,
    /// Nothing within this time after the first use; later the provider ends the grant.
    Leeway(Duration),
    /// The provider ends the grant, including the new tokens.
    SingleUse,
}

/// The format of token requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum TokenFormat {
    /// A form; the client's credentials as the client's method says.
    Form,
    /// A form that contains the client's credentials.
    FormWithSecret,
    /// A JSON object that contains the client's credentials.
    Json,
}

/// What an error code is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ErrorMeaning {
    /// The code or refresh token is invalid: the user must log in again.
    Grant,
    /// The client ID or secret of this server is invalid.
    Credentials,
    /// This server may not send the request.
    Client,
    /// A later attempt may succeed.
    Transient,
    /// The provider returns it for a refresh token as well as for this server, so one response proves neither.
    Unknown,
}

/// The member of a profile that identifies the user: unique at the provider, and never reassigned.
#[derive(Clone, Copy, Debug)]
pub(super) enum SubjectMember {
    Text(&'static str),
    Number(&'static str),
}

impl SubjectMember {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    pub(super) fn read(self, members: &Map<String, Value>) -> Option<Box<str>> {
        let value = members.get(self.name())?;
        match self {
            Self::Text(_) => value.as_str().filter(|text| !text.is_empty()).map(Box::from),
            Self::Number(_) => value.as_u64().map(|number| number.to_string().into()),
        }
    }
}

/// A second request for members that the profile lacks.
#[derive(Debug)]
pub(super) struct Supplement {
    /// Reports whether the profile lacks them.
    pub(super) is_needed: fn(&Map<String, Value>) -> bool,
    /// Returns the URL, from that of the profile.
    pub(super) endpoint: fn(&Uri) -> Option<Uri>,
    /// Adds the response to the profile.
    pub(super) add: fn(&mut Map<String, Value>, &Value),
}

/// The URLs of a provider's endpoints.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    pub(super) authorization: Uri,
    pub(super) token: Uri,
    pub(super) userinfo: Option<Uri>,
    pub(super) introspection: Option<Uri>,
    pub(super) revocation: Option<Uri>,
    /// `None` also where the vendor derives it from another endpoint.
    pub(super) token_check: Option<Uri>,
    pub(super) keys: Option<Uri>,
}

impl Endpoints {
    pub(super) const fn new(authorization: Uri, token: Uri) -> Self {
        Self {
            authorization,
            token,
            userinfo: None,
            introspection: None,
            revocation: None,
            token_check: None,
            keys: None,
        }
    }
}

/// A vendor's own way to ask whether an access token was issued to this client, where there is no introspection.
#[derive(Debug)]
pub(super) struct TokenCheck {
    /// Returns the URL for one client; `None` if the endpoint from which it is derived is absent.
    pub(super) endpoint: fn(&Endpoints, &ClientAuthentication) -> Option<Uri>,
    pub(super) request: fn(&Uri, &ClientAuthentication, &BearerToken) -> Request<Bytes>,
    /// Returns the subject and the claims of a token that was issued to this client.
    pub(super) process: fn(&ClientAuthentication, &Response<Bytes>) -> TokenCheckOutcome,
}

/// The subject and the claims of a checked token, or the error in the response.
pub(super) type TokenCheckOutcome = Result<(Box<str>, Claims), ProtocolError>;

impl Vendor {
    /// A server that follows the standards.
    pub(super) const STANDARD: Self = Self {
        name: "oidc",
        display_name: None,
        authorization_parameters: &[],
        token_format: TokenFormat::Form,
        errors: &[],
        scope_separator: ' ',
        has_no_scopes: |_| false,
        refresh_lifetime_member: "refresh_expires_in",
        extra_members: &[],
        default_lifetime: None,
        rotation: Rotation::SingleUse,
        refresh_ends_access_token: false,
        id_tokens: true,
        issuer_alias: None,
        subject: SubjectMember::Text("sub"),
        renamed_members: &[],
        supplement: None,
        claims_in_token: false,
        token_check: None,
        revocation: revocation::request,
        revocation_ends_other_logins: false,
        revoked_already: &[],
    };
}
