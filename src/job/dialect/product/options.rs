//! From URLs of JDBC to the options of connectors.

use serde_json::{Map, Value as Json};

use super::super::driver::{self, Oracle, Way};
use super::super::jdbc::Url;
use super::Product;
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::Node;

/// The options of a place.
pub(in super::super) type Options = Map<String, Json>;

/// Who logs in: name and password, as far as they are said.
pub(in super::super) type Login = (Option<String>, Option<String>);

/// Parameters of URLs that say what is so here anyway, or concern the driver alone.
const HARMLESS: &[&str] = &[
    "useunicode",
    "characterencoding",
    "autoreconnect",
    "failoverreadonly",
    "rewritebatchedstatements",
    "rewritebatchedinserts",
    "allowmultiqueries",
    "yearisdatetype",
    "tinyint1isbit",
    "zerodatetimebehavior",
    "usecursorfetch",
    "useserverprepstmts",
    "cacheprepstmts",
    "usecompression",
    "netimeoutforstreamingresults",
    "nettimeoutforstreamingresults",
    "sockettimeout",
    "allowpublickeyretrieval",
    "usessl",
    "requiressl",
    "verifyservercertificate",
    "sslmode",
    "ssl",
    "connecttimeout",
    "currentschema",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "applicationname",
    "stringtype",
    "logintimeout",
    "tcpkeepalive",
    "databasename",
    "database",
    "encrypt",
    "trustservercertificate",
    "uselegacydatetimecode",
    "user",
    "password",
];

/// The connector of `product`, with these options.
pub(in super::super) fn connector(product: Product, options: &Options) -> &'static str {
    match product {
        Product::Mysql => "mysql",
        Product::Postgres => "postgres",
        Product::SqlServer => "mssql",
        Product::Sqlite => "sqlite",
        Product::Clickhouse => "clickhouse",
        Product::Oracle | Product::Generic => match options.get("url").and_then(Json::as_str) {
            Some(url) if url.starts_with("postgres") => "postgres",
            Some(url) if url.starts_with("mysql") => "mysql",
            Some(url) if url.starts_with("oracle") => "connectorx",
            _ => "odbc",
        },
    }
}

/// The login that `node` names.
pub(in super::super) fn login(node: &Node<'_>) -> Result<Login> {
    let text = |key: &str| node.get(key).map(|value| value.text()).transpose();
    Ok((text("username")?, text("password")?))
}

/// The options of a connection to the first of `urls`, which stand at `node`, that answers. `parameter` may name a session.
pub(in super::super) fn of(
    (product, way): (Product, Way),
    urls: &[Url],
    (parameter, node): (&Node<'_>, &Node<'_>),
    login: Login,
    notes: &mut Vec<String>,
) -> Result<Options> {
    let first = urls.first().ok_or_else(|| node.error("no URL is named"))?;
    let several = urls.len() > 1 || first.hosts.len() > 1;
    let listed = matches!(product, Product::Mysql | Product::Postgres);
    if several && !(listed && urls.iter().all(|url| url.database == first.database || product == Product::Mysql)) {
        notes.push("of several URLs the first is used".to_owned());
    }
    for (key, _) in &first.parameters {
        if !HARMLESS.contains(&key.to_lowercase().as_str()) {
            notes.push(format!("the parameter {key} of the URL has no meaning here"));
        }
    }
    let session = session(parameter)?;
    // Of the two ways to Oracle the one that reads alone runs no statements first.
    let way = if session.is_empty() { way } else { Way::Writing };
    let mut options = match product {
        Product::Mysql => mysql(urls, login),
        Product::Postgres => postgres(urls, login),
        Product::SqlServer => sql_server(first, login),
        Product::Oracle => oracle(first, way, login, notes),
        Product::Sqlite => sqlite(first),
        Product::Clickhouse => clickhouse(first, login),
        Product::Generic => generic(first, node, login)?,
    };
    match product {
        _ if session.is_empty() => {}
        Product::Mysql | Product::SqlServer => insert(&mut options, "session", session.join("; ")),
        Product::Oracle => insert(&mut options, "session", session),
        _ => notes.push(format!(
            "session: its statements are run for MySQL, SQL Server and Oracle alone, and not for {}",
            product.title()
        )),
    }
    Ok(options)
}

