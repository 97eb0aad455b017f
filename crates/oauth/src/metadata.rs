//! [`AuthorizationServerMetadata`]: the metadata of an authorization server.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::{Issuer, ScopeSet};
use serde_json::{Map, Value};

use crate::{
    ProtocolError,
    response::{failure, not_json},
    strict_json,
};

/// The metadata of an authorization server: its endpoints and capabilities.
///
/// [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414#section-2) and OpenID Connect Discovery 1.0 section 3.
/// Members that are not needed here are ignored. Every endpoint is an absolute URL. It does **not** check that an endpoint is `https` and
/// public: the component that sends a request does.
#[derive(Clone, Debug)]
pub struct AuthorizationServerMetadata {
    issuer: Issuer,
    jwks_uri: Option<Uri>,
    authorization_endpoint: Option<Uri>,
    token_endpoint: Option<Uri>,
    introspection_endpoint: Option<Uri>,
    revocation_endpoint: Option<Uri>,
    userinfo_endpoint: Option<Uri>,
    registration_endpoint: Option<Uri>,
    code_challenge_methods: Vec<Box<str>>,
    advertises_issuer: bool,
    scopes: ScopeSet,
    grant_types: Vec<Box<str>>,
    client_authentication_methods: Vec<Box<str>>,
    accepts_client_documents: bool,
}

impl AuthorizationServerMetadata {
    /// Returns the issuer, which is identical to the one requested.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the URL of the key set.
    #[must_use]
    pub const fn jwks_uri(&self) -> Option<&Uri> {
        self.jwks_uri.as_ref()
    }

    /// Returns the authorization endpoint.
    #[must_use]
    pub const fn authorization_endpoint(&self) -> Option<&Uri> {
        self.authorization_endpoint.as_ref()
    }

    /// Returns the token endpoint.
    #[must_use]
    pub const fn token_endpoint(&self) -> Option<&Uri> {
        self.token_endpoint.as_ref()
    }

    /// Returns the revocation endpoint.
    #[must_use]
    pub const fn revocation_endpoint(&self) -> Option<&Uri> {
        self.revocation_endpoint.as_ref()
    }

    /// Returns the introspection endpoint.
    #[must_use]
    pub const fn introspection_endpoint(&self) -> Option<&Uri> {
        self.introspection_endpoint.as_ref()
    }

    /// Returns the UserInfo endpoint.
    #[must_use]
    pub const fn userinfo_endpoint(&self) -> Option<&Uri> {
        self.userinfo_endpoint.as_ref()
    }

    /// Returns the supported PKCE methods (`code_challenge_methods_supported`); empty if none is advertised.
    #[must_use]
    pub fn code_challenge_methods(&self) -> &[Box<str>] {
        &self.code_challenge_methods
    }

    /// Reports whether every authorization response names its issuer (`authorization_response_iss_parameter_supported`).
    /// [RFC 9207 section 3](https://www.rfc-editor.org/rfc/rfc9207#section-3)
    #[must_use]
    pub const fn advertises_issuer(&self) -> bool {
        self.advertises_issuer
    }
}

/// What a client reads that has no registration yet.
impl AuthorizationServerMetadata {
    /// Creates the metadata of an authorization server that publishes none: `/authorize`, `/token` and `/register` at its origin, with
    /// PKCE, as the revision 2025-03-26 of MCP has it (section Fallbacks for Servers without Metadata Discovery).
    ///
    /// # Errors
    /// [`ProtocolError::InvalidMember`] if the issuer cannot be the beginning of a URL.
    pub fn with_default_endpoints(issuer: &Issuer) -> Result<Self, ProtocolError> {
        let base = issuer.as_str().trim_end_matches('/');
        let at = |path| format!("{base}{path}").parse().map(Some).map_err(|_| ProtocolError::InvalidMember("issuer"));
        let authorization_endpoint = at("/authorize")?;
        Ok(Self {
            issuer: issuer.clone(),
            jwks_uri: None,
            authorization_endpoint,
            token_endpoint: at("/token")?,
            introspection_endpoint: None,
            revocation_endpoint: None,
            userinfo_endpoint: None,
            registration_endpoint: at("/register")?,
            code_challenge_methods: vec!["S256".into()],
            advertises_issuer: false,
            scopes: ScopeSet::default(),
            grant_types: Vec::new(),
            client_authentication_methods: Vec::new(),
            accepts_client_documents: false,
        })
    }

