//! Any text as a rule: it is read, compiled and run, or refused with a reason, and never more.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sigmill_codegen::{CompileOptions, RuleDocument, compile_set};
use sigmill_engine::{Matcher, MatcherConfig};

fuzz_target!(|bytes: &[u8]| {
    let parsed = sigmill_parser::parse_bytes(bytes);
    for diagnostic in &parsed.diagnostics {
        assert!(diagnostic.span.start <= diagnostic.span.end);
        assert!(!diagnostic.message.is_empty());
    }
    let documents: Vec<RuleDocument> = parsed.documents.into_iter().map(Into::into).collect();
    let compiled = compile_set(&documents, &CompileOptions::default(), &[]);
    let mut matcher = Matcher::new(Arc::new(compiled.plan), MatcherConfig::default());
    for record in [&br#"{"EventID":1,"Image":"C:\\a.exe","CommandLine":"a b c"}"#[..], b"{}"] {
        assert!(matcher.matches(record).is_ok());
    }
});
