//! [`ReadyMade`]: the table of providers for which data suffices.

use http::{HeaderValue, Uri};
use portcullis_core::Issuer;

use super::{
    Provider,
    vendor::{
        ClientCredentials, Endpoints, ErrorMeaning, ErrorRule, Pkce, ProfileRequest, ProfileSource, RevocationFormat,
        Rotation, SubjectMember, Text, TokenFormat, Vendor,
    },
};

/// A provider that is known by name: the templates of its URLs, and what its vendor does differently.
#[derive(Debug)]
pub struct ReadyMade {
    name: &'static str,
    display_name: &'static str,
    place: Place,
    /// Templates: `{host}` is replaced by the host or the tenant.
    issuer: &'static str,
    authorization: &'static str,
    token: &'static str,
    refresh: Option<&'static str>,
    userinfo: Option<&'static str>,
    introspection: Option<&'static str>,
    revocation: Option<&'static str>,
    /// The key set of ID tokens; `None` for a provider without ID tokens, or not always with one.
    keys: Option<&'static str>,
    vendor: fn(Vendor) -> Vendor,
}

/// What the URLs of a provider depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Place {
    /// Nothing.
    Fixed,
    /// The host, by default this one.
    Host(&'static str),
    /// The host of the customer.
    CustomerHost,
    /// The identifier of the customer's tenant, a UUID.
    Tenant,
}

/// Why the URLs of a provider cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPlace {
    /// The host or the tenant is not given.
    #[error("is missing: the URLs of this provider contain it")]
    Missing,
    /// It is not one.
    #[error("must be a host name, and a path if the provider has one")]
    NotAHost,
    /// The tenant is a name, such as `common`.
    #[error(
        "must be the identifier of the tenant, a UUID: \"common\" and \"organizations\" would admit the users of every tenant"
    )]
    NotATenant,
}

impl ReadyMade {
    /// Returns the provider called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.name == name)
    }

    /// Returns the table.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &TABLE
    }

    /// Returns the provider whose authorization endpoint is at `host`.
    #[must_use]
    pub fn of_host(host: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.authorization.parse::<Uri>().is_ok_and(|uri| uri.host() == Some(host)))
    }

    /// Returns what its vendor does differently.
    #[must_use]
    pub fn vendor(&self) -> Vendor {
        let mut vendor = Vendor::standard();
        (vendor.name, vendor.display_name) = (self.name, Some(self.display_name.into()));
        vendor.id_tokens = self.keys.is_some();
        (self.vendor)(vendor)
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what its URLs depend on.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Creates the provider at `place`: the host or the tenant, where its URLs depend on it.
    ///
    /// # Errors
    /// [`InvalidPlace`].
    pub fn provider(&self, place: Option<&str>) -> Result<Provider, InvalidPlace> {
        let place = match (self.place, place) {
            (Place::Fixed, _) => "",
            (Place::Host(default), None) => default,
            (Place::Host(_) | Place::CustomerHost, Some(host)) if is_host(host) => host,
            (Place::Host(_) | Place::CustomerHost, Some(_)) => return Err(InvalidPlace::NotAHost),
            (Place::Tenant, Some(tenant)) if is_uuid(tenant) => tenant,
            (Place::Tenant, Some(_)) => return Err(InvalidPlace::NotATenant),
            (Place::CustomerHost | Place::Tenant, None) => return Err(InvalidPlace::Missing),
        };
        // Okta: the endpoints of the organization's own server are below `/oauth2`, those of another server below its issuer.
        let base = if place.contains("/oauth2/") { place.to_owned() } else { format!("{place}/oauth2") };
        let filled = |template: &str| template.replace("{base}", &base).replace("{host}", place);
        let uri = |template: &str| filled(template).parse::<Uri>().map_err(|_| InvalidPlace::NotAHost);
        let optional = |template: Option<&str>| template.map(uri).transpose();
        let mut endpoints = Endpoints::new(uri(self.authorization)?, uri(self.token)?);
        endpoints.refresh = optional(self.refresh)?;
        endpoints.userinfo = optional(self.userinfo)?;
        endpoints.introspection = optional(self.introspection)?;
        endpoints.revocation = optional(self.revocation)?;
        endpoints.keys = optional(self.keys)?;
        let issuer = Issuer::new(&filled(self.issuer)).map_err(|_| InvalidPlace::NotAHost)?;
        Ok(Provider::of_vendor(self.vendor(), issuer, endpoints))
    }
}