/// What each connection runs first.
fn session(parameter: &Node<'_>) -> Result<Vec<String>> {
    let Some(node) = parameter.get("session") else { return Ok(Vec::new()) };
    let mut statements = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
    statements.iter_mut().for_each(|sql| *sql = bare(sql).to_owned());
    statements.retain(|sql| !sql.is_empty());
    Ok(statements)
}

/// `sql` without a semicolon at its end, unless it ends a block, of which that is a part.
fn bare(sql: &str) -> &str {
    let sql = sql.trim();
    let whole = sql.trim_end_matches(';').trim_end();
    if whole.to_lowercase().ends_with("end") { sql } else { whole }
}

fn insert(options: &mut Options, key: &str, value: impl Into<Json>) {
    options.insert(key.to_owned(), value.into());
}

/// Who logs in; an empty password is one, too.
fn log_in(options: &mut Options, (user, password): Login) {
    if let Some(user) = user {
        insert(options, "user", user);
    }
    if let Some(password) = password {
        insert(options, "password", password);
    }
}

/// Servers and ports as lists with commas.
fn servers<'a>(urls: impl Iterator<Item = &'a Url>, port: &str) -> (String, String) {
    let hosts: Vec<&(String, Option<String>)> = urls.flat_map(|url| &url.hosts).collect();
    let names: Vec<&str> = hosts.iter().map(|(name, _)| name.as_str()).collect();
    let ports: Vec<&str> = hosts.iter().map(|(_, own)| own.as_deref().unwrap_or(port)).collect();
    (names.join(","), ports.join(","))
}

fn mysql(urls: &[Url], login: Login) -> Options {
    // The database of the last one counts: those before are there for what may have gone.
    let (first, last) = (&urls[0], &urls[urls.len() - 1]);
    let mut options = Options::new();
    let (hosts, ports) = servers(urls.iter(), "3306");
    insert(&mut options, "url", "mysql:");
    insert(&mut options, "host", hosts);
    insert(&mut options, "port", ports);
    if !last.database.is_empty() {
        insert(&mut options, "database", last.database.as_str());
    }
    log_in(&mut options, login);
    let on = |key: &str| first.parameter(key).map(|value| value.eq_ignore_ascii_case("true"));
    let mode = match (first.parameter("sslMode"), on("useSSL"), on("requireSSL"), on("verifyServerCertificate")) {
        (Some(mode), ..) => Some(mode.to_uppercase()),
        (None, Some(false), ..) => Some("DISABLED".to_owned()),
        (None, Some(true), _, Some(true)) => Some("VERIFY_CA".to_owned()),
        (None, _, Some(true), _) => Some("REQUIRED".to_owned()),
        _ => None,
    };
    if let Some(mode) = mode {
        insert(&mut options, "sslMode", mode);
    }
    if let Some(seconds) = seconds(first, 1000) {
        insert(&mut options, "connectTimeout", seconds);
    }
    options
}

/// The seconds of `connectTimeout`, whose unit is a share of a second; none for no limit.
fn seconds(url: &Url, per_second: u64) -> Option<u64> {
    let time: u64 = url.parameter("connectTimeout")?.parse().ok()?;
    (time > 0).then(|| time.div_ceil(per_second))
}

fn postgres(urls: &[Url], login: Login) -> Options {
    let first = &urls[0];
    let mut options = Options::new();
    let (hosts, ports) = servers(urls.iter().filter(|url| url.database == first.database), "5432");
    insert(&mut options, "host", hosts);
    insert(&mut options, "port", ports);
    if !first.database.is_empty() {
        insert(&mut options, "dbname", first.database.as_str());
    }
    log_in(&mut options, login);
    let ssl = first.parameter("ssl").map(|value| !value.eq_ignore_ascii_case("false"));
    if let Some(mode) = first.parameter("sslmode").or(if ssl == Some(true) { Some("require") } else { None }) {
        insert(&mut options, "sslmode", mode);
    }
    for key in ["sslrootcert", "sslcert", "sslkey"] {
        if let Some(file) = first.parameter(key) {
            insert(&mut options, key, file);
        }
    }
    if let Some(schema) = first.parameter("currentSchema") {
        insert(&mut options, "options", format!("-c search_path={schema}"));
    }
    if let Some(seconds) = seconds(first, 1) {
        insert(&mut options, "connectTimeout", seconds);
    }
    options
}

