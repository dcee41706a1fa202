//! What a locator says: `odbc:DSN` or `odbc:?Driver=…&name=value`. Parsed and validated; nothing is opened.
//!
//! All but a few options are the driver's own and go into the connection string as they stand. `${NAME}` within a value is the
//! environment variable NAME. Which values are secret only the driver knows: labels and messages show those that are not.

use serde_json::Value as Json;

use super::driver::Product;
use crate::bridge::login::{Secret, Surroundings, seen};
use crate::connector::{OptionDoc, option};
use crate::driven::settings::{Locator, hide, usage};
use crate::error::Result;
use crate::sql::located::Located;

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
    option("session", "list", "", "Statements that each connection runs first, one after the other; a text is one of them."),
];

/// Settings of drivers whose values tell nothing, beside those that say where they go and as whom.
const HARMLESS: [&str; 4] = ["usedeclarefetch", "fetch", "boolsaschar", "charset"];
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
    /// Statements that each connection runs first.
    pub(super) session: Vec<String>,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let locator = Locator::parse(options, ("odbc", OPTIONS), around)?;
        let dsn = locator.head.clone();
        if !seen::odbc_source(&dsn) {
            // Not repeated: it may hold a password.
            return Err(usage("what stands before ? is no data source").with_hint(EXAMPLE));
        }
        let mut settings = locator.settings()?;
        if settings.names().any(|name| name.contains([';', '{', '}'])) {
            return Err(usage("the name of a setting behind ? holds a ; or a brace").with_hint("part settings with &"));
        }
        let text_bytes = bytes_of(settings.own("textBytes").as_deref())?;
        let (text_type, binary_type) = (settings.own("textType"), settings.own("binaryType"));
        let session = settings.own("session").map_or_else(Vec::new, statements_of);
        let mut config = Self {
            dsn: (!dsn.is_empty()).then_some(dsn),
            options: settings.of_driver(),
            text_bytes,
            text_type,
            binary_type,
            session,
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

    /// `text`, which a driver wrote, without what may be a secret of these options.
    pub(super) fn hide(&self, text: &str) -> String {
        let is_shown = |key: &str| {
            let is_harmless = || HARMLESS.iter().any(|other| key.eq_ignore_ascii_case(other));
            seen::odbc_place(key) || seen::odbc_user(key) || is_harmless()
        };
        let secret = self.options.iter().filter(|(key, value)| !is_shown(key) || value.reveal().contains('@'));
        hide(text, secret.flat_map(|(_, value)| [escaped(value.reveal()), value.reveal().to_owned()]).collect())
    }
}

impl Located for Config {
    const CONNECTOR: &'static str = "odbc";
    const EXAMPLE: &'static str = "'odbc:DSN#orders'";

    /// The data source or driver, and the place that it opens, without users, passwords and settings.
    fn label(&self) -> String {
        let is_shown = |key: &str, value: &Secret| seen::odbc_place(key) && !value.reveal().contains('@');
        let places = self.options.iter().filter(|(key, value)| is_shown(key, value));
        let pairs: Vec<String> = places.map(|(key, value)| format!("{key}={}", value.reveal())).collect();
        let dsn = self.dsn.as_deref().unwrap_or_default();
        if pairs.is_empty() { format!("odbc:{dsn}") } else { format!("odbc:{dsn}?{}", pairs.join("&")) }
    }
}

const EXAMPLE: &str = "write 'odbc:DSN#table', or 'odbc:?Driver=PostgreSQL Unicode&Server=db&UID=ada&PWD=${PW}#table'";

/// `value` as it stands in a connection string, by ODBC's rule: in braces, of which closing ones are doubled.
fn escaped(value: &str) -> String {
    let odd = value.contains([';', '{', '}', '+', '=']) || value.trim() != value;
    if odd { format!("{{{}}}", value.replace('}', "}}")) } else { value.to_owned() }
}

/// The statements of a list in JSON, or the one that `text` is.
fn statements_of(text: String) -> Vec<String> {
    let mut statements = serde_json::from_str(&text).unwrap_or_else(|_| vec![text]);
    statements.retain(|sql: &String| !sql.trim().is_empty());
    statements
}

fn bytes_of(given: Option<&str>) -> Result<usize> {
    let Some(given) = given else { return Ok(TEXT_BYTES) };
    given.parse().ok().filter(|bytes| (1..=MOST_TEXT_BYTES).contains(bytes)).ok_or_else(|| {
        usage("textBytes is no number of bytes").with_hint(format!("write a number from 1 to {MOST_TEXT_BYTES}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

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
    fn statements_are_a_list_or_one() {
        let session = |value: Json| parse(&json!({"url": "odbc:SHOP", "session": value})).unwrap().session;
        assert_eq!(
            session(json!(["alter session set a = 1", " ", "begin b; end;"])),
            ["alter session set a = 1", "begin b; end;"]
        );
        assert_eq!(session(json!("set a = '1;2'")), ["set a = '1;2'"]);
        let config = of("odbc:SHOP?uid=ada&session=set%20a");
        assert_eq!(
            (config.session.as_slice(), config.connection_string().reveal()),
            (&["set a".to_owned()][..], "DSN=SHOP;uid=ada;")
        );
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
