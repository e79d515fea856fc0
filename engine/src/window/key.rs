//! The values that make a group, as one key.
//!
//! Each value is its length and its bytes, so that no two lists of values have the same key. A value
//! that is absent (only carried fields can be) has a length of its own.

use std::sync::Arc;

/// The longest value of an event that makes a group or is counted; an event with a longer one feeds no
/// window.
pub const VALUE_BYTES_MAX: usize = 8 << 10;

const ABSENT: u32 = u32::MAX;

/// The values of `group-by`, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupKey(Arc<[u8]>);

impl GroupKey {
    /// The key of these values.
    pub fn new<'a>(values: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            let len = value.map_or(ABSENT, |value| {
                debug_assert!(value.len() <= VALUE_BYTES_MAX);
                value.len() as u32
            });
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(value.unwrap_or_default());
        }
        Self(bytes.into())
    }

    /// The key whose [`Self::as_bytes`] these are; `None` if they are no key's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let len = u32::from_le_bytes(*len);
            rest = if len == ABSENT { behind } else { behind.get(len as usize..)? };
        }
        Some(Self(bytes.into()))
    }

    /// The key that has these bytes.
    pub(crate) fn of(bytes: &Arc<[u8]>) -> Self {
        Self(Arc::clone(bytes))
    }

    /// The key as bytes: what tells one group from another, and what a group is sharded by.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let len = u32::from_le_bytes(*len);
            if len == ABSENT {
                rest = behind;
                return Some(None);
            }
            let (value, behind) = behind.split_at(len as usize);
            rest = behind;
            Some(Some(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_no_key() {
        for bytes in [&b"a"[..], &[1, 0, 0, 0], &[0, 0, 0, 0, 9], &[2, 0, 0, 0, b'a']] {
            assert_eq!(GroupKey::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn keys_give_their_values_back_and_differ() {
        let lists: [&[Option<&[u8]>]; 6] =
            [&[], &[None], &[Some(b"")], &[Some(b"a"), Some(b"b")], &[Some(b"ab")], &[Some(b"a")]];
        for (at, list) in lists.iter().enumerate() {
            let key = GroupKey::new(list.iter().copied());
            assert_eq!(key.values().collect::<Vec<_>>(), *list);
            assert_eq!(GroupKey::from_bytes(key.as_bytes()).as_ref(), Some(&key));
            for other in &lists[at + 1..] {
                assert_ne!(key, GroupKey::new(other.iter().copied()));
            }
        }
    }
}
