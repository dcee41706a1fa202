//! TLS on rustls for logins to servers: trusted roots, how much of a server's certificate is checked, the client's own.
//!
//! Checks are as lenient as OpenSSL's where databases rely on it: a common name counts where there are no alternative
//! names, and a server's own certificate may be the trusted root. Which words ask for which check, connectors know.

use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::bridge::login::Layers;
use crate::error::{Error, ErrorKind, Result};

/// How much of a server's certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// That a trusted root vouches for it.
    Chain,
    /// That, and that it is of the server that was asked for.
    Identity,
}

/// What a server has to prove, as a user says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// How much of its certificate is checked; none means nothing.
    pub check: Option<Check>,
    /// A PEM file of trusted roots; none means the system's.
    pub ca: Option<PathBuf>,
}

impl Demand {
    /// What the settings `tlsCheck` and `tlsCa` say.
    ///
    /// # Errors
    /// Those of [`Layers::choose`].
    pub fn of(layers: &Layers) -> Result<Self> {
        let checks = [("identity", Some(Check::Identity)), ("chain", Some(Check::Chain)), ("none", None)];
        Ok(Self { check: layers.choose("tlsCheck", &checks)?, ca: layers.path("tlsCa") })
    }
}

/// Whom a server's certificate is checked against.
#[derive(Debug)]
pub struct Trust {
    /// Who may vouch.
    pub roots: Vec<CertificateDer<'static>>,
    /// What was taken back; certificates that no list speaks of are good.
    pub revocations: Vec<CertificateRevocationListDer<'static>>,
    /// How much is checked.
    pub check: Check,
}

impl Trust {
    /// Trust in the roots of the PEM file `ca`, else in those of the system; none where nothing is checked, and then no file
    /// is read.
    ///
    /// # Errors
    /// As [`Identity::read`].
    pub fn of(check: Option<Check>, ca: Option<&Path>) -> Result<Option<Self>> {
        let Some(check) = check else { return Ok(None) };
        let roots = ca.map_or_else(|| Ok(system_roots()), certificates)?;
        Ok(Some(Self { roots, revocations: Vec::new(), check }))
    }
}

/// What a client shows of itself.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a certificate with its chain, and its key, from PEM files.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no PEM, and what reading gives.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|source| pem_error(source, key))?;
        Ok(Self { chain, key })
    }
}

/// The certificates of a PEM file.
///
/// # Errors
/// As [`Identity::read`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    all(path)
}

/// The revocation lists of a PEM file.
///
/// # Errors
/// As [`Identity::read`].
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    all(path)
}

/// The roots that the system trusts.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

fn all<T: pem::PemObject>(path: &Path) -> Result<Vec<T>> {
    let found: Result<Vec<_>, _> = T::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|source| pem_error(source, path))
}

fn pem_error(source: pem::Error, path: &Path) -> Error {
    let error = match source {
        pem::Error::Io(source) => Error::from(source),
        source => Error::new(ErrorKind::Usage, "it holds no PEM that can be used here").with_source(source),
    };
    error.at("file", path.display())
}

/// The settings of a client; without `trust` it encrypts and checks nothing.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where roots, lists or key cannot be used.
pub fn client(
    versions: &[&'static SupportedProtocolVersion],
    trust: Option<Trust>,
    identity: Option<Identity>,
) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(trust, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(Identity { chain, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    // Unchecked, because the check refuses certificates of X.509 version 1, and the server checks anyway.
    let certified = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).map_err(setup)?);
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

/// Makes ours the provider of cryptography for clients that name none: where there are two, they would panic.
#[cfg(feature = "connectorx")]
pub fn settle_provider() {
    // Somebody may have done it already.
    let _ = ring::default_provider().install_default();
}

fn setup(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Usage, "TLS cannot be set up with these certificates").with_source(source)
}

/// Our error for a handshake with `server` that failed with `error`.
pub fn refused(server: impl fmt::Display, error: &rustls::Error) -> Error {
    let old = matches!(error, rustls::Error::InvalidCertificate(why) if format!("{why:?}").contains("UnsupportedCertVersion"));
    let message = if old {
        format!("the certificate of {server} is of X.509 version 1, which cannot be verified: make one of version 3")
    } else {
        format!("{server} and we do not come to terms on TLS: {error}")
    };
    Error::new(ErrorKind::Authentication, message)
}

/// What TLS itself says where `error` comes from a stream of it.
pub fn cause(error: &Error) -> Option<&rustls::Error> {
    let source = error.source()?.downcast_ref::<std::io::Error>()?;
    source.get_ref()?.downcast_ref()
}

/// Whether `error` is of a handshake with a server that has no version or no ciphers of TLS that we have.
pub fn has_no_common_ground(error: &Error) -> bool {
    matches!(
        cause(error),
        Some(
            rustls::Error::PeerIncompatible(_)
                | rustls::Error::AlertReceived(
                    AlertDescription::HandshakeFailure
                        | AlertDescription::ProtocolVersion
                        | AlertDescription::InsufficientSecurity
                )
        )
    )
}

/// What a user can do about a handshake that fails, in the words of the product's settings.
#[derive(Debug)]
pub struct Hints {
    /// Where the server is called what no certificate can have.
    pub name: &'static str,
    /// Where its certificate does not pass.
    pub certificate: &'static str,
    /// Where it broke off.
    pub broken: &'static str,
}

/// Turns a connection into an encrypted one.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    hints: &'static Hints,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// One that shakes hands by the settings of `client`.
    pub fn new(client: ClientConfig, hints: &'static Hints) -> Self {
        Self { connector: TlsConnector::from(Arc::new(client)), hints }
    }

    /// Shakes hands over `stream` with the server that is to be `host`.
    ///
    /// # Errors
    /// [`Authentication`](ErrorKind::Authentication) where the certificate does not pass or there is no common ground,
    /// [`Connection`](ErrorKind::Connection) where the connection breaks.
    pub async fn secure<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(|source| {
            Error::new(ErrorKind::Usage, format!("{host:?} is no name that a certificate could have"))
                .with_hint(self.hints.name)
                .with_source(source)
        })?;
        self.connector.connect(name, stream).await.map_err(|source| {
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let error = match inner {
                Some(error) => refused(host, error).with_hint(self.hints.certificate),
                None => Error::new(ErrorKind::Connection, format!("{host} broke off the TLS handshake"))
                    .with_hint(self.hints.broken),
            };
            error.with_source(source)
        })
    }
}

fn verifier(trust: Option<Trust>, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let Some(Trust { roots, revocations, check }) = trust else {
        return Ok(Arc::new(Unchecked(Arc::clone(provider))));
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    if store.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "no trusted root certificate can be used"));
    }
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    if !revocations.is_empty() {
        builder = builder.with_crls(revocations).allow_unknown_revocation_status();
    }
    let inner = builder.build().map_err(setup)?;
    Ok(Arc::new(Chain { inner, roots, name: check == Check::Identity }))
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

/// As in OpenSSL, the subject's common name counts where a certificate has no alternative names; a `*` at its start
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

/// Checks nothing, as database clients do without roots. Not even the signature: whoever sits between has a key of his own,
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
