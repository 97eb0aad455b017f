//! [`Vendor`]: what is peculiar to the authorization servers of one vendor.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use super::{Rotation, token_refusal::Meaning};
use crate::{
    ClientAuthentication,
    revocation::{self, RevokedTokens},
    user_info::SubjectMember,
};

/// What is peculiar to the authorization servers of one vendor: data, and the few functions that no data can say.
#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) name: &'static str,
    /// What the authorization request says beside what the standard does.
    pub(super) authorization: &'static [(&'static str, &'static str)],
    pub(super) token_format: TokenFormat,
    /// What the error codes of the token endpoint mean, before the standard's meaning: a code, what its description contains.
    pub(super) errors: &'static [(&'static str, &'static str, Meaning)],
    /// What stands between the scopes of a token response.
    pub(super) scope_separator: char,
    /// Whether there are no scopes behind an access token but rights of another kind, so that an empty list does not say that
    /// nothing was granted.
    pub(super) has_no_scopes: fn(&BearerToken) -> bool,
    /// The member that tells the lifetime of a refresh token. It is in no standard; 0 means that it is unknown.
    pub(super) refresh_lifetime: &'static str,
    /// The further members of a token response that are worth keeping. None of them is a secret.
    pub(super) kept: &'static [&'static str],
    /// How long access tokens live for which neither the response nor the token nor introspection tells it.
    pub(super) lifetime: Option<Duration>,
    pub(super) rotation: Rotation,
    /// Whether a refresh ends the access token that came before.
    pub(super) refresh_ends_access_token: bool,
    /// Whether an ID token comes where `openid` is asked for.
    pub(super) id_tokens: bool,
    /// Another name under which it issues.
    pub(super) issuer_alias: Option<&'static str>,
    pub(super) subject: SubjectMember,
    /// Members of the profile under another name than in OpenID Connect: theirs, the standard's.
    pub(super) names: &'static [(&'static str, &'static str)],
    pub(super) supplement: Option<Supplement>,
    /// Whether the access token is a JWT that says more about the user than the profile does.
    pub(super) claims_in_token: bool,
    pub(super) revocation: fn(&Uri, &ClientAuthentication, RevokedTokens<'_>) -> Request<Bytes>,
    /// Whether revoking the tokens of one login ends others of the same user as well.
    pub(super) revocation_ends_other_logins: bool,
    /// The statuses by which it says that it knows no such token: revoked already.
    pub(super) revoked_already: &'static [StatusCode],
}

/// The format of token requests.
#[derive(Clone, Copy, Debug)]
pub(super) enum TokenFormat {
    /// A form; id and secret of the client where the client puts them.
    Form,
    /// A form with id and secret in it.
    FormWithSecret,
    /// A JSON object with id and secret in it.
    Json,
}

/// A second request for what the profile lacks.
#[derive(Debug)]
pub(super) struct Supplement {
    pub(super) is_needed: fn(&Map<String, Value>) -> bool,
    /// Where, seen from the endpoint of the profile.
    pub(super) endpoint: fn(&Uri) -> Option<Uri>,
    /// Puts what came into the profile.
    pub(super) add: fn(&mut Map<String, Value>, &Value),
}

impl Vendor {
    /// As the standards have it.
    pub(super) const STANDARD: Self = Self {
        name: "oidc",
        authorization: &[],
        token_format: TokenFormat::Form,
        errors: &[],
        scope_separator: ' ',
        has_no_scopes: |_| false,
        refresh_lifetime: "refresh_expires_in",
        kept: &[],
        lifetime: None,
        rotation: Rotation::SingleUse,
        refresh_ends_access_token: false,
        id_tokens: true,
        issuer_alias: None,
        subject: SubjectMember::Text("sub"),
        names: &[],
        supplement: None,
        claims_in_token: false,
        revocation: revocation::request,
        revocation_ends_other_logins: false,
        revoked_already: &[],
    };
}
