//! One connection: host, TLS, login, and statements whose few rows are wanted at once.

use tiberius::{AuthMethod, Client, QueryStream, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::config::Config;
use super::errors::of_driver;
use super::prelogin::{self, Wire};
use crate::bridge::login::late;
use crate::bridge::login::uri::Host;
use crate::error::{Context as _, Error, ErrorKind, Result};

/// What a session begins with, whatever it is for: rules of the standard, texts of any length, and nothing that hangs on the login's
/// language.
const SETTINGS: &str = "SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON; \
    SET ANSI_NULL_DFLT_ON ON; SET NUMERIC_ROUNDABORT OFF; SET IMPLICIT_TRANSACTIONS OFF; SET NOCOUNT OFF; \
    SET TEXTSIZE 2147483647; SET LANGUAGE us_english; SET DATEFORMAT ymd";

/// How often one server may send us to another.
const MOST_ROUTES: usize = 3;

/// An open connection. Dropping it closes the socket at once.
pub(super) struct Connection {
    client: Client<Compat<Wire>>,
    /// Whether the last statement was answered to its end.
    ready: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl Connection {
    /// Whether another statement may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Runs a batch and gives the rows of the first statement that has any columns.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.ready = false;
        let asked = async {
            let results = self.client.simple_query(sql).await?.into_results().await?;
            Ok::<_, tiberius::error::Error>(results.into_iter().next().unwrap_or_default())
        };
        let outcome = asked.await.map_err(of_driver);
        self.ready = !outcome.as_ref().is_err_and(breaks);
        outcome
    }

    /// Runs a batch whose rows nobody wants.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        self.rows(sql).await.map(drop)
    }

    /// The first field of the first row, which is a text.
    pub(super) async fn text(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(sql).await?.first().and_then(|row| text(row, 0)))
    }

    /// The first field of the first row, which is a `bigint`.
    pub(super) async fn number(&mut self, sql: &str) -> Result<Option<i64>> {
        Ok(self.rows(sql).await?.first().and_then(|row| number(row, 0)))
    }

    /// Begins to read the rows of `sql`. Until they are read to their end, [`Connection::stop`] has to be called before anything else.
    pub(super) async fn open(&mut self, sql: &str) -> Result<QueryStream<'_>> {
        self.ready = false;
        self.client.simple_query(sql).await.map_err(of_driver)
    }

    /// The rows that were opened were read to their end.
    pub(super) fn ended(&mut self) {
        self.ready = true;
    }

    /// Ends a statement whose rows nobody wants, between two of them.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.client.cancel_query().await.map_err(of_driver)?;
        self.ready = true;
        Ok(())
    }

    /// The driver, for work of which only the caller knows when it is over; after that comes [`Connection::ended`].
    pub(super) fn driver(&mut self) -> &mut Client<Compat<Wire>> {
        self.ready = false;
        &mut self.client
    }

    /// Ends it in order.
    pub(super) async fn close(self) {
        // A connection that is broken is closed, too.
        let _ = self.client.close().await;
    }
}

/// Whether nothing more can be said over a connection after `error`. What the server answers leaves it as it is.
fn breaks(error: &Error) -> bool {
    super::errors::number_of(error).is_none()
}

/// The text in the column at `index`; none for NULL.
pub(super) fn text(row: &Row, index: usize) -> Option<String> {
    row.try_get::<&str, usize>(index).ok().flatten().map(str::to_owned)
}

/// The `bigint` in the column at `index`; none for NULL.
pub(super) fn number(row: &Row, index: usize) -> Option<i64> {
    row.try_get::<i64, usize>(index).ok().flatten()
}

/// Opens a connection.
///
/// # Errors
/// [`Connection`](ErrorKind::Connection) or [`Timeout`](ErrorKind::Timeout) when the server cannot be reached,
/// [`Authentication`](ErrorKind::Authentication) when it does not let us in.
pub(super) async fn connect(config: &Config) -> Result<Connection> {
    let opening = async {
        let mut connection = Connection { client: enter(config).await?, ready: true };
        if let Some(session) = &config.session {
            connection.run(session).await.at("option", || "session")?;
        }
        connection.run(SETTINGS).await?;
        Ok(connection)
    };
    let opening = Box::pin(opening);
    let opened = match config.connect_timeout {
        Some(limit) => tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| Err(late(limit))),
        None => opening.await,
    };
    opened.at("server", || config.label())
}

/// Logs in at the server, or at the one to which it sends us.
async fn enter(config: &Config) -> Result<Client<Compat<Wire>>> {
    let mut host = config.host.clone();
    for _ in 0..MOST_ROUTES {
        let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(|source| {
            Error::new(ErrorKind::Connection, format!("{host} cannot be reached")).with_source(source)
        })?;
        // Whole requests are written at once.
        stream.set_nodelay(true)?;
        let wire = prelogin::begin(config, &host.name, stream).await?;
        match Client::connect(login(config, &host), wire.compat()).await {
            Ok(client) => return Ok(client),
            Err(tiberius::error::Error::Routing { host: name, port }) => host = Host { name, port },
            Err(error) => return Err(of_driver(error)),
        }
    }
    Err(Error::new(ErrorKind::Connection, "the server sends us from one address to another"))
}

fn login(config: &Config, host: &Host) -> tiberius::Config {
    let password = config.password.as_ref().map_or("", |password| password.reveal());
    let mut login = tiberius::Config::new();
    login.host(&host.name);
    login.port(host.port);
    login.authentication(AuthMethod::sql_server(&config.user, password));
    login.application_name(&config.application_name);
    login.packet_size(config.packet_bytes);
    if let Some(database) = &config.database {
        login.database(database);
    }
    // How long is too long is said here, and a copy may take its time.
    login.handshake_timeout(None);
    login.command_timeout(None);
    login
}
