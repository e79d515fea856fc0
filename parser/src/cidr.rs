//! Values under `cidr`.

use std::net::IpAddr;

use ipnet::IpNet;

/// A network, and whether bits behind its prefix had to be cleared.
pub(crate) struct Network {
    pub(crate) net: IpNet,
    pub(crate) has_host_bits: bool,
}

/// Reads `10.0.0.0/8`, `fe80::/10`, or a single address.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Network { net: address.into(), has_host_bits: false });
    }
    let Some((address, prefix)) = text.split_once('/') else {
        return Err(format!("`{text}` is not an IP network"));
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!("`{address}` is not an IP address"));
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    let is_digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
    let prefix = prefix.parse::<u8>().ok().filter(|prefix| is_digits && *prefix <= max);
    let net = prefix.and_then(|prefix| IpNet::new(address, prefix).ok());
    match net {
        Some(net) => Ok(Network { net: net.trunc(), has_host_bits: net.trunc() != net }),
        None => Err(format!("the prefix in `{text}` is not a number from 0 to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_masked() {
        for (text, expected, has_host_bits) in [
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.0.0.1/8", "10.0.0.0/8", true),
            ("192.0.2.7", "192.0.2.7/32", false),
            ("fe80::/10", "fe80::/10", false),
            ("2001:db8::1/32", "2001:db8::/32", true),
            ("0.0.0.0/0", "0.0.0.0/0", false),
        ] {
            let network = network(text).unwrap();
            assert_eq!(network.net.to_string(), expected);
            assert_eq!(network.has_host_bits, has_host_bits, "{text}");
        }
        for text in ["ten.0.0.0/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10/8", "", "1.2.3.4/+8"]
        {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
