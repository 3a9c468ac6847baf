//! What an address is: public, or something that a name must never lead a guest to.
//!
//! After the IANA registries of special-purpose addresses (RFC 6890 and its successors:
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>),
//! with multicast (RFC 5771, RFC 4291) and the addresses at which clouds answer questions about a machine. Where a registry
//! calls a small block reachable that no service of the public web has, it is blocked all the same. Of IPv6, only what is
//! assigned to the public (`2000::/3`) is public; an address that carries an IPv4 address is what that address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// `0.0.0.0`, `::`: this very machine, to most systems.
    Unspecified,
    /// The rest of `0.0.0.0/8` (RFC 791).
    ThisNetwork,
    /// `127.0.0.0/8`, `::1` (RFC 1122, RFC 4291).
    Loopback,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918).
    Private,
    /// `169.254.0.0/16`, `fe80::/10` (RFC 3927, RFC 4291).
    LinkLocal,
    /// Where a cloud tells a machine its credentials.
    Metadata,
    /// `100.64.0.0/10`: between a provider and its customers (RFC 6598).
    SharedSpace,
    /// `198.18.0.0/15`, `2001:2::/48` (RFC 2544, RFC 5180).
    Benchmarking,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32`, `3fff::/20` (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255` (RFC 919).
    Broadcast,
    /// For protocols, or for nobody yet: `192.0.0.0/24`, `192.88.99.0/24`, `240.0.0.0/4`, `100::/64`, `2001::/23`, `5f00::/16`,
    /// and all of IPv6 that is not assigned.
    Reserved,
    /// `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// `fec0::/10`, once private (RFC 3879).
    SiteLocal,
    /// `64:ff9b:1::/48`: translated to IPv4 in a way that only the network knows (RFC 8215).
    LocalTranslation,
}

impl Special {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "the unspecified address, which is this machine",
            Self::ThisNetwork => "an address of this network",
            Self::Loopback => "a loopback address, which is this machine",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address where a cloud hands out credentials",
            Self::SharedSpace => "an address shared between a provider and its customers",
            Self::Benchmarking => "an address for benchmarks",
            Self::Documentation => "an address for documentation",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Reserved => "a reserved address",
            Self::UniqueLocal => "a unique local address, which is private",
            Self::SiteLocal => "a site-local address, which is private",
            Self::LocalTranslation => "an address that the network translates by itself",
        }
    }
}

