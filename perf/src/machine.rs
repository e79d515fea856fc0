//! What a run stood on: the machine, the compiler's target, the commit, the load beside us.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// The description that goes with every result.
pub(crate) fn describe() -> Value {
    json!({
        "cpu": cpu_line("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "vector_extensions": extensions(),
        "memory_mb": memory_kb().map(|kb| kb / 1024),
        "system": output("uname", &["-sr"]),
        "load_at_start": fs::read_to_string("/proc/loadavg").ok().map(|text| text.trim().to_owned()),
        "rustc": output("rustc", &["--version"]),
        "built_for": if cfg!(target_feature = "avx512f") {
            "native, with AVX-512"
        } else if cfg!(target_feature = "avx2") {
            "with AVX2"
        } else {
            "the plain target"
        },
        "isa_limit": std::env::var("SIGMILL_ISA").ok(),
        "commit": output("git", &["rev-parse", "--short=12", "HEAD"]),
        "is_changed": output("git", &["status", "--porcelain", "--untracked-files=no"])
            .map(|changed| !changed.is_empty()),
        "date": output("date", &["-u", "+%Y-%m-%d"]),
    })
}

/// A name for a folder of results: the date and the machine.
pub(crate) fn run_name(machine: &Value) -> String {
    let date = machine["date"].as_str().unwrap_or("undated");
    let cpu: String = machine["cpu"]
        .as_str()
        .unwrap_or("unknown")
        .to_lowercase()
        .replace("(r)", "")
        .replace("(tm)", "")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' })
        .collect();
    let words: Vec<&str> = cpu.split_whitespace().take(4).collect();
    format!("{date}-{}", words.join("-"))
}

fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn cpu_line(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn extensions() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let all = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512bw", is_x86_feature_detected!("avx512bw")),
            ("avx512vbmi", is_x86_feature_detected!("avx512vbmi")),
        ];
        found.extend(all.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name));
    }
    found
}

fn memory_kb() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_date_and_machine() {
        let machine =
            json!({"date": "2026-01-02", "cpu": "Intel(R) Xeon(R) Gold 6430 CPU @ 2.1GHz"});
        assert_eq!(run_name(&machine), "2026-01-02-intel-xeon-gold-6430");
        assert!(describe()["cores"].as_u64().is_some_and(|cores| cores > 0));
    }
}
