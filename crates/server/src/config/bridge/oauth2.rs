//! The table `bridge.oauth2`: what the provider does differently from the standards, or from what is known of its vendor.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis::oauth::providers::{
    ErrorMeaning, ErrorRule, Pkce, ProfileRequest, ProfileSource, Rotation, SubjectMember, Text, TokenFormat, Vendor,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    ConfigError,
    document::{element, given, positive},
    section::Section,
};

#[derive(Deserialize, JsonSchema, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OAuth2 {
    /// Where the profile of a user is.
    #[schemars(with = "ProfileName")]
    pub(crate) profile: Option<ProfileName>,
    /// A JSON text that is sent to the UserInfo endpoint by POST, such as a GraphQL query. Default: a GET.
    pub(crate) profile_body: Option<String>,
    /// The path of the member of the profile that identifies the user; for "oauth2" required.
    pub(crate) subject: Option<String>,
    /// The path of the full name.
    pub(crate) name: Option<String>,
    /// The path of the name by which the user is known at the provider.
    pub(crate) username: Option<String>,
    /// The path of the e-mail address.
    pub(crate) email: Option<String>,
    /// The parameter of the authorization request that lists scopes.
    pub(crate) scope_parameter: Option<String>,
    /// The character that separates scopes in the authorization request.
    pub(crate) scope_separator: Option<String>,
    /// The format of token requests.
    #[schemars(with = "RequestFormat")]
    pub(crate) token_request: Option<RequestFormat>,
    /// Whether requests have the parameters of PKCE.
    #[schemars(with = "bool")]
    pub(crate) pkce: Option<bool>,
    /// Additional parameters of token requests, such as "audience=api.example.com".
    pub(crate) token_parameters: Vec<String>,
    /// Additional headers of requests to the provider, such as "Notion-Version=2022-06-28".
    pub(crate) headers: Vec<String>,
    /// The path of the access token in the response to a login.
    pub(crate) token_path: Option<String>,
    /// Values of `token_type` that mean a bearer token.
    pub(crate) token_types: Vec<String>,
    /// The lifetime of access tokens for which nothing states one.
    pub(crate) default_lifetime: Option<String>,
    /// What happens when a refresh token is presented twice: "reusable", "single-use", or the time for which the previous one is accepted.
    pub(crate) rotation: Option<String>,
    /// The provider's words for errors.
    pub(crate) errors: ErrorWords,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProfileName {
    Userinfo,
    IdToken,
    TokenResponse,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RequestFormat {
    Form,
    Json,
}

#[derive(Deserialize, JsonSchema, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ErrorWords {
    /// Errors of the token endpoint for a dead code or refresh token: the user logs in again.
    pub(crate) login: Vec<String>,
    /// Errors of the token endpoint after which a later attempt may succeed.
    pub(crate) transient: Vec<String>,
    /// Errors of the token endpoint about the credentials of this server.
    pub(crate) ours: Vec<String>,
    /// Errors of the UserInfo endpoint for a dead access token.
    pub(crate) dead_token: Vec<String>,
}

/// The table, validated.
#[derive(Debug)]
pub(crate) struct VendorChanges {
    table: OAuth2,
    scope_separator: Option<char>,
    token_parameters: Vec<(Text, Text)>,
    headers: HeaderMap,
    default_lifetime: Option<Duration>,
    rotation: Option<Rotation>,
}

/// Errors about this server or an outage. They must not end a grant.
const NOT_GRANT_ERRORS: [&str; 3] = ["invalid_client", "temporarily_unavailable", "server_error"];

/// Rejects words that must not end a grant.
pub(super) fn validate_dead_grant_errors(
    section: &Section<'_>,
    key: &str,
    words: &[String],
) -> Result<(), ConfigError> {
    for (index, word) in words.iter().enumerate() {
        let problem = match &**word {
            "" => "must not be empty",
            word if NOT_GRANT_ERRORS.contains(&word) => "is about this server or an outage, and must not end a grant",
            _ => continue,
        };
        return Err(section.error(&element(key, index), problem));
    }
    Ok(())
}

