//! Settings of the Kafka clients: Java's names and forms turned into librdkafka's.
//!
//! In: the settings that have no meaning of their own. Out: what each kind of client is given. A
//! name that librdkafka knows passes as it is; a Java name with a counterpart is translated; the rest
//! earns one warning each. Whether a name and a value are legal is asked of librdkafka itself.

use std::fmt;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::Problem;
use crate::properties::Entry;

/// What the clients are given besides what the processor sets itself.
#[derive(Clone, Default)]
pub struct KafkaSettings {
    /// Brokers to ask first.
    pub bootstrap_servers: String,
    /// For every client.
    pub common: Vec<(String, String)>,
    /// For consumers alone: settings written as `consumer.…` or `main.consumer.…`.
    pub consumer: Vec<(String, String)>,
    /// For producers alone: settings written as `producer.…`.
    pub producer: Vec<(String, String)>,
}

impl fmt::Debug for KafkaSettings {
    /// Names alone: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(" ")
        };
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("common", &names(&self.common))
            .field("consumer", &names(&self.consumer))
            .field("producer", &names(&self.producer))
            .finish()
    }
}

/// Settings that Kafka Streams or the JVM processor have and that mean nothing here.
const WITHOUT_MEANING: &[(&str, &str)] = &[
    ("default.key.serde", "keys pass as bytes"),
    ("default.value.serde", "data.topic.format and output.topic.format say it"),
    ("key.deserializer", "keys pass as bytes"),
    ("value.deserializer", "data.topic.format says it"),
    ("key.serializer", "keys pass as bytes"),
    ("value.serializer", "output.topic.format says it"),
    (
        "default.deserialization.exception.handler",
        "records that cannot be read never stop the processor",
    ),
    (
        "default.production.exception.handler",
        "records that cannot be produced never stop the processor",
    ),
    ("default.timestamp.extractor", "a detection carries its record's timestamp"),
    ("statestore.cache.max.bytes", "there is no state store"),
    ("cache.max.bytes.buffering", "there is no state store"),
    ("num.standby.replicas", "there is no state store"),
    ("schema.registry.url", "records and detections are JSON"),
    ("basic.auth.credentials.source", "records and detections are JSON"),
    ("basic.auth.user.info", "records and detections are JSON"),
    ("sigma.max.rules", "the number of rules is not limited"),
    ("group.id", "application.id is the group"),
    ("enable.auto.commit", "offsets are committed after the acknowledgement of their detections"),
    (
        "enable.auto.offset.store",
        "offsets are committed after the acknowledgement of their detections",
    ),
    ("enable.idempotence", "producers are always idempotent"),
    ("partition.assignment.strategy", "the group is cooperative-sticky"),
    ("interceptor.classes", "there are no JVM classes"),
    ("metric.reporters", "there are no JVM classes"),
];

/// Java's name → librdkafka's, with a change of the value.
fn translate(name: &str, value: &str) -> Option<Vec<(&'static str, String)>> {
    let same = |to: &'static str| Some(vec![(to, value.to_owned())]);
    let is_pem = value.eq_ignore_ascii_case("PEM");
    match name {
        "max.request.size" => same("message.max.bytes"),
        "buffer.memory" => {
            let kilobytes = value.parse::<u64>().ok()?.div_ceil(1024).max(1);
            Some(vec![("queue.buffering.max.kbytes", kilobytes.to_string())])
        }
        "fetch.max.wait.ms" => same("fetch.wait.max.ms"),
        "receive.buffer.bytes" => same("socket.receive.buffer.bytes"),
        "send.buffer.bytes" => same("socket.send.buffer.bytes"),
        "socket.connection.setup.timeout.max.ms" => Some(Vec::new()),
        "ssl.truststore.certificates" => same("ssl.ca.pem"),
        "ssl.keystore.certificate.chain" => same("ssl.certificate.pem"),
        "ssl.keystore.key" => same("ssl.key.pem"),
        "ssl.endpoint.identification.algorithm" if value.is_empty() => {
            Some(vec![("ssl.endpoint.identification.algorithm", "none".into())])
        }
        // Only the forms that librdkafka reads; a JKS store earns the warning of an unknown setting.
        "ssl.truststore.type" if is_pem => Some(Vec::new()),
        "ssl.keystore.type" if value.eq_ignore_ascii_case("PKCS12") => Some(Vec::new()),
        "ssl.truststore.location" if value.ends_with(".pem") || value.ends_with(".crt") => {
            same("ssl.ca.location")
        }
        "sasl.jaas.config" => {
            let (user, password) = jaas_credentials(value)?;
            Some(vec![("sasl.username", user), ("sasl.password", password)])
        }
        _ => None,
    }
}

/// The user and the password in a JAAS line of the PLAIN or SCRAM module.
fn jaas_credentials(line: &str) -> Option<(String, String)> {
    let module = line.split_whitespace().next()?;
    if !module.ends_with(".PlainLoginModule") && !module.ends_with(".ScramLoginModule") {
        return None;
    }
    Some((jaas_option(line, "username")?, jaas_option(line, "password")?))
}

