//! `sigmill match`: where lines come from, how they are counted, and which are refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::sandbox::{HIT, MISS, Sandbox, hit_at};

/// Runs over stdin.
fn match_stdin(stdin: &[u8]) -> crate::sandbox::Outcome {
    Sandbox::with_rule().run_with_stdin("match --rules rules -", stdin)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn plain_gzip_zstd_and_stdin_give_the_same() {
    let text = format!("{MISS}\n{HIT}\n");
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let sandbox = Sandbox::with_rule()
        .file("a.ndjson", &text)
        .file("b.ndjson.gz", gzip(&text))
        .file("c.ndjson.zst", &zstd);
    for file in ["a.ndjson", "b.ndjson.gz", "c.ndjson.zst"] {
        let outcome = sandbox.run(&format!("match --rules rules {file}"));
        assert_eq!((outcome.status, outcome.stdout), (0, hit_at(1)), "{file}");
    }
    for stdin in [text.clone().into_bytes(), gzip(&text), zstd] {
        assert_eq!(match_stdin(&stdin).stdout, hit_at(1));
    }
}

#[test]
fn lines_are_numbered_from_0_over_all_files() {
    let sandbox = Sandbox::with_rule()
        .file("a", format!("{HIT}\n{MISS}"))
        .file("b", gzip(&format!("{HIT}\n")))
        .file("empty", "");
    let outcome = sandbox.run_with_stdin("match --rules rules a empty b - a", HIT.as_bytes());
    assert_eq!(outcome.stdout, [0, 2, 3, 4].map(hit_at).concat());
    assert!(outcome.stderr.contains("4 of 6 lines matched, 4 matches"), "{}", outcome.stderr);
}

#[test]
fn the_last_line_needs_no_end_and_carriage_returns_are_accepted() {
    let outcome = match_stdin(format!("{MISS}\r\n{HIT}\r\n{HIT}").as_bytes());
    assert_eq!(outcome.stdout, [1, 2].map(hit_at).concat());
    assert!(outcome.stderr.contains("2 of 3 lines"), "{}", outcome.stderr);
}

#[test]
fn empty_lines_count_as_lines_and_are_skipped() {
    let outcome = match_stdin(format!("\n{HIT}\n\r\n  \n{HIT}\n\n").as_bytes());
    assert_eq!((outcome.status, outcome.stdout), (0, [1, 4].map(hit_at).concat()));
    assert!(outcome.stderr.contains("4 empty lines skipped"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("refused"), "{}", outcome.stderr);
}

#[test]
fn bad_records_are_refused_by_reason_and_the_others_go_on() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("{{\"Image\":\"{}\\\\mimikatz.exe\"}}", "x".repeat(16 << 20));
    let mut input = Vec::new();
    for line in [
        HIT.as_bytes(),
        b"not json",
        b"{\"a\":1} trailing",
        b"[1]",
        b"\"text\"",
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        long.as_bytes(),
        b"\xef\xbb\xbf{\"a\":1}",
        b"{\"a\":01}",
        HIT.as_bytes(),
    ] {
        input.extend_from_slice(line);
        input.push(b'\n');
    }
    let sandbox = Sandbox::with_rule().file("events.ndjson", &input);
    let outcome = sandbox.run("match --rules rules events.ndjson");
    assert_eq!((outcome.status, outcome.stdout), (0, [0, 10].map(hit_at).concat()));
    let stderr = outcome.stderr;
    assert!(
        stderr.contains(
            "9 lines refused: not_an_object 2, not_json 4, not_utf8 1, too_deep 1, too_long 1"
        ),
        "{stderr}"
    );
    // The first few are named as an editor would find them.
    assert!(stderr.contains("\n  events.ndjson:2: not valid JSON at byte"), "{stderr}");
    assert!(stderr.contains("\n  events.ndjson:4: not a JSON object"), "{stderr}");
    assert!(stderr.contains("\n  and 4 more"), "{stderr}");
}

#[test]
fn a_record_of_ten_megabytes_is_matched() {
    let long =
        format!("{{\"pad\":\"{}\",\"Image\":\"C:\\\\mimikatz.exe\"}}\n", "x".repeat(10 << 20));
    let outcome = match_stdin(format!("{HIT}\n{long}{HIT}\n").as_bytes());
    assert_eq!(outcome.stdout, [0, 1, 2].map(hit_at).concat(), "{}", outcome.stderr);
}

#[test]
fn of_repeated_keys_the_last_one_counts() {
    let event = br#"{"Image":"C:\\mimikatz.exe","Image":"C:\\other.exe"}"#;
    assert_eq!(match_stdin(event).stdout, "");
    let event = br#"{"Image":"C:\\other.exe","Image":"C:\\mimikatz.exe"}"#;
    assert_eq!(match_stdin(event).stdout, hit_at(0));
}

#[test]
fn a_file_that_cannot_be_read_is_status_3_before_any_work() {
    let sandbox = Sandbox::with_rule().file("a", HIT).file("folder/x", "");
    for file in ["missing", "folder"] {
        let outcome = sandbox.run(&format!("match --rules rules a {file}"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (3, ""), "{outcome:?}");
        assert!(outcome.stderr.contains(file), "{}", outcome.stderr);
    }
}

#[test]
fn a_cut_off_archive_is_status_3_after_its_lines() {
    let text = format!("{HIT}\n").repeat(50_000);
    let gzip = gzip(&text);
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let sandbox = Sandbox::with_rule()
        .file("a.gz", &gzip[..gzip.len() - 20])
        .file("a.zst", &zstd[..zstd.len() - 5]);
    for file in ["a.gz", "a.zst"] {
        let outcome = sandbox.run(&format!("match --rules rules {file}"));
        assert_eq!(outcome.status, 3, "{file}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(file), "{}", outcome.stderr);
        assert!(outcome.stdout.starts_with(&hit_at(0)), "{file}");
    }
}

#[test]
fn a_line_on_stdin_is_answered_while_stdin_stays_open() {
    let sandbox = Sandbox::with_rule();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigmill"))
        .args(["match", "--rules", "rules", "-"])
        .current_dir(sandbox.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for line in 0..3 {
        stdin.write_all(format!("{HIT}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stdout.read_line(&mut answer).unwrap();
        assert_eq!(answer, hit_at(line));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
