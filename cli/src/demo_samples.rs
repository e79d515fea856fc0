//! What the demo shows: rules and events that the binary carries. `config/demo/ORIGIN.md` says whose
//! they are.

use std::io;

use sigmill_parser::Document;
use sigmill_runtime::rules_topic::NewRule;

macro_rules! sample_rules {
    ($($name:literal,)*) => {
        /// File name and text of each rule.
        const RULES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../config/demo/rules/", $name))),)*
        ];
    };
}

sample_rules! {
    "create_remote_thread_win_powershell_lsass.yml",
    "create_stream_hash_susp_ip_domains.yml",
    "net_connection_win_notepad.yml",
    "pipe_created_hktl_cobaltstrike.yml",
    "posh_ps_amsi_bypass_pattern_nov22.yml",
    "proc_access_win_lsass_memdump.yml",
    "proc_creation_win_hktl_covenant.yml",
    "proc_creation_win_hktl_empire_powershell_launch.yml",
    "proc_creation_win_hktl_mimikatz_command_line.yml",
    "proc_creation_win_hktl_rubeus.yml",
    "proc_creation_win_ntdsutil_usage.yml",
    "proc_creation_win_reg_dumping_sensitive_hives.yml",
    "proc_creation_win_sysinternals_psexec_execution.yml",
    "registry_event_disable_security_events_logging_adding_reg_key_minint.yml",
    "win_security_ad_replication_non_machine_account.yml",
    "win_security_audit_log_cleared.yml",
}

const EVENTS: &[u8] = include_bytes!("../../config/demo/events.ndjson.zst");

/// The sample rules, as records of the rules topic.
pub(crate) fn rules() -> Vec<NewRule> {
    let documents = RULES.iter().flat_map(|(_, text)| sigmill_parser::parse(text).documents);
    documents
        .filter_map(|document| match document {
            Document::Rule(rule) => Some(NewRule::of(&rule)),
            _ => None,
        })
        .collect()
}

/// The sample events.
pub(crate) fn events() -> io::Result<Vec<Vec<u8>>> {
    let text = zstd::decode_all(EVENTS)?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_rule_loads_and_every_file_is_carried() {
        assert_eq!(rules().len(), RULES.len());
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo/rules");
        let files = std::fs::read_dir(folder).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|found| found == "yml")
        });
        assert_eq!(files.count(), RULES.len());
    }

    #[test]
    fn the_sample_events_are_records() {
        let events = events().unwrap();
        assert_eq!(events.len(), 372);
        assert!(events.iter().all(|event| event.starts_with(b"{") && event.ends_with(b"}")));
    }
}
