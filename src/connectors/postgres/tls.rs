//! TLS as libpq means it, on rustls: which roots are trusted, and how much of the server's certificate is checked.
//!
//! As in libpq, a root file that is there is used even by `require` and `prefer`, which then check the chain as
//! `verify-ca` does; without one they check nothing. Only `verify-full` compares the name.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::config::{RootCert, SslMode, TlsConfig, TlsVersion};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Builds the connector for `config`; reads certificate files.
pub(super) fn connector(config: &TlsConfig) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match config.version {
        TlsVersion::Any => rustls::ALL_VERSIONS,
        TlsVersion::Only12 => &[&rustls::version::TLS12],
        TlsVersion::Only13 => &[&rustls::version::TLS13],
    };
    let verifier = verifier(config, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut client = match client_certificate(config)? {
        Some((chain, key)) => {
            // Unchecked, because the check refuses certificates of X.509 version 1, and the server checks anyway.
            let certified = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).map_err(setup)?);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    };
    client.enable_sni = !config.no_server_name;
    if config.direct {
        client.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(client))
}

fn setup(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Usage, "TLS cannot be set up with these certificates").with_source(source)
}

fn client_certificate(config: &TlsConfig) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
    let Some(cert) = config.cert.as_ref().filter(|_| !config.no_client_cert) else { return Ok(None) };
    let key = config.key.clone().unwrap_or_else(|| cert.with_extension("key"));
    check_key_mode(&key)?;
    let pem = |source: rustls::pki_types::pem::Error, path: &Path| pem_error(source, path);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(|source| pem(source, cert))?;
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|source| pem(source, &key))?;
    Ok(Some((chain, key_der)))
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

fn pem_error(source: rustls::pki_types::pem::Error, path: &Path) -> Error {
    let error = match source {
        rustls::pki_types::pem::Error::Io(source) => Error::from(source),
        source => Error::new(ErrorKind::Usage, "it holds no PEM that can be used here").with_source(source),
    };
    error.at("file", path.display())
}

fn verifier(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let Some(roots) = roots(config)? else {
        return Ok(Arc::new(Unchecked(Arc::clone(provider))));
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    if store.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no trusted root certificate can be used"));
    }
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    if let Some(path) = config.crl.as_ref().filter(|path| path.exists()) {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect);
        let lists = lists.map_err(|source| pem_error(source, path))?;
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    let inner = builder.build().map_err(setup)?;
    Ok(Arc::new(Chain { inner, roots, name: config.mode == SslMode::VerifyFull }))
}

/// The trusted roots; none when nothing is to be checked.
fn roots(config: &TlsConfig) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let path = match &config.root {
        RootCert::System => return Ok(Some(rustls_native_certs::load_native_certs().certs)),
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
    let certs: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
    certs.map(Some).map_err(|source| pem_error(source, &path))
}

/// Checks the chain, and the name when asked.
#[derive(Debug)]
struct Chain {
    inner: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    name: bool,
}

impl ServerCertVerifier for Chain {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(ref error) if is_name(error) && (!self.name || common_name_fits(end_entity, server_name)) => {
                Ok(ServerCertVerified::assertion())
            }
            // OpenSSL takes a self-signed server certificate that is itself among the roots. webpki looks at its dates
            // and then says that an authority stands where a server should.
            Err(rustls::Error::InvalidCertificate(ref error)) if is_authority(error) && self.pins(end_entity) => {
                let name = verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name);
                match name {
                    Err(error) if self.name && !common_name_fits(end_entity, server_name) => Err(error),
                    _ => Ok(ServerCertVerified::assertion()),
                }
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl Chain {
    fn pins(&self, end_entity: &CertificateDer<'_>) -> bool {
        self.roots.iter().any(|root| root.as_ref() == end_entity.as_ref())
    }
}

/// Whether the chain is good and only the name is another.
fn is_name(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// As in libpq, the subject's common name counts where a certificate has no alternative names; a `*` at its start
/// stands for one label. PostgreSQL's own documentation makes such certificates.
fn common_name_fits(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    const COMMON_NAME: &str = "2.5.4.3";
    const ALTERNATIVE_NAMES: &str = "2.5.29.17";
    let ServerName::DnsName(wanted) = server_name else { return false };
    let Ok(certificate) = Certificate::from_der(end_entity) else { return false };
    let body = certificate.tbs_certificate;
    let mut extensions = body.extensions.iter().flatten();
    if extensions.any(|extension| extension.extn_id.to_string() == ALTERNATIVE_NAMES) {
        return false;
    }
    let mut attributes = body.subject.0.iter().flat_map(|names| names.0.iter());
    let name = attributes.find(|attribute| attribute.oid.to_string() == COMMON_NAME);
    let Some(Ok(name)) = name.map(|name| std::str::from_utf8(name.value.value())) else { return false };
    let wanted = wanted.as_ref();
    match name.strip_prefix("*.") {
        Some(rest) => wanted.split_once('.').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(rest)),
        None => wanted.eq_ignore_ascii_case(name),
    }
}

/// webpki's `CaUsedAsEndEntity` has no name of its own in rustls.
fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(_)) && format!("{error:?}").contains("CaUsedAsEndEntity")
}

/// Checks nothing, as libpq does without roots. Not even the signature: whoever sits between has a key of his own,
/// and reading the certificate for it would refuse those of X.509 version 1, which PostgreSQL's documentation makes.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
