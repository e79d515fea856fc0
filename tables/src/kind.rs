//! How the keys of a table and the values of records meet.
//!
//! In: a key as a row has it, or a value as a record has it. Out: stored keys, bytes that are equal where
//! key and value meet. A row has one stored key; a value may lead to several: an address is in one network
//! of each length, a domain has parents, a list has many hashes. They come most special first.

use std::net::IpAddr;
use std::ops::ControlFlow;

/// More parents of a domain are not looked for: the longest that DNS allows has 127 labels.
pub const DOMAIN_LABELS_MAX: usize = 127;
/// More entries of a list of hashes are not looked at.
pub const HASHES_MAX: usize = 32;

/// How keys and values meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchKind {
    /// They are the same text; if `folds`, whatever the case, as texts of rules are.
    Exact {
        /// Case does not count.
        folds: bool,
    },
    /// The value is an address, the key an address or a network it lies in.
    Cidr,
    /// The value is a domain, the key the same one or a parent.
    Domain,
    /// The value is a hash, or a list as `SHA256=…,MD5=…`, the key a hash in it; a key `IMPHASH=…` meets
    /// only values that have this name.
    Hashes,
}

/// What a table's keys are like, so that a look-up does not try what no row has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyFacts {
    /// By length of prefix.
    v4: [u64; 1],
    v6: [u64; 3],
    labels_max: usize,
    has_named: bool,
    has_unnamed: bool,
}

impl MatchKind {
    /// Appends the stored key of a row's key; what is wrong if it is none.
    pub(crate) fn store(self, key: &[&str], out: &mut Vec<u8>) -> Result<(), String> {
        let [key] = key else {
            return match self {
                Self::Exact { .. } => {
                    self.exact(key.iter().map(|part| part.as_bytes()), out);
                    Ok(())
                }
                _ => Err("a key of several columns has to be exact".to_owned()),
            };
        };
        let trimmed = key.trim();
        if trimmed.is_empty() {
            return Err("the key is empty".to_owned());
        }
        let key = if matches!(self, Self::Exact { .. }) { key } else { trimmed };
        let shown = || key.chars().take(80).collect::<String>();
        match self {
            Self::Exact { .. } => self.exact([key.as_bytes()].into_iter(), out),
            Self::Cidr => {
                let (address, len) = match key.split_once('/') {
                    None => (key, None),
                    Some((address, len)) => (address, Some(len)),
                };
                let address: IpAddr =
                    address.parse().map_err(|_| format!("`{}` is no network", shown()))?;
                let bits = if address.is_ipv4() { 32 } else { 128 };
                let len: u8 = match len {
                    None => bits,
                    Some(len) => len
                        .parse()
                        .ok()
                        .filter(|len| *len <= bits)
                        .ok_or_else(|| format!("`{}` is no network", shown()))?,
                };
                match address {
                    // An IPv4 address in IPv6's clothes is that address.
                    IpAddr::V6(v6) if len >= 96 && v6.to_ipv4_mapped().is_some() => {
                        network(address.to_canonical(), len - 96, out);
                    }
                    address => network(address, len, out),
                }
            }
            Self::Domain => {
                let domain = key.strip_prefix("*.").or(key.strip_prefix('.')).unwrap_or(key);
                let domain = domain.strip_suffix('.').unwrap_or(domain);
                let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '*';
                if domain.is_empty()
                    || domain.contains(is_odd)
                    || domain.split('.').any(str::is_empty)
                {
                    return Err(format!("`{}` is no domain", shown()));
                }
                fold(domain.as_bytes(), out);
            }
            Self::Hashes => {
                let (name, hex) = key.split_once('=').unwrap_or(("", key));
                if !hash(name, hex, out) {
                    return Err(format!("`{}` is no hash", shown()));
                }
            }
        }
        Ok(())
    }

    fn exact<'a>(self, parts: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
        let is_one = parts.len() == 1;
        for part in parts {
            let at = out.len();
            match self {
                Self::Exact { folds: true } => fold(part, out),
                _ => out.extend_from_slice(part),
            }
            if !is_one {
                // Behind the part, so that no two lists of parts are the same bytes.
                let len = (out.len() - at) as u32;
                out.extend_from_slice(&len.to_le_bytes());
            }
        }
    }

    /// Calls `each` with every stored key that a value may meet, most special first.
    pub(crate) fn look_up(
        self,
        value: &[&[u8]],
        facts: &KeyFacts,
        buf: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        buf.clear();
        match self {
            Self::Exact { folds } => match value {
                [value] if !folds => each(value),
                value => {
                    self.exact(value.iter().copied(), buf);
                    each(buf)
                }
            },
            _ => {
                let [value] = value else { return ControlFlow::Continue(()) };
                match self {
                    Self::Cidr => facts.networks(value, buf, each),
                    Self::Domain => facts.domains(value, buf, each),
                    _ => facts.hashes(value, buf, each),
                }
            }
        }
    }

    /// A stored key as people write it.
    pub(crate) fn show(self, parts: usize, stored: &[u8]) -> String {
        match (self, stored) {
            (Self::Exact { .. }, stored) if parts > 1 => show_parts(stored),
            (Self::Cidr, [4, len, rest @ ..]) => {
                let mut octets = [0; 4];
                octets[..rest.len().min(4)].copy_from_slice(rest);
                format!("{}/{len}", IpAddr::from(octets))
            }
            (Self::Cidr, [6, len, rest @ ..]) => {
                let mut octets = [0; 16];
                octets[..rest.len().min(16)].copy_from_slice(rest);
                format!("{}/{len}", IpAddr::from(octets))
            }
            (Self::Hashes, [len, rest @ ..]) => {
                let (name, bytes) = rest.split_at(usize::from(*len).min(rest.len()));
                let name = String::from_utf8_lossy(name);
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                if name.is_empty() { hex } else { format!("{name}={hex}") }
            }
            _ => String::from_utf8_lossy(stored).into_owned(),
        }
    }
}

