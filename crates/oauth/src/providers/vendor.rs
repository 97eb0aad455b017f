//! [`Vendor`]: what the authorization servers of one vendor do differently from the standards.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value};

/// A text of a vendor: a constant, or configured.
pub type Text = Cow<'static, str>;

/// What the authorization servers of one vendor do differently from the standards, as data.
///
/// Each known vendor is one value: its own fields, and the rest from [`Vendor::standard`]. An operator who configures another provider makes
/// such a value as well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vendor {
    /// The name in metric labels and logs.
    pub name: &'static str,
    /// The brand that users see; `None` for servers that organizations run under a name of their own.
    pub display_name: Option<Text>,
    /// Additional parameters of the authorization request.
    pub authorization_parameters: Vec<(Text, Text)>,
    /// The parameter of the authorization request that lists scopes.
    pub scope_parameter: Text,
    /// The character that separates scopes in the authorization request. In a token response commas and spaces do.
    pub scope_separator: char,
    /// Whether requests have the parameters of PKCE.
    pub pkce: Pkce,
    /// The format of token requests.
    pub token_format: TokenFormat,
    /// Where token and revocation requests have the credentials of the client.
    pub credentials: ClientCredentials,
    /// Additional parameters of token requests.
    pub token_parameters: Vec<(Text, Text)>,
    /// Additional headers of every request to the provider.
    pub headers: HeaderMap,
    /// Error codes of the token endpoint. They take precedence over the standard's.
    pub errors: Vec<ErrorRule>,
    /// The path of the object in a token response that has the tokens, such as `authed_user`. A response without that object is read as
    /// the object itself: a refresh may return its tokens in another place than a login.
    pub token_path: Option<Text>,
    /// Values of `token_type` that mean a bearer token, beside `Bearer`.
    pub token_types: Vec<Text>,
    /// The beginning of access tokens that have rights of another kind than scopes, so that an empty list does not mean that nothing was
    /// granted.
    pub unscoped_token_prefix: Option<Text>,
    /// The member with the lifetime of a refresh token. No standard defines one; 0 means unknown.
    pub refresh_lifetime_member: Text,
    /// Additional members of a token response that are kept. None of them is a secret.
    pub extra_members: Vec<Text>,
    /// The lifetime of access tokens for which neither the response nor the token nor introspection states one.
    pub default_lifetime: Option<Duration>,
    /// What happens when a refresh token is presented twice.
    pub rotation: Rotation,
    /// Whether a refresh ends the previous access token.
    pub refresh_ends_access_token: bool,
    /// Whether a login with the scope `openid` returns an ID token.
    pub id_tokens: bool,
    /// A second name under which it issues.
    pub issuer_alias: Option<Text>,
    /// Where the profile of a user is.
    pub profile: ProfileSource,
    /// How the profile is requested, if it has an endpoint.
    pub profile_request: ProfileRequest,
    /// The member of a profile that identifies the user: unique at the provider, and never reassigned.
    pub subject: SubjectMember,
    /// Members of the profile that OpenID Connect calls otherwise: the path at the vendor, the standard's name.
    pub renamed_members: Vec<(Text, Text)>,
    /// Error codes in the response to a profile request that mean a dead access token, with any status.
    pub dead_token_errors: Vec<Text>,
    /// Paths that several users share, such as that of a workspace: they must not be the subject.
    pub shared_members: Vec<Text>,
    /// A second request for members that the profile lacks.
    pub(super) supplement: Option<Supplement>,
    /// Whether the access token is a JWT with more claims about the user than the profile has.
    pub claims_in_token: bool,
    /// A vendor's own way to ask whether an access token was issued to this client.
    pub(super) token_check: Option<TokenCheck>,
    /// How the grant behind a token is ended.
    pub revocation: RevocationFormat,
    /// Whether revoking the tokens of one login ends other logins of the same user as well.
    pub revocation_ends_other_logins: bool,
    /// The statuses of a revocation response for an unknown token, which counts as revoked.
    pub revoked_already: Vec<StatusCode>,
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

/// Whether requests have the parameters of PKCE ([RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Pkce {
    /// With the method `S256`.
    S256,
    /// None, for a provider that rejects unknown parameters.
    Off,
}

/// The format of token requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenFormat {
    /// A form.
    Form,
    /// A JSON object.
    Json,
}

/// Where a request has the credentials of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClientCredentials {
    /// Where the client authentication method says.
    ByMethod,
    /// In the body, whatever the method.
    InBody,
}

/// An error code of the token endpoint, and its meaning.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a code, a part of its description, a meaning")]
pub struct ErrorRule {
    /// The code: the member `error`, or another member that names errors.
    pub code: Text,
    /// A part of the description, in lower case, that must be present; empty for none.
    pub part: Text,
    /// The meaning.
    pub meaning: ErrorMeaning,
}

impl ErrorRule {
    /// Creates the rule that `code` has `meaning`, whatever the description.
    pub fn new(code: impl Into<Text>, meaning: ErrorMeaning) -> Self {
        Self { code: code.into(), part: Text::Borrowed(""), meaning }
    }

    /// Creates the rule that `code` has `meaning` if its description contains `part`, which is in lower case.
    pub(super) const fn of_part(code: &'static str, part: &'static str, meaning: ErrorMeaning) -> Self {
        Self { code: Text::Borrowed(code), part: Text::Borrowed(part), meaning }
    }
}

/// What an error code is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorMeaning {
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

/// Where the profile of a user is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProfileSource {
    /// At the endpoint for profiles, for each verification.
    UserInfo,
    /// In the ID token of the login, which is verified.
    IdToken,
    /// In the token response of the login.
    TokenResponse,
}

