//! [`ProtectedResourceMetadata`]: the metadata of a protected resource, and its well-known locations.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use portcullis_core::{Issuer, ResourceUri, ScopeSet};
use serde_json::{Map, Value};

use crate::{ProtocolError, metadata::scopes, response::failure, strict_json};

/// The well-known path without an inserted resource path.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata of a protected resource, by which a client finds the authorization server.
///
/// [RFC 9728 section 2](https://www.rfc-editor.org/rfc/rfc9728#section-2), and the section Authorization Server Location
/// of MCP, which requires at least one authorization server. Tokens are accepted in the header only
/// (`bearer_methods_supported`), and arrays without members are omitted
/// ([section 3.2](https://www.rfc-editor.org/rfc/rfc9728#section-3.2)).
///
/// ```
/// use portcullis_core::{Issuer, ResourceUri, ScopeSet};
/// use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
///
/// let resource = ResourceUri::new("https://mcp.example.com/mcp")?;
/// let metadata = ProtectedResourceMetadata::new(resource, Issuer::new("https://idp.example.com")?)
///     .with_scopes_supported(&ScopeSet::parse("mcp:read")?);
/// let json: serde_json::Value = serde_json::from_slice(&metadata.to_json())?;
/// assert_eq!(json["resource"], "https://mcp.example.com/mcp");
/// assert_eq!(json["authorization_servers"][0], "https://idp.example.com");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProtectedResourceMetadata {
    resource: ResourceUri,
    authorization_servers: Vec<Issuer>,
    scopes_supported: Vec<Box<str>>,
    resource_name: Option<Box<str>>,
    resource_documentation: Option<Box<str>>,
}

impl ProtectedResourceMetadata {
    /// Creates the metadata of `resource`, whose tokens are issued by `authorization_server`.
    #[must_use]
    pub fn new(resource: ResourceUri, authorization_server: Issuer) -> Self {
        Self {
            resource,
            authorization_servers: vec![authorization_server],
            scopes_supported: Vec::new(),
            resource_name: None,
            resource_documentation: None,
        }
    }

    /// Adds an authorization server, unless it is present already.
    #[must_use]
    pub fn with_authorization_server(mut self, authorization_server: Issuer) -> Self {
        if !self.authorization_servers.contains(&authorization_server) {
            self.authorization_servers.push(authorization_server);
        }
        self
    }

    /// Sets the scopes that a client may request. Default: not stated.
    ///
    /// `offline_access` is omitted: it concerns the client and the authorization server, not the resource (MCP authorization, Refresh
    /// Tokens).
    #[must_use]
    pub fn with_scopes_supported(mut self, scopes: &ScopeSet) -> Self {
        self.scopes_supported = scopes.iter().filter(|scope| *scope != "offline_access").map(Into::into).collect();
        self
    }

    /// Sets the human-readable name of the resource.
    #[must_use]
    pub fn with_resource_name(mut self, name: &str) -> Self {
        self.resource_name = Some(name.into());
        self
    }

    /// Sets the URL of the documentation for developers of clients. It is published as written.
    #[must_use]
    pub fn with_resource_documentation(mut self, url: &str) -> Self {
        self.resource_documentation = Some(url.into());
        self
    }

    /// Returns the resource.
    #[must_use]
    pub const fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    /// Returns the authorization servers; never empty.
    #[must_use]
    pub fn authorization_servers(&self) -> &[Issuer] {
        &self.authorization_servers
    }

    /// Returns the scopes that a client may request; empty if they are not stated.
    #[must_use]
    pub fn scopes_supported(&self) -> ScopeSet {
        ScopeSet::new(&self.scopes_supported).unwrap_or_default()
    }

    /// Serializes the document, which is published as `application/json`.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let strings = |values: &mut dyn Iterator<Item = &str>| Value::from_iter(values);
        let mut members = Map::new();
        members.insert("resource".into(), self.resource.as_str().into());
        let issuers = strings(&mut self.authorization_servers.iter().map(Issuer::as_str));
        members.insert("authorization_servers".into(), issuers);
        if !self.scopes_supported.is_empty() {
            let scopes = strings(&mut self.scopes_supported.iter().map(AsRef::as_ref));
            members.insert("scopes_supported".into(), scopes);
        }
        members.insert("bearer_methods_supported".into(), Value::from_iter(["header"]));
        if let Some(name) = &self.resource_name {
            members.insert("resource_name".into(), name.as_ref().into());
        }
        if let Some(url) = &self.resource_documentation {
            members.insert("resource_documentation".into(), url.as_ref().into());
        }
        Value::Object(members).to_string().into()
    }
}

