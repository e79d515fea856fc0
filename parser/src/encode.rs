//! The encoding modifiers: UTF-16 and Base64 forms of a literal text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::modifier::Modifier;

/// The bytes of a text under `utf16le`, `wide`, `utf16be`, `utf16` (little endian behind a byte-order
/// mark), or in UTF-8 without one of them.
pub(crate) fn bytes(text: &str, encoding: Option<Modifier>) -> Vec<u8> {
    let units = || text.encode_utf16();
    match encoding {
        Some(Modifier::Utf16Le | Modifier::Wide) => units().flat_map(u16::to_le_bytes).collect(),
        Some(Modifier::Utf16Be) => units().flat_map(u16::to_be_bytes).collect(),
        Some(Modifier::Utf16) => {
            [0xff, 0xfe].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect()
        }
        _ => text.as_bytes().to_vec(),
    }
}

/// The Base64 form of the bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The three forms that the bytes can have inside a longer Base64 text, one for each place modulo 3
/// at which they can begin. Characters that also depend on the bytes before or behind are left out.
pub(crate) fn base64_offsets(bytes: &[u8]) -> Vec<String> {
    (0..3)
        .map(|shift| {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(bytes);
            let encoded = STANDARD.encode(&shifted);
            let start = [0, 2, 3][shift];
            let end = encoded.len() - [0, 3, 2][shifted.len() % 3];
            encoded[start.min(end)..end].to_owned()
        })
        // A value of one or two bytes leaves no character of its own at some shifts.
        .filter(|form| !form.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_the_three_static_parts() {
        assert_eq!(base64_offsets(b"foobar"), ["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]);
        assert_eq!(base64_offsets(b"/bin/bash"), ["L2Jpbi9iYXNo", "9iaW4vYmFza", "vYmluL2Jhc2"]);
    }

    #[test]
    fn every_offset_form_is_inside_the_encoded_text() {
        for len in 1..8 {
            let value = &b"whoami/x"[..len];
            let forms = base64_offsets(value);
            for before in 0..6 {
                let mut text = vec![b'z'; before];
                text.extend_from_slice(value);
                text.extend_from_slice(b"tail");
                let encoded = base64(&text);
                assert!(forms.iter().any(|form| encoded.contains(form.as_str())), "{len} {before}");
            }
        }
    }

    #[test]
    fn utf16_forms_have_their_byte_order() {
        assert_eq!(bytes("cm", Some(Modifier::Wide)), b"c\0m\0");
        assert_eq!(bytes("cm", Some(Modifier::Utf16Be)), b"\0c\0m");
        assert_eq!(bytes("c", Some(Modifier::Utf16)), b"\xff\xfec\0");
        assert_eq!(bytes("ü", None), "ü".as_bytes());
    }
}