/// What an address is; `None` if it is public.
pub fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    let special = match address.octets() {
        // Amazon, Google, Azure, OpenStack and others; Amazon's containers; Alibaba; Oracle; Azure's own host.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [192, 0, 0, 192]
        | [168, 63, 129, 16] => Special::Metadata,
        [0, 0, 0, 0] => Special::Unspecified,
        [0, ..] => Special::ThisNetwork,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special::Private,
        [100, 64..=127, ..] => Special::SharedSpace,
        [127, ..] => Special::Loopback,
        [169, 254, ..] => Special::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Special::Documentation,
        [198, 18..=19, ..] => Special::Benchmarking,
        [224..=239, ..] => Special::Multicast,
        [255, 255, 255, 255] => Special::Broadcast,
        // Protocol assignments (RFC 6890), relays of 6to4 (RFC 7526), AS112 (RFC 7534, RFC 7535), AMT (RFC 7450).
        [192, 0, 0, _]
        | [192, 88, 99, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 175, 48, _]
        | [240..=255, ..] => Special::Reserved,
        _ => return None,
    };
    Some(special)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    let segments = address.segments();
    let special = match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] => Special::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Special::Loopback,
        // Amazon's, for machines and for containers; Google's.
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254 | 0x23] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Special::Metadata,
        // IPv4 in the last 32 bits: compatible (RFC 4291), mapped (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return special_v4(embedded(high, low)),
        [0x64, 0xff9b, 1, ..] => Special::LocalTranslation,
        // Teredo (RFC 4380): the server, and the client with all bits turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            let client = embedded(!client_high, !client_low);
            return special_v4(embedded(high, low)).or_else(|| special_v4(client));
        }
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => return special_v4(embedded(high, low)),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Special::Documentation,
        [0x2001, 2, 0, ..] => Special::Benchmarking,
        // Protocol assignments, ORCHID, drone identifiers (RFC 2928); AS112 (RFC 7534).
        [0x2001, 0..=0x1ff, ..] | [0x2620, 0x4f, 0x8000, ..] => Special::Reserved,
        // ISATAP (RFC 5214): a tunnel to an IPv4 address, within somebody's network.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => return special_v4(embedded(high, low)),
        [0x2000..=0x3fff, ..] => return None,
        [0xfc00..=0xfdff, ..] => Special::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Special::LinkLocal,
        [0xfec0..=0xfeff, ..] => Special::SiteLocal,
        [0xff00..=0xffff, ..] => Special::Multicast,
        _ => Special::Reserved,
    };
    Some(special)
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<Special> {
        special(address.parse().unwrap())
    }

    /// First and last address of each block, and its neighbours where they are public.
    #[test]
    fn every_block_begins_and_ends_where_the_registry_says() {
        use Special::*;
        for (first, last, expected) in [
            ("0.0.0.1", "0.255.255.255", ThisNetwork),
            ("10.0.0.0", "10.255.255.255", Private),
            ("100.64.0.0", "100.127.255.255", SharedSpace),
            ("127.0.0.0", "127.255.255.255", Loopback),
            ("169.254.0.0", "169.254.255.255", LinkLocal),
            ("172.16.0.0", "172.31.255.255", Private),
            ("192.0.0.0", "192.0.0.255", Reserved),
            ("192.0.2.0", "192.0.2.255", Documentation),
            ("192.88.99.0", "192.88.99.255", Reserved),
            ("192.168.0.0", "192.168.255.255", Private),
            ("198.18.0.0", "198.19.255.255", Benchmarking),
            ("198.51.100.0", "198.51.100.255", Documentation),
            ("203.0.113.0", "203.0.113.255", Documentation),
            ("224.0.0.0", "239.255.255.255", Multicast),
            ("240.0.0.0", "255.255.255.254", Reserved),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", LocalTranslation),
            ("100::", "100::ffff:ffff:ffff:ffff", Reserved),
            ("2001:1::", "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Benchmarking),
            ("2001:10::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Documentation),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Documentation),
            ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UniqueLocal),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LinkLocal),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", SiteLocal),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast),
        ] {
            assert_eq!((of(first), of(last)), (Some(expected), Some(expected)), "{first} to {last}");
        }
        for public in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2606:4700::1111",
            "3fff:1000::",
            "3ffe:ffff::1",
        ] {
            assert_eq!(of(public), None, "{public}");
        }
    }

    #[test]
    fn an_address_inside_an_address_counts() {
        for (text, expected) in [
            ("::ffff:127.0.0.1", Some(Special::Loopback)),
            ("::ffff:8.8.8.8", None),
            ("::127.0.0.1", Some(Special::Loopback)),
            ("::ffff:0:10.0.0.1", Some(Special::Private)),
            ("64:ff9b::169.254.169.254", Some(Special::Metadata)),
            ("64:ff9b::8.8.8.8", None),
            ("2002:7f00:1::", Some(Special::Loopback)),
            ("2002:808:808::1", None),
            // Server 10.0.0.1; then client 127.0.0.1 behind a public server.
            ("2001:0:a00:1::", Some(Special::Private)),
            ("2001:0:808:808:0:0:80ff:fffe", Some(Special::Loopback)),
            ("2606:4700::5efe:10.0.0.1", Some(Special::Private)),
            ("2606:4700:0:0:200:5efe:192.168.0.1", Some(Special::Private)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