    /// Returns the registration endpoint ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    #[must_use]
    pub const fn registration_endpoint(&self) -> Option<&Uri> {
        self.registration_endpoint.as_ref()
    }

    /// Returns the scopes that are advertised (`scopes_supported`); empty if none is. There may be others.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Returns the grant types (`grant_types_supported`); empty if they are not stated, which means `authorization_code` and `implicit`.
    #[must_use]
    pub fn grant_types(&self) -> &[Box<str>] {
        &self.grant_types
    }

    /// Returns the client authentication methods of the token endpoint (`token_endpoint_auth_methods_supported`); empty if they are not
    /// stated, which means `client_secret_basic`.
    #[must_use]
    pub fn client_authentication_methods(&self) -> &[Box<str>] {
        &self.client_authentication_methods
    }

    /// Reports whether the URL of a client ID metadata document is accepted as a client id (`client_id_metadata_document_supported`).
    #[must_use]
    pub const fn accepts_client_documents(&self) -> bool {
        self.accepts_client_documents
    }
}

impl AuthorizationServerMetadata {
    /// Sets the authorization endpoint, in place of the one in the document.
    #[must_use]
    pub fn with_authorization_endpoint(mut self, endpoint: Uri) -> Self {
        self.authorization_endpoint = Some(endpoint);
        self
    }

    /// Sets the token endpoint, in place of the one in the document.
    #[must_use]
    pub fn with_token_endpoint(mut self, endpoint: Uri) -> Self {
        self.token_endpoint = Some(endpoint);
        self
    }

    /// Fills in the members that are absent here and present in `other`, which is another document of the same issuer: an issuer may
    /// publish its OAuth endpoints in one document and those of OpenID Connect in another.
    #[must_use]
    pub fn completed_by(self, other: Self) -> Self {
        Self {
            issuer: self.issuer,
            jwks_uri: self.jwks_uri.or(other.jwks_uri),
            authorization_endpoint: self.authorization_endpoint.or(other.authorization_endpoint),
            token_endpoint: self.token_endpoint.or(other.token_endpoint),
            introspection_endpoint: self.introspection_endpoint.or(other.introspection_endpoint),
            revocation_endpoint: self.revocation_endpoint.or(other.revocation_endpoint),
            userinfo_endpoint: self.userinfo_endpoint.or(other.userinfo_endpoint),
            registration_endpoint: self.registration_endpoint.or(other.registration_endpoint),
            code_challenge_methods: first_stated(self.code_challenge_methods, other.code_challenge_methods),
            advertises_issuer: self.advertises_issuer || other.advertises_issuer,
            scopes: if self.scopes.is_empty() { other.scopes } else { self.scopes },
            grant_types: first_stated(self.grant_types, other.grant_types),
            client_authentication_methods: first_stated(
                self.client_authentication_methods,
                other.client_authentication_methods,
            ),
            accepts_client_documents: self.accepts_client_documents || other.accepts_client_documents,
        }
    }

    /// Reports whether every endpoint and the key set are present, so that no other document of the issuer can add one.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.jwks_uri.is_some()
            && self.authorization_endpoint.is_some()
            && self.token_endpoint.is_some()
            && self.introspection_endpoint.is_some()
            && self.revocation_endpoint.is_some()
            && self.userinfo_endpoint.is_some()
    }
}

