//! TLS of the HTTPS interface.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Tls, TlsCheck};
use crate::bridge::tls::{self, Check, Trust};
use crate::error::{Error, ErrorKind, Result};

/// Turns a connection into an encrypted one.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Builds the connector for `tls`; reads certificate files.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) or [`NotFound`](ErrorKind::NotFound) for files that cannot be used.
pub(super) fn connector(tls: &Tls) -> Result<Connector> {
    let check = match tls.check {
        TlsCheck::Identity => Some(Check::Identity),
        TlsCheck::Chain => Some(Check::Chain),
        TlsCheck::None => None,
    };
    let trust = match check {
        Some(check) => {
            let roots = tls.ca.as_deref().map_or_else(|| Ok(tls::system_roots()), tls::certificates)?;
            Some(Trust { roots, revocations: Vec::new(), check })
        }
        None => None,
    };
    let client = tls::client(rustls::ALL_VERSIONS, trust, None)?;
    Ok(Connector(TlsConnector::from(Arc::new(client))))
}

impl Connector {
    /// Shakes hands over `stream` with the server that is to be `host`.
    ///
    /// # Errors
    /// [`Authentication`](ErrorKind::Authentication) where the certificate does not pass or there is no common ground,
    /// [`Connection`](ErrorKind::Connection) where the connection breaks.
    pub(super) async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(|source| {
            Error::new(ErrorKind::Usage, format!("{host:?} is no name that a certificate could have"))
                .with_hint("name the server as its certificate does, or use tlsCheck=none")
                .with_source(source)
        })?;
        self.0.connect(name, stream).await.map_err(|source| {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(error) => tls::refused(host, error)
                    .with_hint("check tlsCheck, tlsCa and the server's certificate")
                    .with_source(source),
                None => Error::new(ErrorKind::Connection, format!("{host} broke off the TLS handshake"))
                    .with_hint("check that this port speaks HTTPS")
                    .with_source(source),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_where_they_are_needed() {
        let with = |check| connector(&Tls { check, ca: Some("/none.pem".into()) });
        assert!(with(TlsCheck::None).is_ok());
        for check in [TlsCheck::Chain, TlsCheck::Identity] {
            let error = with(check).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("/none.pem"), "{error}");
        }
    }
}
