//! Prints the findings of rule files as `file:line:column: severity[code]: message`.
//!
//! `cargo run -p sigmill-parser --example findings -- rules/*.yml`

#![allow(clippy::print_stdout)] // Printing is what it is for.

use sigmill_parser::LineIndex;

fn main() -> std::io::Result<()> {
    let (mut files, mut documents) = (0, 0);
    let start = std::time::Instant::now();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let parsed = sigmill_parser::parse_bytes(&bytes);
        files += 1;
        documents += parsed.documents.len();
        let text = String::from_utf8_lossy(&bytes);
        let index = LineIndex::new(&text);
        let warnings = sigmill_parser::check(&parsed.documents);
        for finding in parsed.diagnostics.into_iter().chain(warnings) {
            let place = index.position(finding.span.start);
            let severity = format!("{:?}", finding.severity).to_lowercase();
            let (line, column, code) = (place.line, place.column, finding.code.as_str());
            println!("{path}:{line}:{column}: {severity}[{code}]: {}", finding.message);
        }
    }
    println!("{documents} documents of {files} files in {:?}", start.elapsed());
    Ok(())
}
