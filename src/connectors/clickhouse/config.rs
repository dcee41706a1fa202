//! What a connection needs: options, then the URL, then `CLICKHOUSE_*` variables, then defaults.
//!
//! Nothing is opened here. `${NAME}` within an option or the URL is the environment variable NAME, so that jobs and logs hold
//! references; passwords show in no label and no debug print.

use std::time::Duration;

use serde_json::Value as Json;

use crate::bridge::login::uri::Host;
use crate::bridge::login::{self, Layer, Layers, Secret, Settings, Surroundings};
use crate::bridge::tls::Demand;
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};

/// Every option, in the order of the help.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option(
        "url",
        "string",
        "",
        "clickhouse://user:password@host:port/database?secure=true, whose last part takes any option; \
         ${NAME} is an environment variable.",
    )
    .required(),
    option("host", "string", "CLICKHOUSE_HOST, 127.0.0.1", "The server's name or address."),
    option("port", "integer", "8123; 8443 with secure", "The port of its HTTP interface.").within("1 to 65535"),
    option("user", "string", "CLICKHOUSE_USER, default", "The user to log in as."),
    option("password", "string", "CLICKHOUSE_PASSWORD", "The password; better a reference such as ${NAME}."),
    option("database", "string", "default", "The database of names that say none."),
    option("secure", "boolean", "false; true with clickhouses://", "Whether to speak HTTPS."),
    option("tlsCheck", "string", "identity", "How much of the server's certificate is checked.")
        .within("identity, chain, none"),
    option("tlsCa", "string", "the system's roots", "Trusted roots: a PEM file."),
    option("connectTimeout", "integer", "30", "Seconds that connecting may take; 0 waits for ever."),
    option("timeout", "integer", "300", "Seconds of silence after which a read or an insert fails; 0 waits for ever."),
    option("strings", "string", "text", "How String columns are read: as text, which has to be UTF-8, or as bytes.")
        .within("text, binary"),
    option("blockRows", "integer", "250000", "Rows of a block, read or inserted.").within("1000 to 1000000"),
    option("compress", "string", "none", "How blocks are compressed on the way.").within("none, lz4"),
    option("cut", "string", "auto", "How a large table is read: by its parts and several readers, or in one stream.")
        .within("auto, parts, none"),
];

const PORT: u16 = 8123;
const SECURE_PORT: u16 = 8443;
const VARIABLES: [(&str, &str); 3] =
    [("CLICKHOUSE_HOST", "host"), ("CLICKHOUSE_USER", "user"), ("CLICKHOUSE_PASSWORD", "password")];

/// A validated connection setting.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) host: Host,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    /// None for plain HTTP.
    pub(super) tls: Option<Demand>,
    /// None waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) strings: Strings,
    pub(super) block_rows: usize,
    pub(super) compress: Compress,
    pub(super) cut: CutBy,
}

/// What a String is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strings {
    Text,
    Binary,
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compress {
    None,
    Lz4,
}

/// By what large tables are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutBy {
    /// By parts, where they are likely to stay.
    Auto,
    Parts,
    Nothing,
}

impl Config {
    /// Reads the options of a connector.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for unknown options and values.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    /// As [`Config::parse`], in given surroundings.
    pub(super) fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let settings = Settings::new("ClickHouse", OPTIONS.iter().map(|option| option.name));
        let [options, url] = settings.read(options, around, |url| of_url(url, &settings))?;
        build(&Layers::of([options, url, login::of_variables(&VARIABLES, around)]))
    }

    /// The locator without its password: `clickhouse://user@host:port/database`.
    pub(super) fn label(&self) -> String {
        let scheme = if self.tls.is_some() { "clickhouses" } else { "clickhouse" };
        format!("{scheme}://{}@{}/{}", self.user, self.host, self.database)
    }
}

