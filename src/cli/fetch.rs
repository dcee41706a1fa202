//! A job file from an HTTP server: one GET, without logins, redirects or retries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::settings::usage;
use crate::bridge::tls::{self, Check, Trust};
use crate::error::{Error, ErrorKind, Result};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// No job file is larger.
const BYTES_MAX: usize = 16 << 20;

/// What stands at `url`.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for what is no URL, [`Connection`](ErrorKind::Connection) and [`Timeout`](ErrorKind::Timeout) for a
/// server that does not answer, [`NotFound`](ErrorKind::NotFound) for one that answers with anything but the file.
pub(super) async fn get(url: &str) -> Result<Vec<u8>> {
    let late = |_| Error::new(ErrorKind::Timeout, format!("the server took longer than {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, fetched(url)).await.map_err(late)?
}

async fn fetched(url: &str) -> Result<Vec<u8>> {
    let uri = url.parse::<Uri>().map_err(|source| usage("this is no URL").with_source(source))?;
    let authority = uri.authority().ok_or_else(|| usage("the URL names no server"))?;
    if authority.as_str().contains('@') {
        return Err(usage("a URL with a login is not fetched").with_hint("fetch it by another program, and run '-'"));
    }
    let is_secure = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|source| Error::new(ErrorKind::Connection, "the server cannot be reached").with_source(source))?;
    if !is_secure {
        return answer(stream, &uri, authority.as_str()).await;
    }
    let trust = Trust { roots: tls::system_roots(), revocations: Vec::new(), check: Check::Identity };
    let client = tls::client(rustls::ALL_VERSIONS, Some(trust), None)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|source| usage("no certificate could have this name").with_source(source))?;
    let secured = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
    answer(secured.map_err(broken)?, &uri, authority.as_str()).await
}

async fn answer<S>(stream: S, uri: &Uri, host: &str) -> Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let serving = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, host).header(ACCEPT, "*/*").body(Empty::<Bytes>::new());
    let request = request.map_err(|source| usage("this is no URL that HTTP carries").with_source(source))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Error::new(ErrorKind::NotFound, format!("the server answered {status}")).with_hint("check the URL"));
    }
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await.map_err(|source| {
        Error::new(ErrorKind::Connection, "the job file did not come whole, or is larger than 16 MiB")
            .with_source(source)
    })?;
    serving.abort();
    Ok(body.to_bytes().to_vec())
}

fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Connection, "the connection to the server broke").with_source(source)
}
