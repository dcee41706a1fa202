//! What a connection needs: options, then the URL, then `MYSQL_*` variables, then option files, then defaults.
//!
//! Nothing is opened here but option files. `${NAME}` within an option or the URL is the environment variable NAME, so
//! that jobs and logs hold references; passwords show in no label and no debug print. TLS is `tls.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;

pub(super) use super::typemap::{TimeForm, ZeroDates};
use crate::bridge::login::uri::{self, Uri, decode};
use crate::bridge::login::{self, Secret, Surroundings};
use crate::connector::{OptionDoc, option};
use crate::error::{Context as _, Error, ErrorKind, Result};

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
        "The server's name or address. localhost means TCP, unless a socket is given.",
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
        "sslMode",
        "string",
        "PREFERRED; VERIFY_CA with sslCa",
        "Whether TLS is used, and what the server has to prove.",
    )
    .within("DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"),
    option("sslCa", "string", "the system's roots", "Trusted roots for VERIFY_CA and VERIFY_IDENTITY: a PEM file."),
    option("sslCert", "string", "", "The client's certificate: a PEM file."),
    option("sslKey", "string", "in the file of sslCert", "The key of the client's certificate: a PEM file."),
    option("connectTimeout", "integer", "30", "Seconds that connecting may take; 0 waits for ever.")
        .within("0 or more"),
    option("zeroDates", "string", "reject", "What becomes of dates such as 0000-00-00; text is for the whole column.")
        .within("reject, null, text"),
    option("time", "string", "time", "How TIME columns are read: as a time of day or as a duration.")
        .within("time, duration"),
    option("lockAll", "boolean", "false", "Whether reading may lock all tables of the server for one point in time."),
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
    /// One server; none where a socket is given.
    pub(super) hosts: Vec<Host>,
    pub(super) socket: Option<PathBuf>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    /// How long connecting may take; none waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) tls: Tls,
    pub(super) zero_dates: ZeroDates,
    pub(super) time: TimeForm,
    pub(super) lock_all: LockAll,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name or an address, without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
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

/// Values by option name, of one source.
type Layer = BTreeMap<&'static str, String>;

/// The sources in the order of their weight: options, URL, environment, option files.
struct Layers([Layer; 4]);

impl Layers {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|layer| layer.get(name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Which source gives it, the strongest 0; beyond all where none does.
    fn rank(&self, name: &str) -> usize {
        self.0.iter().position(|layer| layer.contains_key(name)).unwrap_or(usize::MAX)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    fn choose<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let given = self.get(name).map(|word| word.to_ascii_lowercase().replace('-', "_"));
        login::choose(name, given.as_deref(), choices)
    }
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
        let given =
            options.as_object().ok_or_else(|| Error::new(ErrorKind::Usage, "the options are no JSON object"))?;
        let mut url = match given.get("url") {
            Some(Json::String(url)) => of_url(url)?,
            Some(_) => return Err(Error::new(ErrorKind::Usage, "option url is no text")),
            None => Layer::new(),
        };
        let mut options = Layer::new();
        for (name, value) in given.iter().filter(|(name, _)| *name != "url") {
            let known = keyword(name).ok_or_else(|| unknown(&format!("{name:?}")))?;
            options.insert(known, login::text_of(name, value)?);
        }
        for layer in [&mut options, &mut url] {
            for (name, value) in layer.iter_mut() {
                *value = around.expand(value).at("option", || *name)?;
            }
            // An empty password is one, and keeps others out.
            layer.retain(|name, value| *name == "password" || !value.is_empty());
        }
        let variables = VARIABLES.iter().filter_map(|(variable, name)| Some((*name, (around.variable)(variable)?)));
        let only = options.get("defaultsFile").or_else(|| url.get("defaultsFile")).map(PathBuf::from);
        let mut files = option_file::read(only.as_deref(), around)?;
        files.retain(|_, value| !value.is_empty());
        build(&Layers([options, url, variables.collect(), files]), around)
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

/// The option that `name` means: `ssl-mode`, `ssl_mode` and `sslmode` are `sslMode`.
fn keyword(name: &str) -> Option<&'static str> {
    let fold = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = fold(name);
    OPTIONS.iter().map(|option| option.name).find(|known| *known != "url" && fold(known) == wanted)
}

/// The error for a setting that does not exist. In a URL the word may be a piece of a password that was not escaped:
/// there it is not repeated.
fn unknown(which: &str) -> Error {
    let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).filter(|name| *name != "url").collect();
    Error::new(ErrorKind::Usage, format!("a connection to MySQL has no setting {which}"))
        .with_hint(format!("use one of {}", names.join(", ")))
}

