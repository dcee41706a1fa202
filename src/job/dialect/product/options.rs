//! From URLs of JDBC to the options of connectors.

use serde_json::{Map, Value as Json};

use super::super::driver::{self, Oracle, Way};
use super::super::jdbc::{self, Url};
use super::super::name;
use super::{IdleParameters, Product};
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::Node;

/// The options of a place.
pub(in super::super) type Options = Map<String, Json>;

/// Who logs in: name and password, as far as they are said.
pub(in super::super) type Login = (Option<String>, Option<String>);

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

/// The options of a connection to the first of `urls`, which stand at `node`, that answers. `parameter` may name a session. Parameters
/// of the URLs that do nothing go to `idle`.
pub(in super::super) fn of(
    (product, way): (Product, Way),
    urls: &[Url],
    (parameter, node): (&Node<'_>, &Node<'_>),
    login: Login,
    (notes, idle): (&mut Vec<String>, &mut IdleParameters),
) -> Result<Options> {
    let first = urls.first().ok_or_else(|| node.error("no URL is named"))?;
    let several = urls.len() > 1 || first.hosts.len() > 1;
    let listed = matches!(product, Product::Mysql | Product::Postgres);
    if several && !(listed && urls.iter().all(|url| url.database == first.database || product == Product::Mysql)) {
        notes.push("of several URLs the first is used".to_owned());
    }
    let scheme = scheme(product, node)?;
    idle.add(product_of(product, &scheme), first);
    let said = |key: &str| first.parameter(key).map(str::to_owned);
    let login = (login.0.or_else(|| said("user")), login.1.or_else(|| said("password")));
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
        Product::Generic => generic(first, (&scheme, node), login)?,
    };
    match product {
        _ if session.is_empty() => {}
        Product::Mysql | Product::SqlServer => {
            let before = options.get("session").and_then(Json::as_str).map(str::to_owned);
            let statements: Vec<String> = before.into_iter().chain(session).collect();
            insert(&mut options, "session", statements.join("; "));
        }
        Product::Oracle => insert(&mut options, "session", session),
        _ => notes.push(format!(
            "session: its statements are run for MySQL, SQL Server and Oracle alone, and not for {}",
            product.title()
        )),
    }
    Ok(options)
}

/// The scheme of the first URL of `product` at `node`, in small letters.
fn scheme(product: Product, node: &Node<'_>) -> Result<String> {
    let urls = node.one_or_more();
    let first = urls.iter().find(|url| jdbc::read(product, url).is_ok());
    let text = first.map_or(Ok(String::new()), Node::text)?;
    Ok(text.strip_prefix("jdbc:").and_then(|rest| rest.split(':').next()).unwrap_or_default().to_lowercase())
}

/// Whose database a URL of this scheme names, also where any is taken.
fn product_of(product: Product, scheme: &str) -> Product {
    match (product, scheme) {
        (Product::Generic, "mysql" | "mariadb") => Product::Mysql,
        (Product::Generic, "postgresql" | "edb") => Product::Postgres,
        _ => product,
    }
}

/// What each connection runs first.
fn session(parameter: &Node<'_>) -> Result<Vec<String>> {
    let Some(node) = parameter.get("session") else { return Ok(Vec::new()) };
    let texts = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
    Ok(texts.iter().map(|sql| bare(sql).to_owned()).filter(|sql| !sql.is_empty()).collect())
}

/// `sql` without a semicolon at its end, unless it ends a block, of which that is a part.
fn bare(sql: &str) -> &str {
    let sql = sql.trim();
    let whole = sql.trim_end_matches(';').trim_end();
    let last = whole.rsplit(|sign: char| !sign.is_alphanumeric() && sign != '_').next();
    if last.is_some_and(|word| word.eq_ignore_ascii_case("end")) { sql } else { whole }
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
        (Some(mode), ..) => Some(match mode.to_uppercase().replace('-', "_").as_str() {
            // The words of MariaDB's driver.
            "DISABLE" => "DISABLED".to_owned(),
            "TRUST" => "REQUIRED".to_owned(),
            "VERIFY_FULL" => "VERIFY_IDENTITY".to_owned(),
            other => other.to_owned(),
        }),
        (None, Some(false), ..) => Some("DISABLED".to_owned()),
        (None, Some(true), _, Some(true)) => Some("VERIFY_CA".to_owned()),
        (None, _, Some(true), _) => Some("REQUIRED".to_owned()),
        _ => None,
    };
    if let Some(mode) = mode {
        insert(&mut options, "sslMode", mode);
    }
    if let Some(seconds) = seconds(first, "connectTimeout", 1000) {
        insert(&mut options, "connectTimeout", seconds);
    }
    if let Some(variables) = first.parameter("sessionVariables") {
        let set = name::separated(variables).into_iter();
        // Those of the user begin with @.
        let set = set.map(|one| if one.starts_with('@') { one } else { format!("SESSION {one}") });
        insert(&mut options, "session", format!("SET {}", set.collect::<Vec<_>>().join(", ")));
    }
    options
}

