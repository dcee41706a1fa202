//! What a locator says: `connectorx:URL`, or the URL alone where only ConnectorX reads such. Parsed and validated; nothing is
//! opened.
//!
//! `${NAME}` is the environment variable NAME as one part of the URL: its signs are escaped.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::backend::Backend;
use crate::bridge::login::uri::{Uri, decode};
use crate::bridge::login::{Secret, Surroundings};
use crate::connector::{OptionDoc, option};
use crate::driven::settings::{hide, usage};
use crate::error::Result;
use crate::sql::located::Located;

/// Every option, in the order of the help. `README.md` has the same table, which a test compares.
pub(super) const OPTIONS: &[OptionDoc] = &[option(
    "url",
    "string",
    "",
    "connectorx:URL, or the URL alone of BigQuery, Oracle and Trino, with the client's own settings behind ?; ${NAME} is an \
     environment variable.",
)
.required()];

const EXAMPLE: &str = "write 'connectorx:postgresql://ada@db/shop#orders': there are bigquery, clickhouse, mysql, oracle, \
                       postgresql, sqlite, trino, trino+https";

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) backend: Backend,
    /// What ConnectorX is given: a URL, or the path of an SQLite database.
    pub(super) url: Secret,
    label: String,
    /// Pieces that no message may show.
    secrets: Vec<Secret>,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let given = options.as_object().ok_or_else(|| usage("the options are no JSON object"))?;
        if let Some(unknown) = given.keys().find(|key| *key != "url") {
            return Err(usage(format!("connectorx has no option {unknown:?}"))
                .with_hint("settings of the client go behind ? of the locator"));
        }
        let url = given.get("url").and_then(Json::as_str).ok_or_else(|| usage("the option url is missing"))?;
        // Not repeated: any part may be a piece of a password.
        let unknown =
            || usage("what stands behind connectorx: is no URL of a database that it reads").with_hint(EXAMPLE);
        let (typed, rest) = url.strip_prefix("connectorx:").unwrap_or(url).split_once(':').ok_or_else(unknown)?;
        let (scheme, backend) = Backend::of_scheme(typed).ok_or_else(unknown)?;
        if backend == Backend::Sqlite {
            return Self::of_path(&around.expand(rest)?);
        }
        let rest = rest.strip_prefix("//").ok_or_else(unknown)?;
        let escaped = |name: &str| {
            let value = (around.variable)(name)?;
            Some(utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string())
        };
        let rest = Surroundings { variable: &escaped, ..*around }.expand(rest)?;
        let uri = Uri::split(&rest)?;
        if uri.hosts.is_empty() && backend != Backend::BigQuery {
            return Err(usage("the URL names no server").with_hint(EXAMPLE));
        }
        let mut secrets = uri.password.map(str::to_owned).into_iter().collect::<Vec<_>>();
        for setting in uri.settings() {
            secrets.push(setting?.1.to_owned());
        }
        let decoded = secrets.iter().filter_map(|piece| decode(piece).ok()).collect::<Vec<_>>();
        let label = format!("connectorx:{scheme}://{}/{}", uri.hosts, uri.database);
        Ok(Self {
            backend,
            url: Secret::new(format!("{scheme}://{rest}")),
            label,
            secrets: secrets.into_iter().chain(decoded).map(Secret::new).collect(),
        })
    }

    /// An SQLite database. Any number of slashes in front of an absolute path is taken.
    fn of_path(rest: &str) -> Result<Self> {
        let path = rest.split_once('?').map_or(rest, |(path, _)| path);
        let path = match path.strip_prefix("//") {
            Some(rest) if rest.starts_with('/') => format!("/{}", rest.trim_start_matches('/')),
            Some(rest) => rest.to_owned(),
            None => path.to_owned(),
        };
        let path = decode(&path)?;
        if path.is_empty() {
            return Err(usage("the URL names no database file").with_hint("write 'connectorx:sqlite:shop.db#orders'"));
        }
        let label = format!("connectorx:sqlite:{path}");
        Ok(Self { backend: Backend::Sqlite, url: Secret::new(path), label, secrets: Vec::new() })
    }

    /// `text`, which a client wrote, without what may be a secret of these options.
    pub(super) fn hide(&self, text: &str) -> String {
        hide(text, self.secrets.iter().map(|piece| piece.reveal().to_owned()).collect())
    }
}

impl Located for Config {
    const CONNECTOR: &'static str = "connectorx";
    const EXAMPLE: &'static str = "'connectorx:postgresql://ada@db/shop#orders'";

    /// The kind of database and its place, without users, passwords and settings.
    fn label(&self) -> String {
        self.label.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    fn parse(url: &str) -> Result<Config> {
        let variable = |name: &str| (name == "PW").then(|| "s3@c/ret".to_owned());
        Config::parse_in(&json!({ "url": url }), &Surroundings { variable: &variable, ..Surroundings::NOTHING })
    }

    #[test]
    fn urls_are_given_to_connectorx_as_it_knows_them() {
        let table = [
            (
                "connectorx:postgres://ada:${PW}@db:5432/shop",
                "postgresql://ada:s3%40c%2Fret@db:5432/shop",
                "postgresql://db:5432/shop",
            ),
            (
                "connectorx:mariadb://ada@db/shop?ssl-mode=REQUIRED",
                "mysql://ada@db/shop?ssl-mode=REQUIRED",
                "mysql://db/shop",
            ),
            ("oracle://ada:pw@db:1521/SHOP", "oracle://ada:pw@db:1521/SHOP", "oracle://db:1521/SHOP"),
            ("trino+http://ada@db:8080/hive", "trino://ada@db:8080/hive", "trino://db:8080/hive"),
            ("trino+https://ada@db/hive", "trino+https://ada@db/hive", "trino+https://db/hive"),
            ("bigquery:///home/ada/key.json", "bigquery:///home/ada/key.json", "bigquery:///home/ada/key.json"),
            ("connectorx:sqlite:shop.db", "shop.db", "sqlite:shop.db"),
            ("connectorx:sqlite:////tmp/a%20b.db", "/tmp/a b.db", "sqlite:/tmp/a b.db"),
        ];
        for (url, theirs, label) in table {
            let config = parse(url).unwrap();
            assert_eq!(
                (config.url.reveal(), config.label().as_str()),
                (theirs, &*format!("connectorx:{label}")),
                "{url}"
            );
            assert!(!format!("{config:?}").contains("s3"), "{config:?}");
        }
        let hidden =
            parse("oracle://ada:${PW}@db/x?token=t0ken").unwrap().hide("no s3@c/ret, s3%40c%2Fret or t0ken on db");
        assert_eq!(hidden, "no ***, *** or *** on db");
    }

    #[test]
    fn what_is_wrong_is_a_usage_error() {
        for url in [
            "connectorx:",
            "connectorx:s3cret",
            "connectorx:s3cret:1",
            "connectorx:postgresql:s3cret",
            "oracle://",
            "connectorx:sqlite:",
            "connectorx:mysql://ada:s3/cret@db/shop",
            "connectorx:mysql://ada:${NO}@db/shop",
            "connectorx:mssql://db/shop",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
        assert!(Config::parse(&json!({"url": "oracle://db/x", "user": "ada"})).is_err());
    }
}
