//! What a locator says: `odbc:DSN` or `odbc:?Driver=…&name=value`. Parsed and validated; nothing is opened.
//!
//! All but a few options are the driver's own and go into the connection string as they stand. `${NAME}` within a value is the
//! environment variable NAME. Which values are secret only the driver knows: labels and messages show those that are not.

use serde_json::Value as Json;

use super::driver::Product;
use crate::bridge::login::uri::decode;
use crate::bridge::login::{Secret, Surroundings};
use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};

/// Every option, in the order of the help. `README.md` has the same table, which a test compares.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option(
        "url",
        "string",
        "",
        "odbc:DSN?name=value or odbc:?Driver=…&name=value: a data source of odbc.ini or a driver of odbcinst.ini, and behind ? \
         the driver's own options, percent-encoded; ${NAME} is an environment variable.",
    )
    .required(),
    option("textBytes", "integer", "65536", "The most bytes of one text, or of one value of bytes, that are read.")
        .within("1 to 1073741823"),
    option("textType", "string", "by the database", "The type of text columns of a new table: VARCHAR(2000), CLOB."),
    option(
        "binaryType",
        "string",
        "by the database",
        "The type of columns of bytes of a new table: VARBINARY(2000), BLOB.",
    ),
];

/// Options of drivers, in small letters, that say where they go: these may be seen.
const PLACES: [&str; 14] = [
    "driver",
    "server",
    "servername",
    "host",
    "hostname",
    "port",
    "tcp_port",
    "portnumber",
    "database",
    "dbname",
    "db",
    "dbq",
    "schema",
    "protocol",
];
/// Others whose values tell nothing.
const HARMLESS: [&str; 7] = ["uid", "user", "username", "usedeclarefetch", "fetch", "boolsaschar", "charset"];
/// Shorter pieces of text would be found everywhere.
const LEAST_SECRET: usize = 3;
const TEXT_BYTES: usize = 65_536;
const MOST_TEXT_BYTES: usize = (1 << 30) - 1;

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// A data source of odbc.ini.
    pub(super) dsn: Option<String>,
    /// The driver's own options.
    options: Vec<(String, Secret)>,
    /// The most bytes that are read of one value.
    pub(super) text_bytes: usize,
    pub(super) text_type: Option<String>,
    pub(super) binary_type: Option<String>,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let given = options.as_object().ok_or_else(|| usage("the options are no JSON object"))?;
        if let Some(unknown) = given.keys().find(|key| OPTIONS.iter().all(|option| option.name != key.as_str())) {
            return Err(usage(format!("odbc has no option {unknown:?}"))
                .with_hint("options of the driver go behind ? of the locator"));
        }
        let url = given.get("url").and_then(Json::as_str).ok_or_else(|| usage("the option url is missing"))?;
        let rest = url.strip_prefix("odbc:").unwrap_or(url);
        let (dsn, query) = rest.split_once('?').unwrap_or((rest, ""));
        let dsn = around.expand(&decode(dsn)?)?;
        if dsn.contains([';', '=', '@', '{']) || dsn.contains("://") {
            // Not repeated: it may hold a password.
            return Err(usage("what stands before ? is no data source").with_hint(EXAMPLE));
        }
        let mut settings = in_url(query)?;
        for (_, value) in &mut settings {
            *value = around.expand(value)?;
        }
        let mut own = |name: &str| -> Option<String> {
            let given = given.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            let at = settings.iter().position(|(key, _)| key == name);
            let in_url = at.map(|at| settings.remove(at).1);
            given.or(in_url).filter(|text| !text.is_empty())
        };
        let text_bytes = bytes_of(own("textBytes").as_deref())?;
        let (text_type, binary_type) = (own("textType"), own("binaryType"));
        let mut config = Self {
            dsn: (!dsn.is_empty()).then_some(dsn),
            options: settings.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            text_bytes,
            text_type,
            binary_type,
        };
        if config.dsn.is_none() && config.setting("driver").is_none() {
            return Err(usage("the locator names neither a data source nor a driver").with_hint(EXAMPLE));
        }
        config.add_defaults();
        Ok(config)
    }

    /// What its driver is told where the user says nothing else.
    fn add_defaults(&mut self) {
        let product = self.setting("driver").map_or(Product::Other, Product::of_driver);
        for (name, value) in product.defaults() {
            if self.setting(name).is_none() {
                self.options.push(((*name).to_owned(), Secret::new((*value).to_owned())));
            }
        }
    }

    /// The value of the driver's option `name`; ODBC does not tell capitals from small letters.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.reveal())
    }

    /// The driver as the user calls it; none where a data source names it.
    pub(super) fn driver(&self) -> Option<&str> {
        self.setting("driver").map(|name| name.trim_start_matches('{').trim_end_matches('}'))
    }

    /// What is given to the driver manager.
    pub(super) fn connection_string(&self) -> Secret {
        let mut text = self.dsn.as_ref().map(|dsn| format!("DSN={dsn};")).unwrap_or_default();
        for (name, value) in &self.options {
            let value = value.reveal();
            let typed = name.eq_ignore_ascii_case("driver") && value.starts_with('{');
            let value = if typed { value.to_owned() } else { escaped(value) };
            text.push_str(name);
            text.push('=');
            text.push_str(&value);
            text.push(';');
        }
        Secret::new(text)
    }

    /// The data source or driver, and the place that it opens, without users, passwords and settings.
    pub(super) fn label(&self) -> String {
        let is_place = |key: &str| PLACES.contains(&key.to_lowercase().as_str());
        let places = self.options.iter().filter(|(key, value)| is_place(key) && !value.reveal().contains('@'));
        let pairs: Vec<String> = places.map(|(key, value)| format!("{key}={}", value.reveal())).collect();
        let dsn = self.dsn.as_deref().unwrap_or_default();
        if pairs.is_empty() { format!("odbc:{dsn}") } else { format!("odbc:{dsn}?{}", pairs.join("&")) }
    }

    /// `text`, which a driver wrote, without what may be a secret of these options.
    pub(super) fn hide(&self, text: &str) -> String {
        let is_shown = |key: &str| {
            let key = key.to_lowercase();
            PLACES.contains(&key.as_str()) || HARMLESS.contains(&key.as_str())
        };
        let secret = self.options.iter().filter(|(key, value)| !is_shown(key) || value.reveal().contains('@'));
        let mut pieces: Vec<String> =
            secret.flat_map(|(_, value)| [escaped(value.reveal()), value.reveal().to_owned()]).collect();
        // The longest first: what is left of it would show otherwise.
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
        let pieces = pieces.into_iter().filter(|piece| piece.len() >= LEAST_SECRET);
        pieces.fold(text.to_owned(), |text, piece| text.replace(&piece, "***"))
    }
}

