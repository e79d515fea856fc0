//! Puts `product`, `service` and `category` in front of a Windows event, for engines that read an
//! event's log source from fields of these names.
//!
//! An event of a channel that is not known gets its product alone. Values are those of SigmaHQ's rules.

use serde_json::Value;

/// The event with its log source, if it has a channel; else as it is.
pub(crate) fn tagged(event: &[u8]) -> Vec<u8> {
    let Ok(value) = serde_json::from_slice::<Value>(event) else { return event.to_vec() };
    let (Some(channel), Some(rest)) = (value["Channel"].as_str(), event.strip_prefix(b"{")) else {
        return event.to_vec();
    };
    let number = match &value["EventID"] {
        Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    };
    let service = service(&channel.to_lowercase());
    let mut out = b"{\"product\":\"windows\",".to_vec();
    for (name, value) in
        [("service", service), ("category", service.and_then(|service| category(service, number)))]
    {
        if let Some(value) = value {
            out.extend(format!("\"{name}\":\"{value}\",").bytes());
        }
    }
    out.extend_from_slice(rest);
    out
}

fn service(channel: &str) -> Option<&'static str> {
    Some(match channel {
        "security" => "security",
        "system" => "system",
        "application" => "application",
        "windows powershell" => "powershell-classic",
        "microsoft-windows-sysmon/operational" => "sysmon",
        "microsoft-windows-powershell/operational" => "powershell",
        "microsoft-windows-wmi-activity/operational" => "wmi",
        "microsoft-windows-windows defender/operational" => "windefend",
        "microsoft-windows-taskscheduler/operational" => "taskscheduler",
        "microsoft-windows-bits-client/operational" => "bits-client",
        "microsoft-windows-dns-client/operational" => "dns-client",
        "microsoft-windows-ntlm/operational" => "ntlm",
        _ => return None,
    })
}

fn category(service: &str, number: u64) -> Option<&'static str> {
    Some(match (service, number) {
        ("security", 4688) | ("sysmon", 1) => "process_creation",
        ("powershell", 4103) => "ps_module",
        ("powershell", 4104) => "ps_script",
        ("powershell-classic", 400) => "ps_classic_start",
        ("powershell-classic", 600) => "ps_classic_provider_start",
        ("powershell-classic", 800) => "ps_classic_script",
        ("sysmon", 2) => "file_change",
        ("sysmon", 3) => "network_connection",
        ("sysmon", 5) => "process_termination",
        ("sysmon", 6) => "driver_load",
        ("sysmon", 7) => "image_load",
        ("sysmon", 8) => "create_remote_thread",
        ("sysmon", 9) => "raw_access_thread",
        ("sysmon", 10) => "process_access",
        ("sysmon", 11) => "file_event",
        ("sysmon", 12 | 14) => "registry_event",
        ("sysmon", 13) => "registry_set",
        ("sysmon", 15) => "create_stream_hash",
        ("sysmon", 17 | 18) => "pipe_created",
        ("sysmon", 19..=21) => "wmi_event",
        ("sysmon", 22) => "dns_query",
        ("sysmon", 23 | 26) => "file_delete",
        ("sysmon", 25) => "process_tampering",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_what_they_have() {
        let event = br#"{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"a":2}"#;
        let wanted = br#"{"product":"windows","service":"sysmon","category":"process_creation","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"a":2}"#;
        assert_eq!(tagged(event), wanted);
        for same in [&b"{}"[..], b"{\"a\":1}", b"no JSON"] {
            assert_eq!(tagged(same), same);
        }
    }
}
