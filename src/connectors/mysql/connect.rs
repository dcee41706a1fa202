//! Opens one connection: socket or host, TLS as `ssl-mode` asks, login, and what the server is.

use std::fmt::Write as _;
use std::net::SocketAddr;

use arrow::array::timezone::Tz;
use bytes::Bytes;
use chrono::{DateTime, Offset as _, TimeZone as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::config::{Config, Timestamps, Tls, TlsMode};
use super::decode::Frames;
use super::errors;
use super::tls;
use super::wire::{self, Channel, Client, Column, Done, Greeting, Login, Packets, Reply, Row};
use crate::bridge::login::late;
use crate::bridge::login::uri::Host;
use crate::bridge::tls::{Connector, has_no_common_ground};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// What the server shows of us.
const PROGRAM: &str = "etl";

/// What a session begins with, whatever it is for: text in UTF-8, no limits of time or rows that a copy would meet, a note of each value
/// that is cut, and no blanks behind what is in a `char`. The rest of the mode stays: a query of the user may want it.
const SETTINGS: &str = "SET NAMES utf8mb4, autocommit = 1, net_read_timeout = 3600, net_write_timeout = 3600, \
    wait_timeout = 86400, sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, sql_notes = 1, \
    sql_mode = REPLACE(@@sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', '')";

/// Instants are in UTC.
const UTC: &str = ", time_zone = '+00:00'";

/// What the server calls the zone of its system.
const SYSTEM: &str = "SYSTEM";

/// Where a session keeps the zone that it began with.
const OWN_ZONE: &str = "@etl_time_zone";

/// Moments at which the clock of a system is looked at: each half of a year from 1970, before which no timestamp is, to 2037.
const MOMENTS: usize = 136;

/// Zones whose clocks have changed since 1970 and go on evenly now. Where summers still have a time of their own, this many moments do not
/// tell a zone.
const SETTLED: [&str; 5] = ["Asia/Shanghai", "Asia/Hong_Kong", "Asia/Taipei", "Asia/Singapore", "Asia/Seoul"];

/// An open connection. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    server: Server,
    reached: Option<Reached>,
}

/// The host that answered, and at which of its addresses; none over a socket.
type Reached = (Host, SocketAddr);

/// What is at the other end.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the server, none excludes another")]
pub(super) struct Server {
    /// As the server writes it.
    pub(super) version: String,
    /// 80036 for 8.0.36.
    pub(super) version_number: u32,
    pub(super) is_mariadb: bool,
    /// Whether names of tables are kept in lower case, or compared so.
    pub(super) folds_names: bool,
    pub(super) max_packet_bytes: u64,
    pub(super) local_infile: bool,
    pub(super) read_only: bool,
    /// Whether a timestamp that may not be NULL is set to the present by each change of its row, unless it has a default: as it was
    /// before MySQL 8.0 and MariaDB 10.10.
    pub(super) stamps_rows: bool,
    /// Whether no table is made without a primary key.
    pub(super) requires_keys: bool,
    pub(super) user: String,
    /// The zone whose clock the session had when it began, where it was asked for.
    pub(super) clock: Option<String>,
}

impl Server {
    /// Product and version, for people.
    pub(super) fn label(&self) -> String {
        let version = self.version.split('-').next().unwrap_or(&self.version);
        format!("{} {version}", if self.is_mariadb { "MariaDB" } else { "MySQL" })
    }

    /// The product, in one word.
    pub(super) fn product(&self) -> &'static str {
        if self.is_mariadb { "mariadb" } else { "mysql" }
    }

    /// Whether it is MariaDB of at least `version`.
    pub(super) fn is_mariadb_from(&self, version: u32) -> bool {
        self.is_mariadb && self.version_number >= version
    }

    /// Whether it is MySQL of at least `version`.
    pub(super) fn is_mysql_from(&self, version: u32) -> bool {
        !self.is_mariadb && self.version_number >= version
    }
}

impl Connection {
    /// What is at the other end.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// `config` for further connections to this server: it may name several, and a name may have several addresses.
    pub(super) fn same_server(&self, config: &Config) -> Config {
        let Some((host, address)) = &self.reached else { return config.clone() };
        Config { hosts: vec![host.clone()], address: Some(*address), ..config.clone() }
    }

    /// What the server calls this connection.
    pub(super) fn id(&self) -> u32 {
        self.client.greeting().connection
    }

