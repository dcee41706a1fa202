//! What connections of go-etl say, each in the notation of the driver that go-etl has for the product, as options of connectors.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};

use super::rdbms::Product;
use super::{Context, duration, text};
use crate::error::{Error, ErrorKind, Result};
use crate::job::dialect::driver::{Oracle, Way, odbc};
use crate::job::dialect::server;
use crate::job::tree::Node;

type Options = Map<String, Json>;

/// Parameters of MySQL that say what is so here anyway, concern the driver alone, or are options here.
const OF_MYSQL: [&str; 21] = [
    "allowallfiles",
    "allowcleartextpasswords",
    "allowfallbacktoplaintext",
    "allownativepasswords",
    "allowoldpasswords",
    "charset",
    "checkconnliveness",
    "clientfoundrows",
    "collation",
    "columnswithalias",
    "interpolateparams",
    "loc",
    "maxallowedpacket",
    "multistatements",
    "parsetime",
    "readtimeout",
    "rejectreadonly",
    "timeout",
    "timetruncate",
    "tls",
    "writetimeout",
];

/// Those of SQL Server.
const OF_SQL_SERVER: [&str; 10] = [
    "app name",
    "certificate",
    "connection timeout",
    "database",
    "dial timeout",
    "encrypt",
    "keepalive",
    "log",
    "packet size",
    "trustservercertificate",
];

/// Those of Oracle.
const OF_ORACLE: [&str; 10] = [
    "heterogeneouspool",
    "libdir",
    "password",
    "persessiontimezone",
    "poolincrement",
    "poolmaxsessions",
    "poolminsessions",
    "standaloneconnection",
    "timezone",
    "user",
];

/// Those of SQLite.
const OF_SQLITE: [&str; 7] = ["_busy_timeout", "_journal", "_journal_mode", "_sync", "_timeout", "cache", "mode"];

/// What a connection says. It is never shown: it may hold a password.
#[derive(Default)]
struct Dsn {
    hosts: Vec<(String, Option<String>)>,
    /// A Unix socket, a file, or a connect string of another kind.
    place: Option<String>,
    /// What stands behind the server.
    database: String,
    user: Option<String>,
    password: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Dsn {
    /// The parameter `name`, in any case of its letters.
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn host(&self) -> (&str, Option<&str>) {
        self.hosts.first().map_or(("", None), |(name, port)| (name, port.as_deref()))
    }

    /// User and password, where they are known.
    fn log_in(&self, options: &mut Options) {
        for (key, value) in [("user", &self.user), ("password", &self.password)] {
            if let Some(value) = value {
                insert(options, key, value.as_str());
            }
        }
    }

    /// Notes parameters that are none of `known`, in small letters: nothing is made of them.
    fn note_others(&self, known: &[&str], context: &mut Context<'_>) {
        let others = self.parameters.iter().map(|(key, _)| key.as_str());
        let others: Vec<&str> = others.filter(|key| !known.contains(&key.to_lowercase().as_str())).collect();
        if !others.is_empty() {
            context
                .notes
                .push(format!("these parameters of the connection have no meaning here: {}", others.join(", ")));
        }
    }
}

/// The connector of `product`, and the options of the connection of `parameter`. What the connection says is in no error: it may hold a
/// password.
pub(super) fn options(
    product: Product,
    way: Way,
    (parameter, connection): (&Node<'_>, &Node<'_>),
    context: &mut Context<'_>,
) -> Result<(&'static str, Options)> {
    let url = connection.need("url")?;
    let wrong = || {
        url.error(format!("this is no connection to {} as go-etl has it", product.title()))
            .with_hint(format!("write it as {}", example(product)))
    };
    let said = url.text()?;
    let mut dsn = read(product, said.trim()).ok_or_else(wrong)?;
    // Those beside it win; an empty password is one, too.
    if let Some(user) = text(parameter, "username")? {
        dsn.user = Some(user);
    }
    if let Some(password) = parameter.get("password") {
        dsn.password = Some(password.text()?);
    }
    match product {
        Product::Mysql => {
            let zone = dsn.parameter("loc").unwrap_or("UTC");
            context.zone = Some(zone.to_owned()).filter(|zone| zone != "Local");
            Ok(("mysql", mysql(&dsn)))
        }
        Product::Postgres => Ok(("postgres", postgres(&dsn, context))),
        Product::SqlServer => {
            if let Some(database) = connection.get("table").map(|table| text(&table, "db")).transpose()?.flatten() {
                dsn.database = database;
            }
            if dsn.place.is_some() && dsn.host().1.is_none() {
                let error = url.error("a named instance is reached by its port here");
                return Err(Error::new(ErrorKind::Unsupported, error.to_string())
                    .with_hint("write sqlserver://host:port?database=…"));
            }
            Ok(("mssql", sql_server(&dsn, context)))
        }
        Product::Sqlite => Ok(("sqlite", sqlite(&dsn, context))),
        Product::Db2 => Ok(("odbc", db2(&dsn))),
        Product::Dm => Ok(("odbc", dm(&dsn, context))),
        Product::Oracle => Ok(oracle(&dsn, way, context)),
    }
}

/// How connections to `product` are written.
fn example(product: Product) -> &'static str {
    match product {
        Product::Mysql => "tcp(host:3306)/database",
        Product::Postgres => "postgres://host:5432/database?sslmode=disable",
        Product::Db2 => "HOSTNAME=host;PORT=50000;DATABASE=database",
        Product::Oracle => "connectString=\"host:1521/service\"",
        Product::SqlServer => "sqlserver://host:1433?database=database",
        Product::Sqlite => "/path/of/the.db",
        Product::Dm => "host:5236",
    }
}

