//! [`Guard`]: decides which URLs and addresses are allowed.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address;

/// Decides which URLs and addresses are allowed.
#[derive(Clone)]
pub(crate) struct Guard {
    allow_loopback: bool,
    allowed_networks: Arc<[IpNet]>,
    /// The hosts that may be called by plain `http`.
    http_hosts: Arc<[Box<str>]>,
    /// The name of the proxy, which the operator has chosen and which may have any address.
    proxy_host: Option<Arc<str>>,
}

/// Why a request is not sent. It names addresses and hosts, never a whole URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Blocked {
    #[error("the URL has user info")]
    UserInfo,
    #[error("neither https nor http to loopback (`allow_loopback`) or to one of `http_hosts`")]
    Scheme,
    #[error("the URL has no host")]
    NoHost,
    #[error("{0} is not a public address, and not in an allowed network")]
    Address(IpAddr),
    #[error("{0:?} has no public address, nor one in an allowed network")]
    Name(String),
    #[error("{0:?} is the host of the proxy, which is called as a proxy only")]
    Proxy(String),
}

impl Guard {
    pub(crate) fn new(allow_loopback: bool, allowed_networks: Vec<IpNet>) -> Self {
        Self { allow_loopback, allowed_networks: allowed_networks.into(), http_hosts: Arc::default(), proxy_host: None }
    }

    pub(crate) fn with_http_hosts(self, hosts: Vec<Box<str>>) -> Self {
        Self { http_hosts: hosts.into(), ..self }
    }

    pub(crate) fn with_proxy_host(self, host: Option<&str>) -> Self {
        Self { proxy_host: host.map(Into::into), ..self }
    }

    /// Checks everything about `url` except the addresses of a name, which the resolver checks.
    ///
    /// It must be the parsed URL that the connection uses: parsing turns `http://0x7f.1/` into `127.0.0.1`.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Blocked> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Blocked::UserInfo);
        }
        let host = url.host().ok_or(Blocked::NoHost)?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_loopback && is_loopback(&host) => {}
            "http" if url.host_str().is_some_and(|host| self.is_http_host(host) && !self.is_proxy(host)) => {
                let address = match host {
                    Host::Domain(_) => return Ok(()),
                    Host::Ipv4(address) => address.into(),
                    Host::Ipv6(address) => address.into(),
                };
                return if self.is_in_allowed_network(address) { Ok(()) } else { Err(Blocked::Address(address)) };
            }
            _ => return Err(Blocked::Scheme),
        }
        match host {
            // A proxy would resolve it to itself. A dot at the end makes no other name.
            Host::Domain(name) if is_loopback_name(name.trim_end_matches('.')) && !self.allow_loopback => {
                Err(Blocked::Name(name.to_owned()))
            }
            // Its addresses are not checked.
            Host::Domain(name) if self.is_proxy(name.trim_end_matches('.')) => Err(Blocked::Proxy(name.to_owned())),
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.check_address(address.into()),
            Host::Ipv6(address) => self.check_address(address.into()),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Blocked> {
        if self.allows(address) { Ok(()) } else { Err(Blocked::Address(address)) }
    }

    /// Reports whether a connection may be made to one of the addresses of `name`. The loopback names must resolve to loopback,
    /// because plain `http` is allowed for them.
    /// The hosts for which it is allowed must be in an allowed network.
    pub(crate) fn allows_for(&self, name: &str, address: IpAddr) -> bool {
        if self.is_proxy(name) {
            return true;
        }
        if self.is_http_host(name) {
            return self.is_in_allowed_network(address);
        }
        self.allows(address) && (address.is_loopback() || !is_loopback_name(name))
    }

    fn is_proxy(&self, host: &str) -> bool {
        self.proxy_host.as_deref() == Some(host)
    }

    fn is_http_host(&self, host: &str) -> bool {
        self.http_hosts.iter().any(|one| **one == *host)
    }

    fn is_in_allowed_network(&self, address: IpAddr) -> bool {
        self.allowed_networks.iter().any(|network| network.contains(&address))
    }

    fn allows(&self, address: IpAddr) -> bool {
        (address.is_loopback() && self.allow_loopback)
            || address::is_public(address)
            || self.is_in_allowed_network(address)
    }
}

