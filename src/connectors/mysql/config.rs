//! What a connection needs: options, then the URL, then `MYSQL_*` variables, then option files, then defaults.
//!
//! Nothing is opened here but option files. `${NAME}` within an option or the URL is the environment variable NAME, so
//! that jobs and logs hold references; passwords show in no label and no debug print. TLS is `tls.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

pub(super) use super::typemap::{TimeForm, Timestamps, ZeroDates};
use crate::bridge::login::uri::Host;
use crate::bridge::login::{self, Layer, Layers, Secret, Settings, Surroundings};
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};

mod option_file;
#[cfg(test)]
mod tests;

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option(
        "url",
        "string",
        "",
        "mysql://user:password@host:port/database?ssl-mode=REQUIRED, whose last part takes any option; \
         ${NAME} is an environment variable.",
    ),
    option(
        "host",
        "string",
        "MYSQL_HOST, else the local server",
        "The server's name or address, or several with commas, of which the first that answers is taken, for all that a copy does there. localhost means TCP, \
         unless a socket is given.",
    ),
    option("port", "integer", "MYSQL_TCP_PORT, 3306", "The port; given without a host it means TCP to 127.0.0.1.")
        .within("1 to 65535"),
    option(
        "socket",
        "string",
        "MYSQL_UNIX_PORT, else the usual paths",
        "The server's Unix socket, in place of host and port.",
    ),
    option("user", "string", "the system user", "The user to log in as."),
    option("password", "string", "MYSQL_PWD, ~/.my.cnf", "The password; better a reference such as ${NAME}."),
    option("database", "string", "", "The database of names that say none."),
    option(
        "tlsMode",
        "string",
        "PREFERRED; VERIFY_CA with tlsCa",
        "Whether TLS is used, and what the server has to prove.",
    )
    .within("DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"),
    option("tlsCa", "string", "the system's roots", "Trusted roots for VERIFY_CA and VERIFY_IDENTITY: a PEM file."),
    option("tlsCert", "string", "", "The client's certificate: a PEM file."),
    option("tlsKey", "string", "in the file of tlsCert", "The key of the client's certificate: a PEM file."),
    option("connectTimeout", "integer", "30", "Seconds that connecting to a host may take; 0 waits for ever.")
        .within("0 or more"),
    option("zeroDates", "string", "reject", "What becomes of dates such as 0000-00-00; text is for the whole column.")
        .within("reject, null, text"),
    option("time", "string", "time", "How TIME columns are read: as a time of day or as a duration.")
        .within("time, duration"),
    option(
        "timestamp",
        "string",
        "instant",
        "How TIMESTAMP columns are read: as instants, or as the session's clock shows them; with server that clock is the one by \
         which they become times without a zone, and come of such, and the one of queries and of SQL before and after.",
    )
    .within("instant, clock, server"),
    option("lockAll", "boolean", "false", "Whether reading may lock all tables of the server for one point in time."),
    option(
        "session",
        "string",
        "",
        "SQL that each connection runs first, parted by semicolons; what a copy needs is set after it.",
    ),
    option(
        "defaultsFile",
        "string",
        "/etc/my.cnf, /etc/mysql/my.cnf, ~/.my.cnf",
        "The one option file to read; its groups client, client-server and client-mariadb count.",
    ),
];

const PORT: u16 = 3306;
/// Where servers put their socket unless they are told otherwise.
const SOCKETS: [&str; 3] = ["/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/tmp/mysql.sock"];
const VARIABLES: [(&str, &str); 4] =
    [("MYSQL_PWD", "password"), ("MYSQL_HOST", "host"), ("MYSQL_TCP_PORT", "port"), ("MYSQL_UNIX_PORT", "socket")];

/// A validated connection setting.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// Servers, to be tried in their order; none where a socket is given.
    pub(super) hosts: Vec<Host>,
    /// The address of the one host, where it is known which of several servers answered.
    pub(super) address: Option<SocketAddr>,
    pub(super) socket: Option<PathBuf>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    /// How long connecting may take; none waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tls: Tls,
    pub(super) zero_dates: ZeroDates,
    pub(super) time: TimeForm,
    pub(super) timestamps: Timestamps,
    pub(super) lock_all: LockAll,
    /// SQL that each connection runs first.
    pub(super) session: Option<String>,
}

/// All about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) mode: TlsMode,
    /// Trusted roots; none means the system's.
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Tls {
    /// Whether a certificate of ours is shown: either of its files is named.
    pub(super) fn shows_certificate(&self) -> bool {
        self.cert.is_some() || self.key.is_some()
    }

    /// Whether a connection may go on without it. Who shows a certificate means to be known by it, and it may be what the server refuses.
    pub(super) fn gives_way(&self) -> bool {
        self.mode == TlsMode::Preferred && !self.shows_certificate()
    }
}

/// MySQL's `ssl-mode`, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TlsMode {
    Disabled,
    /// Encrypted where the server offers it.
    Preferred,
    Required,
    VerifyCa,
    VerifyIdentity,
}

/// Whether all tables of the server may be locked for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockAll {
    No,
    Yes,
}

/// The rank of the URL: what is given there or in the options was given for this very connection.
const GIVEN: usize = 1;

