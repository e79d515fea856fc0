//! As much of HTTP/1.1 as the port needs: one request a connection, bounded in size and time.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::shutdown::Shutdown;

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest body: a rule.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Connections at the same time.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to come, and an answer to go.
const PATIENCE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A request.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// Unescaped, without the query.
    pub(super) path: String,
    /// Unescaped names and values.
    query: Vec<(String, String)>,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of that name in the query.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[cfg(test)]
    pub(super) fn with_headers(headers: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { headers: headers.iter().map(owned).collect(), ..Self::default() }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "application/json", body)
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// As an error object, for who reads JSON.
    pub(super) fn into_error_object(self) -> Self {
        let code = match self.status {
            400 => "bad_request",
            401 => "unauthorized",
            403 => "forbidden",
            411 => "length_required",
            413 | 431 => "too_large",
            _ => "error",
        };
        let message = String::from_utf8_lossy(&self.body);
        let mut object = super::api::error(self.status, code, message.trim());
        let others = self.headers.into_iter().filter(|(name, _)| *name != "Content-Type");
        object.headers.extend(others);
        object
    }

    fn write(&self, stream: &mut TcpStream, has_body: bool) -> io::Result<()> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            411 => "Length Required",
            413 => "Content Too Large",
            431 => "Request Header Fields Too Large",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "",
        };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!(
            "Content-Length: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n\r\n",
            self.body.len()
        );
        stream.write_all(head.as_bytes())?;
        if has_body {
            stream.write_all(&self.body)?;
        }
        stream.flush()
    }
}

/// Writes an answer that goes on.
pub(super) type Tell = Box<dyn FnOnce(&mut TcpStream) -> io::Result<()> + Send>;

/// What a request is answered with.
pub(super) enum Answer {
    Whole(Response),
    /// Writes head and body for as long as there is something to say.
    Stream(Tell),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

/// Answers requests until a stop is asked for.
pub(super) fn serve(
    listener: &TcpListener,
    shutdown: &Shutdown,
    answer: &(impl Fn(&Request) -> Answer + Sync),
) {
    let count = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        while !shutdown.is_asked() {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // Nobody is there, or nobody can be let in just now.
                Err(_) => {
                    thread::sleep(ACCEPT_PAUSE);
                    continue;
                }
            };
            if count.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                // A new connection has room for that much: this does not wait.
                let _ = Response::text(503, "too many connections\n").write(&mut stream, true);
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let done = Arc::clone(&count);
            let talk = move || {
                // A peer that goes away in the middle is no concern of ours.
                let _ = talk(stream, answer);
                done.fetch_sub(1, Ordering::Relaxed);
            };
            let name = "sigmill-http".to_owned();
            if thread::Builder::new().name(name).spawn_scoped(scope, talk).is_err() {
                count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    });
}

fn talk(mut stream: TcpStream, answer: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = match read(&mut stream)? {
        Ok(request) => request,
        Err(refusal) => return refusal.write(&mut stream, true),
    };
    match answer(&request) {
        Answer::Whole(response) => response.write(&mut stream, request.method != "HEAD"),
        Answer::Stream(tell) => tell(&mut stream),
    }
}

/// Reads a request, or says what is wrong with it.
fn read(stream: &mut TcpStream) -> io::Result<Result<Request, Response>> {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Ok(Err(Response::text(431, "the head is too long\n")));
        }
        receive(stream, &mut bytes, deadline)?;
    };
    let Some(mut request) = head(&String::from_utf8_lossy(&bytes[..head_end])) else {
        return Ok(Err(Response::text(400, "this is no HTTP request\n")));
    };
    if request.header("transfer-encoding").is_some() {
        return Ok(Err(Response::text(411, "send a Content-Length\n")));
    }
    let length = request.header("content-length").unwrap_or("0").trim().parse::<usize>();
    let Ok(length) = length else {
        return Ok(Err(Response::text(400, "Content-Length is no number\n")));
    };
    if length > BODY_BYTES_MAX {
        return Ok(Err(Response::text(413, "the body is too long\n")));
    }
    if request.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        receive(stream, &mut body, deadline)?;
    }
    body.truncate(length);
    request.body = body;
    Ok(Ok(request))
}

fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut chunk = [0; 4096];
    match stream.read(&mut chunk)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

fn head(text: &str) -> Option<Request> {
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if first.next().is_some() || !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return None;
    }
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // In queries a plus is a blank.
        pairs.push((unescape(&name.replace('+', " "))?, unescape(&value.replace('+', " "))?));
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let (method, path) = (method.to_owned(), unescape(path)?);
    Some(Request { method, path, query: pairs, headers, body: Vec::new() })
}

/// `%20` → a blank.
fn unescape(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let request =
            head("GET /sigmaRule/A%20%C3%A4?x=1&y=a+b%2B&z HTTP/1.1\r\nHost: a:1\r\nX-Y:  z ")
                .unwrap();
        assert_eq!(request.path, "/sigmaRule/A ä");
        let query = ["x", "y", "z", "w"].map(|name| request.query(name));
        assert_eq!(query, [Some("1"), Some("a b+"), Some(""), None]);
        assert_eq!((request.header("host"), request.header("x-y")), (Some("a:1"), Some("z")));
        for bad in [
            "",
            "GET /",
            "GET / SPDY/3",
            "GET x HTTP/1.1",
            "GET /%zz HTTP/1.1",
            "GET /?%zz HTTP/1.1",
            "GET /%+1 HTTP/1.1 x",
            "GET / HTTP/1.1\r\nnonsense",
        ] {
            assert!(head(bad).is_none(), "{bad}");
        }
    }
}