/// How a profile is requested.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProfileRequest {
    /// By GET, authorized by the access token.
    Get,
    /// By POST of this JSON text, authorized by the access token: a GraphQL query, say.
    Post(Text),
    /// By GET of the URL of the endpoint followed by a slash and the access token (HubSpot).
    TokenInPath,
}

/// The path of the member of a profile that identifies the user, and its type.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubjectMember {
    /// A string.
    Text(Text),
    /// A number that is not negative.
    Number(Text),
    /// Either of them.
    Any(Text),
}

impl SubjectMember {
    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Text(path) | Self::Number(path) | Self::Any(path) => path,
        }
    }

    pub(super) fn read(&self, members: &Map<String, Value>) -> Option<Box<str>> {
        match (self, member(members, self.path())?) {
            (Self::Text(_) | Self::Any(_), Value::String(text)) if !text.is_empty() => Some(text.as_str().into()),
            (Self::Number(_) | Self::Any(_), Value::Number(number)) => Some(number.as_u64()?.to_string().into()),
            _ => None,
        }
    }
}

/// Returns the member at `path`: the one of exactly that name, else the names and the indices between the dots, one after the other.
pub(super) fn member<'a>(members: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(exact) = members.get(path) {
        return Some(exact);
    }
    let (first, rest) = path.split_once('.')?;
    rest.split('.').try_fold(members.get(first)?, |value, name| match value {
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

/// A second request for members that the profile lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Supplement {
    /// GitHub's e-mail addresses, if the profile has none.
    GitHubEmails,
    /// The sites that a token of Atlassian gives access to.
    AtlassianSites,
}

/// A vendor's own way to ask whether an access token was issued to this client, where there is no introspection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TokenCheck {
    /// GitHub's *Check a token*.
    GitHub,
}

/// How the grant behind a token is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RevocationFormat {
    /// A form with the refresh token, else the access token, authenticated by the client
    /// ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)).
    Form,
    /// Such a form with the access token, which ends the grant.
    AccessTokenForm,
    /// Such a form without client authentication.
    TokenAlone,
    /// A JSON object with the access token, authenticated by the client in the header.
    Json,
    /// An empty POST that is authorized by the access token.
    Bearer,
    /// GitHub's *Delete an app token*.
    GitHub,
}

/// The URLs of a provider's endpoints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Endpoints {
    /// The authorization endpoint.
    pub authorization: Uri,
    /// The token endpoint.
    pub token: Uri,
    /// The endpoint for refreshes, if it is another one.
    pub refresh: Option<Uri>,
    /// The endpoint for profiles.
    pub userinfo: Option<Uri>,
    /// The introspection endpoint.
    pub introspection: Option<Uri>,
    /// The revocation endpoint.
    pub revocation: Option<Uri>,
    /// The endpoint for token checks; `None` also where the vendor derives it from another endpoint.
    pub token_check: Option<Uri>,
    /// The key set of ID tokens.
    pub keys: Option<Uri>,
}

impl Endpoints {
    /// Creates the endpoints of a provider that has the two required ones only.
    #[must_use]
    pub const fn new(authorization: Uri, token: Uri) -> Self {
        Self {
            authorization,
            token,
            refresh: None,
            userinfo: None,
            introspection: None,
            revocation: None,
            token_check: None,
            keys: None,
        }
    }
}

impl Vendor {
    /// Returns a server that follows the standards.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            name: "oidc",
            display_name: None,
            authorization_parameters: Vec::new(),
            scope_parameter: Text::Borrowed("scope"),
            scope_separator: ' ',
            pkce: Pkce::S256,
            token_format: TokenFormat::Form,
            credentials: ClientCredentials::ByMethod,
            token_parameters: Vec::new(),
            headers: HeaderMap::new(),
            errors: Vec::new(),
            token_path: None,
            token_types: Vec::new(),
            unscoped_token_prefix: None,
            refresh_lifetime_member: Text::Borrowed("refresh_expires_in"),
            extra_members: Vec::new(),
            default_lifetime: None,
            rotation: Rotation::SingleUse,
            refresh_ends_access_token: false,
            id_tokens: true,
            issuer_alias: None,
            profile: ProfileSource::UserInfo,
            profile_request: ProfileRequest::Get,
            subject: SubjectMember::Text(Text::Borrowed("sub")),
            renamed_members: Vec::new(),
            dead_token_errors: Vec::new(),
            shared_members: Vec::new(),
            supplement: None,
            claims_in_token: false,
            token_check: None,
            revocation: RevocationFormat::Form,
            revocation_ends_other_logins: false,
            revoked_already: Vec::new(),
        }
    }

    /// Reports whether the subject is a member that several users share, such as the identifier of their workspace.
    #[must_use]
    pub fn has_shared_subject(&self) -> bool {
        /// Identifiers of something else than a user, at any provider.
        const SHARED: [&str; 22] = [
            "aid",
            "app_id",
            "bot_id",
            "client_id",
            "enterprise.id",
            "enterprise_id",
            "hd",
            "hub_domain",
            "hub_id",
            "org_id",
            "organization.id",
            "organization_id",
            "portal_id",
            "team.id",
            "team_id",
            "tenant_id",
            "tid",
            "token_type",
            "workspace.id",
            "workspace_id",
            "workspace_name",
            "zoneinfo",
        ];
        let path = self.subject.path();
        SHARED.contains(&path) || self.shared_members.iter().any(|shared| shared == path)
    }
}
