//! Settings of the schema registry: Confluent's names, as a file for the JVM processor has them.
//!
//! The registry is only asked where records or detections are Avro; elsewhere each of its settings earns a warning. No
//! value is shown: most are secrets.

use std::path::Path;

use crate::avro::registry::{Credentials, Registry, RegistryConfig};
use crate::properties::{Entry, Properties};

use super::Problem;

/// What is read, besides `schema.registry`.
const NAMES: [&str; 13] = [
    "schema.registry.url",
    "basic.auth.credentials.source",
    "basic.auth.user.info",
    "bearer.auth.credentials.source",
    "bearer.auth.token",
    "auto.register.schemas",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.certificates",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
];

/// Whether a setting is the registry's. Some names are those of Kafka's clients unless they have the prefix.
pub(super) fn is_own(name: &str) -> bool {
    match name.strip_prefix("schema.registry.") {
        Some("url") => true,
        Some(rest) => NAMES.contains(&rest),
        None => NAMES.contains(&name) && !name.starts_with("ssl."),
    }
}

/// The client of the registry.
pub(super) fn read(
    properties: &Properties,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<Registry> {
    let before = problems.len();
    let mut reader = Reader { properties, problems };
    let mut config = RegistryConfig { registers: reader.registers(), ..RegistryConfig::default() };
    let Some(addresses) = reader.entry("schema.registry").or_else(|| reader.entry("url")) else {
        reader.problems.push(Problem {
            key: "schema.registry".into(),
            message:
                "Missing required property schema.registry: expected the addresses of the schema \
                      registry, since records or detections are Avro"
                    .into(),
        });
        return None;
    };
    let mut in_address = None;
    for address in super::parts(&addresses.value) {
        let (scheme, rest) = match address.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => {
                reader.wrong(addresses, "addresses that begin with http:// or https://");
                continue;
            }
            None => {
                warnings.push(format!(
                    "{}: {} has an address without http://; it is added",
                    addresses.origin, addresses.key
                ));
                ("http", address)
            }
        };
        let host = match rest.rsplit_once('@') {
            Some((credentials, host)) => {
                in_address = Some(credentials.to_owned());
                host
            }
            None => rest,
        };
        config.urls.push(format!("{scheme}://{host}"));
    }
    if config.urls.is_empty() && reader.problems.len() == before {
        reader.wrong(addresses, "at least one address");
    }
    config.credentials = reader.credentials(in_address);
    config.trusted = reader.store("truststore", "certificates", &[]);
    config.identity = reader.store("keystore", "certificate.chain", &["key"]);
    if reader.problems.len() > before {
        return None;
    }
    match Registry::new(&config) {
        Ok(registry) => Some(registry),
        Err(why) => {
            reader.wrong(addresses, &format!("readable certificates: {why}"));
            None
        }
    }
}

