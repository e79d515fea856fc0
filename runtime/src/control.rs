//! The port for people and machines: health, metrics, and the paths of the old page.
//!
//! A small HTTP server on threads of its own; the workers never wait for it. Reads are open on loopback;
//! elsewhere they need the token, but for health. Writes always need it, unless the old page is allowed
//! to do without. On loopback the `Host` has to be loopback too, so that no web site can reach the port by
//! a name of its own, and a write from a page of another origin is refused.

mod access;
mod api;
mod http;
mod legacy;
mod prometheus;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, JoinHandle};

use tracing::{info, warn};

use crate::run_error::RunError;
use crate::settings::Settings;
use crate::shutdown::Shutdown;
use crate::view::View;
use access::{Access, Kind};
use http::{Answer, Request, Response};

/// The server's thread.
pub(crate) struct Control {
    thread: JoinHandle<()>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Control {
    /// Begins to listen. `None`: the port was not asked for and cannot be had.
    ///
    /// # Errors
    /// The port was asked for and cannot be had; the token cannot be read or made.
    pub(crate) fn start(
        settings: &Arc<Settings>,
        view: View,
        shutdown: &Shutdown,
    ) -> Result<Option<Self>, RunError> {
        let Some(listen) = &settings.admin.listen else { return Ok(None) };
        let listener = match TcpListener::bind(listen) {
            Ok(listener) => listener,
            Err(error) if settings.admin.is_listen_given => {
                return Err(RunError::Listen { address: listen.clone(), error });
            }
            Err(error) => {
                warn!(listen, %error, "No port for health and metrics; set sigmill.admin.listen.");
                return Ok(None);
            }
        };
        let refuse = |error| RunError::Listen { address: listen.clone(), error };
        let address = listener.local_addr().map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        let access = Access::new(&settings.admin, address.ip())?;
        let routes = Arc::new(Routes {
            settings: Arc::clone(settings),
            view,
            access,
            shutdown: shutdown.clone(),
            follower_count: Arc::default(),
        });
        let shutdown = shutdown.clone();
        let serve = move || {
            http::serve(&listener, &shutdown, &move |request: &Request| routes.answer(request));
        };
        let thread = thread::Builder::new().name("sigmill-control".into()).spawn(serve)?;
        info!(%address, "Health, metrics and rules are told over HTTP.");
        Ok(Some(Self { thread, address }))
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            warn!("The HTTP server ended by a panic.");
        }
    }
}

struct Routes {
    settings: Arc<Settings>,
    view: View,
    access: Access,
    shutdown: Shutdown,
    /// How many follow the detections.
    follower_count: Arc<AtomicUsize>,
}

impl Routes {
    fn answer(&self, request: &Request) -> Answer {
        let path = request.path.as_str();
        let kind = match path {
            "/healthz" | "/readyz" => Kind::Health,
            "/addSigmaRule" => Kind::LegacyWrite,
            _ => Kind::Read,
        };
        if let Err(refusal) = self.access.check(kind, request) {
            return match path.starts_with(api::PREFIX) {
                true => refusal.into_error_object().into(),
                false => refusal.into(),
            };
        }
        match path.starts_with(api::PREFIX) {
            true => api::answer(self, request),
            false => self.plain(request).into(),
        }
    }

    /// Answers what is not JSON by its path.
    fn plain(&self, request: &Request) -> Response {
        let path = request.path.as_str();
        match (request.method.as_str(), path) {
            ("GET" | "HEAD", "/healthz") => self.health(),
            ("GET" | "HEAD", "/readyz") => self.readiness(),
            ("GET" | "HEAD", "/metrics") => Response::new(
                200,
                prometheus::CONTENT_TYPE,
                prometheus::text(&self.view, self.settings.target_mb_per_core),
            ),
            ("GET" | "HEAD", "/sigmaTitles") => legacy::titles(&self.view),
            ("GET" | "HEAD", "/sigmaRules") => legacy::rules(&self.view),
            ("GET" | "HEAD", path) if path.starts_with("/sigmaRule/") => {
                legacy::rule(&self.view, &path["/sigmaRule/".len()..])
            }
            ("POST", "/addSigmaRule") => legacy::add(&self.settings, &request.body),
            ("GET" | "HEAD", "/instanceIDs") => legacy::instances(&self.settings, true),
            ("GET" | "HEAD", "/processorStates") => legacy::instances(&self.settings, false),
            (_, "/addSigmaRule") => Response::text(405, "use POST\n").with("Allow", "POST"),
            (
                _,
                "/healthz" | "/readyz" | "/metrics" | "/sigmaTitles" | "/sigmaRules"
                | "/instanceIDs" | "/processorStates",
            ) => Response::text(405, "use GET\n").with("Allow", "GET, HEAD"),
            _ => Response::text(404, "there is nothing here\n"),
        }
    }

    /// Alive: some worker is.
    fn health(&self) -> Response {
        match self.view.snapshot().worker_count {
            0 => Response::text(503, "no worker runs\n"),
            count => Response::text(200, &format!("ok, workers: {count}\n")),
        }
    }

    /// Ready: all workers are, and the rules are in.
    fn readiness(&self) -> Response {
        let snapshot = self.view.snapshot();
        let is_ready = snapshot.generation > 0 && snapshot.worker_count == self.view.workers.len();
        let text = format!(
            "{}, workers: {} of {}, rules: {}, rules with problems: {}\n",
            if is_ready { "ready" } else { "not ready" },
            snapshot.worker_count,
            self.view.workers.len(),
            snapshot.rule_count,
            snapshot.problems.len()
        );
        Response::text(if is_ready { 200 } else { 503 }, &text)
    }
}
