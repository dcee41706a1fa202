//! TLS as the options ask for it, with the checks that other connectors have.

use super::config::{Config, Encrypt};
use crate::bridge::tls::{self, Connector, Hints, Trust};
use crate::error::Result;

const HINTS: Hints = Hints {
    name: "name the server as its certificate does, or use encrypt=none",
    certificate: "check tlsCheck, tlsCa and the server's certificate; one that the server made for itself passes with \
                  tlsCheck=none alone",
    broken: "look into the server's log, then run it again",
};

/// By what TLS of version 8.0 of TDS is told from others.
const STRICT: &[u8] = b"tds/8.0";

/// Builds the connector for `config`; reads certificate files. None where TLS is switched off.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) or [`NotFound`](crate::error::ErrorKind::NotFound) for files that cannot be used.
pub(super) fn connector(config: &Config) -> Result<Option<Connector>> {
    // What TLS 1.3 sends after its handshake has no place within the packets of TDS.
    let within = [&rustls::version::TLS12];
    let versions = match config.encrypt {
        Encrypt::None => return Ok(None),
        Encrypt::Required => &within[..],
        Encrypt::Strict => rustls::ALL_VERSIONS,
    };
    let mut client = tls::client(versions, Trust::of(config.tls.check, config.tls.ca.as_deref())?, None)?;
    if config.encrypt == Encrypt::Strict {
        client.alpn_protocols.push(STRICT.to_vec());
    }
    Ok(Some(Connector::new(client, &HINTS)))
}
