//! A schema registry as Confluent's answers: schemas by id, subjects, versions, and their errors, over HTTP or TLS.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

/// What the registry holds, and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// Ids are places here, from 1; the references beside the text.
    pub(crate) schemas: Vec<(String, Value)>,
    /// Subject → ids of its versions, from 1.
    pub(crate) subjects: BTreeMap<String, Vec<usize>>,
    /// Method and path of each request.
    pub(crate) requests: Vec<String>,
    /// It answers every request with 503.
    pub(crate) is_down: bool,
    /// The `Authorization` that it asks for.
    pub(crate) authorization: Option<String>,
    /// Schemas are refused as incompatible.
    pub(crate) is_closed: bool,
}

impl State {
    /// Registers a schema and returns its id.
    pub(crate) fn add(&mut self, subject: &str, schema: &str, references: Value) -> usize {
        let known = self.schemas.iter().position(|(text, _)| text == schema);
        let id = known.map_or(self.schemas.len(), |at| at) + 1;
        if known.is_none() {
            self.schemas.push((schema.to_owned(), references));
        }
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }
}

/// A registry that runs until it is dropped.
pub(crate) struct TestRegistry {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Certificate and key in PEM, made by the `openssl` command; none where there is none.
pub(crate) fn certificate(folder: &Path) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, chain) = (folder.join("key.pem"), folder.join("chain.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout"]);
    command.arg(&key).arg("-out").arg(&chain).args(["-subj", "/CN=localhost", "-addext"]);
    command.arg("subjectAltName=DNS:localhost,IP:127.0.0.1");
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("\n*** SKIPPED: no `openssl` here to make a certificate with ***\n");
        return None;
    }
    Some((std::fs::read(chain).unwrap(), std::fs::read(key).unwrap()))
}

impl TestRegistry {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// Over TLS, if there is an identity.
    pub(crate) fn start_with(tls: Option<native_tls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (held, ends) = (Arc::clone(&state), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                match &tls {
                    None => serve(stream, &held),
                    // A client that trusts nobody hangs up.
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream) {
                            serve(stream, &held);
                        }
                    }
                }
            }
        });
        Self { address, state, is_over, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn serve(stream: impl Read + Write, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if !reader.read_line(&mut line).is_ok_and(|count| count > 0) {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        head.iter().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let len = header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut request = head[0].split(' ');
    let (method, path) = (request.next().unwrap(), request.next().unwrap());
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        state.requests.push(format!("{method} {path}"));
        if state.is_down {
            (503, json!({"error_code": 50301, "message": "Leader not known"}))
        } else if state.authorization.is_some() && header("authorization") != state.authorization {
            (401, json!({"error_code": 401, "message": "Unauthorized"}))
        } else {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            answer(&mut state, method, path, &body)
        }
    };
    let text = answer.to_string();
    let _ = write!(
        reader.get_mut(),
        "HTTP/1.1 {status} Status\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = reader.get_mut().flush();
}

fn answer(state: &mut State, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let error = |code: u32, message: String| {
        (if code == 409 { 409 } else { 404 }, json!({"error_code": code, "message": message}))
    };
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let shown = |(text, references): &(String, Value)| {
        let mut shown = json!({ "schema": text });
        if !references.is_null() {
            shown["references"] = references.clone();
        }
        shown
    };
    match (method, parts.as_slice()) {
        ("GET", ["schemas", "ids", id]) => {
            let at = id.parse::<usize>().unwrap_or(0).wrapping_sub(1);
            match state.schemas.get(at) {
                Some(found) => (200, shown(found)),
                None => error(40403, format!("Schema {id} not found")),
            }
        }
        ("GET", ["subjects", subject, "versions", version]) => {
            let Some(ids) = state.subjects.get(*subject) else {
                return error(40401, format!("Subject '{subject}' not found."));
            };
            let at = version.parse::<usize>().unwrap_or(0).wrapping_sub(1);
            match ids.get(at) {
                Some(id) => (200, shown(&state.schemas[id - 1])),
                None => error(40402, format!("Version {version} not found.")),
            }
        }
        ("POST", ["subjects", subject, "versions"]) => {
            if state.is_closed {
                let why = "Schema being registered is incompatible with an earlier schema";
                return error(409, why.into());
            }
            let schema = body["schema"].as_str().unwrap_or_default().to_owned();
            (200, json!({ "id": state.add(subject, &schema, Value::Null) }))
        }
        ("POST", ["subjects", subject]) => {
            let Some(ids) = state.subjects.get(*subject) else {
                return error(40401, format!("Subject '{subject}' not found."));
            };
            let schema = body["schema"].as_str().unwrap_or_default();
            match ids.iter().find(|id| state.schemas[**id - 1].0 == schema) {
                Some(id) => (200, json!({ "subject": subject, "id": id, "version": 1 })),
                None => error(40403, "Schema not found".into()),
            }
        }
        _ => error(404, "HTTP 404 Not Found".into()),
    }
}
