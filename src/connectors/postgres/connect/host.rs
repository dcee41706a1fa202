//! One server: its addresses in turn, with and without TLS, and plain words for what went wrong.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use tokio_postgres::config::{SslMode as WireSsl, SslNegotiation};

use super::super::config::{Config, Host, SslMode};
use super::super::{errors, tls};
use super::{Connection, FACTS, Server, Way, drive, socket};
use crate::bridge::tls::refused;
use crate::error::{Error, ErrorKind, Result};

/// The addresses of a host in turn; each may take as long as `connect_timeout` says.
pub(super) async fn connect(config: &Config, host: &Host, name: &str) -> Result<Connection> {
    let mut first: Option<Error> = None;
    for address in addresses(config, host).await? {
        match connect_address(config, host, address, name).await {
            // Only what says nothing about the server is worth another address of it.
            Err(error) if matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout) => {
                first.get_or_insert(error);
            }
            outcome => return outcome,
        }
    }
    Err(first.unwrap_or_else(|| unknown_host(host)))
}

/// Where the host may be; none in the list leaves it to the driver: a socket, or a name that is an address.
async fn addresses(config: &Config, host: &Host) -> Result<Vec<Option<IpAddr>>> {
    if host.is_socket() || host.address.is_some() || host.name.parse::<IpAddr>().is_ok() {
        return Ok(vec![host.address]);
    }
    let lookup = tokio::net::lookup_host((host.name.as_str(), host.port));
    let found = match config.connect_timeout {
        Some(limit) => tokio::time::timeout(limit, lookup).await.map_err(|_| late(host, limit))?,
        None => lookup.await,
    };
    let found = found.map_err(|source| unknown_host(host).with_source(source))?;
    Ok(found.map(|address| Some(address.ip())).collect())
}

fn unknown_host(host: &Host) -> Error {
    Error::new(ErrorKind::Connection, format!("the host name {:?} is not known", host.name))
        .with_hint("check the spelling, and that this machine can look names up")
}

fn late(host: &Host, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("{host} did not answer within {} s", limit.as_secs()))
        .with_hint("check host, port and firewall, or raise connect_timeout")
}

/// One address, with and without TLS as the mode allows.
async fn connect_address(config: &Config, host: &Host, address: Option<IpAddr>, name: &str) -> Result<Connection> {
    let modes: &[WireSsl] = match config.tls.mode {
        _ if host.is_socket() => &[WireSsl::Disable],
        SslMode::Disable => &[WireSsl::Disable],
        SslMode::Allow => &[WireSsl::Disable, WireSsl::Require],
        SslMode::Prefer => &[WireSsl::Prefer, WireSsl::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[WireSsl::Require],
    };
    let mut first: Option<Error> = None;
    for mode in modes {
        let attempt = Attempt { config, host, address, name, mode: *mode };
        let opened = match config.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, attempt.open()).await.unwrap_or_else(|_| Err(late(host, limit))),
            None => attempt.open().await,
        };
        match opened {
            Ok(connection) => return Ok(connection),
            // Only a refused login or handshake is worth another try without or with TLS.
            Err(error) if error.kind() != ErrorKind::Authentication => return Err(first.unwrap_or(error)),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.expect("every list of modes has an entry, and each failed"))
}

struct Attempt<'a> {
    config: &'a Config,
    host: &'a Host,
    address: Option<IpAddr>,
    name: &'a str,
    mode: WireSsl,
}