    /// Whether another statement may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.client.is_ready()
    }

    /// Whether rows are still to come.
    pub(super) fn is_reading(&self) -> bool {
        self.client.is_reading()
    }

    /// Runs statements, parted by semicolons.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Reply> {
        self.client.query(sql).await
    }

    /// Runs statements whose rows nobody wants.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        self.query(sql).await.map(drop)
    }

    /// Runs statements and gives the rows of the last that had any.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        Ok(self.query(sql).await?.rows)
    }

    /// The first field of the first row.
    pub(super) async fn text(&mut self, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(sql).await?.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// The same as a number.
    pub(super) async fn number(&mut self, sql: &str) -> Result<Option<u64>> {
        Ok(self.rows(sql).await?.first().and_then(|row| row.number(0)))
    }

    /// Runs a statement and says how many rows it changed.
    pub(super) async fn affected(&mut self, sql: &str) -> Result<u64> {
        Ok(self.query(sql).await?.done.affected)
    }

    /// Runs a `LOAD DATA LOCAL` whose file is `data`.
    pub(super) async fn load(&mut self, sql: &str, data: &[Bytes]) -> Result<Done> {
        self.client.load(sql, data).await
    }

    /// What the rows of `sql` will be like, without running it.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Vec<Column>> {
        self.client.prepare(sql).await
    }

    /// Runs `sql` and begins to read its rows.
    pub(super) async fn open(&mut self, sql: &str) -> Result<Vec<Column>> {
        self.client.open(sql).await
    }

    /// The next rows; none when there are no more.
    pub(super) async fn next_rows(&mut self, rows: usize, bytes: usize) -> Result<Option<Frames>> {
        self.client.next_rows(rows, bytes).await
    }

    /// Goes by the clock that the session began with, where that was asked for: statements of the user mean it.
    pub(super) async fn go_by_own_clock(&mut self) -> Result<()> {
        self.go_by(OWN_ZONE).await
    }

    /// Goes by UTC again.
    pub(super) async fn go_by_utc(&mut self) -> Result<()> {
        self.go_by("'+00:00'").await
    }

    async fn go_by(&mut self, zone: &str) -> Result<()> {
        match self.server.clock {
            Some(_) => self.run(&format!("SET time_zone = {zone}")).await,
            None => Ok(()),
        }
    }

    /// Ends it in order.
    pub(super) async fn close(self) {
        self.client.quit().await;
    }
}

/// Opens a connection.
///
/// # Errors
/// [`Connection`](ErrorKind::Connection) or [`Timeout`](ErrorKind::Timeout) when the server cannot be reached,
/// [`Authentication`](ErrorKind::Authentication) when it does not let us in.
pub(super) async fn connect(config: &Config) -> Result<Connection> {
    let opening = async {
        let (client, reached) = reach(config).await?;
        let mut connection = Connection { client, server: Server::default(), reached };
        if let Some(session) = &config.session {
            connection.run(session).await.at("option", || "session")?;
        }
        let clock = match config.timestamps {
            Timestamps::Server => Some(clock(&mut connection).await?),
            Timestamps::Instant | Timestamps::Clock => None,
        };
        let zone = if config.timestamps == Timestamps::Clock { "" } else { UTC };
        connection.run(&format!("{SETTINGS}{zone}")).await?;
        connection.server = Server { clock, ..facts(&mut connection).await? };
        Ok(connection)
    };
    let opened = match config.connect_timeout {
        Some(limit) => {
            let hosts = u32::try_from(config.hosts.len()).unwrap_or(u32::MAX).max(1);
            let all = tokio::time::timeout(limit.saturating_mul(hosts), opening).await;
            all.unwrap_or_else(|_| Err(late(limit)))
        }
        None => opening.await,
    };
    opened.at("server", || config.label())
}

/// Over the socket, or to the first host that answers.
async fn reach(config: &Config) -> Result<(Client, Option<Reached>)> {
    if let Some(socket) = &config.socket {
        let client = reach_socket(config, socket).await.at("socket", || socket.display());
        return Ok((client?, None));
    }
    let mut last = Error::new(ErrorKind::Usage, "no host is named");
    for host in &config.hosts {
        let connecting = async {
            match config.address {
                Some(address) => TcpStream::connect(address).await,
                None => TcpStream::connect((host.name.as_str(), host.port)).await,
            }
        };
        // Each has its own time: one that is silent must not take that of the next.
        let reached = match config.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, connecting).await.map_err(|_| late(limit)),
            None => Ok(connecting.await),
        };
        let stream = match reached {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                last = Error::new(ErrorKind::Connection, format!("{host} cannot be reached")).with_source(source);
                continue;
            }
            Err(error) => {
                last = error;
                continue;
            }
        };
        let address = stream.peer_addr()?;
        let client = match enter(config, &host.name, stream).await {
            // As good as none: older servers have no TLS of today.
            Err(error) if config.tls.gives_way() && has_no_common_ground(&error) => {
                let tls = Tls { mode: TlsMode::Disabled, ..config.tls.clone() };
                let plain = Config { tls, ..config.clone() };
                Box::pin(enter(&plain, &host.name, TcpStream::connect(address).await?)).await?
            }
            entered => entered?,
        };
        return Ok((client, Some((host.clone(), address))));
    }
    Err(last)
}