/// Returns the URLs at which the metadata of `issuer` may be, in the order in which to try them.
///
/// RFC 8414 *inserts* its path between host and path of the issuer, OpenID Connect *appends* it. Both remove a terminating
/// slash first. [RFC 8414 sections 3.1 and 5](https://www.rfc-editor.org/rfc/rfc8414#section-3.1), and MCP,
/// Authorization Server Metadata Discovery. The result is empty if the issuer has characters that a request line must not have.
///
/// ```
/// let issuer = portcullis_core::Issuer::new("https://idp.example.com/tenant")?;
/// let urls: Vec<_> = portcullis_oauth::metadata::well_known_urls(&issuer).iter().map(ToString::to_string).collect();
/// assert_eq!(urls, [
///     "https://idp.example.com/.well-known/oauth-authorization-server/tenant",
///     "https://idp.example.com/.well-known/openid-configuration/tenant",
///     "https://idp.example.com/tenant/.well-known/openid-configuration",
/// ]);
/// # Ok::<(), portcullis_core::InvalidUri>(())
/// ```
#[must_use]
pub fn well_known_urls(issuer: &Issuer) -> Vec<Uri> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let text = issuer.as_str();
    let authority = text.find("://").map_or(0, |at| at + 3);
    let (origin, path) = text.split_at(text[authority..].find('/').map_or(text.len(), |at| authority + at));
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut urls = vec![format!("{origin}{OAUTH}{path}"), format!("{origin}{OPENID}{path}")];
    if !path.is_empty() {
        urls.push(format!("{origin}{path}{OPENID}"));
    }
    urls.into_iter().filter_map(|url| url.parse().ok()).collect()
}

/// Creates a request for the metadata at `url`, one of [`well_known_urls`].
#[must_use]
pub fn request(url: &Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

/// Processes the metadata of `issuer`. The content type of the response is ignored, because issuers use various ones.
///
/// # Errors
/// [`ProtocolError`] if it is not a 200 with a JSON object, if its `issuer` is not identical to `issuer`
/// ([RFC 8414 section 3.3](https://www.rfc-editor.org/rfc/rfc8414#section-3.3)), if an endpoint is not an absolute
/// URL, or if another member that is needed here has the wrong type.
pub fn process(issuer: &Issuer, response: &Response<Bytes>) -> Result<AuthorizationServerMetadata, ProtocolError> {
    if response.status() != StatusCode::OK {
        return Err(failure(response).unwrap_or_else(|| ProtocolError::UnexpectedStatus(response.status())));
    }
    let members = strict_json::parse_object(response.body()).map_err(|_| not_json(response))?;
    match members.get("issuer").and_then(Value::as_str) {
        Some(found) if found == issuer.as_str() => {}
        Some(found) => {
            let (expected, found) = (issuer.as_str().to_owned(), found.to_owned());
            return Err(ProtocolError::WrongIssuer { expected, found });
        }
        None => return Err(ProtocolError::InvalidMember("issuer")),
    }
    Ok(AuthorizationServerMetadata {
        issuer: issuer.clone(),
        jwks_uri: endpoint(&members, "jwks_uri")?,
        authorization_endpoint: endpoint(&members, "authorization_endpoint")?,
        token_endpoint: endpoint(&members, "token_endpoint")?,
        introspection_endpoint: endpoint(&members, "introspection_endpoint")?,
        revocation_endpoint: endpoint(&members, "revocation_endpoint")?,
        userinfo_endpoint: endpoint(&members, "userinfo_endpoint")?,
        // A server that registers no clients here is not rejected because of the members below.
        registration_endpoint: endpoint(&members, "registration_endpoint").unwrap_or_default(),
        code_challenge_methods: names(&members, "code_challenge_methods_supported")?,
        advertises_issuer: flag(&members, "authorization_response_iss_parameter_supported")?,
        scopes: scopes(&members),
        grant_types: names(&members, "grant_types_supported").unwrap_or_default(),
        client_authentication_methods: names(&members, "token_endpoint_auth_methods_supported").unwrap_or_default(),
        accepts_client_documents: flag(&members, "client_id_metadata_document_supported").unwrap_or_default(),
    })
}

fn first_stated(one: Vec<Box<str>>, other: Vec<Box<str>>) -> Vec<Box<str>> {
    if one.is_empty() { other } else { one }
}

/// Returns the names in `scopes_supported` that can be requested: texts that are no scopes are ignored.
pub(crate) fn scopes(members: &Map<String, Value>) -> ScopeSet {
    let names = members.get("scopes_supported").and_then(Value::as_array).into_iter().flatten();
    let valid = names.filter_map(|name| ScopeSet::new([name.as_str()?]).ok());
    valid.fold(ScopeSet::default(), |all, scope| all.union(&scope))
}

fn names(members: &Map<String, Value>, name: &'static str) -> Result<Vec<Box<str>>, ProtocolError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            let names = values.iter().map(|value| value.as_str().map(Box::from));
            names.collect::<Option<_>>().ok_or(ProtocolError::InvalidMember(name))
        }
        Some(_) => Err(ProtocolError::InvalidMember(name)),
    }
}

