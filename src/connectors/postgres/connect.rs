//! Opens one connection: hosts in turn, TLS as `sslmode` asks, and what the server is, in one round trip after login.
//!
//! Settings that shape values are not made for the session: behind a transaction pooler they would leak to others.
//! Every transaction begins with [`Server::settings`] instead.

use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::config::{Config, Host, SOCKET_FOLDERS, Shuffle, TargetSession};
use super::errors;
use crate::error::{Error, ErrorKind, Result};

mod host;
mod socket;

/// Longest `application_name` that the server keeps.
const NAME_BYTES: usize = 63;

/// How far two clocks may drift apart while a connection is opened.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// How long a server may take to end a connection that is closed in order.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection. Dropping it closes the socket at once, whatever is under way.
pub(super) struct Connection {
    client: Option<Client>,
    task: JoinHandle<()>,
    /// What the server said when it ended the connection by itself.
    last_word: LastWord,
    gate: Arc<Gate>,
    server: Server,
    way: Way,
}

/// Where a connection is held back: the driver reads some messages ahead, whatever their size, and a message may be a row of 50 MB.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_held: AtomicBool,
    task: AtomicWaker,
}

impl Gate {
    /// From now on nothing is read, nor written, but what is under way.
    pub(super) fn hold(&self) {
        self.is_held.store(true, Ordering::Release);
    }

    /// The connection goes on.
    pub(super) fn release(&self) {
        // Asked for each row: a look costs less than a swap.
        if self.is_held.load(Ordering::Acquire) && self.is_held.swap(false, Ordering::AcqRel) {
            self.task.wake();
        }
    }

