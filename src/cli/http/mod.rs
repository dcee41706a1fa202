//! A look at a job while it runs, over HTTP: metrics, tasks and profiles, at the address of `--http`.
//!
//! It shows what `flow` counts, and the job never waits for it. Clients are few at once, have so much time for one request each,
//! and change nothing.

mod metrics;
mod pages;
mod profile;
mod words;

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::profile::Profiler;
use super::settings::Talk;
use super::transfer;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::meter::Meter;

/// Connections that are open at once; others wait for their turn.
const CONNECTIONS: usize = 16;

/// Bytes of a request, at most: nobody has to send more than a line and some headers.
const REQUEST_BYTES: usize = 16 << 10;

/// How long the head of a request may take to come.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// How long a request and its answer may take together, in seconds; a profile takes its own time.
const EXCHANGE_SECONDS: u64 = 10;

/// The pause after a connection that could not be taken, for want of file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
}

impl FromStr for Address {
    type Err = String;

    /// `HOST:PORT`; without a host it is this machine's own, which no other one reaches.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let is_whole = bare.is_some() || !host.contains(':');
            let port = port.parse::<u16>().ok().filter(|_| is_whole)?;
            Some((bare.unwrap_or(host), port))
        });
        let (host, port) =
            parsed.ok_or_else(|| format!("'{text}' is no address: write ':6080', '0.0.0.0:6080' or '[::1]:6080'"))?;
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What is served.
#[derive(Debug)]
pub(super) struct Site {
    transfers: usize,
    current: Mutex<Option<Arc<Shown>>>,
    profiler: Arc<Profiler>,
}

/// A transfer under way.
#[derive(Debug)]
struct Shown {
    /// Which of the transfers of the job file, from 1.
    number: usize,
    source: String,
    targets: Vec<String>,
    meter: Arc<Meter>,
}

impl Site {
    /// A site for a job of so many transfers, of which none has begun.
    fn new(transfers: usize) -> Self {
        Self { transfers, current: Mutex::default(), profiler: Arc::default() }
    }

    fn current(&self) -> Option<Arc<Shown>> {
        self.current.lock().clone()
    }
}

/// A transfer that is to be shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched<'a> {
    site: &'a Site,
    number: usize,
}

impl Watched<'_> {
    /// Shows it from now on, in place of the one before. Labels are without secrets.
    pub(super) fn show(&self, source: String, targets: &[String], meter: &Arc<Meter>) {
        let shown = Shown { number: self.number, source, targets: targets.to_vec(), meter: Arc::clone(meter) };
        *self.site.current.lock() = Some(Arc::new(shown));
    }
}

/// The server of a site. Dropping it closes the port and all connections.
#[derive(Debug)]
pub(super) struct Server {
    site: Arc<Site>,
    serving: JoinSet<()>,
}

impl Server {
    /// Serves a job of so many `transfers` at `address`, where there is one, and says where that is.
    ///
    /// # Errors
    /// [`Resource`](ErrorKind::Resource) when the address is not to be had.
    pub(super) async fn start(address: Option<&Address>, transfers: usize, talk: Talk) -> Result<Option<Self>> {
        let Some(address) = address else { return Ok(None) };
        let bound = TcpListener::bind((address.host.as_str(), address.port)).await;
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (at, listener) = bound.map_err(|source| {
            Error::new(ErrorKind::Resource, "this address is not to be had")
                .with_source(source)
                .with_hint("name another one; port 0 is any that is free")
                .at("option", format!("--http {address}"))
        })?;
        transfer::note(talk, &format!("serving at http://{at}/"));
        let site = Arc::new(Site::new(transfers));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&site)));
        Ok(Some(Self { site, serving }))
    }

    /// The transfer with this number, from 1, to be shown when it begins.
    pub(super) fn watched(&self, number: usize) -> Watched<'_> {
        Watched { site: &self.site, number }
    }

    /// Closes the port and all connections, and ends the profile that is taken.
    pub(super) async fn stop(server: Option<Self>) {
        let Some(Self { site, mut serving }) = server else { return };
        serving.shutdown().await;
        site.profiler.ended().await;
    }
}

/// Takes connections until it is dropped, which ends them, too.
async fn serve(listener: TcpListener, site: Arc<Site>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    open.spawn(exchange(stream, Arc::clone(&site)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// One request and its answer.
async fn exchange(stream: TcpStream, site: Arc<Site>) {
    let began = Instant::now();
    let patience = Arc::new(AtomicU64::new(EXCHANGE_SECONDS));
    let service = service_fn(|request: Request<Incoming>| {
        let (site, patience) = (Arc::clone(&site), Arc::clone(&patience));
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(pages::answer(&head.method, &head.uri, &site, &patience).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(REQUEST_BYTES).keep_alive(false);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let end = || began + Duration::from_secs(patience.load(Ordering::Relaxed));
    while Instant::now() < end() {
        tokio::select! {
            // What a client does wrong concerns nobody else.
            _ = &mut serving => return,
            () = sleep_until(end()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_host_is_this_machine_alone() {
        let shown = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(shown(":6080").unwrap(), "127.0.0.1:6080");
        assert_eq!(shown("0.0.0.0:80").unwrap(), "0.0.0.0:80");
        assert_eq!(shown("localhost:0").unwrap(), "localhost:0");
        assert_eq!(shown("[::1]:6080").unwrap(), "[::1]:6080");
        for text in ["", "6080", ":", ":http", ":65536", "::1:80", "host"] {
            assert!(shown(text).unwrap_err().contains("is no address"), "{text}");
        }
    }
}
