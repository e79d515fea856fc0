//! Numbers in few bytes: seven bits a byte, the low ones first.

/// Small numbers of either sign as small numbers without one.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(super) fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

pub(super) fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    let mut shift = 0;
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

/// A long number is short but for the largest ones: its upper half is a number of its own.
pub(super) fn put_long(bytes: &mut Vec<u8>, value: i128) {
    let zigzag = ((value << 1) ^ (value >> 127)) as u128;
    put(bytes, zigzag as u64);
    put(bytes, (zigzag >> 64) as u64);
}

pub(super) fn take_long(bytes: &mut &[u8]) -> i128 {
    let zigzag = u128::from(take(bytes)) | u128::from(take(bytes)) << 64;
    (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128)
}

/// A list of bytes, behind its length.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, value: &[u8]) {
    put(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = take(bytes) as usize;
    let (value, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    value
}

/// Reads numbers and bytes of which nobody knows if they are what they should be.
pub(super) struct Checked<'a>(pub(super) &'a [u8]);

impl<'a> Checked<'a> {
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let len = self.0.iter().position(|byte| *byte < 0x80)? + 1;
        if len > 10 || (len == 10 && self.0[9] > 1) {
            return None;
        }
        Some(take(&mut self.0))
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        self.number().map(unzigzag)
    }

    pub(super) fn long(&mut self) -> Option<i128> {
        let zigzag = u128::from(self.number()?) | u128::from(self.number()?) << 64;
        Some((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut bytes = Vec::new();
        let numbers = [0, 1, 127, 128, 300, u64::MAX];
        let longs = [0, -1, i128::MIN, i128::MAX, 1_000_000_000_000_000_000_000];
        numbers.iter().for_each(|number| put(&mut bytes, *number));
        longs.iter().for_each(|number| put_long(&mut bytes, *number));
        put_bytes(&mut bytes, b"text");
        let mut rest = &bytes[..];
        assert_eq!(numbers.map(|_| take(&mut rest)), numbers);
        assert_eq!(longs.map(|_| take_long(&mut rest)), longs);
        assert_eq!(take_bytes(&mut rest), b"text");
        assert!(rest.is_empty());
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
    }
}