    fn poll_pass(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_held.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.task.register(context.waker());
        // It may have been released just before.
        if self.is_held.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// What is known of a connection that runs.
struct Driven {
    task: JoinHandle<()>,
    last_word: LastWord,
    gate: Arc<Gate>,
}

/// How the server was reached, for requests beside the connection.
#[derive(Clone)]
enum Way {
    Plain,
    Tls(MakeRustlsConnect),
    /// A Unix socket without a file, by its name.
    Abstract(String),
}

#[derive(Clone, Default)]
struct LastWord(Arc<Mutex<Option<Error>>>);

impl LastWord {
    fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

/// What is at the other end.
#[derive(Clone, Debug, Default)]
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
    /// How long the user wants to wait for a lock; zero for ever.
    pub(super) lock_timeout: Duration,
    /// How long the process has served by now: longer than we know it where a pooler had it before.
    age: Duration,
    /// The process was there before this connection was.
    pub(super) is_pooled: bool,
    /// What the user sets for the session: `-c statement_timeout=1h`.
    options: String,
    /// The zone in which the session shows instants, unless we set another one.
    time_zone: String,
}

/// Asks what is at the other end. It must stand up to any version from 9.6. The view `pg_stat_activity` takes longer to plan than all
/// the rest to answer, so its function is asked.
const FACTS: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    pg_is_in_recovery(), current_setting('transaction_read_only'), current_user, current_database(), \
    current_setting('server_encoding'), pg_backend_pid(), \
    (extract(epoch FROM current_setting('lock_timeout')::interval) * 1000)::int8, \
    coalesce((SELECT (extract(epoch FROM clock_timestamp() - backend_start) * 1000)::int8 \
    FROM pg_stat_get_activity(pg_backend_pid())), 0), current_setting('TimeZone')";

/// Time limits that a long copy would meet, with the version that brought them.
const LIMITS: [(&str, u32); 3] =
    [("statement_timeout", 0), ("idle_in_transaction_session_timeout", 0), ("transaction_timeout", 170_000)];

impl Server {
    /// `SET LOCAL` statements for the start of every transaction: text forms that do not depend on the server's
    /// configuration, no time limits but those that the user sets for this copy, the same row order for the same scan. A
    /// machine that is gone is noticed within two minutes, so that what it holds is let go.
    pub(super) fn settings(&self) -> String {
        let mut settings = "SET LOCAL TimeZone='UTC'; SET LOCAL DateStyle='ISO, YMD'; \
            SET LOCAL IntervalStyle='postgres'; SET LOCAL extra_float_digits=3; SET LOCAL bytea_output='hex'; \
            SET LOCAL xmloption='content'; SET LOCAL lock_timeout=0; SET LOCAL synchronize_seqscans=off; \
            SET LOCAL tcp_keepalives_idle=60; SET LOCAL tcp_keepalives_interval=10; \
            SET LOCAL tcp_keepalives_count=6; "
            .to_owned();
        if self.version_number >= 110_000 {
            settings.push_str("SET LOCAL jit=off; ");
        }
        for (limit, since) in LIMITS {
            if self.version_number >= since && !self.options.contains(limit) {
                let _ = write!(settings, "SET LOCAL {limit}=0; ");
            }
        }
        settings
    }

    /// The zone by whose clock the session shows instants, as it is named elsewhere.
    pub(super) fn clock(&self) -> String {
        named_elsewhere(&self.time_zone)
    }

    /// What was found out over a connection that was asked for `waited` ago with the user's `options`.
    fn known(self, waited: Duration, options: Option<&str>) -> Self {
        // The server takes a dash for an underscore, and letters in any case.
        let options = options.unwrap_or_default().replace('-', "_").to_ascii_lowercase();
        Self { is_pooled: self.age > waited + CLOCK_SLACK, options, ..self }
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
            lock_timeout: Duration::from_millis(row.get(8)?.parse().ok()?),
            age: Duration::from_millis(row.get(9)?.parse().unwrap_or(0)),
            time_zone: row.get(10)?.to_owned(),
            ..Self::default()
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

/// `zone` of the server as it is named elsewhere. An offset in it counts to the west, as POSIX has it, with a name before it (`<+08>-08`)
/// or without. What is neither that nor in the tz database stays as it is, and is no zone that anybody else knows.
fn named_elsewhere(zone: &str) -> String {
    let offset = zone.split_once('>').map_or(zone, |(_, offset)| offset);
    match offset.split_at_checked(1) {
        Some(("+", west)) => format!("-{west}"),
        Some(("-", east)) => format!("+{east}"),
        _ => zone.to_owned(),
    }
}

impl Connection {
    fn new(client: Client, driven: Driven, way: Way) -> Self {
        let Driven { task, last_word, gate } = driven;
        Self { client: Some(client), task, last_word, gate, server: Server::default(), way }
    }

    /// What holds it back.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What is at the other end.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Runs statements without parameters in one round trip and gives the rows of the last that had any.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<SimpleQueryRow>> {
        let messages = self.simple_query(sql).await.map_err(|source| self.error(source))?;
        Ok(last_rows(messages))
    }

    /// Runs statements without parameters in one round trip.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.batch_execute(sql).await.map_err(|source| self.error(source))
    }

    /// Our error for a failure on this connection. Where the server ended it before, what it said then is the cause.
    pub(super) fn error(&self, source: tokio_postgres::Error) -> Error {
        let last_word = if source.is_closed() { self.last_word() } else { None };
        last_word.unwrap_or_else(|| errors::error(source))
    }

    /// What the server said when it ended the connection by itself; said once.
    pub(super) fn last_word(&self) -> Option<Error> {
        self.last_word.take()
    }

    /// What cancels the statement that runs at the time of the call.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller { token: self.cancel_token(), way: self.way.clone() }
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
    way: Way,
}

impl Canceller {
    /// Sends the request. It may come too late: then it does nothing.
    pub(super) async fn cancel(self) {
        let sent = async {
            match self.way {
                Way::Tls(tls) => drop(self.token.cancel_query(tls).await),
                Way::Plain => drop(self.token.cancel_query(NoTls).await),
                Way::Abstract(name) => {
                    if let Ok(stream) = socket::abstract_stream(&name) {
                        drop(self.token.cancel_query_raw(stream, NoTls).await);
                    }
                }
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
        match host::connect(config, &host, &name).await {
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
    let socket = SOCKET_FOLDERS.into_iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
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

/// Runs a connection to its end, and keeps what the server says at the end.
fn drive<F>(mut connection: F) -> Driven
where
    F: Future<Output = Result<(), tokio_postgres::Error>> + Send + Unpin + 'static,
{
    let (last_word, gate) = (LastWord::default(), Arc::<Gate>::default());
    let (slot, passed) = (last_word.clone(), Arc::clone(&gate));
    let task = tokio::spawn(async move {
        // By reference: the client sees the end when the connection is dropped, and the word is there by then.
        let ended = poll_fn(|context| {
            ready!(passed.poll_pass(context));
            Pin::new(&mut connection).poll(context)
        });
        if let Err(source) = ended.await {
            *slot.0.lock() = Some(errors::error(source));
        }
        drop(connection);
    });
    Driven { task, last_word, gate }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// What `SHOW TimeZone` says, and the offset in what a server (PostgreSQL 15) then shows of an instant.
    #[test]
    fn offsets_of_the_server_count_to_the_west() {
        for (zone, known) in [
            ("Asia/Shanghai", "Asia/Shanghai"),
            ("<+08>-08", "+08"),
            ("<-05:30>+05:30", "-05:30"),
            ("+08:00", "-08:00"),
            ("UTC+8", "UTC+8"),
            ("", ""),
        ] {
            assert_eq!(named_elsewhere(zone), known, "{zone}");
        }
    }

    async fn passed(gate: Arc<Gate>) {
        poll_fn(|context| gate.poll_pass(context)).await;
    }

    #[tokio::test]
    async fn a_connection_that_is_held_goes_on_when_it_is_released() {
        let gate = Arc::<Gate>::default();
        assert!(passed(Arc::clone(&gate)).now_or_never().is_some());
        gate.hold();
        let waiting = tokio::spawn(passed(Arc::clone(&gate)));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.release();
        waiting.await.unwrap();
    }
}