impl OAuth2 {
    /// Validates the table at `section`.
    pub(super) fn validate(mut self, section: &Section<'_>) -> Result<VendorChanges, ConfigError> {
        // An empty string is the same as an absent key.
        for text in [
            &mut self.profile_body,
            &mut self.subject,
            &mut self.name,
            &mut self.username,
            &mut self.email,
            &mut self.scope_parameter,
            &mut self.scope_separator,
            &mut self.token_path,
            &mut self.default_lifetime,
            &mut self.rotation,
        ] {
            *text = given(text.take());
        }
        for (key, path) in [
            ("subject", &self.subject),
            ("name", &self.name),
            ("username", &self.username),
            ("email", &self.email),
            ("token_path", &self.token_path),
        ] {
            if path.as_ref().is_some_and(|path| path.split('.').any(str::is_empty)) {
                return Err(section.error(key, "must be names of members that are separated by single dots"));
            }
        }
        if let Some(body) = &self.profile_body
            && serde_json::from_str::<serde_json::Value>(body).is_err()
        {
            return Err(section.error("profile_body", "must be a JSON text"));
        }
        let scope_separator =
            self.scope_separator.as_deref().map(|text| {
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (Some(separator), None) if " ,;+|".contains(separator) => Ok(separator),
                    _ => Err(section
                        .error("scope_separator", "must be one of the characters space, comma, semicolon, + and |")),
                }
            });
        let errors = section.below("errors");
        validate_dead_grant_errors(&errors, "login", &self.errors.login)?;
        let pair = |key: &str, written: &[String]| -> Result<Vec<(String, String)>, ConfigError> {
            let parse = |(index, text): (usize, &String)| {
                let problem = "must be a name, an equals sign and a value";
                let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
                let (name, value) = pair.ok_or_else(|| section.error(&element(key, index), problem))?;
                Ok((name.to_owned(), value.to_owned()))
            };
            written.iter().enumerate().map(parse).collect()
        };
        let mut token_parameters = Vec::new();
        for (index, (name, value)) in pair("token_parameters", &self.token_parameters)?.into_iter().enumerate() {
            if RESERVED_FIELDS.contains(&&*name) {
                let key = element("token_parameters", index);
                return Err(section.error(&key, "is a parameter that the server sets itself"));
            }
            token_parameters.push((name.into(), value.into()));
        }
        let mut headers = HeaderMap::new();
        for (index, (name, value)) in pair("headers", &self.headers)?.into_iter().enumerate() {
            let error = |problem| section.error(&element("headers", index), problem);
            let name: HeaderName = name.parse().map_err(|_| error("is not a header name"))?;
            if RESERVED_HEADERS.contains(&name.as_str()) {
                return Err(error("is a header that the server sets itself"));
            }
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| error("is not a header value"))?);
        }
        let time = |key: &str, text: &str| positive(section.document, &section.path(key), text);
        let default_lifetime =
            self.default_lifetime.as_deref().map(|text| time("default_lifetime", text)).transpose()?;
        let rotation =
            self.rotation.as_deref().map(|text| match text {
                "reusable" => Ok(Rotation::Reusable),
                "single-use" => Ok(Rotation::SingleUse),
                text => match humantime::parse_duration(text) {
                    Ok(leeway) if !leeway.is_zero() => Ok(Rotation::Leeway(leeway)),
                    _ => Err(section
                        .error("rotation", "must be \"reusable\", \"single-use\" or a duration, such as \"10m\"")),
                },
            });
        Ok(VendorChanges {
            scope_separator: scope_separator.transpose()?,
            token_parameters,
            headers,
            default_lifetime,
            rotation: rotation.transpose()?,
            table: self,
        })
    }
}

/// The fields of token requests that the server sets itself.
const RESERVED_FIELDS: [&str; 9] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
];

/// The headers of requests that the server sets itself.
const RESERVED_HEADERS: [&str; 7] =
    ["authorization", "content-length", "content-type", "cookie", "host", "proxy-authorization", "transfer-encoding"];

impl VendorChanges {
    /// Reports whether the configuration names the subject.
    pub(super) const fn has_subject(&self) -> bool {
        self.table.subject.is_some()
    }

    /// Applies the changes to `vendor`.
    pub(crate) fn apply(&self, vendor: &mut Vendor) {
        let table = &self.table;
        let text = |text: &String| Text::Owned(text.clone());
        let texts = |words: &[String]| words.iter().map(text).collect::<Vec<_>>();
        if let Some(profile) = table.profile {
            vendor.profile = match profile {
                ProfileName::Userinfo => ProfileSource::UserInfo,
                ProfileName::IdToken => ProfileSource::IdToken,
                ProfileName::TokenResponse => ProfileSource::TokenResponse,
            };
            vendor.id_tokens |= profile == ProfileName::IdToken;
        }
        if let Some(body) = &table.profile_body {
            vendor.profile_request = ProfileRequest::Post(text(body));
        }
        if let Some(subject) = &table.subject {
            vendor.subject = SubjectMember::Any(text(subject));
        }
        // The operator's paths come before those of the vendor: the first that is present counts.
        let own = [("name", &table.name), ("preferred_username", &table.username), ("email", &table.email)];
        for (standard, path) in own.into_iter().filter_map(|(standard, path)| Some((standard, path.as_ref()?))) {
            vendor.renamed_members.retain(|(_, renamed)| renamed != standard);
            vendor.renamed_members.push((text(path), standard.into()));
        }
        if let Some(parameter) = &table.scope_parameter {
            vendor.scope_parameter = text(parameter);
        }
        vendor.scope_separator = self.scope_separator.unwrap_or(vendor.scope_separator);
        if let Some(format) = table.token_request {
            vendor.token_format = match format {
                RequestFormat::Form => TokenFormat::Form,
                RequestFormat::Json => TokenFormat::Json,
            };
        }
        if let Some(pkce) = table.pkce {
            vendor.pkce = if pkce { Pkce::S256 } else { Pkce::Off };
        }
        vendor.token_parameters.extend(self.token_parameters.iter().cloned());
        vendor.headers.extend(self.headers.clone());
        if let Some(path) = &table.token_path {
            vendor.token_path = Some(text(path));
        }
        vendor.token_types.extend(texts(&table.token_types));
        vendor.default_lifetime = self.default_lifetime.or(vendor.default_lifetime);
        vendor.rotation = self.rotation.unwrap_or(vendor.rotation);
        let words = &table.errors;
        let meanings = [
            (&words.ours, ErrorMeaning::Credentials),
            (&words.transient, ErrorMeaning::Transient),
            (&words.login, ErrorMeaning::Grant),
        ];
        let rules = meanings
            .into_iter()
            .flat_map(|(words, meaning)| words.iter().map(move |word| ErrorRule::new(word.clone(), meaning)));
        // Before those of the vendor: the first rule counts.
        vendor.errors.splice(0..0, rules);
        vendor.dead_token_errors.extend(texts(&words.dead_token));
    }
}