impl KeyFacts {
    /// Takes a stored key in.
    pub(crate) fn add(&mut self, kind: MatchKind, stored: &[u8]) {
        match (kind, stored) {
            (MatchKind::Cidr, [4, len, ..]) => self.v4[0] |= 1 << len,
            (MatchKind::Cidr, [6, len, ..]) => self.v6[usize::from(len / 64)] |= 1 << (len % 64),
            (MatchKind::Domain, stored) => {
                let labels = 1 + stored.iter().filter(|byte| **byte == b'.').count();
                self.labels_max = self.labels_max.max(labels);
            }
            (MatchKind::Hashes, [0, ..]) => self.has_unnamed = true,
            (MatchKind::Hashes, _) => self.has_named = true,
            _ => {}
        }
    }

    fn networks(
        &self,
        value: &[u8],
        buf: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(address) = address(value) else { return ControlFlow::Continue(()) };
        let words: &[u64] = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        for (at, word) in words.iter().enumerate().rev() {
            let mut word = *word;
            while word != 0 {
                let bit = 63 - word.leading_zeros();
                word &= !(1 << bit);
                buf.clear();
                network(address, (at * 64) as u8 + bit as u8, buf);
                each(buf)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn domains(
        &self,
        value: &[u8],
        buf: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        fold(value.strip_suffix(b".").unwrap_or(value), buf);
        let mut rest: &[u8] = buf;
        let mut labels = 1 + rest.iter().filter(|byte| **byte == b'.').count();
        if labels > DOMAIN_LABELS_MAX {
            return ControlFlow::Continue(());
        }
        loop {
            if labels <= self.labels_max {
                each(rest)?;
            }
            let Some(dot) = rest.iter().position(|byte| *byte == b'.') else {
                return ControlFlow::Continue(());
            };
            rest = &rest[dot + 1..];
            labels -= 1;
        }
    }

    fn hashes(
        &self,
        value: &[u8],
        buf: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Ok(value) = std::str::from_utf8(value) else { return ControlFlow::Continue(()) };
        let is_gap = |c: char| matches!(c, ',' | ';' | '|' | ' ');
        for entry in value.split(is_gap).filter(|entry| !entry.is_empty()).take(HASHES_MAX) {
            let (name, hex) = entry.split_once('=').unwrap_or(("", entry));
            if self.has_named && !name.is_empty() {
                buf.clear();
                if hash(name, hex, buf) {
                    each(buf)?;
                }
            }
            if self.has_unnamed {
                buf.clear();
                if hash("", hex, buf) {
                    each(buf)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The parts of a key, of which each has its length behind it.
fn show_parts(mut stored: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((rest, len)) = stored.split_last_chunk::<4>() {
        let start = rest.len().saturating_sub(u32::from_le_bytes(*len) as usize);
        parts.push(String::from_utf8_lossy(&rest[start..]));
        stored = &rest[..start];
    }
    parts.reverse();
    parts.join(", ")
}

/// The address in a text; one of IPv4 in IPv6's clothes is that one.
fn address(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    Some(text.trim().parse::<IpAddr>().ok()?.to_canonical())
}

/// Appends the stored key of the network of so many bits that an address lies in.
fn network(address: IpAddr, len: u8, out: &mut Vec<u8>) {
    let mut put = |family: u8, octets: &[u8]| {
        out.extend([family, len]);
        let whole = usize::from(len / 8);
        out.extend_from_slice(&octets[..whole]);
        if !len.is_multiple_of(8) {
            out.push(octets[whole] & (0xff << (8 - len % 8)));
        }
    };
    match address {
        IpAddr::V4(v4) => put(4, &v4.octets()),
        IpAddr::V6(v6) => put(6, &v6.octets()),
    }
}

/// Appends the stored key of a hash; false if it is none.
fn hash(name: &str, hex: &str, out: &mut Vec<u8>) -> bool {
    let at = out.len();
    let name = name.trim().as_bytes();
    let hex = hex.trim().as_bytes();
    if name.len() > 32 || hex.is_empty() || hex.len() > 256 || !hex.len().is_multiple_of(2) {
        return false;
    }
    out.push(name.len() as u8);
    out.extend(name.iter().map(u8::to_ascii_uppercase));
    for pair in hex.chunks_exact(2) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            out.truncate(at);
            return false;
        };
        out.push(high << 4 | low);
    }
    true
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Appends a text, folded as texts of rules are: by Unicode's simple case folding.
fn fold(text: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    if text.is_ascii() {
        out.extend_from_slice(text);
        out[at..].make_ascii_lowercase();
        return;
    }
    let Ok(text) = std::str::from_utf8(text) else {
        out.extend_from_slice(text);
        return;
    };
    for c in text.chars() {
        let folded = unicode_case_mapping::case_folded(c).and_then(|c| char::from_u32(c.get()));
        let mut utf8 = [0; 4];
        out.extend_from_slice(folded.unwrap_or(c).encode_utf8(&mut utf8).as_bytes());
    }
}
