//! What a connection needs, read as libpq reads it: options, then the service file, then `PG*` variables, then defaults.
//!
//! Nothing is opened here but the service file. `${NAME}` within a value is the environment variable NAME, so that jobs
//! and logs hold references; passwords show in no label and no debug print. Connecting is `connect.rs`, TLS `tls.rs`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::bridge::login::{self, Secret, Surroundings, uri};
use crate::error::{Context as _, Error, ErrorKind, Result};

mod keywords;
mod passfile;
#[cfg(test)]
mod tests;

use keywords::{KEYWORDS, Settings, keyword};
pub(super) use passfile::SOCKET_FOLDERS;

/// A validated connection setting.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// Servers in the order of the user; empty means the local socket, else localhost.
    pub(super) hosts: Vec<Host>,
    /// Port where no host is given.
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) dbname: String,
    password: Option<Secret>,
    passfile: Option<PathBuf>,
    pub(super) options: Option<String>,
    pub(super) application_name: Option<String>,
    /// How long one host may take; none waits for ever, as `connect_timeout=0` asks for.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) keepalive: Keepalive,
    pub(super) tls: TlsConfig,
    pub(super) channel_binding: tokio_postgres::config::ChannelBinding,
    pub(super) target: TargetSession,
    pub(super) shuffle_hosts: Shuffle,
    pub(super) timestamps: Timestamps,
}

/// How columns of type timestamptz are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timestamps {
    /// As the instants that they are.
    Instant,
    /// As instants; where the other side of a copy has no zone, what the clock of the session shows stands for them.
    Server,
}

/// One server of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the folder of a Unix socket when it begins with `/` or `@`.
    pub(super) name: String,
    /// The address to use instead of looking the name up.
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) port: u16,
}

impl Host {
    /// Whether it is the folder of a Unix socket.
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/') || self.name.starts_with('@')
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// When the system looks whether an idle peer still lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalive {
    pub(super) off: bool,
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) count: u32,
    pub(super) user_timeout: Option<Duration>,
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where the trusted roots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RootCert {
    /// `~/.postgresql/root.crt`, when it is there.
    Default(PathBuf),
    /// The system's own roots: `sslrootcert=system`.
    System,
    File(PathBuf),
}

/// All about TLS.
#[derive(Clone, Debug)]
pub(super) struct TlsConfig {
    pub(super) mode: SslMode,
    pub(super) direct: bool,
    pub(super) root: RootCert,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) crl: Option<PathBuf>,
    pub(super) no_server_name: bool,
    pub(super) no_client_cert: bool,
    /// Only TLS 1.3, or only TLS 1.2.
    pub(super) version: TlsVersion,
}

/// Which protocol versions are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsVersion {
    Any,
    Only12,
    Only13,
}

/// libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TargetSession {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// libpq's `load_balance_hosts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shuffle {
    Keep,
    Random,
}

impl Config {
    /// Reads the options of a connector: `url`, and libpq's keywords.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what libpq would refuse; [`Unsupported`](ErrorKind::Unsupported) for what it
    /// would do and we cannot (GSS, encrypted keys).
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    /// As [`Config::parse`], in given surroundings.
    pub(super) fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let mut settings = Settings::new();
        let given =
            options.as_object().ok_or_else(|| Error::new(ErrorKind::Usage, "the options are no JSON object"))?;
        if let Some(url) = given.get("url").and_then(Json::as_str) {
            settings = keywords::parse(url)?;
        }
        let mut options = Settings::new();
        for (name, value) in given.iter().filter(|(name, _)| *name != "url") {
            let known = keyword(&libpq_name(name))?;
            if options.insert(known, login::text_of(name, value)?).is_some() {
                return Err(login::twice(known, name));
            }
        }
        settings.extend(options);
        for (name, value) in &mut settings {
            *value = around.expand(value).at("option", || *name)?;
        }
        add_service(&mut settings, around)?;
        for (name, variable) in KEYWORDS.iter().filter(|(_, variable)| !variable.is_empty()) {
            if let Some(value) = (around.variable)(variable) {
                settings.entry(name).or_insert(value);
            }
        }
        settings.retain(|_, value| !value.is_empty());
        build(&settings, around)
    }

    /// The locator without its password: `postgres://user@host:port/database`.
    pub(super) fn label(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!("postgres://{}@{}/{}", self.user, hosts.join(","), self.dbname)
    }

    /// The password for `host`: the given one, else that of the password file.
    pub(super) fn password(&self, host: &Host) -> Option<Secret> {
        if let Some(password) = &self.password {
            return Some(password.clone());
        }
        let path = self.passfile.as_ref().filter(|path| passfile::is_private(path))?;
        let text = std::fs::read_to_string(path).ok()?;
        let port = host.port.to_string();
        passfile::lookup(&text, [passfile::host_name(&host.name), &port, &self.dbname, &self.user]).map(Secret::new)
    }

    /// The password file, where it is there and ignored because others may read it.
    pub(super) fn ignored_passfile(&self) -> Option<&std::path::Path> {
        let path = self.passfile.as_deref().filter(|_| self.password.is_none())?;
        (path.exists() && !passfile::is_private(path)).then_some(path)
    }
}