fn read(product: Product, text: &str) -> Option<Dsn> {
    match product {
        Product::Mysql => read_mysql(text),
        Product::Postgres => {
            let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
            read_url(rest)
        }
        Product::SqlServer => {
            let mut dsn = read_url(text.strip_prefix("sqlserver://")?)?;
            // What is a path there names an instance.
            dsn.place = Some(std::mem::take(&mut dsn.database)).filter(|instance| !instance.is_empty());
            dsn.database = dsn.parameter("database").unwrap_or_default().to_owned();
            Some(dsn)
        }
        Product::Dm => read_url(text.strip_prefix("dm://").unwrap_or(text)),
        Product::Db2 => read_db2(text),
        Product::Oracle => read_oracle(text),
        Product::Sqlite => {
            let (path, query) = text.split_once('?').unwrap_or((text, ""));
            let path = path.strip_prefix("file:").unwrap_or(path);
            let place = Some(path.to_owned()).filter(|path| !path.is_empty())?;
            Some(Dsn { place: Some(place), parameters: pairs(query)?, ..Dsn::default() })
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// `a=1&b=2`. A plus sign is a blank there.
fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let query = query.replace('+', "%20");
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key)?, decoded(value)?))
    });
    pairs.collect()
}

/// `user:password@` in front of the rest.
fn logins(text: &str) -> Option<(Option<String>, Option<String>, &str)> {
    let Some((login, rest)) = text.rsplit_once('@') else { return Some((None, None, text)) };
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let password = match password {
        Some(password) => Some(decoded(password)?),
        None => None,
    };
    Some((Some(decoded(user)?).filter(|user| !user.is_empty()), password, rest))
}

/// `user:password@host:port,host:port/database?key=value`, without a scheme.
fn read_url(rest: &str) -> Option<Dsn> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, password, rest) = logins(rest)?;
    let (servers, database) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = servers.split(',').filter(|host| !host.is_empty()).map(server).collect::<Option<_>>()?;
    let (database, parameters) = (decoded(database)?, pairs(query)?);
    Some(Dsn { hosts, place: None, database, user, password, parameters })
}

/// `user:password@tcp(host:port)/database?key=value`.
fn read_mysql(text: &str) -> Option<Dsn> {
    let (main, query) = text.split_once('?').unwrap_or((text, ""));
    let (left, database) = main.rsplit_once('/')?;
    let (user, password, net) = match left.rsplit_once('@') {
        Some((login, net)) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (Some(user.to_owned()), Some(password.to_owned()), net)
        }
        None => (None, None, left),
    };
    let (kind, address) = match net.split_once('(') {
        Some((kind, rest)) => (kind, rest.strip_suffix(')')?),
        None => (net, ""),
    };
    let place = (kind == "unix").then(|| address.to_owned());
    let hosts = match address {
        _ if place.is_some() => Vec::new(),
        "" => vec![("127.0.0.1".to_owned(), None)],
        address => vec![server(address)?],
    };
    Some(Dsn { hosts, place, database: decoded(database)?, user, password, parameters: pairs(query)? })
}

