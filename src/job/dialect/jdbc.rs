//! URLs of JDBC: server, database and parameters, whatever the product.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::product::Product;
use super::server;
use crate::error::Result;
use crate::job::tree::Node;

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Servers, each with a port where it is named.
    pub(super) hosts: Vec<(String, Option<String>)>,
    pub(super) database: String,
    /// Parameters by their names, in order.
    pub(super) parameters: Vec<(String, String)>,
}

impl Url {
    /// The parameter `name`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the URLs in `node`, of which the first that answers is taken. Where another one is a URL, one that is none is as one that does
/// not answer, and noted.
pub(super) fn read_all(product: Product, node: &Node<'_>, notes: &mut Vec<String>) -> Result<Vec<Url>> {
    let (mut urls, mut refused) = (Vec::new(), Vec::new());
    for one in node.one_or_more() {
        match read(product, &one) {
            Ok(url) => urls.push(url),
            Err(error) => refused.push(error),
        }
    }
    if urls.is_empty() {
        return refused.into_iter().next().map_or(Ok(urls), Err);
    }
    notes.extend(refused.iter().map(|error| format!("{error}: it is passed over")));
    Ok(urls)
}

/// Reads the URL in `node`. What it says is not repeated in an error: it may hold a password.
pub(super) fn read(product: Product, node: &Node<'_>) -> Result<Url> {
    let text = node.text()?;
    let text = text.trim();
    // Old jobs name a data source in front, between marks.
    let text = text
        .strip_prefix("||_dsc_ob10_dsc_||")
        .and_then(|rest| rest.split_once("||_dsc_ob10_dsc_||"))
        .map_or(text, |(_, url)| url);
    let url = match product {
        _ if is_of_another(product, text) => None,
        Product::SqlServer => sql_server(text),
        Product::Oracle => oracle(text),
        Product::Sqlite => sqlite(text),
        Product::Postgres => greenplum(text).or_else(|| common(text)),
        Product::Mysql | Product::Clickhouse | Product::Generic => common(text),
    };
    url.ok_or_else(|| {
        node.error(format!("this is no URL of JDBC for {}", product.title()))
            .with_hint(format!("write it as {}", product.example()))
    })
}

/// Whether the scheme is that of another product. Many have that of MySQL or PostgreSQL, or one of their own.
fn is_of_another(product: Product, text: &str) -> bool {
    let scheme = text.strip_prefix("jdbc:").and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let owner = match scheme {
        "mysql" | "mariadb" => Product::Mysql,
        "postgresql" => Product::Postgres,
        "clickhouse" => Product::Clickhouse,
        "sqlserver" | "jtds" => Product::SqlServer,
        _ => return false,
    };
    ![owner, Product::Generic].contains(&product)
}

/// `jdbc:mysql://host:port,host:port/database?key=value&…`.
fn common(text: &str) -> Option<Url> {
    let rest = text.strip_prefix("jdbc:")?;
    let (_, rest) = rest.split_once("://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (servers, database) = rest.split_once('/').unwrap_or((rest, ""));
    // DB2 has its parameters behind a colon.
    let (database, behind) = database.split_once([':', ';']).unwrap_or((database, ""));
    Some(Url {
        hosts: servers.split(',').map(server).collect::<Option<_>>()?,
        database: decoded(database)?,
        parameters: parameters(query.split('&').chain(behind.split(';')))?,
    })
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned)
}

/// What `pairs` of `key=value` say.
fn parameters<'a>(pairs: impl Iterator<Item = &'a str>) -> Option<Vec<(String, String)>> {
    let told = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((key.to_owned(), decoded(value)?))
    });
    told.collect()
}

/// `jdbc:sqlserver://host:port;DatabaseName=db;…`.
fn sql_server(text: &str) -> Option<Url> {
    parted(text.strip_prefix("jdbc:sqlserver://").or_else(|| text.strip_prefix("jdbc:jtds:sqlserver://"))?)
}

/// `jdbc:pivotal:greenplum://host:port;DatabaseName=db;…`.
fn greenplum(text: &str) -> Option<Url> {
    parted(text.strip_prefix("jdbc:pivotal:greenplum://")?)
}

/// `host:port;DatabaseName=db;…`.
fn parted(rest: &str) -> Option<Url> {
    let (first, rest) = rest.split_once(';').unwrap_or((rest, ""));
    let (first, path) = first.split_once('/').unwrap_or((first, ""));
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    let parameters = rest.split(';').filter_map(pair).collect();
    let mut url = Url { hosts: vec![server(first)?], database: path.to_owned(), parameters };
    // The last of these counts, and none is a parameter any more.
    for key in ["database", "databaseName"] {
        if let Some(database) = url.parameter(key) {
            url.database = database.to_owned();
        }
        url.parameters.retain(|(other, _)| !other.eq_ignore_ascii_case(key));
    }
    Some(url)
}

/// `jdbc:sqlite:/path/file.db`.
fn sqlite(text: &str) -> Option<Url> {
    let rest = text.strip_prefix("jdbc:sqlite:")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = parameters(query.split('&'))?;
    (!path.is_empty()).then(|| Url { hosts: Vec::new(), database: path.to_owned(), parameters })
}

/// `jdbc:oracle:thin:@host:port:sid`, `jdbc:oracle:thin:@//host:port/service`; a description in parentheses is all that it says.
fn oracle(text: &str) -> Option<Url> {
    let rest = text.strip_prefix("jdbc:oracle:thin:")?;
    let rest = rest.split_once('@')?.1.trim();
    if rest.starts_with('(') && rest.ends_with(')') {
        return Some(Url { hosts: Vec::new(), database: rest.to_owned(), parameters: Vec::new() });
    }
    let (servers, database) = match rest.strip_prefix("//").or_else(|| rest.contains('/').then_some(rest)) {
        Some(rest) => rest.split_once('/')?,
        None => rest.rsplit_once(':')?,
    };
    Some(Url { hosts: vec![server(servers)?], database: database.to_owned(), parameters: Vec::new() })
}
