//! What a connection needs: options, then the URL, then `CLICKHOUSE_*` variables, then defaults.
//!
//! Nothing is opened here. `${NAME}` within an option or the URL is the environment variable NAME, so that jobs and logs hold
//! references; passwords show in no label and no debug print.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use crate::bridge::login::uri::{self, Uri, decode};
use crate::bridge::login::{self, Secret, Surroundings};
use crate::connector::{OptionDoc, option};
use crate::error::{Context as _, Error, ErrorKind, Result};

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
    option("cut", "string", "parts", "How a large table is read: by its parts and several readers, or in one stream.")
        .within("parts, none"),
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
    pub(super) tls: Option<Tls>,
    /// None waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) strings: Strings,
    pub(super) block_rows: usize,
    pub(super) compress: Compress,
    pub(super) cut: CutBy,
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
    pub(super) check: TlsCheck,
    /// Trusted roots; none means the system's.
    pub(super) ca: Option<PathBuf>,
}

/// How much of a certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsCheck {
    Identity,
    Chain,
    None,
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
    Parts,
    Nothing,
}

/// Values by option name, of one source.
type Layer = BTreeMap<&'static str, String>;

/// The sources in the order of their weight: options, URL, environment.
struct Layers([Layer; 3]);

impl Layers {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|layer| layer.get(name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn choose<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let given = self.get(name).map(str::to_ascii_lowercase);
        login::choose(name, given.as_deref(), choices)
    }

    fn whole(&self, name: &str, default: u64) -> Result<u64> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.trim().parse().map_err(|_| Error::new(ErrorKind::Usage, format!("{name} is no whole number")))
    }

    fn seconds(&self, name: &str, default: u64) -> Result<Option<Duration>> {
        let seconds = self.whole(name, default)?;
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }
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
        build(&Layers([options, url, variables.collect()]))
    }

    /// The locator without its password: `clickhouse://user@host:port/database`.
    pub(super) fn label(&self) -> String {
        let scheme = if self.tls.is_some() { "clickhouses" } else { "clickhouse" };
        format!("{scheme}://{}@{}/{}", self.user, self.host, self.database)
    }
}

/// The option that `name` means: `tls-check`, `tls_check` and `tlscheck` are `tlsCheck`.
fn keyword(name: &str) -> Option<&'static str> {
    let fold = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = fold(name);
    OPTIONS.iter().map(|option| option.name).find(|known| *known != "url" && fold(known) == wanted)
}

/// The error for a setting that does not exist. In a URL the word may be a piece of a password that was not escaped:
/// there it is not repeated.
fn unknown(which: &str) -> Error {
    let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).filter(|name| *name != "url").collect();
    Error::new(ErrorKind::Usage, format!("a connection to ClickHouse has no setting {which}"))
        .with_hint(format!("use one of {}", names.join(", ")))
}

/// What a URL says; one without `//` says nothing.
fn of_url(text: &str) -> Result<Layer> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    let secure = match scheme {
        "clickhouse" | "ch" | "" => false,
        "clickhouses" => true,
        _ => return Err(no_url()),
    };
    let mut layer = Layer::new();
    if secure {
        layer.insert("secure", "true".to_owned());
    }
    let Some(rest) = rest.strip_prefix("//") else {
        return if rest.is_empty() { Ok(layer) } else { Err(no_url()) };
    };
    let parts = Uri::split(rest)?;
    let (host, port) = uri::host_and_port(parts.hosts)?;
    layer.extend([("host", host), ("port", port)]);
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

/// Not repeated: it may hold a password.
fn no_url() -> Error {
    Error::new(ErrorKind::Usage, "the URL is none of ClickHouse")
        .with_hint("write clickhouse://user@host:port/database")
}

const BOOLEANS: &[(&str, bool)] =
    &[("false", false), ("true", true), ("0", false), ("1", true), ("no", false), ("yes", true)];

fn build(layers: &Layers) -> Result<Config> {
    let text = |name: &str, default: &str| layers.get(name).unwrap_or(default).to_owned();
    let checks = [("identity", TlsCheck::Identity), ("chain", TlsCheck::Chain), ("none", TlsCheck::None)];
    let tls = Tls { check: layers.choose("tlsCheck", &checks)?, ca: layers.get("tlsCa").map(PathBuf::from) };
    let tls = layers.choose("secure", BOOLEANS)?.then_some(tls);
    let name = text("host", "127.0.0.1");
    if name.contains(',') {
        return Err(Error::new(ErrorKind::Usage, "several hosts are named").with_hint("name the one to connect to"));
    }
    let port = if tls.is_some() { SECURE_PORT } else { PORT };
    let block_rows = layers.whole("blockRows", 250_000)?;
    if !(1000..=1_000_000).contains(&block_rows) {
        return Err(Error::new(ErrorKind::Usage, "blockRows is not between 1000 and 1000000"));
    }
    Ok(Config {
        host: Host { name, port: layers.get("port").map_or(Ok(port), uri::port)? },
        user: text("user", "default"),
        password: layers.get("password").map(|word| Secret::new(word.to_owned())),
        database: text("database", "default"),
        tls,
        connect_timeout: layers.seconds("connectTimeout", 30)?,
        timeout: layers.seconds("timeout", 300)?,
        strings: layers.choose("strings", &[("text", Strings::Text), ("binary", Strings::Binary)])?,
        block_rows: block_rows as usize,
        compress: layers.choose("compress", &[("none", Compress::None), ("lz4", Compress::Lz4)])?,
        cut: layers.choose("cut", &[("parts", CutBy::Parts), ("none", CutBy::Nothing)])?,
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
        assert_eq!((option.host.name.as_str(), option.tls.unwrap().check), ("b", TlsCheck::None));
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
