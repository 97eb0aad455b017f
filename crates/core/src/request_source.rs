//! [`RequestSource`]: the network that a request came from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU64,
};

use http::{HeaderMap, HeaderName};

/// The network that a request came from: an IPv4 address, or the 64-bit network of an IPv6 address, because one machine can use every
/// address of such a network.
///
/// It is a key for rate limits, not evidence of an identity. A server inserts it into the extensions of a request; without it, a limit
/// per source does not apply.
///
/// ```
/// use portcullis_core::RequestSource;
///
/// let source = |text: &str| text.parse().map(RequestSource::new);
/// assert_eq!(source("2001:db8::1")?, source("2001:db8::ffff:2")?);
/// assert_eq!(source("::ffff:192.0.2.1")?, source("192.0.2.1")?);
/// assert_ne!(source("192.0.2.1")?, source("192.0.2.2")?);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestSource(NonZeroU64);

/// The prefix of an IPv4 address. No assigned IPv6 network begins with it.
const IPV4: u64 = 0xffff << 32;

impl RequestSource {
    /// Creates the source of requests from `address`.
    #[must_use]
    pub const fn new(address: IpAddr) -> Self {
        let bits = match address.to_canonical() {
            IpAddr::V4(address) => IPV4 | address.to_bits() as u64,
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        Self(match NonZeroU64::new(bits) {
            Some(bits) => bits,
            // The network of the IPv6 loopback address.
            None => NonZeroU64::MIN,
        })
    }
}

/// Prints the network.
impl fmt::Debug for RequestSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.get();
        if bits >> 32 == IPV4 >> 32 {
            let [.., a, b, c, d] = bits.to_be_bytes();
            return write!(f, "RequestSource({a}.{b}.{c}.{d})");
        }
        write!(f, "RequestSource({}/64)", Ipv6Addr::from_bits(u128::from(bits) << 64))
    }
}

/// Returns the last address in `header`, which the proxy in front of this server has appended. The addresses before it are not
/// trustworthy: the client can send them.
///
/// Reads `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]` and `[2001:db8::1]:4711`; `None` if there is no header, or no address in it.
#[must_use]
pub fn forwarded_address(headers: &HeaderMap, header: &HeaderName) -> Option<IpAddr> {
    let last = headers.get_all(header).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(last);
    let socket = || last.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_a_source_and_prints_its_network() {
        let printed = |text: &str| format!("{:?}", RequestSource::new(text.parse().expect(text)));
        assert_eq!(printed("192.0.2.1"), "RequestSource(192.0.2.1)");
        assert_eq!(printed("0.0.0.0"), "RequestSource(0.0.0.0)");
        assert_eq!(printed("2001:db8:0:1::7"), "RequestSource(2001:db8:0:1::/64)");
        assert_eq!(RequestSource::new(Ipv6Addr::LOCALHOST.into()).0, NonZeroU64::MIN);
        assert_eq!(size_of::<Option<RequestSource>>(), 8);
    }
}