#[cfg(unix)]
async fn reach_socket(config: &Config, socket: &std::path::Path) -> Result<Client> {
    let stream = tokio::net::UnixStream::connect(socket).await?;
    let mut packets = Packets::new(stream);
    let greeting = wire::greeting(&mut packets).await?;
    wire::log_in(&mut packets, &greeting, (&login(config), Channel::Local)).await?;
    Ok(Client::new(packets, greeting))
}

#[cfg(not(unix))]
async fn reach_socket(_: &Config, _: &std::path::Path) -> Result<Client> {
    Err(Error::new(ErrorKind::Unsupported, "this system has no Unix sockets"))
}

/// Greeting, TLS where it is wanted and there, login.
async fn enter(config: &Config, host: &str, stream: TcpStream) -> Result<Client> {
    // Whole requests are written at once.
    stream.set_nodelay(true)?;
    let mut packets = Packets::new(stream);
    let greeting = wire::greeting(&mut packets).await?;
    let connector = tls::connector(&config.tls)?;
    match connector {
        Some(connector) if greeting.has_tls() => enter_tls(config, host, (packets, greeting), &connector).await,
        Some(_) if config.tls.mode > TlsMode::Preferred => {
            Err(Error::new(ErrorKind::Connection, "the server does not offer TLS")
                .with_hint("set it up there, or use tlsMode=PREFERRED on a network that you trust"))
        }
        _ => admitted(config, (packets, greeting), Channel::Open).await,
    }
}

async fn enter_tls(
    config: &Config,
    host: &str,
    (mut packets, greeting): (Packets<TcpStream>, Greeting),
    connector: &Connector,
) -> Result<Client> {
    wire::ask_for_tls(&mut packets, &greeting, &login(config)).await?;
    let packets = packets.over(async |stream| connector.secure(host, stream).await).await?;
    admitted(config, (packets, greeting), Channel::Tls).await.map_err(|error| tls::told_late(&config.tls, host, error))
}

async fn admitted<S>(
    config: &Config,
    (mut packets, greeting): (Packets<S>, Greeting),
    channel: Channel,
) -> Result<Client>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    wire::log_in(&mut packets, &greeting, (&login(config), channel)).await?;
    Ok(Client::new(packets, greeting))
}

fn login(config: &Config) -> Login<'_> {
    Login {
        user: &config.user,
        password: config.password.as_ref().map_or("", |password| password.reveal()),
        database: config.database.as_deref(),
        program: PROGRAM,
    }
}

async fn facts(connection: &mut Connection) -> Result<Server> {
    let version = connection.client.greeting().version.clone();
    let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
    let mut sql =
        "SELECT @@max_allowed_packet, @@local_infile, @@read_only, CURRENT_USER(), @@lower_case_table_names, \
                   @@explicit_defaults_for_timestamp"
            .to_owned();
    // Statements may be ended by a limit of their own.
    let limit = if is_mariadb { "max_statement_time" } else { "max_execution_time" };
    let _ = write!(sql, "; SET {limit} = 0");
    let reply = connection.query(&sql).await?;
    let row = reply.rows.first().ok_or_else(|| Error::new(ErrorKind::Connection, "the server gave no answer"))?;
    let mut server = Server {
        version_number: version_number(&version),
        version,
        is_mariadb,
        max_packet_bytes: row.number(0).unwrap_or(1 << 20),
        local_infile: row.get(1) == Some("1"),
        read_only: row.get(2) == Some("1"),
        user: row.get(3).unwrap_or_default().to_owned(),
        folds_names: row.get(4) != Some("0"),
        stamps_rows: row.get(5) == Some("0"),
        requires_keys: false,
        clock: None,
    };
    // What tables hold is estimated from day to day otherwise.
    if server.is_mysql_from(80_000) {
        connection.run("SET information_schema_stats_expiry = 0").await?;
    }
    if server.is_mysql_from(80_013) {
        server.requires_keys = connection.number("SELECT @@sql_require_primary_key").await? == Some(1);
    }
    Ok(server)
}