/// Processes the metadata of a resource. The content type of the response is ignored, because servers use various ones.
///
/// An authorization server that is no `https` URL (`http` on loopback) is ignored, and so is `offline_access` among the scopes. It does
/// **not** check which resource is described: compare [`resource`](ProtectedResourceMetadata::resource) with the URL in use
/// ([RFC 9728 section 3.3](https://www.rfc-editor.org/rfc/rfc9728#section-3.3)).
///
/// # Errors
/// [`ProtocolError`] if it is not a 200 with a JSON object, if `resource` is no URL, or if no authorization server is named.
pub fn process(response: &Response<Bytes>) -> Result<ProtectedResourceMetadata, ProtocolError> {
    if response.status() != StatusCode::OK {
        return Err(failure(response).unwrap_or_else(|| ProtocolError::UnexpectedStatus(response.status())));
    }
    let members = strict_json::parse_object(response.body()).map_err(|_| {
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        ProtocolError::NotJson { content_type: content_type.map(str::to_owned) }
    })?;
    let resource = members.get("resource").and_then(Value::as_str).and_then(|text| ResourceUri::new(text).ok());
    let resource = resource.ok_or(ProtocolError::InvalidMember("resource"))?;
    let issuers = members.get("authorization_servers").and_then(Value::as_array).into_iter().flatten();
    let mut issuers = issuers.filter_map(|issuer| Issuer::new(issuer.as_str()?).ok());
    let first = issuers.next().ok_or(ProtocolError::InvalidMember("authorization_servers"))?;
    let metadata = ProtectedResourceMetadata::new(resource, first).with_scopes_supported(&scopes(&members));
    Ok(issuers.fold(metadata, ProtectedResourceMetadata::with_authorization_server))
}

/// Returns the paths at which clients request the metadata of `resource`: with the path of the resource inserted, then without it.
///
/// There is one path if the resource is a bare origin.
/// [RFC 9728 section 3.1](https://www.rfc-editor.org/rfc/rfc9728#section-3.1), and MCP, Protected Resource Metadata
/// Discovery. A query of the resource is not part of the path.
///
/// ```
/// let resource = portcullis_core::ResourceUri::new("https://mcp.example.com/mcp")?;
/// let paths = portcullis_oauth::protected_resource::well_known_paths(&resource);
/// assert_eq!(paths, ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"]);
/// # Ok::<(), portcullis_core::InvalidUri>(())
/// ```
#[must_use]
pub fn well_known_paths(resource: &ResourceUri) -> Vec<String> {
    let (path, _) = path_and_query(resource);
    if path.is_empty() { vec![WELL_KNOWN.into()] } else { vec![format!("{WELL_KNOWN}{path}"), WELL_KNOWN.into()] }
}

/// Returns the URL of the metadata of `resource`, for the parameter `resource_metadata` of a challenge.
///
/// It is derived from the configured resource, never from the `Host` of a request.
#[must_use]
pub fn metadata_url(resource: &ResourceUri) -> String {
    let (path, query) = path_and_query(resource);
    format!("{}{WELL_KNOWN}{path}{query}", resource.origin())
}

