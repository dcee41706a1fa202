//! TLS as libpq means it: which roots are trusted, and how much of the server's certificate is checked.
//!
//! As in libpq, a root file that is there is used even by `require` and `prefer`, which then check the chain as
//! `verify-ca` does; without one they check nothing. Only `verify-full` compares the name.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{RootCert, SslMode, TlsConfig, TlsVersion};
use crate::bridge::tls::{self, Check, Identity, Trust};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Builds the connector for `config`; reads certificate files.
pub(super) fn connector(config: &TlsConfig) -> Result<MakeRustlsConnect> {
    let versions: &[&rustls::SupportedProtocolVersion] = match config.version {
        TlsVersion::Any => rustls::ALL_VERSIONS,
        TlsVersion::Only12 => &[&rustls::version::TLS12],
        TlsVersion::Only13 => &[&rustls::version::TLS13],
    };
    let mut client = tls::client(versions, trust(config)?, identity(config)?)?;
    client.enable_sni = !config.no_server_name;
    if config.direct {
        client.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(client))
}

fn identity(config: &TlsConfig) -> Result<Option<Identity>> {
    let Some(cert) = config.cert.as_ref().filter(|_| !config.no_client_cert) else { return Ok(None) };
    let key = config.key.clone().unwrap_or_else(|| cert.with_extension("key"));
    check_key_mode(&key)?;
    Identity::read(cert, &key).map(Some)
}

/// libpq refuses a key that others can read; a key of root may be readable by its group.
#[cfg(unix)]
fn check_key_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(path).at("file", || path.display())?;
    let open = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & open == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permission, "the private key can be read by others")
        .at("file", path.display())
        .with_hint("chmod 600 it"))
}

#[cfg(not(unix))]
fn check_key_mode(_path: &Path) -> Result<()> {
    Ok(())
}

fn trust(config: &TlsConfig) -> Result<Option<Trust>> {
    let Some(roots) = roots(config)? else { return Ok(None) };
    let revocations = match config.crl.as_ref().filter(|path| path.exists()) {
        Some(path) => tls::revocations(path)?,
        None => Vec::new(),
    };
    let check = if config.mode == SslMode::VerifyFull { Check::Identity } else { Check::Chain };
    Ok(Some(Trust { roots, revocations, check }))
}

/// The trusted roots; none when nothing is to be checked.
fn roots(config: &TlsConfig) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let path = match &config.root {
        RootCert::System => return Ok(Some(tls::system_roots())),
        RootCert::File(path) | RootCert::Default(path) => path.clone(),
    };
    if !path.exists() {
        if config.mode < SslMode::VerifyCa {
            return Ok(None);
        }
        return Err(Error::new(ErrorKind::NotFound, "the file of trusted root certificates does not exist")
            .at("file", path.display())
            .with_hint("name one with sslrootcert=, or use sslrootcert=system, or a weaker sslmode"));
    }
    tls::certificates(&path).map(Some)
}
