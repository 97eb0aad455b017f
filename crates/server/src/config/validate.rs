//! From what is written to what is meant: every value is read, every rule between values checked.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use http::HeaderName;
use portcullis::{ResourceUri, ScopeSet, types::InvalidUri};

use super::{
    Config, ConfigError, bridge, connections,
    document::{Document, element},
    file::{Cache, Egress, File, Mode},
    issuer,
    section::Section,
    settings::{CacheSettings, EgressSettings, ModeSettings},
    store,
};

/// Validates `file`; `document` knows where each value comes from.
pub(crate) fn validate(mut file: File, document: &Document) -> Result<Config, ConfigError> {
    let client_address_header = client_address_header(document, &mut file)?;
    let listen: SocketAddr = read(document, "listen", &file.listen, "an address and a port, such as 127.0.0.1:8000")?;
    let admin_listen = given(file.admin_listen)
        .map(|text| read(document, "admin_listen", &text, "an address and a port, such as 127.0.0.1:9000"))
        .transpose()?;
    if admin_listen == Some(listen) {
        return Err(document.error("admin_listen", "must differ from `listen`"));
    }
    let resource = resource(document, given(file.public_url), listen)?;
    let required_scopes = ScopeSet::new(&file.required_scopes)
        .map_err(|error| document.error("required_scopes", format!("has {:?}, which is no scope name", error.0)))?;
    let connections = connections::validate(document, &file.connections, client_address_header.is_some())?;
    let cache = cache(document, &file.cache)?;
    let egress = egress(document, &file.egress)?;
    let mode = match file.mode {
        Mode::ResourceServer => {
            ModeSettings::ResourceServer(issuer::validate_all(document, file.resource_server.issuers, &egress)?)
        }
        Mode::Bridge => {
            let section = Section { document, egress: &egress, path: "bridge".to_owned() };
            let bridge = bridge::validate(&section, file.bridge, resource.clone(), &required_scopes)?;
            ModeSettings::Bridge(Box::new(bridge), store::validate(document, &file.store)?)
        }
    };
    Ok(Config {
        listen,
        resource,
        admin_listen,
        client_address_header,
        connections,
        required_scopes,
        mode,
        cache,
        egress,
    })
}

/// The header for both modes; that of the section `bridge`, which is older, is for the bridge.
fn client_address_header(document: &Document, file: &mut File) -> Result<Option<HeaderName>, ConfigError> {
    let mut header = given(file.client_address_header.take()).map(|name| ("client_address_header", name));
    if file.mode == Mode::Bridge {
        let of_bridge = given(file.bridge.client_address_header.take());
        header = of_bridge.map(|name| ("bridge.client_address_header", name)).or(header);
        file.bridge.client_address_header = header.as_ref().map(|(_, name)| name.clone());
    }
    let parse = |(key, name): (&str, String)| name.parse().map_err(|_| document.error(key, "is no name of a header"));
    header.map(parse).transpose()
}

/// An empty string is an absent one: the reference configuration writes keys that are not used so.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// What is wrong with a URL. It is not repeated: somebody may have written a password into it.
pub(super) fn uri_problem(error: &InvalidUri) -> String {
    match error {
        InvalidUri::NotHttps(_) => "must be https; http is for loopback only".to_owned(),
        InvalidUri::Forbidden(_, part) => format!("must not have a {part}"),
        _ => "is not an absolute URL".to_owned(),
    }
}

fn read<T: FromStr>(document: &Document, path: &str, text: &str, expected: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| document.error(path, format!("must be {expected}, not {text:?}")))
}

fn resource(document: &Document, public_url: Option<String>, listen: SocketAddr) -> Result<ResourceUri, ConfigError> {
    let path = "public_url";
    let url = match public_url {
        Some(url) => url,
        None if listen.ip().is_loopback() && listen.port() != 0 => format!("http://{listen}"),
        None => {
            return Err(
                document.error(path, format!("is missing: listen = \"{listen}\" does not say what clients use"))
            );
        }
    };
    let invalid = |error| document.error(path, uri_problem(&error));
    let origin = url.strip_suffix('/').unwrap_or(&url);
    if !ResourceUri::new(origin).map_err(invalid)?.path_and_query().is_empty() {
        return Err(document.error(path, format!("must have no path and no query: {url:?}")));
    }
    ResourceUri::new(&format!("{origin}/mcp")).map_err(invalid)
}

fn cache(document: &Document, table: &Cache) -> Result<CacheSettings, ConfigError> {
    if table.capacity == 0 {
        return Err(document.error("cache.capacity", "must be at least 1"));
    }
    Ok(CacheSettings {
        ttl: positive(document, "cache.ttl", &table.ttl)?,
        capacity: table.capacity,
        rejected_ttl: duration(document, "cache.rejected_ttl", &table.rejected_ttl)?,
        stale_if_error: duration(document, "cache.stale_if_error", &table.stale_if_error)?,
    })
}

fn egress(document: &Document, table: &Egress) -> Result<EgressSettings, ConfigError> {
    let network = |(index, text): (usize, &String)| {
        read(document, &element("egress.allowed_networks", index), text, "a network, such as 10.1.0.0/16")
    };
    Ok(EgressSettings {
        allow_loopback: table.allow_loopback,
        allow_loopback_for_clients: table.allow_loopback_for_clients,
        allowed_networks: table.allowed_networks.iter().enumerate().map(network).collect::<Result<_, _>>()?,
        timeout: positive(document, "egress.timeout", &table.timeout)?,
    })
}

pub(super) fn duration(document: &Document, path: &str, text: &str) -> Result<Duration, ConfigError> {
    humantime::parse_duration(text)
        .map_err(|_| document.error(path, format!("must be a duration, such as \"5m\" or \"90s\", not {text:?}")))
}

pub(super) fn positive(document: &Document, path: &str, text: &str) -> Result<Duration, ConfigError> {
    match duration(document, path, text)? {
        Duration::ZERO => Err(document.error(path, "must be longer than nothing")),
        duration => Ok(duration),
    }
}
