//! The plugins: what serves them here, and those that are not here.

use super::super::product::Product;
use super::lacks::LACKS;
use super::unsupported;
use crate::error::{Error, Result};
use crate::job::tree::Node;

/// What serves a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// Rows that are made; standard output, or nowhere.
    Stream,
    /// Delimited text.
    Text,
    /// Tables of a database.
    Tables(Product, Shards),
}

/// Which of the tables that a reader names are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shards {
    /// The first of the first connection.
    First,
    /// All of all connections.
    All,
}

/// A reader or a writer.
pub(super) struct Side<'a> {
    /// Its name, in small letters.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) node: Node<'a>,
    pub(super) plugin: Plugin,
    pub(super) parameter: Node<'a>,
}

/// What the names of readers end with, here and with `ChunJun`.
pub(super) const READER: [&str; 2] = ["reader", "source"];
/// What the names of writers end with.
pub(super) const WRITER: [&str; 2] = ["writer", "sink"];

impl<'a> Side<'a> {
    pub(super) fn reader(node: &Node<'a>) -> Result<Self> {
        Self::of(node, READER)
    }

    pub(super) fn writer(node: &Node<'a>) -> Result<Self> {
        Self::of(node, WRITER)
    }

    fn of(side: &Node<'a>, words: [&str; 2]) -> Result<Self> {
        let node = side.need("name")?;
        let name = node.text()?.trim().to_lowercase();
        let served = stem(&name, words).and_then(plugin);
        let plugin = served.ok_or_else(|| unknown(&node, &name, words))?;
        Ok(Self { name, node, plugin, parameter: side.need("parameter")? })
    }
}

/// The name of a plugin without the word for its side; none where it has none.
pub(super) fn stem<'a>(name: &'a str, words: [&str; 2]) -> Option<&'a str> {
    words.into_iter().find_map(|word| name.strip_suffix(word)).filter(|stem| !stem.is_empty())
}

fn plugin(stem: &str) -> Option<Plugin> {
    let tables = |product| Plugin::Tables(product, Shards::First);
    Some(match stem {
        "stream" => Plugin::Stream,
        "textfile" | "txtfile" | "file" | "ftp" | "sftp" => Plugin::Text,
        "mysql" | "polardb" | "oceanbase" | "tidb" => tables(Product::Mysql),
        "mysqld" | "polardbd" => Plugin::Tables(Product::Mysql, Shards::All),
        "postgresql" | "greenplum" | "kingbase" | "opengauss" => tables(Product::Postgres),
        "sqlserver" => tables(Product::SqlServer),
        "oracle" => tables(Product::Oracle),
        "sqlite" => tables(Product::Sqlite),
        "clickhouse" => tables(Product::Clickhouse),
        "db2" | "dm" => tables(Product::Generic),
        _ => return None,
    })
}

/// A plugin that is not here: what to use in its place.
fn unknown(node: &Node<'_>, name: &str, words: [&str; 2]) -> Error {
    let [word, _] = words;
    match stem(name, words).and_then(|stem| LACKS.instead(&format!("{stem}{word}"))) {
        Some(instead) => unsupported(node, format!("the plugin {name} is not here"), instead),
        None => node.error(format!("there is no plugin {name}")).with_hint(
            "there are streamreader, textfilereader, mysqlreader, mysqldreader, postgresqlreader, sqlserverreader, \
             oraclereader, sqlitereader, clickhousereader, db2reader, dmreader, and the writers of the same names",
        ),
    }
}
