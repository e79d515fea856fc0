//! Lists eager atoms by field, to study covers.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use std::sync::Arc;
fn collect(p: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
    if p.is_dir() {
        for e in std::fs::read_dir(p).unwrap() {
            collect(&e.unwrap().path(), out);
        }
    } else if p.extension().is_some_and(|e| e == "yml") {
        out.push(p.to_owned());
    }
}
fn main() {
    let mut files = vec![];
    collect(std::path::Path::new(&std::env::args().nth(1).unwrap()), &mut files);
    files.sort();
    let mut rules = vec![];
    for f in files {
        for d in sigmill_parser::parse_bytes(&std::fs::read(f).unwrap()).documents {
            if let sigmill_parser::Document::Rule(r) = d {
                rules.push(Arc::new(*r));
            }
        }
    }
    let plan = sigmill_codegen::compile(&rules, &Default::default()).plan;
    plan.dump_eager(|field, test| println!("{field}\t{test:?}"));
    for r in plan.always() {
        println!("ALWAYS\t{}", rules[plan.rule(*r).source as usize].title.node);
    }
}