/// Returns the path without a terminating slash, and the query with its question mark.
fn path_and_query(resource: &ResourceUri) -> (&str, &str) {
    let whole = resource.path_and_query();
    let (path, query) = whole.split_at(whole.find('?').unwrap_or(whole.len()));
    (path.strip_suffix('/').unwrap_or(path), query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(text: &str) -> ResourceUri {
        ResourceUri::new(text).expect(text)
    }

    fn issuer(text: &str) -> Issuer {
        Issuer::new(text).expect(text)
    }

    #[test]
    fn rs_01_the_path_is_inserted_and_a_terminating_slash_removed() {
        for (name, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
            ("https://a.example:8443/x/mcp", "https://a.example:8443/.well-known/oauth-protected-resource/x/mcp"),
            ("https://a.example/mcp/", "https://a.example/.well-known/oauth-protected-resource/mcp"),
            ("https://a.example/mcp?k=v", "https://a.example/.well-known/oauth-protected-resource/mcp?k=v"),
            ("https://a.example?k=v", "https://a.example/.well-known/oauth-protected-resource?k=v"),
        ] {
            assert_eq!(metadata_url(&resource(name)), url, "{name}");
        }
        assert_eq!(well_known_paths(&resource("https://a.example/")), [WELL_KNOWN]);
        assert_eq!(
            well_known_paths(&resource("https://a.example/mcp/?k=v")),
            ["/.well-known/oauth-protected-resource/mcp", WELL_KNOWN]
        );
    }

    #[test]
    fn what_is_published_is_what_a_client_reads() {
        let scopes = ScopeSet::parse("mcp:read mcp:write").expect("scopes");
        let published =
            ProtectedResourceMetadata::new(resource("https://a.example/mcp"), issuer("https://one.example"))
                .with_authorization_server(issuer("https://two.example/x"))
                .with_scopes_supported(&scopes);
        let read = process(&Response::new(published.to_json())).expect("metadata");
        assert_eq!(read.resource(), published.resource());
        assert_eq!(read.authorization_servers(), published.authorization_servers());
        assert_eq!(read.scopes_supported(), scopes);
    }

    #[test]
    fn a_document_without_a_resource_or_an_authorization_server_is_rejected() {
        let read = |body: &'static str| process(&Response::new(Bytes::from_static(body.as_bytes())));
        let servers = ProtocolError::InvalidMember("authorization_servers");
        for (body, error) in [
            ("{}", ProtocolError::InvalidMember("resource")),
            (
                r#"{"resource":"/mcp","authorization_servers":["https://i.example"]}"#,
                ProtocolError::InvalidMember("resource"),
            ),
            (r#"{"resource":"https://a.example"}"#, servers.clone()),
            (r#"{"resource":"https://a.example","authorization_servers":[]}"#, servers.clone()),
            (r#"{"resource":"https://a.example","authorization_servers":["http://i.example",7]}"#, servers),
        ] {
            assert_eq!(read(body).expect_err(body), error);
        }
        assert!(matches!(read("<html>"), Err(ProtocolError::NotJson { .. })));
        let missing = Response::builder().status(404).body(Bytes::new()).expect("response");
        assert_eq!(process(&missing).expect_err("404"), ProtocolError::UnexpectedStatus(StatusCode::NOT_FOUND));
    }

    #[test]
    fn rs_02_names_every_authorization_server_once_and_the_resource_as_written() {
        let metadata = ProtectedResourceMetadata::new(resource("https://A.example"), issuer("https://one.example"))
            .with_authorization_server(issuer("https://two.example/x"))
            .with_authorization_server(issuer("https://one.example"));
        let json: Value = serde_json::from_slice(&metadata.to_json()).expect("json");
        let expected = serde_json::json!({
            "resource": "https://A.example",
            "authorization_servers": ["https://one.example", "https://two.example/x"],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn rs_16_offline_access_is_no_scope_of_a_resource() {
        let metadata = |scopes| {
            let scopes = ScopeSet::parse(scopes).expect("scopes");
            let metadata = ProtectedResourceMetadata::new(resource("https://a.example"), issuer("https://one.example"))
                .with_scopes_supported(&scopes)
                .with_resource_name("Files \"x\"")
                .with_resource_documentation("https://docs.example");
            serde_json::from_slice::<Value>(&metadata.to_json()).expect("json")
        };
        let json = metadata("mcp:read offline_access mcp:write");
        assert_eq!(json["scopes_supported"], serde_json::json!(["mcp:read", "mcp:write"]));
        assert_eq!(json["resource_name"], "Files \"x\"");
        assert_eq!(json["resource_documentation"], "https://docs.example");
        assert_eq!(metadata("offline_access").get("scopes_supported"), None);
    }
}
