//! [`Caller`]: the source address of a request.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};
use portcullis_core::forwarded_address;

/// The source address of a request: an IPv4 address, or the /64 network of an IPv6 address, which a single machine can use.
///
/// All requests without a known address are one caller. Limits per client apply to them, and limits per address alone do not, because
/// one caller could exhaust them for all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Caller(Option<IpAddr>);

/// The part of an IPv6 address that is assigned to a machine: 64 bits.
const MACHINE_MASK: u128 = !0 << 64;

/// The part of an IPv6 address that is assigned to a customer: 48 bits.
const NETWORK_MASK: u128 = !0 << 80;

impl Caller {
    /// Returns the last address in `header`, which a reverse proxy sets. Without the header, the request did not pass the proxy, and the
    /// address is the peer of the connection, from axum's `ConnectInfo<SocketAddr>`.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, header: Option<&HeaderName>) -> Self {
        let connected = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let address = header.and_then(|header| forwarded_address(headers, header)).or_else(connected);
        Self(address.map(|address| masked(address.to_canonical(), MACHINE_MASK)))
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the address, or the /64 network of an IPv6 address.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.0
    }

    /// Returns the address, or the /48 network of an IPv6 address, which one customer can have.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.0.map(|address| masked(address, NETWORK_MASK))
    }
}

fn masked(address: IpAddr, mask: u128) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

    fn behind_a_proxy(values: &[&'static str]) -> Caller {
        let values = values.iter().map(|value| (FORWARDED, HeaderValue::from_static(value)));
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 80))));
        Caller::of(&values.collect(), &extensions, Some(&FORWARDED))
    }

    fn at(address: &str) -> Caller {
        Caller(Some(address.parse().expect("an address")))
    }

    #[test]
    fn without_a_configured_header_the_caller_is_the_peer_of_the_connection() {
        let headers = HeaderMap::from_iter([(FORWARDED, HeaderValue::from_static("192.0.2.1"))]);
        let mut extensions = Extensions::new();
        assert!(!Caller::of(&headers, &extensions, None).is_known());
        extensions.insert(ConnectInfo(SocketAddr::from(([198, 51, 100, 7], 4711))));
        assert_eq!(Caller::of(&headers, &extensions, None), at("198.51.100.7"));
    }

    #[test]
    fn behind_a_proxy_the_caller_is_the_last_address_in_the_header() {
        assert_eq!(behind_a_proxy(&["192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["203.0.113.9, 192.0.2.1"]), at("192.0.2.1"), "clients can forge the first address");
        assert_eq!(behind_a_proxy(&["203.0.113.9", "192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["192.0.2.1:4711"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]:4711"]), at("2001:db8::"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]"]), at("2001:db8::"));
    }

    #[test]
    fn a_request_that_did_not_pass_the_proxy_has_the_address_of_the_peer() {
        for missing in [&[][..], &["unknown"], &["192.0.2.1,"]] {
            assert_eq!(behind_a_proxy(missing), at("10.0.0.1"), "{missing:?}");
        }
        assert!(!Caller::of(&HeaderMap::new(), &Extensions::new(), Some(&FORWARDED)).is_known());
    }

    #[test]
    fn the_addresses_of_one_network_are_one_caller() {
        assert_eq!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:1:ffff::2"]));
        assert_ne!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:2::1"]));
        assert_eq!(behind_a_proxy(&["::ffff:192.0.2.1"]), at("192.0.2.1"), "an IPv4-mapped address");
        assert_ne!(behind_a_proxy(&["192.0.2.1"]), behind_a_proxy(&["192.0.2.2"]));
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_network() {
        let network = |address| at(address).network().expect("an address");
        assert_eq!(network("2001:db8:0:1::"), network("2001:db8:0:2::"));
        assert_ne!(network("2001:db8:0:1::"), network("2001:db8:1:1::"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