/// The seconds of the parameter `key`, whose unit is a share of a second; none for no limit.
fn seconds(url: &Url, key: &str, per_second: u64) -> Option<u64> {
    let time: u64 = url.parameter(key)?.parse().ok()?;
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
    // A blank would end the setting.
    let path = first.parameter("currentSchema").map(|schema| format!("-c search_path={}", schema.replace(' ', "\\ ")));
    let told: Vec<String> = path.into_iter().chain(first.parameter("options").map(str::to_owned)).collect();
    if !told.is_empty() {
        insert(&mut options, "options", told.join(" "));
    }
    if let Some(name) = first.parameter("ApplicationName") {
        insert(&mut options, "applicationName", name);
    }
    if let Some(seconds) = seconds(first, "connectTimeout", 1).or_else(|| seconds(first, "loginTimeout", 1)) {
        insert(&mut options, "connectTimeout", seconds);
    }
    let server = first.parameter("targetServerType").unwrap_or_default();
    let server = match server.to_lowercase().as_str() {
        "primary" | "master" => Some("primary"),
        "secondary" | "slave" => Some("standby"),
        "prefersecondary" | "preferslave" => Some("prefer-standby"),
        // Any will do.
        _ => None,
    };
    if let Some(server) = server {
        insert(&mut options, "targetSessionAttrs", server);
    }
    if first.parameter("loadBalanceHosts").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        insert(&mut options, "loadBalanceHosts", "random");
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
    if let Some(seconds) = seconds(url, "loginTimeout", 1) {
        insert(&mut options, "connectTimeout", seconds);
    }
    if let Some(name) = url.parameter("applicationName") {
        insert(&mut options, "applicationName", name);
    }
    if let Some(bytes) = url.parameter("packetSize").and_then(|bytes| bytes.parse::<u64>().ok()) {
        insert(&mut options, "packetBytes", bytes);
    }
    options
}

fn sqlite(url: &Url) -> Options {
    let mut options = Options::new();
    insert(&mut options, "url", format!("sqlite:{}", url.database));
    if let Some(seconds) = seconds(url, "busy_timeout", 1000) {
        insert(&mut options, "busyTimeout", seconds);
    }
    options
}

fn clickhouse(url: &Url, login: Login) -> Options {
    let (host, port) = url.hosts.first().cloned().unwrap_or_default();
    let mut options = Options::new();
    insert(&mut options, "url", format!("clickhouse://{host}:{}", port.as_deref().unwrap_or("8123")));
    let path = Some(url.database.as_str()).filter(|path| !path.is_empty());
    if let Some(database) = path.or(url.parameter("database")) {
        insert(&mut options, "database", database);
    }
    log_in(&mut options, login);
    if url.parameter("ssl").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        insert(&mut options, "secure", true);
    }
    let connecting = seconds(url, "connection_timeout", 1000).or_else(|| seconds(url, "connect_timeout", 1000));
    for (key, seconds) in [("connectTimeout", connecting), ("timeout", seconds(url, "socket_timeout", 1000))] {
        if let Some(seconds) = seconds {
            insert(&mut options, key, seconds);
        }
    }
    options
}

fn oracle(url: &Url, way: Way, (user, password): Login, notes: &mut Vec<String>) -> Options {
    let place = match url.hosts.first() {
        Some((host, port)) => Oracle::Service(format!("{host}:{}/{}", port.as_deref().unwrap_or("1521"), url.database)),
        None => Oracle::Other(&url.database),
    };
    let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
    place.options(way, (&user, &password), notes).1
}

/// Through the driver of ODBC that the product of the URL is known to have.
fn generic(url: &Url, (scheme, node): (&str, &Node<'_>), login: Login) -> Result<Options> {
    let known = match product_of(Product::Generic, scheme) {
        Product::Postgres => Some((postgres(std::slice::from_ref(url), login.clone()), "postgres:")),
        Product::Mysql => Some((mysql(std::slice::from_ref(url), login.clone()), "mysql:")),
        _ => None,
    };
    if let Some((mut options, word)) = known {
        insert(&mut options, "url", word);
        return Ok(options);
    }
    let (name, server, port, database) = match scheme {
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
