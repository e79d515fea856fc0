//! Bytes as text: UTF-8, and a clear word on everything else.

use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// The text of a file, or what keeps it from being one. The place of an error is its byte offset.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, Diagnostic> {
    let error = |at: usize, message: &str| {
        let span = Span::new(at, at);
        Err(Diagnostic::error(Code::Encoding, span)
            .message(message)
            .help("save the file as UTF-8 without NUL characters"))
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return error(0, "the text is UTF-16; rules are written in UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => check(text).map(|()| text),
        Err(fault) => {
            let at = fault.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            error(at, &format!("the text is not UTF-8: byte 0x{byte:02x}"))
        }
    }
}

/// Looks for characters that no YAML text may hold.
pub(crate) fn check(text: &str) -> Result<(), Diagnostic> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(Diagnostic::error(Code::Encoding, Span::new(at, at + 1))
            .message("the text holds a NUL character")
            .help("save the file as UTF-8 without NUL characters")),
    }
}