fn is_host(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/');
    text.bytes().all(is_allowed)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !text.contains("//")
}

fn is_uuid(text: &str) -> bool {
    let is_right =
        |(at, byte): (usize, u8)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(is_right)
}

/// The members of a row that most providers do not have.
const NONE: ReadyMade = ReadyMade {
    name: "",
    display_name: "",
    place: Place::Fixed,
    issuer: "",
    authorization: "",
    token: "",
    refresh: None,
    userinfo: None,
    introspection: None,
    revocation: None,
    keys: None,
    vendor: |vendor| vendor,
};

static TABLE: [ReadyMade; 14] = [
    ReadyMade {
        name: "entra",
        display_name: "Microsoft",
        place: Place::Tenant,
        issuer: "https://login.microsoftonline.com/{host}/v2.0",
        authorization: "https://login.microsoftonline.com/{host}/oauth2/v2.0/authorize",
        token: "https://login.microsoftonline.com/{host}/oauth2/v2.0/token",
        keys: Some("https://login.microsoftonline.com/{host}/discovery/v2.0/keys"),
        // UserInfo refuses a token for an API of one's own.
        vendor: |vendor| Vendor { profile: ProfileSource::IdToken, rotation: Rotation::Reusable, ..vendor },
        ..NONE
    },
    ReadyMade {
        name: "okta",
        display_name: "Okta",
        place: Place::CustomerHost,
        issuer: "https://{host}",
        authorization: "https://{base}/v1/authorize",
        token: "https://{base}/v1/token",
        userinfo: Some("https://{base}/v1/userinfo"),
        introspection: Some("https://{base}/v1/introspect"),
        revocation: Some("https://{base}/v1/revoke"),
        keys: Some("https://{base}/v1/keys"),
        ..NONE
    },
    ReadyMade {
        name: "auth0",
        display_name: "Auth0",
        place: Place::CustomerHost,
        issuer: "https://{host}/",
        authorization: "https://{host}/authorize",
        token: "https://{host}/oauth/token",
        userinfo: Some("https://{host}/userinfo"),
        revocation: Some("https://{host}/oauth/revoke"),
        keys: Some("https://{host}/.well-known/jwks.json"),
        vendor: |vendor| Vendor { credentials: ClientCredentials::InBody, ..vendor },
        ..NONE
    },
    ReadyMade {
        name: "gitlab",
        display_name: "GitLab",
        place: Place::Host("gitlab.com"),
        issuer: "https://{host}",
        authorization: "https://{host}/oauth/authorize",
        token: "https://{host}/oauth/token",
        userinfo: Some("https://{host}/oauth/userinfo"),
        introspection: Some("https://{host}/oauth/introspect"),
        revocation: Some("https://{host}/oauth/revoke"),
        keys: Some("https://{host}/oauth/discovery/keys"),
        vendor: |vendor| Vendor { credentials: ClientCredentials::InBody, ..vendor },
        ..NONE
    },
    ReadyMade {
        name: "slack",
        display_name: "Slack",
        issuer: "https://slack.com",
        authorization: "https://slack.com/oauth/v2/authorize",
        token: "https://slack.com/api/oauth.v2.access",
        userinfo: Some("https://slack.com/api/auth.test"),
        revocation: Some("https://slack.com/api/auth.revoke"),
        vendor: |vendor| Vendor {
            // The token of the user, not that of the app's bot.
            scope_parameter: "user_scope".into(),
            scope_separator: ',',
            pkce: Pkce::Off,
            errors: rules(
                ErrorMeaning::Grant,
                &["invalid_refresh_token", "token_revoked", "token_expired", "invalid_code", "code_already_used"],
            )
            .chain(rules(ErrorMeaning::Credentials, &["invalid_client_id", "bad_client_secret"]))
            .collect(),
            token_path: Some("authed_user.access_token".into()),
            token_types: vec!["user".into()],
            subject: SubjectMember::Text("user_id".into()),
            renamed_members: vec![("user".into(), "preferred_username".into())],
            dead_token_errors: texts(&[
                "invalid_auth",
                "token_revoked",
                "token_expired",
                "account_inactive",
                "not_authed",
            ]),
            shared_members: texts(&["team", "enterprise", "authed_team"]),
            revocation: RevocationFormat::Bearer,
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "notion",
        display_name: "Notion",
        issuer: "https://api.notion.com",
        authorization: "https://api.notion.com/v1/oauth/authorize",
        token: "https://api.notion.com/v1/oauth/token",
        revocation: Some("https://api.notion.com/v1/oauth/revoke"),
        vendor: |mut vendor| {
            vendor.headers.insert("notion-version", HeaderValue::from_static("2022-06-28"));
            Vendor {
                authorization_parameters: vec![("owner".into(), "user".into())],
                pkce: Pkce::Off,
                token_format: TokenFormat::Json,
                profile: ProfileSource::TokenResponse,
                subject: SubjectMember::Text("owner.user.id".into()),
                renamed_members: renamed(&[
                    ("owner.user.name", "name"),
                    ("owner.user.person.email", "email"),
                    ("owner.user.avatar_url", "picture"),
                ]),
                revocation: RevocationFormat::Json,
                ..vendor
            }
        },
        ..NONE
    },
    ReadyMade {
        name: "linear",
        display_name: "Linear",
        issuer: "https://linear.app",
        authorization: "https://linear.app/oauth/authorize",
        token: "https://api.linear.app/oauth/token",
        userinfo: Some("https://api.linear.app/graphql"),
        revocation: Some("https://api.linear.app/oauth/revoke"),
        vendor: |vendor| Vendor {
            scope_separator: ',',
            credentials: ClientCredentials::InBody,
            profile_request: ProfileRequest::Post(
                r#"{"query":"{ viewer { id name email displayName avatarUrl } }"}"#.into(),
            ),
            subject: SubjectMember::Text("data.viewer.id".into()),
            renamed_members: renamed(&[
                ("data.viewer.name", "name"),
                ("data.viewer.email", "email"),
                ("data.viewer.displayName", "preferred_username"),
                ("data.viewer.avatarUrl", "picture"),
            ]),
            dead_token_errors: texts(&["AUTHENTICATION_ERROR"]),
            revocation: RevocationFormat::Bearer,
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "hubspot",
        display_name: "HubSpot",
        issuer: "https://app.hubspot.com",
        authorization: "https://app.hubspot.com/oauth/authorize",
        token: "https://api.hubapi.com/oauth/v3/token",
        userinfo: Some("https://api.hubapi.com/oauth/v1/access-tokens"),
        revocation: Some("https://api.hubapi.com/oauth/v3/token/revoke"),
        vendor: |vendor| Vendor {
            credentials: ClientCredentials::InBody,
            errors: rules(ErrorMeaning::Grant, &["BAD_REFRESH_TOKEN", "BAD_AUTH_CODE"])
                .chain(rules(ErrorMeaning::Credentials, &["BAD_CLIENT_ID", "BAD_CLIENT_SECRET"]))
                .collect(),
            rotation: Rotation::Reusable,
            profile_request: ProfileRequest::TokenInPath,
            subject: SubjectMember::Number("user_id".into()),
            renamed_members: renamed(&[("user", "email")]),
            dead_token_errors: texts(&["INVALID_AUTHENTICATION", "EXPIRED_AUTHENTICATION"]),
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "figma",
        display_name: "Figma",
        issuer: "https://www.figma.com",
        authorization: "https://www.figma.com/oauth",
        token: "https://api.figma.com/v1/oauth/token",
        refresh: Some("https://api.figma.com/v1/oauth/refresh"),
        userinfo: Some("https://api.figma.com/v1/me"),
        vendor: |vendor| Vendor {
            rotation: Rotation::Reusable,
            subject: SubjectMember::Text("id".into()),
            renamed_members: renamed(&[("handle", "preferred_username"), ("img_url", "picture")]),
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "asana",
        display_name: "Asana",
        issuer: "https://app.asana.com",
        authorization: "https://app.asana.com/-/oauth_authorize",
        token: "https://app.asana.com/-/oauth_token",
        userinfo: Some("https://app.asana.com/api/1.0/users/me"),
        revocation: Some("https://app.asana.com/-/oauth_revoke"),
        vendor: |vendor| Vendor {
            credentials: ClientCredentials::InBody,
            rotation: Rotation::Reusable,
            subject: SubjectMember::Text("data.gid".into()),
            renamed_members: renamed(&[("data.name", "name"), ("data.email", "email")]),
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "zoom",
        display_name: "Zoom",
        issuer: "https://zoom.us",
        authorization: "https://zoom.us/oauth/authorize",
        token: "https://zoom.us/oauth/token",
        userinfo: Some("https://api.zoom.us/v2/users/me"),
        revocation: Some("https://zoom.us/oauth/revoke"),
        vendor: |vendor| Vendor {
            errors: vec![ErrorRule::of_part("invalid_request", "invalid token", ErrorMeaning::Grant)],
            subject: SubjectMember::Text("id".into()),
            renamed_members: renamed(&[("display_name", "name"), ("pic_url", "picture")]),
            // All users of an account share it.
            shared_members: texts(&["account_id", "account_number"]),
            revocation: RevocationFormat::AccessTokenForm,
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "discord",
        display_name: "Discord",
        issuer: "https://discord.com",
        authorization: "https://discord.com/oauth2/authorize",
        token: "https://discord.com/api/oauth2/token",
        userinfo: Some("https://discord.com/api/users/@me"),
        revocation: Some("https://discord.com/api/oauth2/token/revoke"),
        vendor: |vendor| Vendor {
            subject: SubjectMember::Text("id".into()),
            renamed_members: renamed(&[
                ("username", "preferred_username"),
                ("global_name", "name"),
                ("verified", "email_verified"),
            ]),
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "box",
        display_name: "Box",
        issuer: "https://account.box.com",
        authorization: "https://account.box.com/api/oauth2/authorize",
        token: "https://api.box.com/oauth2/token",
        userinfo: Some("https://api.box.com/2.0/users/me"),
        revocation: Some("https://api.box.com/oauth2/revoke"),
        vendor: |vendor| Vendor {
            credentials: ClientCredentials::InBody,
            subject: SubjectMember::Text("id".into()),
            renamed_members: renamed(&[("login", "email"), ("avatar_url", "picture")]),
            ..vendor
        },
        ..NONE
    },
    ReadyMade {
        name: "dropbox",
        display_name: "Dropbox",
        issuer: "https://www.dropbox.com",
        authorization: "https://www.dropbox.com/oauth2/authorize",
        token: "https://api.dropboxapi.com/oauth2/token",
        userinfo: Some("https://api.dropboxapi.com/2/users/get_current_account"),
        revocation: Some("https://api.dropboxapi.com/2/auth/token/revoke"),
        vendor: |vendor| Vendor {
            authorization_parameters: vec![("token_access_type".into(), "offline".into())],
            rotation: Rotation::Reusable,
            profile_request: ProfileRequest::Post("null".into()),
            subject: SubjectMember::Text("account_id".into()),
            renamed_members: renamed(&[("name.display_name", "preferred_username"), ("profile_photo_url", "picture")]),
            dead_token_errors: texts(&["expired_access_token", "invalid_access_token", "user_suspended"]),
            revocation: RevocationFormat::Bearer,
            ..vendor
        },
        ..NONE
    },
];

fn texts(names: &[&'static str]) -> Vec<Text> {
    names.iter().map(|name| Text::Borrowed(name)).collect()
}

fn renamed(pairs: &[(&'static str, &'static str)]) -> Vec<(Text, Text)> {
    pairs.iter().map(|(theirs, standard)| (Text::Borrowed(theirs), Text::Borrowed(standard))).collect()
}

fn rules(meaning: ErrorMeaning, codes: &'static [&'static str]) -> impl Iterator<Item = ErrorRule> {
    codes.iter().map(move |code| ErrorRule::new(*code, meaning))
}
