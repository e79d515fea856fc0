//! A schema registry, by Confluent's REST API: schemas by their id, and ids by subject and schema.
//!
//! Of several addresses the one that answered last is asked first. What may pass (no answer, a server's error, too many
//! requests, and a refused log-in, which somebody may mend) is an error apart from what will not. No message holds a
//! password: addresses are shown without what stands before their `@`.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use ureq::tls::{ClientCert, RootCerts, TlsConfig, TlsProvider};

const TIMEOUT: Duration = Duration::from_secs(5);
/// No schema is longer.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Schemas that one refers to, and those that they refer to.
const REFERENCES_MAX: usize = 200;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How the registry knows who asks.
#[derive(Clone, Default)]
pub enum Credentials {
    /// It does not.
    #[default]
    None,
    /// By user and password.
    Basic(String, String),
    /// By a token.
    Bearer(String),
}

/// What a client of the registry needs.
#[derive(Clone, Default)]
pub struct RegistryConfig {
    /// Addresses, without credentials, at least one.
    pub urls: Vec<String>,
    /// For all of them.
    pub credentials: Credentials,
    /// Certificates to trust, in PEM; none: those of the system.
    pub trusted: Option<Vec<u8>>,
    /// The client's own certificates and key, in PEM.
    pub identity: Option<Vec<u8>>,
    /// Schemas may be registered; otherwise they have to be there.
    pub registers: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Asking again may help.
    #[error("the schema registry does not answer: {0}")]
    Unavailable(String),
    /// There is no such schema or subject.
    #[error("{0}")]
    NotFound(String),
    /// It will not do it.
    #[error("the schema registry refuses: {0}")]
    Refused(String),
}

/// A schema with what it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its text.
    pub schema: String,
    /// Texts of the schemas that it refers to, those first that others refer to.
    pub references: Vec<String>,
}

