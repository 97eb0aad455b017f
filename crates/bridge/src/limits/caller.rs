//! [`Caller`]: where a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};
use portcullis_core::forwarded_address;

/// Where a request comes from, as far as it is known: an IPv4 address, or the network of an IPv6 address, all of which a single
/// machine has at its disposal.
///
/// All whose address is not known are one caller: by client they are limited as one, and by address alone they are not, for then
/// anybody could stop everybody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Caller(Option<IpAddr>);

/// The part of an IPv6 address that is given out to a machine: 64 bits.
const NETWORK: u128 = !0 << 64;

/// The part of an IPv6 address that is given out to a site: 48 bits.
const SITE: u128 = !0 << 80;

impl Caller {
    /// Whoever sent a request with `headers` and `extensions`: the last address in `header`, which a proxy in front has set. Without
    /// one, what came did not come by that proxy, and it is the other end of the connection, as axum's `ConnectInfo<SocketAddr>`
    /// tells it.
    pub(crate) fn of(headers: &HeaderMap, extensions: &Extensions, header: Option<&HeaderName>) -> Self {
        let connected = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let address = header.and_then(|header| forwarded_address(headers, header)).or_else(connected);
        Self(address.map(|address| masked(address.to_canonical(), NETWORK)))
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// The address, or the network of an IPv6 address; `None` if it is not known.
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.0
    }

    /// The address, or the many networks of IPv6 that a single customer may have; `None` if it is not known.
    pub(crate) fn site(&self) -> Option<IpAddr> {
        self.0.map(|address| masked(address, SITE))
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
    fn a_caller_is_the_other_end_of_the_connection_whatever_headers_say() {
        let headers = HeaderMap::from_iter([(FORWARDED, HeaderValue::from_static("192.0.2.1"))]);
        let mut extensions = Extensions::new();
        assert!(!Caller::of(&headers, &extensions, None).is_known());
        extensions.insert(ConnectInfo(SocketAddr::from(([198, 51, 100, 7], 4711))));
        assert_eq!(Caller::of(&headers, &extensions, None), at("198.51.100.7"));
    }

    #[test]
    fn behind_a_proxy_it_is_the_last_address_that_the_proxy_names() {
        assert_eq!(behind_a_proxy(&["192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["203.0.113.9, 192.0.2.1"]), at("192.0.2.1"), "the first is anybody's claim");
        assert_eq!(behind_a_proxy(&["203.0.113.9", "192.0.2.1"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["192.0.2.1:4711"]), at("192.0.2.1"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]:4711"]), at("2001:db8::"));
        assert_eq!(behind_a_proxy(&["[2001:db8::1]"]), at("2001:db8::"));
    }

    #[test]
    fn what_did_not_come_by_the_proxy_has_an_address_as_well() {
        for missing in [&[][..], &["unknown"], &["192.0.2.1,"]] {
            assert_eq!(behind_a_proxy(missing), at("10.0.0.1"), "{missing:?}");
        }
        assert!(!Caller::of(&HeaderMap::new(), &Extensions::new(), Some(&FORWARDED)).is_known());
    }

    #[test]
    fn the_addresses_of_one_network_are_one_caller() {
        assert_eq!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:1:ffff::2"]));
        assert_ne!(behind_a_proxy(&["2001:db8:0:1::1"]), behind_a_proxy(&["2001:db8:0:2::1"]));
        assert_eq!(behind_a_proxy(&["::ffff:192.0.2.1"]), at("192.0.2.1"), "IPv4 in other clothes");
        assert_ne!(behind_a_proxy(&["192.0.2.1"]), behind_a_proxy(&["192.0.2.2"]));
    }

    #[test]
    fn the_networks_of_one_customer_are_one_site() {
        let site = |address| at(address).site().expect("an address");
        assert_eq!(site("2001:db8:0:1::"), site("2001:db8:0:2::"));
        assert_ne!(site("2001:db8:0:1::"), site("2001:db8:1:1::"));
        assert_ne!(site("192.0.2.1"), site("192.0.2.2"));
    }
}
