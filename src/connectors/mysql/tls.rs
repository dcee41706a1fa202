//! TLS as the clients of MySQL mean it: `ssl-mode`, the files of `ssl-ca`, `ssl-cert` and `ssl-key`.
//!
//! `PREFERRED` and `REQUIRED` encrypt and check nothing, even where `ssl-ca` is given beside them. `VERIFY_CA` checks
//! the chain, `VERIFY_IDENTITY` the name too; without `ssl-ca` both trust the system's roots.
//!
//! Source: the MySQL reference manual, "Command Options for Encrypted Connections".

use super::config::{Tls, TlsMode};
use crate::bridge::tls::{self, Check, Connector, Hints, Identity, Trust};
use crate::error::{Error, ErrorKind, Result};

const HINTS: Hints = Hints {
    name: "name the server as its certificate does, or use tlsMode=DISABLED",
    certificate: "check tlsMode, tlsCa and the server's certificate",
    broken: "look into the server's log, then run it again",
};

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
    // As the clients do, both are looked for in the one file that is named.
    let identity = match (tls.cert.as_ref().or(tls.key.as_ref()), tls.key.as_ref().or(tls.cert.as_ref())) {
        (Some(cert), Some(key)) => Some(Identity::read(cert, key)?),
        _ => None,
    };
    let client = tls::client(rustls::ALL_VERSIONS, Trust::of(check, tls.ca.as_deref())?, identity)?;
    Ok(Some(Connector::new(client, &HINTS)))
}

/// The error of a login at `host`: since TLS 1.3 a server says only then that it does not take the client's certificate. It hangs up
/// behind that, and what it said may be lost.
pub(super) fn told_late(settings: &Tls, host: &str, error: Error) -> Error {
    match tls::cause(&error) {
        Some(alert @ rustls::Error::AlertReceived(_)) => {
            tls::refused(host, alert).with_hint("check tlsCert and tlsKey: the server does not take what they are")
        }
        None if settings.shows_certificate() && error.kind() == ErrorKind::Connection => {
            error.with_hint("check tlsCert and tlsKey: the server may have hung up because of what they are")
        }
        _ => error,
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