impl Attempt<'_> {
    async fn open(&self) -> Result<Connection> {
        let begun = Instant::now();
        let mut connection = self.log_in().await?;
        let rows = connection.rows(FACTS).await?;
        let server = rows.first().and_then(Server::read).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the server does not say what it is").with_hint("is it PostgreSQL?")
        })?;
        connection.server = server.known(begun.elapsed(), self.config.options.as_deref());
        Ok(connection)
    }

    /// A connection of which nothing is known yet. Dropping it ends its task.
    async fn log_in(&self) -> Result<Connection> {
        let settings = self.settings();
        let error = |source| self.error(source);
        if let Some(name) = socket::abstract_name(self.host) {
            let stream = socket::abstract_stream(&name).map_err(|source| no_socket(self.host).with_source(source))?;
            let (client, connection) = settings.connect_raw(stream, NoTls).await.map_err(error)?;
            return Ok(Connection::new(client, drive(connection), Way::Abstract(name)));
        }
        if self.mode == WireSsl::Disable {
            let (client, connection) = settings.connect(NoTls).await.map_err(error)?;
            return Ok(Connection::new(client, drive(connection), Way::Plain));
        }
        let tls = tls::connector(&self.config.tls)?;
        let (client, connection) = settings.connect(tls.clone()).await.map_err(error)?;
        Ok(Connection::new(client, drive(connection), Way::Tls(tls)))
    }

    fn settings(&self) -> tokio_postgres::Config {
        let Self { config, host, .. } = self;
        let mut settings = tokio_postgres::Config::new();
        settings.host(&host.name).port(host.port).user(&config.user).dbname(&config.dbname);
        settings.application_name(self.name).ssl_mode(self.mode).channel_binding(config.channel_binding);
        if let Some(address) = self.address {
            settings.hostaddr(address);
        }
        if let Some(password) = config.password(host) {
            settings.password(password.reveal());
        }
        if let Some(options) = &config.options {
            settings.options(options);
        }
        if config.tls.direct && self.mode == WireSsl::Require {
            settings.ssl_negotiation(SslNegotiation::Direct);
        }
        settings.keepalives(!config.keepalive.off);
        settings.keepalives_idle(config.keepalive.idle).keepalives_interval(config.keepalive.interval);
        settings.keepalives_retries(config.keepalive.count);
        config.keepalive.user_timeout.map(|limit| settings.tcp_user_timeout(limit));
        settings
    }

    fn error(&self, source: tokio_postgres::Error) -> Error {
        let Self { config, host, .. } = self;
        if let Some(reply) = source.as_db_error() {
            let error = errors::server_error(reply);
            return match error.kind() {
                ErrorKind::Authentication => error.with_hint(self.login_hint()),
                ErrorKind::NotFound => error.with_hint(format!("connect to another database of {host}")),
                _ => error,
            };
        }
        if let Some(error) = errors::cause::<rustls::Error>(&source) {
            let error = refused(host, error).with_hint("check sslmode, sslrootcert and the server's certificate");
            return error.with_source(source);
        }
        let text = std::error::Error::source(&source).map(ToString::to_string).unwrap_or_default();
        if text == "password missing" {
            let hint = match config.ignored_passfile() {
                Some(path) => ignored(path),
                None => "set PGPASSWORD, write it into ~/.pgpass, or use ${NAME} in the URL".to_owned(),
            };
            let message = format!("{host} asks for a password and none is given");
            return Error::new(ErrorKind::Authentication, message).with_hint(hint);
        }
        if text.contains("does not support TLS") {
            return Error::new(ErrorKind::Authentication, format!("{host} does not offer TLS"))
                .with_hint("use sslmode=prefer, or turn ssl on in the server");
        }
        let io = errors::cause::<io::Error>(&source).map(io::Error::kind);
        let message = match io {
            Some(io::ErrorKind::ConnectionRefused) => format!("{host} refuses the connection"),
            Some(io::ErrorKind::TimedOut) => format!("{host} did not answer in time"),
            Some(io::ErrorKind::NotFound) => return no_socket(host).with_source(source),
            _ => format!("{host} cannot be reached"),
        };
        Error::new(ErrorKind::Connection, message).with_hint(LISTENS).with_source(source)
    }

    fn login_hint(&self) -> String {
        let user = &self.config.user;
        match self.config.ignored_passfile() {
            Some(path) => ignored(path),
            None => format!(
                "check user {user:?} and its password (PGPASSWORD, ~/.pgpass, or ${{NAME}} in the URL) and pg_hba.conf"
            ),
        }
    }
}

const LISTENS: &str = "check host and port, and that the server runs and listens there";

fn no_socket(host: &Host) -> Error {
    Error::new(ErrorKind::Connection, format!("there is no server socket in {}", host.name)).with_hint(LISTENS)
}

fn ignored(passfile: &Path) -> String {
    format!("the password file {0} is ignored, because others may read it: chmod 600 {0}", passfile.display())
}