fn jaas_option(line: &str, name: &str) -> Option<String> {
    let mut rest = line;
    loop {
        let at = rest.find(name)?;
        let is_word = rest[..at].ends_with(|c: char| c.is_whitespace());
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_start().strip_prefix('=') else { continue };
        if !is_word {
            continue;
        }
        let value = value.trim_start();
        return match value.chars().next()? {
            quote @ ('"' | '\'') => Some(quoted(&value[1..], quote)),
            _ => Some(value.split([';', ' ', '\t']).next()?.to_owned()),
        };
    }
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c if c == quote => break,
            c => out.push(c),
        }
    }
    out
}

enum Scope {
    Common,
    Consumer,
    Producer,
}

/// Splits Java's prefixes off: a setting for one kind of client.
fn scope(key: &str) -> Option<(Scope, &str)> {
    for (prefix, make) in [
        ("main.consumer.", (|| Scope::Consumer) as fn() -> Scope),
        ("consumer.", || Scope::Consumer),
        ("producer.", || Scope::Producer),
    ] {
        if let Some(name) = key.strip_prefix(prefix) {
            return Some((make(), name));
        }
    }
    let is_foreign = ["admin.", "global.consumer.", "restore.consumer.", "topic."]
        .iter()
        .any(|prefix| key.starts_with(prefix) && !is_known(key));
    (!is_foreign).then_some((Scope::Common, key))
}

fn try_set(name: &str, value: &str) -> Result<(), RDKafkaConfRes> {
    let mut config = ClientConfig::new();
    // The trial itself has nothing to log.
    config.set_log_level(RDKafkaLogLevel::Emerg).set(name, value);
    match config.create_native_config() {
        Err(KafkaError::ClientConfig(result, ..)) => Err(result),
        _ => Ok(()),
    }
}

fn is_known(name: &str) -> bool {
    try_set(name, "") != Err(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN)
}

impl KafkaSettings {
    /// Just the brokers.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), ..Self::default() }
    }

    /// Translates settings; what is wrong or means nothing is added to the lists.
    pub fn translate<'a>(
        bootstrap_servers: &str,
        entries: impl Iterator<Item = &'a Entry>,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut settings = Self::new(bootstrap_servers);
        for entry in entries {
            settings.add(entry, problems, warnings);
        }
        settings
    }

    fn add(&mut self, entry: &Entry, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
        let Entry { key, value, origin } = entry;
        if let Some((_, why)) = WITHOUT_MEANING.iter().find(|(name, _)| name == key) {
            warnings.push(format!("{origin}: {key} is ignored: {why}"));
            return;
        }
        let Some((scope, name)) = scope(key) else {
            warnings.push(format!("{origin}: {key} is ignored: there is no such client here"));
            return;
        };
        let value = value.trim();
        let translated = match translate(name, value) {
            Some(pairs) => pairs,
            // librdkafka knows the names of the hints only to refuse them.
            None if hint(name).is_empty() && is_known(name) => vec![(name, value.to_owned())],
            None => {
                warnings.push(format!(
                    "{origin}: {key} is ignored: the Kafka client has no such setting{}",
                    hint(name)
                ));
                return;
            }
        };
        for (name, value) in translated {
            if try_set(name, &value).is_err() {
                problems.push(Problem {
                    key: key.clone(),
                    message: format!(
                        "{origin}: {key}: the Kafka client refuses this value (not shown) for {name}; \
                         expected a value that librdkafka's {name} takes"
                    ),
                });
                continue;
            }
            let list = match scope {
                Scope::Common => &mut self.common,
                Scope::Consumer => &mut self.consumer,
                Scope::Producer => &mut self.producer,
            };
            list.push((name.to_owned(), value));
        }
    }
}

fn hint(name: &str) -> &'static str {
    match name {
        "sasl.jaas.config" => {
            " for this login module (PLAIN and SCRAM are read); use sasl.username and sasl.password"
        }
        "ssl.truststore.location" | "ssl.truststore.type" | "ssl.truststore.password" => {
            " for a JKS store; use ssl.ca.location with a PEM file"
        }
        "ssl.keystore.type" => " for this store; use ssl.keystore.location with a PKCS12 file",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_jaas_line() {
        let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        let line = format!("{plain} username='UUU' password='P;P';");
        assert_eq!(jaas_credentials(&line), pair("UUU", "P;P"));
        let line = format!(r#"{scram} password="a\"username=b" username = "c d" ;"#);
        assert_eq!(jaas_credentials(&line), pair("c d", "a\"username=b"));
        let line = format!("{plain} username=u password=p;");
        assert_eq!(jaas_credentials(&line), pair("u", "p"));
        assert_eq!(jaas_credentials("com.amazon.msk.IAMLoginModule required;"), None);
        assert_eq!(jaas_credentials(&format!("{plain} required;")), None);
    }
}
