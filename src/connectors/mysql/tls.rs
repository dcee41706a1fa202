//! TLS as the clients of MySQL mean it: `ssl-mode`, the files of `ssl-ca`, `ssl-cert` and `ssl-key`.
//!
//! `PREFERRED` and `REQUIRED` encrypt and check nothing, even where `ssl-ca` is given beside them. `VERIFY_CA` checks
//! the chain, `VERIFY_IDENTITY` the name too; without `ssl-ca` both trust the system's roots.
//!
//! Source: the MySQL reference manual, "Command Options for Encrypted Connections".

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{Tls, TlsMode};
use crate::bridge::tls::{self, Check, Identity, Trust};
use crate::error::{Error, ErrorKind, Result};

const HINT: &str = "check sslMode, sslCa and the server's certificate";

/// Turns a connection into an encrypted one.
#[derive(Clone)]
pub(super) struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Builds the connector for `tls`; reads certificate files. None where TLS is disabled.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) or [`NotFound`](ErrorKind::NotFound) for files that cannot be used.
pub(super) fn connector(tls: &Tls) -> Result<Option<Connector>> {
    let check = match tls.mode {
        TlsMode::Disabled => return Ok(None),
        TlsMode::Preferred | TlsMode::Required => None,
        TlsMode::VerifyCa => Some(Check::Chain),
        TlsMode::VerifyIdentity => Some(Check::Identity),
    };
    let trust = match check {
        Some(check) => {
            let roots = tls.ca.as_deref().map_or_else(|| Ok(tls::system_roots()), tls::certificates)?;
            Some(Trust { roots, revocations: Vec::new(), check })
        }
        None => None,
    };
    // As the clients do, both are looked for in the one file that is named.
    let identity = match (tls.cert.as_ref().or(tls.key.as_ref()), tls.key.as_ref().or(tls.cert.as_ref())) {
        (Some(cert), Some(key)) => Some(Identity::read(cert, key)?),
        _ => None,
    };
    let client = tls::client(rustls::ALL_VERSIONS, trust, identity)?;
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
                .with_hint("name the server as its certificate does, or use sslMode=DISABLED")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_where_the_mode_needs_them() {
        let with = |mode, ca: Option<&str>, cert: Option<&str>| {
            let path = |name: Option<&str>| name.map(Into::into);
            connector(&Tls { mode, ca: path(ca), cert: path(cert), key: None })
        };
        let none = Some("/none.pem");
        assert!(with(TlsMode::Disabled, none, none).unwrap().is_none());
        for mode in [TlsMode::Preferred, TlsMode::Required] {
            assert!(with(mode, none, None).unwrap().is_some());
        }
        for (mode, ca, cert) in
            [(TlsMode::Required, None, none), (TlsMode::VerifyCa, none, None), (TlsMode::VerifyIdentity, none, None)]
        {
            let error = with(mode, ca, cert).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("/none.pem"), "{error}");
        }
    }
}