/// What all connectors of servers call a part of a connection, and libpq's word for it.
const WORDS: [(&str, &str); 5] = [
    ("database", "dbname"),
    ("tlsMode", "sslmode"),
    ("tlsCa", "sslrootcert"),
    ("tlsCert", "sslcert"),
    ("tlsKey", "sslkey"),
];

/// `connectTimeout` as `connect_timeout`, and those of [`WORDS`]; libpq's own spelling stays as it is.
fn libpq_name(name: &str) -> String {
    if let Some((_, word)) = WORDS.iter().find(|(ours, _)| *ours == name) {
        return (*word).to_owned();
    }
    let mut out = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn add_service(settings: &mut Settings, around: &Surroundings<'_>) -> Result<()> {
    let lookup =
        |name: &'static str, variable: &str| settings.get(name).cloned().or_else(|| (around.variable)(variable));
    let Some(service) = lookup("service", "PGSERVICE") else { return Ok(()) };
    let home = around.home().map(|home| home.join(".pg_service.conf"));
    let user_file = lookup("servicefile", "PGSERVICEFILE").map(PathBuf::from).or(home);
    let system =
        (around.variable)("PGSYSCONFDIR").map_or_else(|| PathBuf::from("/etc/postgresql-common"), PathBuf::from);
    let files = user_file.into_iter().chain([system.join("pg_service.conf")]);
    for path in files {
        let Some(text) = (around.file)(&path) else { continue };
        if let Some(found) = keywords::service(&text, &service).at("file", || path.display())? {
            for (name, value) in found {
                settings.entry(name).or_insert(value);
            }
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::NotFound, format!("there is no service {service:?} in the service files"))
        .with_hint("define it in ~/.pg_service.conf or name the file in PGSERVICEFILE"))
}

fn build(settings: &Settings, around: &Surroundings<'_>) -> Result<Config> {
    refuse(settings)?;
    let text = |name: &str| settings.get(name).cloned();
    let home = around.home();
    let user = text("user").or_else(|| around.user()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "no user is named").with_hint("write postgres://USER@host/database or set PGUSER")
    })?;
    let ports = ports(settings.get("port").map_or("", String::as_str))?;
    Ok(Config {
        hosts: hosts(settings, &ports)?,
        port: ports[0],
        dbname: text("dbname").unwrap_or_else(|| user.clone()),
        user,
        password: text("password").map(Secret::new),
        passfile: text("passfile").map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".pgpass"))),
        options: text("options"),
        application_name: text("application_name").or_else(|| text("fallback_application_name")),
        connect_timeout: match number(settings, "connect_timeout")? {
            Some(0) => None,
            // libpq's own lower limit is two seconds.
            Some(seconds) => Some(Duration::from_secs(seconds.max(2))),
            None => Some(Duration::from_secs(30)),
        },
        keepalive: Keepalive {
            off: number(settings, "keepalives")? == Some(0),
            idle: Duration::from_secs(keepalive(settings, "keepalives_idle", 60)?.into()),
            interval: Duration::from_secs(keepalive(settings, "keepalives_interval", 10)?.into()),
            count: keepalive(settings, "keepalives_count", 6)?,
            user_timeout: number(settings, "tcp_user_timeout")?.map(Duration::from_millis),
        },
        tls: tls(settings, home.as_deref())?,
        channel_binding: choose(settings, "channel_binding", CHANNEL_BINDING)?,
        target: choose(settings, "target_session_attrs", TARGET)?,
        shuffle_hosts: choose(settings, "load_balance_hosts", SHUFFLE)?,
        timestamps: choose(settings, "timestamptz", TIMESTAMPS)?,
    })
}