/// What a URL says; one without `//` says nothing.
fn of_url(text: &str) -> Result<Layer> {
    let text = text.strip_prefix("jdbc:").unwrap_or(text);
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let product = scheme.split('+').next().unwrap_or(scheme);
    let rest = match (product, rest.strip_prefix("//")) {
        ("mysql" | "mariadb", Some(rest)) => rest,
        ("mysql" | "mariadb" | "", None) if rest.is_empty() => return Ok(Layer::new()),
        // Not repeated: it may hold a password.
        _ => {
            return Err(Error::new(ErrorKind::Usage, "the URL is none of MySQL")
                .with_hint("write mysql://user@host:port/database"));
        }
    };
    let parts = Uri::split(rest)?;
    let (host, port) = uri::host_and_port(parts.hosts)?;
    let mut layer = Layer::from([("host", host), ("port", port)]);
    layer.insert("user", decode(parts.user)?);
    layer.insert("database", decode(parts.database)?);
    if let Some(password) = parts.password {
        layer.insert("password", decode(password)?);
    }
    for setting in parts.settings() {
        let (name, value) = setting?;
        layer.insert(keyword(&name).ok_or_else(|| unknown("of a name that the URL has"))?, decode(value)?);
    }
    Ok(layer)
}

fn build(layers: &Layers, around: &Surroundings<'_>) -> Result<Config> {
    let text = |name: &str| layers.get(name).map(str::to_owned);
    let user = text("user").or_else(|| around.user()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "no user is named").with_hint("write mysql://USER@host/database")
    })?;
    let socket = socket(layers, around);
    Ok(Config {
        hosts: if socket.is_some() { Vec::new() } else { vec![host(layers)?] },
        socket,
        user,
        password: text("password").map(Secret::new),
        database: text("database"),
        connect_timeout: timeout(layers)?,
        tls: Tls {
            mode: tls_mode(layers)?,
            ca: layers.path("sslCa"),
            cert: layers.path("sslCert"),
            key: layers.path("sslKey"),
        },
        zero_dates: layers.choose(
            "zeroDates",
            &[("reject", ZeroDates::Reject), ("null", ZeroDates::Null), ("text", ZeroDates::Text)],
        )?,
        time: layers.choose("time", &[("time", TimeForm::Time), ("duration", TimeForm::Duration)])?,
        lock_all: layers.choose("lockAll", LOCK_ALL)?,
    })
}

const LOCK_ALL: &[(&str, LockAll)] = &[
    ("false", LockAll::No),
    ("true", LockAll::Yes),
    ("0", LockAll::No),
    ("1", LockAll::Yes),
    ("no", LockAll::No),
    ("yes", LockAll::Yes),
];

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

fn host(layers: &Layers) -> Result<Host> {
    let name = layers.get("host").unwrap_or("127.0.0.1");
    if name.contains(',') {
        return Err(Error::new(ErrorKind::Usage, "several hosts are named").with_hint("name the one to connect to"));
    }
    Ok(Host { name: name.to_owned(), port: layers.get("port").map_or(Ok(PORT), uri::port)? })
}

fn timeout(layers: &Layers) -> Result<Option<Duration>> {
    let Some(text) = layers.get("connectTimeout") else { return Ok(Some(Duration::from_secs(30))) };
    let seconds: u64 = text.trim().parse().map_err(|_| {
        Error::new(ErrorKind::Usage, "connectTimeout is no whole number of seconds").with_hint("0 waits for ever")
    })?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
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
    let (ca, mode) = (layers.rank("sslCa"), layers.rank("sslMode"));
    if mode != usize::MAX {
        let named = layers.choose("sslMode", TLS_MODE)?;
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