/// A client; nothing is connected before something is asked.
pub struct Registry {
    agent: ureq::Agent,
    urls: Vec<String>,
    authorization: Option<String>,
    registers: bool,
    /// Which address is asked first.
    first: AtomicUsize,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Registry {
    /// A client for these addresses.
    ///
    /// # Errors
    /// A certificate or the key cannot be read; the text says why.
    pub fn new(config: &RegistryConfig) -> Result<Self, String> {
        let mut tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
        tls = match &config.trusted {
            Some(pem) => tls.root_certs(RootCerts::new_with_certs(&certificates(pem)?)),
            None => tls.root_certs(RootCerts::PlatformVerifier),
        };
        if let Some(pem) = &config.identity {
            let key = ureq::tls::PrivateKey::from_pem(pem)
                .map_err(|error| format!("no private key in the client's certificate: {error}"))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(pem)?, key)));
        }
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("sigmill")
            .build();
        let authorization = match &config.credentials {
            Credentials::None => None,
            Credentials::Basic(user, password) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Credentials::Bearer(token) => Some(format!("Bearer {token}")),
        };
        Ok(Self {
            agent: agent.into(),
            urls: config.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            authorization,
            registers: config.registers,
            first: AtomicUsize::new(0),
        })
    }

    /// The schema of an id.
    ///
    /// # Errors
    /// There is none, or no answer.
    pub fn schema(&self, id: u32) -> Result<Found, RegistryError> {
        let answer = self.ask(&format!("/schemas/ids/{id}"), None)?;
        let mut references = Vec::new();
        let mut seen = Vec::new();
        self.references(&answer, &mut references, &mut seen)?;
        Ok(Found { schema: avro_of(&answer)?, references })
    }

    /// Those first that the others refer to.
    fn references(
        &self,
        answer: &Value,
        texts: &mut Vec<String>,
        seen: &mut Vec<(String, i64)>,
    ) -> Result<(), RegistryError> {
        for reference in answer["references"].as_array().map_or(&[][..], Vec::as_slice) {
            let subject = reference["subject"].as_str().unwrap_or_default().to_owned();
            let version = reference["version"].as_i64().unwrap_or(-1);
            if seen.contains(&(subject.clone(), version)) {
                continue;
            }
            if seen.len() >= REFERENCES_MAX {
                let why = format!("it refers to more than {REFERENCES_MAX} schemas");
                return Err(RegistryError::NotFound(why));
            }
            seen.push((subject.clone(), version));
            let path = format!("/subjects/{}/versions/{version}", escaped(&subject));
            let answer = self.ask(&path, None)?;
            self.references(&answer, texts, seen)?;
            texts.push(avro_of(&answer)?);
        }
        Ok(())
    }

    /// The id of a schema under the subject of a topic's values; it is registered unless that is not allowed.
    ///
    /// # Errors
    /// It is refused (it may be incompatible with what is there), or there is no answer.
    pub fn value_schema_id(&self, topic: &str, schema: &str) -> Result<u32, RegistryError> {
        let subject = escaped(&format!("{topic}-value"));
        let path = match self.registers {
            true => format!("/subjects/{subject}/versions"),
            false => format!("/subjects/{subject}"),
        };
        let answer = self.ask(&path, Some(json!({ "schema": schema })))?;
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| RegistryError::Refused("its answer has no id".into()))
    }

    fn ask(&self, path: &str, body: Option<Value>) -> Result<Value, RegistryError> {
        let mut unavailable = RegistryError::Unavailable("it has no address".into());
        let body = body.map(|body| body.to_string());
        let first = self.first.load(Ordering::Relaxed);
        for at in (0..self.urls.len()).map(|step| (first + step) % self.urls.len()) {
            match self.ask_at(&self.urls[at], path, body.as_deref()) {
                Err(error @ RegistryError::Unavailable(_)) => unavailable = error,
                answer => {
                    self.first.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(unavailable)
    }

    fn ask_at(&self, url: &str, path: &str, body: Option<&str>) -> Result<Value, RegistryError> {
        let address = format!("{url}{path}");
        let passing = |why: String| RegistryError::Unavailable(format!("{address}: {why}"));
        let authorization = self.authorization.as_deref();
        let answer = match body {
            Some(body) => {
                let mut request = self.agent.post(&address).header("Accept", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.header("Content-Type", CONTENT_TYPE).send(body)
            }
            None => {
                let mut request = self.agent.get(&address).header("Accept", CONTENT_TYPE);
                if let Some(authorization) = authorization {
                    request = request.header("Authorization", authorization);
                }
                request.call()
            }
        };
        let mut answer = answer.map_err(|error| passing(error.to_string()))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| passing(error.to_string()))?;
        let json = serde_json::from_str::<Value>(&text);
        if status == 200 {
            return json.map_err(|error| passing(format!("no JSON in its answer: {error}")));
        }
        let json = json.unwrap_or_default();
        let code = json["error_code"].as_u64().unwrap_or(u64::from(status));
        let message = json["message"].as_str().unwrap_or("without a reason");
        let said = format!("{address}: {message} (error {code}, status {status})");
        Err(match status {
            // 40403: no such schema; 40401, 40402: no such subject, version. A proxy's 404 names no code.
            404 if json["error_code"].is_u64() => RegistryError::NotFound(said),
            401 | 403 | 404 | 408 | 429 | 500.. => RegistryError::Unavailable(said),
            _ => RegistryError::Refused(said),
        })
    }
}

/// The schema's text, if it is Avro: other kinds are named.
fn avro_of(answer: &Value) -> Result<String, RegistryError> {
    let kind = answer["schemaType"].as_str().unwrap_or("AVRO");
    if kind != "AVRO" {
        return Err(RegistryError::NotFound(format!("it is {kind}, not Avro")));
    }
    let schema = answer["schema"].as_str().map(str::to_owned);
    schema.ok_or_else(|| RegistryError::NotFound("the registry's answer has no schema".into()))
}

fn certificates(pem: &[u8]) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let ureq::tls::PemItem::Certificate(certificate) =
            item.map_err(|error| error.to_string())?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("there is no certificate in it".into()) } else { Ok(found) }
}

/// A part of a path.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_spelled_as_http_wants_them() {
        assert_eq!(escaped("a b/c-value"), "a%20b%2Fc-value");
    }

    #[test]
    fn nobody_listens() {
        let config = RegistryConfig {
            urls: vec!["http://127.0.0.1:1".into()],
            credentials: Credentials::Basic("u".into(), "secret".into()),
            ..RegistryConfig::default()
        };
        let registry = Registry::new(&config).unwrap();
        let error = registry.schema(1).unwrap_err();
        assert!(matches!(&error, RegistryError::Unavailable(why) if why.contains("127.0.0.1:1")));
        assert!(!format!("{error} {registry:?}").contains("secret"));
    }
}