fn sql_server(url: &Url, login: Login) -> Options {
    let mut options = Options::new();
    insert(&mut options, "url", "mssql:");
    if let Some((host, port)) = url.hosts.first() {
        insert(&mut options, "host", host.as_str());
        insert(&mut options, "port", port.as_deref().unwrap_or("1433"));
    }
    if !url.database.is_empty() {
        insert(&mut options, "database", url.database.as_str());
    }
    log_in(&mut options, login);
    let on = |key: &str| url.parameter(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    // The driver of these jobs looks at a certificate only where the URL asks for it.
    if !on("encrypt") || on("trustServerCertificate") {
        insert(&mut options, "tlsCheck", "none");
    }
    options
}

fn sqlite(url: &Url) -> Options {
    let mut options = Options::new();
    insert(&mut options, "url", format!("sqlite:{}", url.database));
    options
}

fn clickhouse(url: &Url, login: Login) -> Options {
    let (host, port) = url.hosts.first().cloned().unwrap_or_default();
    let mut options = Options::new();
    insert(&mut options, "url", format!("clickhouse://{host}:{}", port.as_deref().unwrap_or("8123")));
    if !url.database.is_empty() {
        insert(&mut options, "database", url.database.as_str());
    }
    log_in(&mut options, login);
    if url.parameter("ssl").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        insert(&mut options, "secure", true);
    }
    options
}

fn oracle(url: &Url, way: Way, (user, password): Login, notes: &mut Vec<String>) -> Options {
    let (host, port) = url.hosts.first().cloned().unwrap_or_default();
    let service = Oracle::Service(format!("{host}:{}/{}", port.as_deref().unwrap_or("1521"), url.database));
    let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
    service.options(way, (&user, &password), notes).1
}

/// Through the driver of ODBC that the product of the URL is known to have.
fn generic(url: &Url, node: &Node<'_>, login: Login) -> Result<Options> {
    let text = node.one_or_more().first().map_or(Ok(String::new()), Node::text)?;
    let scheme = text.strip_prefix("jdbc:").and_then(|rest| rest.split(':').next()).unwrap_or_default().to_lowercase();
    let mut product = match scheme.as_str() {
        "postgresql" | "edb" => postgres(std::slice::from_ref(url), login.clone()),
        "mysql" | "mariadb" => mysql(std::slice::from_ref(url), login.clone()),
        _ => Options::new(),
    };
    if !product.is_empty() {
        let word = if matches!(scheme.as_str(), "mysql" | "mariadb") { "mysql:" } else { "postgres:" };
        insert(&mut product, "url", word);
        return Ok(product);
    }
    let (name, server, port, database) = match scheme.as_str() {
        "dm" => ("DM8 ODBC DRIVER", "SERVER", "TCP_PORT", "SCHEMA"),
        "db2" => ("IBM DB2 ODBC DRIVER", "Hostname", "Port", "Database"),
        _ => {
            let error = node.error("nothing here speaks with the database of this URL");
            let hint = "use etl copy with odbc: and the driver of the database";
            return Err(Error::new(ErrorKind::Unsupported, error.to_string()).with_hint(hint));
        }
    };
    let (host, number) = url.hosts.first().cloned().unwrap_or_default();
    let (user, password) = login;
    Ok(driver::odbc(&[
        ("Driver", name),
        (server, &host),
        (port, &number.unwrap_or_default()),
        (database, &url.database),
        ("UID", &user.unwrap_or_default()),
        ("PWD", &password.unwrap_or_default()),
    ]))
}

/// How times of MySQL are read, which may be beyond 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Times {
    /// As times of a day, for a target that has no others.
    OfDay,
    /// As what they are.
    Durations,
}

/// What else a reader is told.
pub(in super::super) fn for_reading(product: Product, options: &mut Options, times: Times) {
    if product == Product::Mysql {
        // The driver of these jobs is always told so.
        insert(options, "zeroDates", "null");
        if times == Times::Durations {
            insert(options, "time", "duration");
        }
    }
}