struct Reader<'a> {
    properties: &'a Properties,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A setting, by the name with the prefix before that without.
    fn entry(&self, name: &str) -> Option<&'a Entry> {
        let prefixed = self.properties.get(&format!("schema.registry.{name}"));
        let plain = || self.properties.get(name).filter(|_| !name.starts_with("ssl."));
        prefixed.or_else(plain).filter(|entry| !entry.value.trim().is_empty())
    }

    fn wrong(&mut self, entry: &Entry, expected: &str) {
        self.problems.push(Problem {
            key: entry.key.clone(),
            message: format!("{}: {} (not shown): expected {expected}", entry.origin, entry.key),
        });
    }

    fn registers(&mut self) -> bool {
        let Some(entry) = self.entry("auto.register.schemas") else { return true };
        match entry.value.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.wrong(entry, "true or false");
                true
            }
        }
    }

    fn credentials(&mut self, in_address: Option<String>) -> Credentials {
        if let Some(token) = self.entry("bearer.auth.token") {
            return Credentials::Bearer(token.value.trim().to_owned());
        }
        let source = self.entry("basic.auth.credentials.source");
        let source_name = source.map_or("", |source| source.value.trim()).to_ascii_uppercase();
        let given = match source_name.as_str() {
            "USER_INFO" => self.entry("basic.auth.user.info").map(|info| info.value.clone()),
            // Java's default, which needs no setting.
            "" | "URL" => in_address
                .or_else(|| self.entry("basic.auth.user.info").map(|info| info.value.clone())),
            _ => {
                if let Some(source) = source {
                    self.wrong(source, "URL or USER_INFO");
                }
                return Credentials::None;
            }
        };
        match given.as_deref().map(|given| given.trim().split_once(':')) {
            Some(Some((user, password))) => Credentials::Basic(user.into(), password.into()),
            Some(None) => {
                let entry = self.entry("basic.auth.user.info").or(source);
                if let Some(entry) = entry {
                    self.wrong(entry, "user:password");
                }
                Credentials::None
            }
            None if source_name == "USER_INFO" => {
                if let Some(source) = source {
                    self.wrong(source, "basic.auth.user.info to be set beside it");
                }
                Credentials::None
            }
            None => Credentials::None,
        }
    }

    /// Certificates, from a PEM file or from the settings themselves.
    fn store(&mut self, store: &str, inline: &str, more: &[&str]) -> Option<Vec<u8>> {
        if let Some(entry) = self.entry(&format!("ssl.{store}.{inline}")) {
            let mut pem = entry.value.clone().into_bytes();
            for name in more {
                if let Some(entry) = self.entry(&format!("ssl.{store}.{name}")) {
                    pem.push(b'\n');
                    pem.extend_from_slice(entry.value.as_bytes());
                }
            }
            return Some(pem);
        }
        let location = self.entry(&format!("ssl.{store}.location"))?;
        match std::fs::read(Path::new(location.value.trim())) {
            Ok(bytes) if bytes.windows(11).any(|part| part == b"-----BEGIN ") => Some(bytes),
            Ok(_) => {
                self.wrong(
                    location,
                    "a PEM file; convert a JKS or PKCS12 store with `keytool -exportcert -rfc` or \
                     `openssl pkcs12`",
                );
                None
            }
            Err(error) => {
                self.wrong(location, &format!("a readable PEM file ({error})"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pairs: &[(&str, &str)]) -> (Option<Registry>, Vec<String>, Vec<String>) {
        let mut properties = Properties::default();
        pairs.iter().for_each(|(name, value)| properties.set(name, value, "test"));
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let registry = read(&properties, &mut problems, &mut warnings);
        (registry, problems.into_iter().map(|problem| problem.message).collect(), warnings)
    }

    #[test]
    fn addresses_and_credentials_are_read_and_not_shown() {
        for pairs in [
            &[("schema.registry", "http://u:secret@a:8081, https://b")][..],
            &[
                ("schema.registry.url", "http://a:8081,https://b"),
                ("basic.auth.user.info", "u:secret"),
            ],
            &[
                ("schema.registry", "http://a:8081/,https://b"),
                ("schema.registry.basic.auth.credentials.source", "USER_INFO"),
                ("schema.registry.basic.auth.user.info", "u:secret"),
            ],
            &[("schema.registry", "a:8081,https://b"), ("bearer.auth.token", "secret")],
        ] {
            let (registry, problems, warnings) = told(pairs);
            assert_eq!(problems, [""; 0], "{pairs:?}");
            let shown = format!("{:?}", registry.unwrap());
            assert!(shown.contains(r#"["http://a:8081", "https://b"]"#), "{shown}");
            assert!(!format!("{shown}{warnings:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (pairs, said) in [
            (&[][..], "Missing required property schema.registry"),
            (&[("schema.registry", "ftp://secret")], "http://"),
            (
                &[("schema.registry", "http://a"), ("basic.auth.credentials.source", "USER_INFO")],
                "basic.auth.user.info",
            ),
            (
                &[("schema.registry", "http://a"), ("basic.auth.user.info", "secret")],
                "user:password",
            ),
            (
                &[
                    ("schema.registry", "http://a"),
                    ("basic.auth.credentials.source", "SASL_INHERIT"),
                ],
                "USER_INFO",
            ),
            (
                &[
                    ("schema.registry", "http://a"),
                    ("schema.registry.ssl.truststore.location", "/nowhere/secret.pem"),
                ],
                "readable PEM",
            ),
            (&[("schema.registry", "http://a"), ("auto.register.schemas", "x")], "true or false"),
        ] {
            let (registry, problems, _) = told(pairs);
            assert!(registry.is_none());
            assert!(problems.len() == 1 && problems[0].contains(said), "{problems:?}");
            assert!(!problems[0].contains("secret"), "{problems:?}");
        }
    }
}
