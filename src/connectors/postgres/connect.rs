//! Opens one connection: hosts in turn, TLS as `sslmode` asks, and what the server is, in one round trip after login.
//!
//! Settings that shape values are not made for the session: behind a transaction pooler they would leak to others.
//! Every transaction begins with [`Server::settings`] instead.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode as WireSsl, SslNegotiation};
use tokio_postgres::{CancelToken, Client, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Config, Host, Shuffle, SslMode, TargetSession};
use super::errors;
use super::tls;
use crate::error::{Error, ErrorKind, Result};

/// Longest `application_name` that the server keeps.
const NAME_BYTES: usize = 63;

/// How long a server may take to end a connection that is closed in order.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection. Dropping it closes the socket at once, whatever is under way.
pub(super) struct Connection {
    client: Option<Client>,
    task: JoinHandle<()>,
    server: Server,
    tls: Option<MakeRustlsConnect>,
}

/// What is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// 150018 for 15.18.
    pub(super) version_number: u32,
    /// As the server writes it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub(super) version: String,
    /// It replays the log of another one.
    pub(super) standby: bool,
    /// Transactions are read-only unless asked otherwise.
    pub(super) read_only: bool,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) encoding: String,
    /// Process that serves this connection.
    pub(super) pid: i32,
}

/// Asks what is at the other end. It must stand up to any version from 9.6.
const FACTS: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    pg_is_in_recovery(), current_setting('transaction_read_only'), current_user, current_database(), \
    current_setting('server_encoding'), pg_backend_pid()";

impl Server {
    /// `SET LOCAL` statements for the start of every transaction: text forms that do not depend on the server's
    /// configuration, no time limits that a long copy would meet, the same row order for the same scan.
    pub(super) fn settings(&self) -> String {
        let mut settings = "SET LOCAL TimeZone='UTC'; SET LOCAL DateStyle='ISO, YMD'; \
            SET LOCAL IntervalStyle='postgres'; SET LOCAL extra_float_digits=3; SET LOCAL bytea_output='hex'; \
            SET LOCAL xmloption='content'; SET LOCAL statement_timeout=0; SET LOCAL lock_timeout=0; \
            SET LOCAL idle_in_transaction_session_timeout=0; SET LOCAL synchronize_seqscans=off; "
            .to_owned();
        if self.version_number >= 110_000 {
            settings.push_str("SET LOCAL jit=off; ");
        }
        if self.version_number >= 170_000 {
            settings.push_str("SET LOCAL transaction_timeout=0; ");
        }
        settings
    }

    fn read(row: &SimpleQueryRow) -> Option<Self> {
        Some(Self {
            version_number: row.get(0)?.parse().ok()?,
            version: row.get(1)?.to_owned(),
            standby: row.get(2)? == "t",
            read_only: row.get(3)? == "on",
            user: row.get(4)?.to_owned(),
            database: row.get(5)?.to_owned(),
            encoding: row.get(6)?.to_owned(),
            pid: row.get(7)?.parse().ok()?,
        })
    }

    fn fits(&self, target: TargetSession) -> bool {
        match target {
            TargetSession::Any | TargetSession::PreferStandby => true,
            TargetSession::ReadWrite => !self.standby && !self.read_only,
            TargetSession::ReadOnly => self.standby || self.read_only,
            TargetSession::Primary => !self.standby,
            TargetSession::Standby => self.standby,
        }
    }
}

impl Connection {
    /// What is at the other end.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Runs statements without parameters in one round trip and gives the rows of the last that had any.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let messages = self.simple_query(sql).await.map_err(errors::error)?;
        Ok(last_rows(messages))
    }

    /// Runs statements without parameters in one round trip.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.batch_execute(sql).await.map_err(errors::error)
    }

    /// What cancels the statement that runs at the time of the call.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller { token: self.cancel_token(), tls: self.tls.clone() }
    }

    /// Closes in order, so that the server logs no broken connection.
    pub(super) async fn close(mut self) {
        self.client = None;
        // What is not closed by then is cut off by the drop.
        let _ = tokio::time::timeout(CLOSE_LIMIT, &mut self.task).await;
    }
}