/// What a URL says; one without `//` says nothing.
fn of_url(text: &str, settings: &Settings) -> Result<Layer> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let secure = match scheme {
        "clickhouse" | "ch" | "" => false,
        "clickhouses" => true,
        _ => return Err(no_url()),
    };
    let mut layer = match rest.strip_prefix("//") {
        Some(rest) => settings.of_uri(rest)?,
        None if rest.is_empty() => Layer::new(),
        None => return Err(no_url()),
    };
    if secure {
        layer.entry("secure").or_insert_with(|| "true".to_owned());
    }
    Ok(layer)
}

/// Not repeated: it may hold a password.
fn no_url() -> Error {
    Error::new(ErrorKind::Usage, "the URL is none of ClickHouse")
        .with_hint("write clickhouse://user@host:port/database")
}

fn build(layers: &Layers) -> Result<Config> {
    let text = |name: &str, default: &str| layers.get(name).unwrap_or(default).to_owned();
    let demand = Demand::of(layers)?;
    let tls = layers.flag("secure")?.then_some(demand);
    let port = if tls.is_some() { SECURE_PORT } else { PORT };
    let block_rows = layers.whole("blockRows", 250_000)?;
    if !(1000..=1_000_000).contains(&block_rows) {
        return Err(Error::new(ErrorKind::Usage, "blockRows is not between 1000 and 1000000"));
    }
    Ok(Config {
        host: layers.host("127.0.0.1", port)?,
        user: text("user", "default"),
        password: layers.get("password").map(|word| Secret::new(word.to_owned())),
        database: text("database", "default"),
        tls,
        connect_timeout: layers.seconds("connectTimeout", 30)?,
        timeout: layers.seconds("timeout", 300)?,
        strings: layers.choose("strings", &[("text", Strings::Text), ("binary", Strings::Binary)])?,
        block_rows: block_rows as usize,
        compress: layers.choose("compress", &[("none", Compress::None), ("lz4", Compress::Lz4)])?,
        cut: layers.choose("cut", &[("auto", CutBy::Auto), ("parts", CutBy::Parts), ("none", CutBy::Nothing)])?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(options: &Json) -> Result<Config> {
        let variable = |name: &str| (name == "CLICKHOUSE_USER" || name == "PW").then(|| "eve".to_owned());
        Config::parse_in(options, &Surroundings { variable: &variable, ..Surroundings::NOTHING })
    }

    #[test]
    fn urls_say_where_and_who() {
        let config = parse(&json!({"url": "clickhouse://ada:%2F${PW}@db:9000/shop?strings=binary"})).unwrap();
        assert_eq!(config.label(), "clickhouse://ada@db:9000/shop");
        assert_eq!(config.password.as_ref().unwrap().reveal(), "/eve");
        assert_eq!((config.strings, config.tls.clone()), (Strings::Binary, None));
        assert!(!format!("{config:?}").contains("eve"));
        for url in ["clickhouses://db", "ch://db/?secure=true"] {
            assert_eq!(parse(&json!({"url": url})).unwrap().label(), "clickhouses://eve@db:8443/default");
        }
        assert_eq!(parse(&json!({"url": "clickhouse:"})).unwrap().label(), "clickhouse://eve@127.0.0.1:8123/default");
        assert_eq!(parse(&json!({"url": "clickhouse://[::1]:1/"})).unwrap().host.to_string(), "[::1]:1");
        let option = parse(&json!({"url": "ch://a", "host": "b", "tls-check": "none", "secure": true})).unwrap();
        assert_eq!((option.host.name.as_str(), option.tls.unwrap().check), ("b", None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "mysql://a",
            "clickhouse:a",
            "ch://a:9z/",
            "ch://a/?colour=s3cret",
            "ch://a/?blockRows=5",
            "ch://a,b/",
            "ch://u:s3/cret@h/d",
        ] {
            let error = parse(&json!({"url": url})).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
            assert!(!error.to_string().contains("cret"), "{error}");
        }
        assert!(parse(&json!({"colour": 1})).is_err());
    }
}