const CHANNEL_BINDING: &[(&str, tokio_postgres::config::ChannelBinding)] = &[
    ("prefer", tokio_postgres::config::ChannelBinding::Prefer),
    ("disable", tokio_postgres::config::ChannelBinding::Disable),
    ("require", tokio_postgres::config::ChannelBinding::Require),
];
const TARGET: &[(&str, TargetSession)] = &[
    ("any", TargetSession::Any),
    ("read-write", TargetSession::ReadWrite),
    ("read-only", TargetSession::ReadOnly),
    ("primary", TargetSession::Primary),
    ("standby", TargetSession::Standby),
    ("prefer-standby", TargetSession::PreferStandby),
];
const SHUFFLE: &[(&str, Shuffle)] = &[("disable", Shuffle::Keep), ("random", Shuffle::Random)];
const TIMESTAMPS: &[(&str, Timestamps)] = &[("instant", Timestamps::Instant), ("server", Timestamps::Server)];
const SSL_MODE: &[(&str, SslMode)] = &[
    ("prefer", SslMode::Prefer),
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

/// The value of `name` among `choices`, whose first is the default.
fn choose<T: Copy>(settings: &Settings, name: &'static str, choices: &[(&str, T)]) -> Result<T> {
    login::choose(name, settings.get(name).map(String::as_str), choices)
}

fn number(settings: &Settings, name: &'static str) -> Result<Option<u64>> {
    let Some(given) = settings.get(name) else { return Ok(None) };
    // libpq takes a negative timeout for none.
    match given.trim().parse::<i64>() {
        Ok(value) => Ok(Some(u64::try_from(value).unwrap_or(0))),
        Err(_) => Err(Error::new(ErrorKind::Usage, format!("{name} is no whole number"))),
    }
}

/// libpq's 0 leaves it to the system, whose two hours are longer than a copy should hang.
fn keepalive(settings: &Settings, name: &'static str, default: u32) -> Result<u32> {
    let given = number(settings, name)?.and_then(|given| u32::try_from(given).ok());
    Ok(given.filter(|given| *given > 0).unwrap_or(default))
}

fn ports(list: &str) -> Result<Vec<u16>> {
    let port = |text: &str| if text.trim().is_empty() { Ok(5432) } else { uri::port(text) };
    list.split(',').map(port).collect()
}

fn hosts(settings: &Settings, ports: &[u16]) -> Result<Vec<Host>> {
    let names: Vec<&str> = settings.get("host").map(|list| list.split(',').collect()).unwrap_or_default();
    let addresses: Vec<&str> = settings.get("hostaddr").map(|list| list.split(',').collect()).unwrap_or_default();
    let count = names.len().max(addresses.len());
    let unequal = |len: usize| len > 1 && len != count;
    if (!names.is_empty() && !addresses.is_empty() && names.len() != addresses.len()) || unequal(ports.len()) {
        return Err(Error::new(ErrorKind::Usage, "the lists of hosts, addresses and ports are not equally long"));
    }
    let host = |index: usize| {
        let given = addresses.get(index).copied().filter(|address| !address.is_empty());
        let address = given
            .map(str::parse)
            .transpose()
            .map_err(|_| Error::new(ErrorKind::Usage, "hostaddr is no IP address").with_hint("use host for names"))?;
        let name = names.get(index).copied().filter(|name| !name.is_empty()).or(given).unwrap_or("localhost");
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        Ok(Host { name: name.to_owned(), address, port })
    };
    (0..count).map(host).collect()
}

fn tls(settings: &Settings, home: Option<&std::path::Path>) -> Result<TlsConfig> {
    let path = |name: &str| settings.get(name).map(PathBuf::from);
    let default = |name: &str| home.map(|home| home.join(".postgresql").join(name)).filter(|path| path.exists());
    let root = match settings.get("sslrootcert").map(String::as_str) {
        None => RootCert::Default(home.map(|home| home.join(".postgresql/root.crt")).unwrap_or_default()),
        Some("system") => RootCert::System,
        Some(file) => RootCert::File(PathBuf::from(file)),
    };
    let mut mode = choose(settings, "sslmode", SSL_MODE)?;
    if root == RootCert::System {
        if !settings.contains_key("sslmode") {
            mode = SslMode::VerifyFull;
        } else if mode != SslMode::VerifyFull {
            return Err(Error::new(ErrorKind::Usage, "a weak sslmode may not be used with sslrootcert=system")
                .with_hint("use sslmode=verify-full"));
        }
    }
    if !settings.contains_key("sslmode") && settings.get("requiressl").is_some_and(|value| value == "1") {
        mode = SslMode::Require;
    }
    let direct = choose(settings, "sslnegotiation", &[("postgres", false), ("direct", true)])?;
    if direct && mode < SslMode::Require {
        return Err(Error::new(ErrorKind::Usage, "a weak sslmode may not be used with sslnegotiation=direct")
            .with_hint("use sslmode=require or stronger"));
    }
    Ok(TlsConfig {
        mode,
        direct,
        root,
        cert: path("sslcert").or_else(|| default("postgresql.crt")),
        key: path("sslkey").or_else(|| default("postgresql.key")),
        crl: path("sslcrl").or_else(|| default("root.crl")),
        no_server_name: settings.get("sslsni").is_some_and(|value| value == "0"),
        no_client_cert: settings.get("sslcertmode").is_some_and(|value| value == "disable"),
        version: tls_version(settings)?,
    })
}

fn tls_version(settings: &Settings) -> Result<TlsVersion> {
    const VERSIONS: &[(&str, u8)] = &[("", 0), ("TLSv1", 0), ("TLSv1.1", 1), ("TLSv1.2", 2), ("TLSv1.3", 3)];
    let least = choose(settings, "ssl_min_protocol_version", VERSIONS)?;
    let most = if settings.contains_key("ssl_max_protocol_version") {
        choose(settings, "ssl_max_protocol_version", VERSIONS)?
    } else {
        3
    };
    match (least, most) {
        (3, 3) => Ok(TlsVersion::Only13),
        (0..=2, 3) => Ok(TlsVersion::Any),
        (0..=2, 2) => Ok(TlsVersion::Only12),
        _ => Err(Error::new(ErrorKind::Usage, "no TLS version from 1.2 lies between the given limits")),
    }
}

/// What libpq knows and we do not do is refused rather than ignored, where ignoring it would weaken a demand.
fn refuse(settings: &Settings) -> Result<()> {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|given| given == value);
    let refused = [
        (is("gssencmode", "require"), "GSS encryption"),
        (settings.contains_key("sslpassword"), "an encrypted client key (sslpassword)"),
        (settings.contains_key("sslcrldir"), "a folder of revocation lists (sslcrldir)"),
        (settings.contains_key("require_auth"), "require_auth"),
        (settings.contains_key("requirepeer"), "requirepeer"),
        (is("sslcertmode", "require"), "sslcertmode=require"),
        (
            settings.get("replication").is_some_and(|value| !matches!(&**value, "0" | "false" | "off" | "no")),
            "replication",
        ),
    ];
    match refused.iter().find(|(is, _)| *is) {
        Some((_, what)) => {
            Err(Error::new(ErrorKind::Unsupported, format!("{what} is not supported")).with_hint("leave it out"))
        }
        None => Ok(()),
    }
}