/// The rows of the last statement that had any.
pub(super) fn last_rows(messages: Vec<SimpleQueryMessage>) -> Vec<SimpleQueryRow> {
    let mut rows = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(_) => rows.clear(),
            SimpleQueryMessage::Row(row) => rows.push(row),
            _ => {}
        }
    }
    rows
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("the client is there until close takes the connection")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Cancels the running statement of one connection.
pub(super) struct Canceller {
    token: CancelToken,
    tls: Option<MakeRustlsConnect>,
}

impl Canceller {
    /// Sends the request. It may come too late: then it does nothing.
    pub(super) async fn cancel(self) {
        let sent = async {
            match self.tls {
                Some(tls) => self.token.cancel_query(tls).await,
                None => self.token.cancel_query(NoTls).await,
            }
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, sent).await;
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

/// Opens a connection whose `application_name` ends with `purpose`.
///
/// # Errors
/// The kind says whether the host, the login or the database was the trouble; the message names them.
pub(super) async fn connect(config: &Config, purpose: &str) -> Result<Connection> {
    let mut hosts = hosts(config);
    if config.shuffle_hosts == Shuffle::Random {
        // A seed of its own for every call; the quality of a shuffle of a few hosts hardly matters.
        let seed = uuid::Uuid::now_v7().as_u128() as usize;
        let len = hosts.len();
        hosts.rotate_left(seed % len);
    }
    let name = application_name(config, purpose);
    let mut failures: Vec<(Host, Error)> = Vec::new();
    let mut second_best = None;
    for host in hosts {
        match connect_host(config, &host, &name).await {
            Ok(connection) if !connection.server.fits(config.target) => {
                let error =
                    Error::new(ErrorKind::Connection, "the server is not of the wanted kind (target_session_attrs)");
                failures.push((host, error));
            }
            Ok(connection) if config.target == TargetSession::PreferStandby && !connection.server.standby => {
                second_best.get_or_insert(connection);
            }
            Ok(connection) => return Ok(connection),
            Err(error) if error.kind() == ErrorKind::Authentication => return Err(error),
            Err(error) => failures.push((host, error)),
        }
    }
    if let Some(connection) = second_best {
        return Ok(connection);
    }
    let count = failures.len();
    let (_, first) = failures.into_iter().next().expect("there is at least one host and all of them failed");
    if count == 1 {
        return Err(first);
    }
    Err(Error::new(first.kind(), format!("none of the {count} hosts can be used")).with_source(first))
}

/// The hosts of `config`, or where libpq looks when there are none.
fn hosts(config: &Config) -> Vec<Host> {
    if !config.hosts.is_empty() {
        return config.hosts.clone();
    }
    let port = config.port;
    let folders = ["/var/run/postgresql", "/tmp"];
    let socket = folders.into_iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
    vec![Host { name: socket.unwrap_or("localhost").to_owned(), address: None, port }]
}

/// `etl purpose`, within what the server keeps; the purpose is never cut before the base is.
fn application_name(config: &Config, purpose: &str) -> String {
    let base = config.application_name.as_deref().unwrap_or("etl");
    let mut purpose_end = purpose.len().min(NAME_BYTES - 1);
    while !purpose.is_char_boundary(purpose_end) {
        purpose_end -= 1;
    }
    let mut base_end = base.len().min(NAME_BYTES - 1 - purpose_end);
    while !base.is_char_boundary(base_end) {
        base_end -= 1;
    }
    format!("{} {}", &base[..base_end], &purpose[..purpose_end]).trim().to_owned()
}

/// One host, with and without TLS as the mode allows.
async fn connect_host(config: &Config, host: &Host, name: &str) -> Result<Connection> {
    let modes: &[WireSsl] = match config.tls.mode {
        _ if host.is_socket() => &[WireSsl::Disable],
        SslMode::Disable => &[WireSsl::Disable],
        SslMode::Allow => &[WireSsl::Disable, WireSsl::Require],
        SslMode::Prefer => &[WireSsl::Prefer, WireSsl::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[WireSsl::Require],
    };
    let mut first: Option<Error> = None;
    for mode in modes {
        let attempt = Attempt { config, host, name, mode: *mode };
        let opened = match config.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, attempt.open()).await.unwrap_or_else(|_| {
                let message = format!("{host} did not answer within {} s", limit.as_secs());
                Err(Error::new(ErrorKind::Timeout, message)
                    .with_hint("check host, port and firewall, or raise connect_timeout"))
            }),
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
    name: &'a str,
    mode: WireSsl,
}

impl Attempt<'_> {
    async fn open(&self) -> Result<Connection> {
        let settings = self.settings();
        let (client, task, tls) = if self.mode == WireSsl::Disable {
            let (client, connection) = settings.connect(NoTls).await.map_err(|error| self.error(error))?;
            (client, tokio::spawn(async move { drop(connection.await) }), None)
        } else {
            let tls = tls::connector(&self.config.tls)?;
            let (client, connection) = settings.connect(tls.clone()).await.map_err(|error| self.error(error))?;
            (client, tokio::spawn(async move { drop(connection.await) }), Some(tls))
        };
        // From here on the drop of the guard ends the task.
        let server = Server {
            version_number: 0,
            version: String::new(),
            standby: false,
            read_only: false,
            user: String::new(),
            database: String::new(),
            encoding: String::new(),
            pid: 0,
        };
        let mut connection = Connection { client: Some(client), task, server, tls };
        let rows = connection.rows(FACTS).await?;
        connection.server = rows.first().and_then(Server::read).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "the server does not say what it is").with_hint("is it PostgreSQL?")
        })?;
        Ok(connection)
    }

    fn settings(&self) -> tokio_postgres::Config {
        let Self { config, host, .. } = self;
        let mut settings = tokio_postgres::Config::new();
        settings.host(&host.name).port(host.port).user(&config.user).dbname(&config.dbname);
        settings.application_name(self.name).ssl_mode(self.mode).channel_binding(config.channel_binding);
        if let Some(address) = host.address {
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
        config.keepalive.idle.map(|idle| settings.keepalives_idle(idle));
        config.keepalive.interval.map(|interval| settings.keepalives_interval(interval));
        config.keepalive.count.map(|count| settings.keepalives_retries(count));
        config.keepalive.user_timeout.map(|limit| settings.tcp_user_timeout(limit));
        settings
    }

    fn error(&self, source: tokio_postgres::Error) -> Error {
        let Self { config, host, .. } = self;
        if let Some(reply) = source.as_db_error() {
            let error = errors::server_error(reply);
            return match error.kind() {
                ErrorKind::Authentication => error.with_hint(format!(
                    "check user {:?} and its password (PGPASSWORD, ~/.pgpass, or ${{NAME}} in the URL) and pg_hba.conf",
                    config.user
                )),
                ErrorKind::NotFound => error.with_hint(format!("connect to another database of {host}")),
                _ => error,
            };
        }
        if let Some(error) = errors::cause::<rustls::Error>(&source) {
            let message = match error {
                rustls::Error::InvalidCertificate(reason)
                    if format!("{reason:?}").contains("UnsupportedCertVersion") =>
                {
                    format!(
                        "the certificate of {host} is of X.509 version 1, which cannot be verified: make one of version 3"
                    )
                }
                error => format!("{host} and we do not come to terms on TLS: {error}"),
            };
            return Error::new(ErrorKind::Authentication, message)
                .with_hint("check sslmode, sslrootcert and the server's certificate")
                .with_source(source);
        }
        let text = std::error::Error::source(&source).map(ToString::to_string).unwrap_or_default();
        if text == "password missing" {
            return Error::new(ErrorKind::Authentication, format!("{host} asks for a password and none is given"))
                .with_hint("set PGPASSWORD, write it into ~/.pgpass, or use ${NAME} in the URL");
        }
        if text.contains("does not support TLS") {
            return Error::new(ErrorKind::Authentication, format!("{host} does not offer TLS"))
                .with_hint("use sslmode=prefer, or turn ssl on in the server");
        }
        let io = errors::cause::<io::Error>(&source).map(io::Error::kind);
        let message = match io {
            Some(io::ErrorKind::ConnectionRefused) => format!("{host} refuses the connection"),
            Some(io::ErrorKind::TimedOut) => format!("{host} did not answer in time"),
            Some(io::ErrorKind::NotFound) => format!("there is no server socket in {}", host.name),
            _ if text.contains("lookup") => format!("the host name {:?} is not known", host.name),
            _ => format!("{host} cannot be reached"),
        };
        Error::new(ErrorKind::Connection, message)
            .with_hint("check host and port, and that the server runs and listens there")
            .with_source(source)
    }
}
