//! TLS as the options ask for it, with the checks that other connectors have.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Config, Encrypt, TlsCheck};
use crate::bridge::tls::{self, Check, Trust};
use crate::error::{Error, ErrorKind, Result};

const HINT: &str = "check tlsCheck, tlsCa and the server's certificate; one that the server made for itself passes with tlsCheck=none \
                    alone";

/// By what TLS of version 8.0 of TDS is told from others.
const STRICT: &[u8] = b"tds/8.0";

/// Turns a connection into an encrypted one.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Builds the connector for `config`; reads certificate files. None where TLS is switched off.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) or [`NotFound`](ErrorKind::NotFound) for files that cannot be used.
pub(super) fn connector(config: &Config) -> Result<Option<Connector>> {
    // What TLS 1.3 sends after its handshake has no place within the packets of TDS.
    let within = [&rustls::version::TLS12];
    let versions = match config.encrypt {
        Encrypt::None => return Ok(None),
        Encrypt::Required => &within[..],
        Encrypt::Strict => rustls::ALL_VERSIONS,
    };
    let check = match config.tls.check {
        TlsCheck::Identity => Some(Check::Identity),
        TlsCheck::Chain => Some(Check::Chain),
        TlsCheck::None => None,
    };
    let trust = match check {
        Some(check) => {
            let roots = config.tls.ca.as_deref().map_or_else(|| Ok(tls::system_roots()), tls::certificates)?;
            Some(Trust { roots, revocations: Vec::new(), check })
        }
        None => None,
    };
    let mut client = tls::client(versions, trust, None)?;
    if config.encrypt == Encrypt::Strict {
        client.alpn_protocols.push(STRICT.to_vec());
    }
    Ok(Some(Connector(TlsConnector::from(Arc::new(client)))))
}

impl Connector {
    /// Shakes hands over `stream` with the server that is to be `host`.
    ///
    /// # Errors
    /// [`Authentication`](ErrorKind::Authentication) where the certificate does not pass or there is no common ground,
    /// [`Connection`](ErrorKind::Connection) where the connection breaks.
    pub(super) async fn secure<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(|source| {
            Error::new(ErrorKind::Usage, format!("{host:?} is no name that a certificate could have"))
                .with_hint("name the server as its certificate does, or use encrypt=none")
                .with_source(source)
        })?;
        self.0.connect(name, stream).await.map_err(|source| {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(error) => tls::refused(host, error).with_hint(HINT).with_source(source),
                None => Error::new(ErrorKind::Connection, format!("{host} broke off the TLS handshake"))
                    .with_hint("look into the server's log, then run it again")
                    .with_source(source),
            }
        })
    }
}
