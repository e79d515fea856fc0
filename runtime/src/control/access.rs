//! Who may ask for what: the token, and where requests come from.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::run_error::RunError;
use crate::settings::AdminSettings;

use super::http::{Request, Response};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether the processor is well: open to everybody.
    Health,
    Read,
    /// The old page's write.
    LegacyWrite,
}

/// The rules of the port.
#[derive(Debug)]
pub(super) struct Access {
    token: String,
    is_loopback: bool,
    has_open_reads: bool,
    has_legacy_writes: bool,
}

impl Access {
    /// Reads the token, or makes it. Without a file that was asked for nobody knows the token, and what
    /// needs one is closed: no reason not to start.
    ///
    /// # Errors
    /// The token's file was asked for and cannot be read or made.
    pub(super) fn new(settings: &AdminSettings, ip: IpAddr) -> Result<Self, RunError> {
        let token = match &settings.token_file {
            Some(path) => {
                token(path).map_err(|error| RunError::Token { path: path.clone(), error })?
            }
            None => {
                let path = default_token_file();
                token(&path).or_else(|error| {
                    warn!(path = %path.display(), %error, "No file for the token; nobody can write over HTTP.");
                    random_token()
                })?
            }
        };
        Ok(Self {
            token,
            is_loopback: ip.is_loopback(),
            has_open_reads: settings.has_open_reads,
            has_legacy_writes: settings.has_legacy_writes,
        })
    }

    /// Lets a request pass, or says why not.
    pub(super) fn check(&self, kind: Kind, request: &Request) -> Result<(), Response> {
        if kind == Kind::Health {
            return Ok(());
        }
        let host = request.header("host").unwrap_or_default();
        if self.is_loopback && !is_loopback_host(host) {
            return Err(Response::text(403, "this port is for requests to a loopback address\n"));
        }
        let is_open = match kind {
            Kind::Health => true,
            Kind::Read => self.is_loopback || self.has_open_reads,
            Kind::LegacyWrite => {
                // A browser says from which page a write comes.
                let origin = request.header("origin");
                if origin.is_some_and(|origin| !is_origin_of(origin, host)) {
                    return Err(Response::text(403, "the request comes from another origin\n"));
                }
                self.has_legacy_writes
            }
        };
        if is_open || self.has_token(request) {
            return Ok(());
        }
        let refusal = Response::text(401, "send the token: Authorization: Bearer TOKEN\n");
        Err(refusal.with("WWW-Authenticate", "Bearer"))
    }

    fn has_token(&self, request: &Request) -> bool {
        let Some(given) = request.header("authorization") else { return false };
        let Some(given) = given.strip_prefix("Bearer ") else { return false };
        // Every byte is compared, so that time tells nothing about the first that differs.
        let given = given.trim().as_bytes();
        let differing =
            given.iter().zip(self.token.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == self.token.len() && differing == 0
    }
}

fn is_loopback_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return ip.is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

fn is_origin_of(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
}

fn default_token_file() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("."));
    home.join(".sigmill").join("admin-token")
}

/// The token in the file, which is made if it is not there, readable for its owner alone.
fn token(path: &Path) -> std::io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let token = random_token()?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(path)?, "{token}")?;
    Ok(token)
}

fn random_token() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    match fs::File::open("/dev/urandom") {
        Ok(mut random) => std::io::Read::read_exact(&mut random, &mut bytes)?,
        // Elsewhere the hasher's keys come from the system's random numbers.
        Err(_) => {
            for chunk in bytes.chunks_mut(8) {
                let state = std::collections::hash_map::RandomState::new();
                chunk.copy_from_slice(&state.build_hasher().finish().to_le_bytes());
            }
        }
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(ip: &str, open_reads: bool, legacy_writes: bool) -> (tempfile::TempDir, Access) {
        let folder = tempfile::tempdir().unwrap();
        let settings = AdminSettings {
            listen: None,
            is_listen_given: false,
            token_file: Some(folder.path().join("new/token")),
            has_open_reads: open_reads,
            has_legacy_writes: legacy_writes,
        };
        let access = Access::new(&settings, ip.parse().unwrap()).unwrap();
        (folder, access)
    }

    fn status(access: &Access, kind: Kind, headers: &[(&str, &str)]) -> u16 {
        let request = Request::with_headers(headers);
        access.check(kind, &request).map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn the_token_is_made_once_and_is_its_owners() {
        let (folder, first) = access("127.0.0.1", false, false);
        let path = folder.path().join("new/token");
        assert_eq!(token(&path).unwrap(), first.token);
        assert_eq!(first.token.len(), 64);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn loopback_reads_are_open_and_writes_need_the_token() {
        let (_folder, access) = access("127.0.0.1", false, false);
        let bearer = format!("Bearer {}", access.token);
        let host = ("host", "localhost:9464");
        assert_eq!(status(&access, Kind::Read, &[host]), 200);
        assert_eq!(status(&access, Kind::Read, &[("host", "evil.example:9464")]), 403);
        assert_eq!(status(&access, Kind::Health, &[("host", "evil.example")]), 200);
        assert_eq!(status(&access, Kind::LegacyWrite, &[host]), 401);
        assert_eq!(status(&access, Kind::LegacyWrite, &[host, ("authorization", &bearer)]), 200);
        assert_eq!(status(&access, Kind::LegacyWrite, &[host, ("authorization", "Bearer x")]), 401);
        let foreign = ("origin", "https://evil.example");
        let own = ("origin", "http://localhost:9464");
        let with_token = ("authorization", bearer.as_str());
        assert_eq!(status(&access, Kind::LegacyWrite, &[host, foreign, with_token]), 403);
        assert_eq!(status(&access, Kind::LegacyWrite, &[host, own, with_token]), 200);
    }

    #[test]
    fn elsewhere_reads_need_the_token_unless_they_are_open() {
        let host = ("host", "sigmill.example:80");
        let (_folder, closed) = access("10.0.0.1", false, false);
        assert_eq!(status(&closed, Kind::Read, &[host]), 401);
        assert_eq!(status(&closed, Kind::Health, &[host]), 200);
        let (_folder, open) = access("10.0.0.1", true, true);
        assert_eq!(status(&open, Kind::Read, &[host]), 200);
        assert_eq!(status(&open, Kind::LegacyWrite, &[host]), 200);
        assert_eq!(status(&open, Kind::LegacyWrite, &[host, ("origin", "http://x")]), 403);
    }

    #[test]
    fn hosts() {
        for host in ["localhost", "127.0.0.1:1", "[::1]:9", "127.9.9.9", "LOCALHOST:80", "[::1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "10.0.0.1:80"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