/// The zone of the session, which is kept as [`OWN_ZONE`], too. That of the system has no name here: it is told by its offset, where
/// that has been the same all the time, else by what its clock has shown.
async fn clock(connection: &mut Connection) -> Result<String> {
    let sql = format!("SET {OWN_ZONE} = @@session.time_zone; SELECT {OWN_ZONE}");
    let name = connection.text(&sql).await?.unwrap_or_default();
    if name != SYSTEM {
        return Ok(name);
    }
    let offset =
        |moment: i64| format!("TIMESTAMPDIFF(SECOND, '1970-01-01 00:00:00', FROM_UNIXTIME({moment})) - {moment}");
    let rows = connection.rows(&format!("SELECT {}", moments().map(offset).collect::<Vec<_>>().join(", "))).await?;
    let offsets =
        rows.first().and_then(|row| (0..MOMENTS).map(|at| row.number::<i64>(at)).collect::<Option<Vec<i64>>>());
    // Under its own name it is no zone that anybody else knows: what needs it is refused.
    Ok(offsets.and_then(|offsets| zone_of(&offsets)).unwrap_or(name))
}

/// In seconds since 1970.
fn moments() -> impl Iterator<Item = i64> {
    (0_i64..).step_by(15_778_800).take(MOMENTS)
}

/// The zone whose clock is ahead of UTC by so many seconds at each of the [`moments`].
fn zone_of(offsets: &[i64]) -> Option<String> {
    let (first, others) = offsets.split_first()?;
    if others.iter().all(|other| other == first) {
        return offset_of(*first);
    }
    let shows =
        |zone: &Tz| moments().map(|moment| seconds_ahead(*zone, moment)).eq(offsets.iter().map(|&ahead| Some(ahead)));
    SETTLED.iter().find(|name| name.parse::<Tz>().is_ok_and(|zone| shows(&zone))).map(|&name| name.to_owned())
}

fn seconds_ahead(zone: Tz, moment: i64) -> Option<i64> {
    let moment = DateTime::from_timestamp(moment, 0)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&moment).fix().local_minus_utc()))
}

/// `+08:00` for 28,800 seconds.
fn offset_of(seconds: i64) -> Option<String> {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    (seconds % 60 == 0).then(|| format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

/// 80036 for `8.0.36-log`.
fn version_number(version: &str) -> u32 {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    next() * 10_000 + next().min(99) * 100 + next().min(99)
}

/// Ends the statement that runs on the connection `id`, from another connection.
pub(super) async fn cancel(config: &Config, id: u32) -> Result<()> {
    kill(config, &format!("QUERY {id}")).await
}

/// Ends the connection `id` with all that runs on it, from another connection.
pub(super) async fn end(config: &Config, id: u32) -> Result<()> {
    kill(config, &id.to_string()).await
}

async fn kill(config: &Config, what: &str) -> Result<()> {
    let mut connection = connect(config).await?;
    let killed = connection.run(&format!("KILL {what}")).await;
    connection.close().await;
    match killed {
        // It has ended by itself.
        Err(error) if errors::code_of(&error) == Some(errors::code::NO_SUCH_THREAD) => Ok(()),
        killed => killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_as_offsets() {
        let zones = [28_800, 0, -12_600, 20_700].map(|seconds| zone_of(&[seconds; MOMENTS]).unwrap());
        assert_eq!(zones, ["+08:00", "+00:00", "-03:30", "+05:45"]);
        assert_eq!(zone_of(&[29_143; MOMENTS]), None);
    }

    /// In China summers had a time of their own from 1986 to 1991.
    #[test]
    fn zones_by_what_their_clock_has_shown() {
        let shown = |summers: std::ops::RangeInclusive<usize>| -> Vec<i64> {
            let is_summer = |half: usize| half % 2 == 1 && summers.contains(&(1970 + half / 2));
            (0..MOMENTS).map(|half| if is_summer(half) { 32_400 } else { 28_800 }).collect()
        };
        assert_eq!(zone_of(&shown(1986..=1991)).as_deref(), Some("Asia/Shanghai"));
        assert_eq!(zone_of(&shown(1986..=2037)), None);
    }

    #[test]
    fn versions_as_numbers() {
        assert_eq!(version_number("8.0.36-28"), 80_036);
        assert_eq!(version_number("10.11.19-MariaDB-0+deb12u1"), 101_119);
        assert_eq!(version_number("9.7"), 90_700);
    }
}
