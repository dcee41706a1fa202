//! Connections to one server: HTTP/1.1 over TCP or TLS, kept open between requests.
//!
//! A request goes out on a connection that answered not long ago, else on a new one. One whose answer was not read to its end is
//! closed, which also tells the server that nobody wants the rest.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::config::Config;
use super::tls;
use crate::bridge::tls::Connector;
use crate::error::{Error, ErrorKind, Result};

/// Servers close what is idle for longer, three seconds at the earliest.
const IDLE: Duration = Duration::from_secs(2);
/// Connections that are kept.
const MOST_IDLE: usize = 64;

/// One server.
pub(super) struct Server {
    config: Config,
    tls: OnceCell<Connector>,
    idle: Mutex<Vec<(SendRequest<Full<Bytes>>, Instant)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens nothing.
    pub(super) fn new(config: Config) -> Self {
        Self { config, tls: OnceCell::new(), idle: Mutex::default() }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The error with the server's place.
    pub(super) fn place(&self, error: Error) -> Error {
        error.at("server", &self.config.host)
    }

    /// Sends `body` to `path`, which may have parameters behind `?`, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Connection`](ErrorKind::Connection), [`Timeout`](ErrorKind::Timeout), and what TLS refuses.
    pub(super) async fn send(&self, path: &str, body: Bytes) -> Result<Reply> {
        let mut request = self.request(path, body)?;
        while let Some(mut sender) = self.idle_sender() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(Reply { response: Some(response), sender: Some(sender) }),
                // The server had closed it: nothing was sent.
                Err(mut refused) => match refused.take_message() {
                    Some(message) => request = message,
                    None => return Err(broken(refused.into_error())),
                },
            }
        }
        // What a handshake needs is much, and seldom wanted.
        let dialled = Box::pin(self.dial());
        let mut sender = within(self.config.connect_timeout, "connecting", dialled).await?;
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(Reply { response: Some(response), sender: Some(sender) })
    }

    fn request(&self, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let value = |text: &str, what: &str| {
            HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
                Error::new(ErrorKind::Usage, format!("the {what} holds a letter that HTTP does not carry"))
            })
        };
        let mut key = value(self.config.password.as_ref().map_or("", |password| password.reveal()), "password")?;
        key.set_sensitive(true);
        Request::post(path)
            .header(HOST, value(&self.config.host.to_string(), "name of the server")?)
            .header("X-ClickHouse-User", value(&self.config.user, "user")?)
            .header("X-ClickHouse-Key", key)
            .body(Full::new(body))
            .map_err(|source| Error::new(ErrorKind::Usage, "the request is too long for HTTP").with_source(source))
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>> {
        let host = &self.config.host;
        let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(|source| {
            Error::new(ErrorKind::Connection, "the server cannot be reached")
                .with_hint("check host and port (8123 for HTTP, 8443 for HTTPS) and that the server runs")
                .with_source(source)
        })?;
        // Small statements go out at once.
        stream.set_nodelay(true)?;
        match &self.config.tls {
            None => shake_hands(stream).await,
            Some(settings) => {
                let connector = self.tls.get_or_try_init(async || tls::connector(settings)).await?;
                shake_hands(connector.secure(&host.name, stream).await?).await
            }
        }
    }

    fn idle_sender(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock();
        idle.retain(|(sender, since)| since.elapsed() < IDLE && !sender.is_closed());
        idle.pop().map(|(sender, _)| sender)
    }

    fn give_back(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock();
        if idle.len() < MOST_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    /// Closes what is idle.
    pub(super) fn close(&self) {
        self.idle.lock().clear();
    }
}

async fn shake_hands<S>(stream: S) -> Result<SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends when the sender and the answer are dropped; what fails on it, the one who waits for an answer is told.
    tokio::spawn(connection);
    Ok(sender)
}

/// An answer, whose body comes in pieces.
pub(super) struct Reply {
    response: Option<Response<Incoming>>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.response.as_ref().map_or(0, |response| response.status().as_u16())
    }

    /// The next piece of the body; none at its end, where the connection goes back to `server`.
    ///
    /// # Errors
    /// [`Connection`](ErrorKind::Connection) where the body ends too early, [`Timeout`](ErrorKind::Timeout).
    pub(super) async fn piece(&mut self, server: &Server, limit: Option<Duration>) -> Result<Option<Bytes>> {
        loop {
            let Some(response) = self.response.as_mut() else { return Ok(None) };
            let next = async { response.body_mut().frame().await.transpose().map_err(broken) };
            let Some(frame) = within(limit, "the answer", next).await? else {
                self.response = None;
                if let Some(sender) = self.sender.take() {
                    server.give_back(sender);
                }
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// `work`, which is given up after `limit`.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout), and what the work gives.
pub(super) async fn within<T>(limit: Option<Duration>, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("{what} took longer than {} seconds", limit.as_secs());
        Err(Error::new(ErrorKind::Timeout, message).with_hint("raise connectTimeout or timeout in the locator"))
    })
}

fn broken(source: hyper::Error) -> Error {
    Error::new(ErrorKind::Connection, "the connection to ClickHouse broke").with_source(source)
}