fn flag(members: &Map<String, Value>, name: &'static str) -> Result<bool, ProtocolError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(ProtocolError::InvalidMember(name)),
    }
}

fn endpoint(members: &Map<String, Value>, name: &'static str) -> Result<Option<Uri>, ProtocolError> {
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let url = value.as_str().and_then(|text| text.parse::<Uri>().ok());
    match url.filter(|url| url.scheme().is_some() && url.host().is_some()) {
        Some(url) => Ok(Some(url)),
        None => Err(ProtocolError::InvalidMember(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        Issuer::new(text).expect(text)
    }

    fn response(body: &str) -> Response<Bytes> {
        let response = Response::builder().header("content-type", "application/json");
        response.body(Bytes::copy_from_slice(body.as_bytes())).expect("response")
    }

    #[test]
    fn cl_05_the_well_known_urls_in_order() {
        let urls = |text| well_known_urls(&issuer(text)).iter().map(ToString::to_string).collect::<Vec<_>>();
        for bare in ["https://idp.example:8443", "https://idp.example:8443/"] {
            assert_eq!(
                urls(bare),
                [
                    "https://idp.example:8443/.well-known/oauth-authorization-server",
                    "https://idp.example:8443/.well-known/openid-configuration"
                ]
            );
        }
        assert_eq!(
            urls("http://127.0.0.1:9040/api/oidc/"),
            [
                "http://127.0.0.1:9040/.well-known/oauth-authorization-server/api/oidc",
                "http://127.0.0.1:9040/.well-known/openid-configuration/api/oidc",
                "http://127.0.0.1:9040/api/oidc/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn cl_06_the_issuer_must_be_identical() {
        let asked = issuer("https://idp.example");
        let metadata = process(
            &asked,
            &response(r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/jwks","x":[]}"#),
        )
        .expect("metadata");
        assert_eq!(metadata.jwks_uri().map(ToString::to_string).as_deref(), Some("https://idp.example/jwks"));
        assert_eq!(metadata.introspection_endpoint(), None);
        for body in [r#"{"issuer":"https://idp.example/"}"#, r#"{"issuer":"https://IDP.example"}"#] {
            assert!(matches!(process(&asked, &response(body)), Err(ProtocolError::WrongIssuer { .. })), "{body}");
        }
        for body in ["{}", r#"{"issuer":7}"#] {
            assert!(matches!(process(&asked, &response(body)), Err(ProtocolError::InvalidMember("issuer"))), "{body}");
        }
    }

    #[test]
    fn two_documents_of_one_issuer_complete_each_other() {
        let asked = issuer("https://idp.example");
        let with = |members: &str| {
            let body = format!(r#"{{"issuer":"https://idp.example",{members}}}"#);
            process(
                &asked,
                &Response::builder().header("content-type", "text/plain").body(Bytes::from(body)).expect("response"),
            )
            .expect("metadata")
        };
        let oauth =
            with(r#""token_endpoint":"https://idp.example/a","introspection_endpoint":"https://idp.example/i""#);
        let openid = with(
            r#""token_endpoint":"https://idp.example/b","userinfo_endpoint":"https://idp.example/u","jwks_uri":"https://idp.example/k",
            "authorization_endpoint":"https://idp.example/z","revocation_endpoint":"https://idp.example/r",
            "code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true"#,
        );
        assert!(!oauth.is_complete() && !openid.is_complete());
        let both = oauth.completed_by(openid);
        assert!(both.is_complete() && both.advertises_issuer() && both.code_challenge_methods().len() == 1);
        assert_eq!(
            both.token_endpoint().map(ToString::to_string).as_deref(),
            Some("https://idp.example/a"),
            "the first"
        );
    }

    #[test]
    fn pkce_methods_and_the_iss_flag_are_parsed_or_rejected() {
        let asked = issuer("https://idp.example");
        let with =
            |members: &str| process(&asked, &response(&format!(r#"{{"issuer":"https://idp.example"{members}}}"#)));
        let silent = with("").expect("metadata");
        assert_eq!((silent.code_challenge_methods().len(), silent.advertises_issuer()), (0, false));
        let told =
            r#","code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true"#;
        let told = with(told).expect("metadata");
        assert_eq!((&*told.code_challenge_methods()[0], told.advertises_issuer()), ("S256", true));
        for (member, value) in [
            ("code_challenge_methods_supported", "\"S256\""),
            ("code_challenge_methods_supported", "[7]"),
            ("authorization_response_iss_parameter_supported", "\"true\""),
        ] {
            let error = with(&format!(",\"{member}\":{value}")).expect_err(member);
            assert_eq!(error, ProtocolError::InvalidMember(member), "{value}");
        }
    }

    #[test]
    fn what_a_client_without_registration_needs_is_parsed_and_never_a_reason_to_reject() {
        let asked = issuer("https://idp.example");
        let with = |members: &str| {
            process(&asked, &response(&format!(r#"{{"issuer":"https://idp.example",{members}}}"#))).expect(members)
        };
        let told = with(
            r#""registration_endpoint":"https://idp.example/r","scopes_supported":["a","b c","a"],
            "grant_types_supported":["authorization_code"],"token_endpoint_auth_methods_supported":["none"],
            "client_id_metadata_document_supported":true"#,
        );
        assert_eq!(told.registration_endpoint().map(ToString::to_string).as_deref(), Some("https://idp.example/r"));
        assert_eq!((told.scopes().to_string().as_str(), told.accepts_client_documents()), ("a", true));
        assert_eq!(
            (&*told.grant_types()[0], &*told.client_authentication_methods()[0]),
            ("authorization_code", "none")
        );
        let odd = with(
            r#""registration_endpoint":"/r","scopes_supported":"a","grant_types_supported":7,
            "token_endpoint_auth_methods_supported":{},"client_id_metadata_document_supported":"true""#,
        );
        assert!(odd.registration_endpoint().is_none() && odd.scopes().is_empty() && !odd.accepts_client_documents());
        assert!(odd.grant_types().is_empty() && odd.client_authentication_methods().is_empty());
    }

    #[test]
    fn an_endpoint_is_an_absolute_url_or_absent() {
        let asked = issuer("https://idp.example");
        for jwks_uri in ["\"/jwks\"", "7", "\"\"", "\"https://a b\"", "\"mailto:x\""] {
            let body = format!(r#"{{"issuer":"https://idp.example","jwks_uri":{jwks_uri}}}"#);
            let error = process(&asked, &response(&body)).expect_err(jwks_uri);
            assert_eq!(error, ProtocolError::InvalidMember("jwks_uri"));
        }
        let null = response(r#"{"issuer":"https://idp.example","jwks_uri":null}"#);
        assert!(process(&asked, &null).is_ok_and(|metadata| metadata.jwks_uri().is_none()));
    }
}