impl Config {
    /// Reads the options of a connector.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for unknown options and values, [`NotFound`](ErrorKind::NotFound) for a
    /// `defaultsFile` that is not there.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings { file: &option_file::text, ..Surroundings::PROCESS })
    }

    /// As [`Config::parse`], in given surroundings.
    pub(super) fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let settings = settings();
        let [options, url] = settings.read(options, around, |url| of_url(url, &settings))?;
        let only = options.get("defaultsFile").or_else(|| url.get("defaultsFile")).map(PathBuf::from);
        let mut files = option_file::read(only.as_deref(), around)?;
        files.retain(|_, value| !value.is_empty());
        build(&Layers::of([options, url, login::of_variables(&VARIABLES, around), files]), around)
    }

    /// The locator without its password: `mysql://user@host:port/database`.
    pub(super) fn label(&self) -> String {
        let database = self.database.as_deref().unwrap_or_default();
        match (&self.socket, self.hosts.first()) {
            (None, Some(host)) => format!("mysql://{}@{host}/{database}", self.user),
            (socket, _) => {
                let socket = socket.as_deref().unwrap_or(Path::new("")).display();
                format!("mysql://{}@localhost/{database}?socket={socket}", self.user)
            }
        }
    }
}

fn settings() -> Settings {
    Settings::new("MySQL", OPTIONS.iter().map(|option| option.name))
}

/// What a URL says; one without `//` says nothing.
fn of_url(text: &str, settings: &Settings) -> Result<Layer> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let product = scheme.split('+').next().unwrap_or(scheme);
    match (product, rest.strip_prefix("//")) {
        ("mysql" | "mariadb", Some(rest)) => settings.of_uri(rest),
        ("mysql" | "mariadb" | "", None) if rest.is_empty() => Ok(Layer::new()),
        // Not repeated: it may hold a password.
        _ => {
            Err(Error::new(ErrorKind::Usage, "the URL is none of MySQL")
                .with_hint("write mysql://user@host:port/database"))
        }
    }
}

fn build(layers: &Layers, around: &Surroundings<'_>) -> Result<Config> {
    let text = |name: &str| layers.get(name).map(str::to_owned);
    let user = text("user").or_else(|| around.user()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "no user is named").with_hint("write mysql://USER@host/database")
    })?;
    let socket = socket(layers, around);
    Ok(Config {
        hosts: if socket.is_some() { Vec::new() } else { layers.hosts("127.0.0.1", PORT)? },
        address: None,
        socket,
        user,
        password: text("password").map(Secret::new),
        database: text("database"),
        connect_timeout: layers.seconds("connectTimeout", 30)?,
        tls: Tls {
            mode: tls_mode(layers)?,
            ca: layers.path("tlsCa"),
            cert: layers.path("tlsCert"),
            key: layers.path("tlsKey"),
        },
        zero_dates: layers.choose(
            "zeroDates",
            &[("reject", ZeroDates::Reject), ("null", ZeroDates::Null), ("text", ZeroDates::Text)],
        )?,
        time: layers.choose("time", &[("time", TimeForm::Time), ("duration", TimeForm::Duration)])?,
        timestamps: layers.choose(
            "timestamp",
            &[("instant", Timestamps::Instant), ("clock", Timestamps::Clock), ("server", Timestamps::Server)],
        )?,
        session: text("session").filter(|sql| !sql.trim().is_empty()),
        lock_all: if layers.flag("lockAll")? { LockAll::Yes } else { LockAll::No },
    })
}

/// The socket to connect to, if it is one: a host of a stronger source, or one of the same that is not this machine,
/// keeps it out, so that no file of the system leads a URL astray.
fn socket(layers: &Layers, around: &Surroundings<'_>) -> Option<PathBuf> {
    let (host, socket, port) = (layers.rank("host"), layers.rank("socket"), layers.rank("port"));
    let elsewhere = layers.get("host").is_some_and(|name| name != "localhost");
    let by_port = port <= GIVEN && port < socket && host == usize::MAX;
    match layers.path("socket") {
        _ if by_port => None,
        Some(path) => (socket < host || socket == host && !elsewhere).then_some(path),
        None if host == usize::MAX => SOCKETS.iter().map(PathBuf::from).find(|path| (around.exists)(path)),
        None => None,
    }
}

const TLS_MODE: &[(&str, TlsMode)] = &[
    ("preferred", TlsMode::Preferred),
    ("disabled", TlsMode::Disabled),
    ("required", TlsMode::Required),
    ("verify_ca", TlsMode::VerifyCa),
    ("verify_identity", TlsMode::VerifyIdentity),
];

/// As in MySQL's own client, `ssl-ca` asks for `VERIFY_CA` unless a mode is named beside it; a mode of a weaker
/// source does not weaken it. MariaDB's switches stand only in option files.
fn tls_mode(layers: &Layers) -> Result<TlsMode> {
    let (ca, mode) = (layers.rank("tlsCa"), layers.rank("tlsMode"));
    if mode != usize::MAX {
        let named = layers.choose("tlsMode", TLS_MODE)?;
        return Ok(if ca < mode { named.max(TlsMode::VerifyCa) } else { named });
    }
    let (ssl, verify) = (layers.get("ssl"), layers.get("sslVerifyServerCert"));
    Ok(match (ssl, verify) {
        (Some("0"), _) if ca >= layers.rank("ssl") => TlsMode::Disabled,
        (_, Some("1")) => TlsMode::VerifyIdentity,
        (_, Some(_)) if ca >= layers.rank("sslVerifyServerCert") => asked(ssl),
        _ if ca != usize::MAX => TlsMode::VerifyCa,
        _ => asked(ssl),
    })
}

/// What MariaDB's `ssl` alone asks for.
fn asked(ssl: Option<&str>) -> TlsMode {
    if ssl == Some("1") { TlsMode::Required } else { TlsMode::Preferred }
}