/// `HOSTNAME=…;PORT=…;DATABASE=…`, all three of which it needs.
fn read_db2(text: &str) -> Option<Dsn> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| part.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    let mut dsn = Dsn { parameters: parts.map(pair).collect::<Option<_>>()?, ..Dsn::default() };
    let (host, port) = (dsn.parameter("hostname")?.to_owned(), dsn.parameter("port")?.to_owned());
    dsn.database = dsn.parameter("database")?.to_owned();
    dsn.hosts = vec![(host, Some(port))];
    dsn.parameters.retain(|(key, _)| !["hostname", "port", "database"].contains(&key.to_lowercase().as_str()));
    Some(dsn)
}

/// `connectString="host:port/service" key=value`.
fn read_oracle(text: &str) -> Option<Dsn> {
    let mut parameters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        parameters.push((key.trim().to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    let mut dsn = Dsn { parameters, ..Dsn::default() };
    let connect = dsn.parameter("connectString")?.to_owned();
    dsn.parameters.retain(|(key, _)| !key.eq_ignore_ascii_case("connectString"));
    (dsn.user, dsn.password) = (dsn.parameter("user").map(str::to_owned), dsn.parameter("password").map(str::to_owned));
    // All else is a name of tnsnames.ora, or a description.
    let parts = connect.trim_start_matches('/').split_once('/').filter(|_| !connect.contains(['(', '=']));
    match parts.and_then(|(address, service)| Some((server(address)?, service.to_owned()))) {
        Some((host, service)) => (dsn.hosts, dsn.database) = (vec![host], service),
        None => dsn.place = Some(connect),
    }
    Some(dsn)
}

fn insert(options: &mut Options, key: &str, value: impl Into<Json>) {
    options.insert(key.to_owned(), value.into());
}

/// Servers and ports as lists with commas.
fn insert_servers(options: &mut Options, dsn: &Dsn, port: &str) {
    if dsn.hosts.is_empty() {
        return;
    }
    let names: Vec<&str> = dsn.hosts.iter().map(|(name, _)| name.as_str()).collect();
    let ports: Vec<&str> = dsn.hosts.iter().map(|(_, own)| own.as_deref().unwrap_or(port)).collect();
    insert(options, "host", names.join(","));
    insert(options, "port", ports.join(","));
}

fn mysql(dsn: &Dsn) -> Options {
    let mut options = Options::new();
    insert(&mut options, "url", "mysql:");
    match &dsn.place {
        Some(socket) => insert(&mut options, "socket", socket.as_str()),
        None => insert_servers(&mut options, dsn, "3306"),
    }
    if !dsn.database.is_empty() {
        insert(&mut options, "database", dsn.database.as_str());
    }
    dsn.log_in(&mut options);
    let mode = dsn.parameter("tls").map(|word| match word.to_lowercase().as_str() {
        "true" | "1" => "VERIFY_IDENTITY",
        "skip-verify" => "REQUIRED",
        "false" | "0" => "DISABLED",
        _ => "PREFERRED",
    });
    if let Some(mode) = mode {
        insert(&mut options, "sslMode", mode);
    }
    if let Some(seconds) = dsn.parameter("timeout").and_then(seconds) {
        insert(&mut options, "connectTimeout", seconds);
    }
    // All other words are variables of the session, with values as SQL has them.
    let is_variable = |(key, _): &&(String, String)| !OF_MYSQL.contains(&key.to_lowercase().as_str());
    let variables: Vec<String> =
        dsn.parameters.iter().filter(is_variable).map(|(key, value)| format!("SET {key} = {value}")).collect();
    if !variables.is_empty() {
        insert(&mut options, "session", variables.join("; "));
    }
    options
}

/// Whole seconds of a time as Go has it, at least one; none for none.
fn seconds(text: &str) -> Option<u64> {
    let time = duration::parse(text).filter(|time| !time.is_zero())?;
    Some(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

fn postgres(dsn: &Dsn, context: &mut Context<'_>) -> Options {
    let mut options = Options::new();
    insert_servers(&mut options, dsn, "5432");
    if !dsn.database.is_empty() {
        insert(&mut options, "dbname", dsn.database.as_str());
    }
    dsn.log_in(&mut options);
    let mut settings = Vec::new();
    for (key, value) in &dsn.parameters {
        match key.as_str() {
            "user" | "password" | "host" | "port" | "dbname" | "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "passfile"
            | "application_name" | "fallback_application_name" => {
                // Those beside the URL win.
                options.entry(key.clone()).or_insert_with(|| value.as_str().into());
            }
            "connect_timeout" => insert(&mut options, "connectTimeout", value.as_str()),
            "options" => settings.push(value.clone()),
            "read_timeout" | "write_timeout" => context.notes.push(format!(
                "{key} of the connection has no meaning here: connections are watched by the system, and a run may be stopped"
            )),
            "binary_parameters" | "disable_prepared_binary_result" => {}
            // All other words are settings of the session.
            key => settings.push(format!("-c {key}={}", value.replace('\\', "\\\\").replace(' ', "\\ "))),
        }
    }
    if !settings.is_empty() {
        insert(&mut options, "options", settings.join(" "));
    }
    options
}

fn sql_server(dsn: &Dsn, context: &mut Context<'_>) -> Options {
    dsn.note_others(&OF_SQL_SERVER, context);
    let mut options = Options::new();
    let (host, port) = dsn.host();
    insert(&mut options, "url", "mssql:");
    insert(&mut options, "host", host);
    insert(&mut options, "port", port.unwrap_or("1433"));
    if !dsn.database.is_empty() {
        insert(&mut options, "database", dsn.database.as_str());
    }
    dsn.log_in(&mut options);
    let encrypt = dsn.parameter("encrypt").unwrap_or("false").to_lowercase();
    match encrypt.as_str() {
        "disable" => insert(&mut options, "encrypt", "none"),
        "strict" => insert(&mut options, "encrypt", "strict"),
        _ => {}
    }
    let trusted = dsn.parameter("TrustServerCertificate").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    // Without encryption of all the driver looks at no certificate.
    if trusted || !matches!(encrypt.as_str(), "true" | "mandatory" | "yes" | "1" | "strict") {
        insert(&mut options, "tlsCheck", "none");
    }
    if let Some(file) = dsn.parameter("certificate") {
        insert(&mut options, "tlsCa", file);
    }
    if let Some(name) = dsn.parameter("app name") {
        insert(&mut options, "applicationName", name);
    }
    if let Some(seconds) = dsn.parameter("dial timeout").or_else(|| dsn.parameter("connection timeout")) {
        insert(&mut options, "connectTimeout", seconds);
    }
    options
}

fn sqlite(dsn: &Dsn, context: &mut Context<'_>) -> Options {
    dsn.note_others(&OF_SQLITE, context);
    let mut options = Options::new();
    insert(&mut options, "url", format!("sqlite:{}", dsn.place.as_deref().unwrap_or_default()));
    let wait = dsn.parameter("_busy_timeout").or_else(|| dsn.parameter("_timeout"));
    if let Some(milliseconds) = wait.and_then(|wait| wait.parse::<u64>().ok()) {
        insert(&mut options, "busyTimeout", milliseconds.div_ceil(1000));
    }
    options
}

fn db2(dsn: &Dsn) -> Options {
    let (host, port) = dsn.host();
    let mut pairs = vec![
        ("Driver", "IBM DB2 ODBC DRIVER"),
        ("Hostname", host),
        ("Port", port.unwrap_or_default()),
        ("Database", dsn.database.as_str()),
        ("UID", dsn.user.as_deref().unwrap_or_default()),
        ("PWD", dsn.password.as_deref().unwrap_or_default()),
    ];
    // The driver is the same, and takes all that it is told.
    pairs.extend(dsn.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    odbc(&pairs)
}

fn dm(dsn: &Dsn, context: &mut Context<'_>) -> Options {
    dsn.note_others(&["schema"], context);
    let (host, port) = dsn.host();
    odbc(&[
        ("Driver", "DM8 ODBC DRIVER"),
        ("SERVER", host),
        ("TCP_PORT", port.unwrap_or("5236")),
        ("SCHEMA", dsn.parameter("schema").unwrap_or_default()),
        ("UID", dsn.user.as_deref().unwrap_or_default()),
        ("PWD", dsn.password.as_deref().unwrap_or_default()),
    ])
}

fn oracle(dsn: &Dsn, way: Way, context: &mut Context<'_>) -> (&'static str, Options) {
    dsn.note_others(&OF_ORACLE, context);
    let (user, password) = (dsn.user.as_deref().unwrap_or_default(), dsn.password.as_deref().unwrap_or_default());
    let (host, port) = dsn.host();
    let service = || Oracle::Service(format!("{host}:{}/{}", port.unwrap_or("1521"), dsn.database));
    let place = dsn.place.as_deref().map_or_else(service, Oracle::Other);
    place.options(way, (user, password), &mut context.notes)
}