/// Resolves a name to those of its addresses that are allowed; the connection is made to one of them.
pub(crate) struct GuardedResolver(pub(crate) Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| guard.allows_for(name.as_str(), address.ip())).collect();
            if allowed.is_empty() {
                return Err(Blocked::Name(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_loopback_name(name),
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => Ipv6Addr::is_loopback(address),
    }
}

/// [RFC 6761 section 6.3](https://www.rfc-editor.org/rfc/rfc6761#section-6.3).
fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(guard: &Guard, url: &str) -> bool {
        guard.check_url(&Url::parse(url).expect(url)).is_ok()
    }

    #[test]
    fn https_to_names_and_public_addresses_is_allowed() {
        let guard = Guard::new(false, Vec::new());
        for url in ["https://idp.example.com/jwks", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/"] {
            assert!(is_allowed(&guard, url), "{url}");
        }
    }

    #[test]
    fn other_urls_are_blocked() {
        let guard = Guard::new(false, Vec::new());
        for url in [
            "http://idp.example.com/",
            "http://127.0.0.1/",
            "http://localhost/",
            "ftp://idp.example.com/",
            "file:///etc/passwd",
            "data:,x",
            "https://user@idp.example.com/",
            "https://:word@idp.example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://169.254.169.254/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[fe80::1]/",
            "https://0/",
            "https://１２７.0.0.1/",
        ] {
            assert!(!is_allowed(&guard, url), "{url}");
        }
    }

    #[test]
    fn allowed_loopback_allows_http_to_loopback_only() {
        let guard = Guard::new(true, Vec::new());
        for url in
            ["http://127.0.0.1:1/", "http://[::1]/", "http://localhost/", "http://idp.localhost/", "https://127.0.0.1/"]
        {
            assert!(is_allowed(&guard, url), "{url}");
        }
        for url in [
            "http://idp.example.com/",
            "http://10.0.0.1/",
            "https://10.0.0.1/",
            "http://0.0.0.0/",
            "http://localhost./",
        ] {
            assert!(!is_allowed(&guard, url), "{url}");
        }
    }

    #[test]
    fn a_loopback_name_that_resolves_elsewhere_is_refused() {
        let guard = Guard::new(true, Vec::new());
        assert!(guard.allows_for("localhost", Ipv4Addr::LOCALHOST.into()));
        assert!(!guard.allows_for("localhost", Ipv4Addr::new(8, 8, 8, 8).into()));
        assert!(guard.allows_for("idp.example.com", Ipv4Addr::new(8, 8, 8, 8).into()));
    }

    #[test]
    fn http_is_allowed_to_a_named_host_inside_an_allowed_network() {
        let guard = Guard::new(false, vec!["10.1.0.0/16".parse().expect("network")]).with_http_hosts(vec![
            "keycloak".into(),
            "10.1.2.3".into(),
            "10.2.0.1".into(),
        ]);
        for url in ["http://keycloak:8080/realms/x", "http://KEYCLOAK/", "http://10.1.2.3/", "https://keycloak/"] {
            assert!(is_allowed(&guard, url), "{url}");
        }
        for url in
            ["http://10.2.0.1/", "http://10.1.2.4/", "http://other/", "http://keycloak.example/", "http://localhost/"]
        {
            assert!(!is_allowed(&guard, url), "{url}");
        }
        assert!(guard.allows_for("keycloak", Ipv4Addr::new(10, 1, 2, 3).into()));
        for address in [Ipv4Addr::new(10, 2, 0, 1), Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::LOCALHOST] {
            assert!(!guard.allows_for("keycloak", address.into()), "{address}");
        }
    }

    #[test]
    fn the_proxy_may_have_any_address_and_no_other_host_may() {
        let guard = Guard::new(false, Vec::new()).with_proxy_host(Some("proxy.internal"));
        let private = Ipv4Addr::new(10, 0, 0, 5).into();
        assert!(guard.allows_for("proxy.internal", private) && !guard.allows_for("idp.internal", private));
        for url in ["https://localhost/", "https://localhost./", "https://a.localhost./", "https://10.0.0.5/"] {
            assert!(!is_allowed(&guard, url), "{url}");
        }
        // A URL that a client names must not reach the proxy itself, past the check of its address.
        for url in ["https://proxy.internal/", "https://PROXY.internal:8443/", "https://proxy.internal./"] {
            assert!(!is_allowed(&guard, url), "{url}");
        }
        let listed = guard.with_http_hosts(vec!["proxy.internal".into()]);
        assert!(!is_allowed(&listed, "http://proxy.internal/"));
    }

    #[test]
    fn an_allowed_network_is_allowed_and_its_neighbour_is_not() {
        let guard = Guard::new(false, vec!["10.1.0.0/16".parse().expect("network")]);
        assert!(is_allowed(&guard, "https://10.1.2.3/"));
        assert!(!is_allowed(&guard, "https://10.2.0.1/"));
        assert!(!is_allowed(&guard, "https://[::ffff:10.1.2.3]/"));
        assert!(!is_allowed(&guard, "http://10.1.2.3/"));
    }
}