const EXAMPLE: &str = "write 'odbc:DSN#table', or 'odbc:?Driver=PostgreSQL Unicode&Server=db&UID=ada&PWD=${PW}#table'";

/// `value` as it stands in a connection string, by ODBC's rule: in braces, of which closing ones are doubled.
fn escaped(value: &str) -> String {
    let odd = value.contains([';', '{', '}', '+', '=']) || value.trim() != value;
    if odd { format!("{{{}}}", value.replace('}', "}}")) } else { value.to_owned() }
}

fn bytes_of(given: Option<&str>) -> Result<usize> {
    let Some(given) = given else { return Ok(TEXT_BYTES) };
    given.parse().ok().filter(|bytes| (1..=MOST_TEXT_BYTES).contains(bytes)).ok_or_else(|| {
        usage("textBytes is no number of bytes").with_hint(format!("write a number from 1 to {MOST_TEXT_BYTES}"))
    })
}

fn in_url(query: &str) -> Result<Vec<(String, String)>> {
    let pair = |pair: &str| {
        // Not repeated: it may be a piece of a password.
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            usage("a setting behind ? has no value")
                .with_hint("write ?name=value, and & and % of a value as %26 and %25")
        })?;
        let name = decode(name)?;
        if name.contains([';', '{', '}']) {
            return Err(usage("the name of a setting behind ? holds a ; or a brace").with_hint("part settings with &"));
        }
        Ok((name, decode(value)?))
    };
    query.split('&').filter(|text| !text.is_empty()).map(pair).collect()
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(options: &Json) -> Result<Config> {
        let variable = |name: &str| (name == "PW").then(|| "s3;c}ret".to_owned());
        Config::parse_in(options, &Surroundings { variable: &variable, ..Surroundings::NOTHING })
    }

    fn of(url: &str) -> Config {
        parse(&json!({ "url": url })).unwrap()
    }

    #[test]
    fn options_become_a_connection_string() {
        let config = of("odbc:?Driver=MariaDB Unicode&Server=db&PWD=${PW}&Note=x%26y&textBytes=10&textType=CLOB");
        let text = "Driver=MariaDB Unicode;Server=db;PWD={s3;c}}ret};Note=x&y;";
        assert_eq!(config.connection_string().reveal(), text);
        assert_eq!((config.text_bytes, config.text_type.as_deref()), (10, Some("CLOB")));
        assert!(!format!("{config:?}").contains("ret"));
        assert_eq!(of("odbc:SHOP?uid=ada").connection_string().reveal(), "DSN=SHOP;uid=ada;");
        // PostgreSQL's driver is told to fetch as it goes, unless the user says how.
        let text = of("odbc:?Driver={PostgreSQL Unicode}&fetch=5").connection_string();
        assert_eq!(text.reveal(), "Driver={PostgreSQL Unicode};fetch=5;UseDeclareFetch=1;BoolsAsChar=0;");
    }

    #[test]
    fn labels_and_messages_show_no_password() {
        let labels = [
            ("odbc:SHOP?UID=ada&PWD=s3cret", "odbc:SHOP"),
            ("odbc:?driver=SQLite3&Database=/tmp/a.db&x=s3cret", "odbc:?driver=SQLite3&Database=/tmp/a.db"),
            ("odbc:?Driver=Oracle&DBQ=ada/s3cret@//db:1521/x", "odbc:?Driver=Oracle"),
        ];
        for (url, label) in labels {
            assert_eq!(of(url).label(), label);
        }
        let hidden = of("odbc:?Driver=x&Server=db&PWD=${PW}&Token=t0p").hide("no s3;c}ret, {s3;c}}ret} or t0p on db");
        assert_eq!(hidden, "no ***, *** or *** on db");
    }

    #[test]
    fn what_is_wrong_is_a_usage_error() {
        for options in [
            json!({}),
            json!({"url": "odbc:"}),
            json!({"url": "odbc:?Server=s3cret"}),
            json!({"url": "odbc:SHOP?s3cret"}),
            json!({"url": "odbc:SHOP?textBytes=0"}),
            json!({"url": "odbc:SHOP", "uid": "ada"}),
            json!({"url": "odbc:Driver=x;PWD=s3cret"}),
            json!({"url": "odbc:SHOP?UID=ada&;PWD=s3cret"}),
        ] {
            let error = parse(&options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{options}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
