//! What a locator says: `adbc:DRIVER?uri=…&option=…`. Parsed and validated; nothing is opened.
//!
//! All but a few options are the driver's own and go to it as they stand. `${NAME}` within a value is the environment variable
//! NAME. Which values are secret only the driver knows: a label shows the place alone, and messages lose every value that is
//! not known to be harmless.

use serde_json::Value as Json;

use super::driver::{Product, library};
use crate::bridge::adbc::Library;
use crate::bridge::login::uri::decode;
use crate::bridge::login::{self, Secret, Surroundings, seen};
use crate::connector::{OptionDoc, option};
use crate::driven::name::Quote;
use crate::driven::settings::{Locator, hide, usage};
use crate::error::Result;
use crate::sql::located::Located;

/// Every option, in the order of the help. `README.md` has the same table, which a test compares.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option(
        "url",
        "string",
        "",
        "adbc:DRIVER?uri=…&name=value: a driver's name or the path of its library, and behind ? the driver's own options, \
         percent-encoded; ${NAME} is an environment variable.",
    )
    .required(),
    option("entryPoint", "string", "by the library's name", "The function of the library that makes the driver."),
    option("quote", "string", "double; backtick for bigquery", "How names are quoted in the SQL that reads and counts.")
        .within("double, backtick"),
];

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// As the user calls it.
    pub(super) driver: String,
    pub(super) product: Product,
    pub(super) library: Library,
    /// The driver's own options.
    pub(super) options: Vec<(String, Secret)>,
    pub(super) quote: Quote,
}

impl Config {
    /// Parses `options` and opens nothing.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        Self::parse_in(options, &Surroundings::PROCESS)
    }

    fn parse_in(options: &Json, around: &Surroundings<'_>) -> Result<Self> {
        let locator = Locator::parse(options, ("adbc", OPTIONS), around)?;
        let driver = locator.head.clone();
        if !seen::adbc_driver(&driver) {
            // Not repeated: it may hold a password.
            return Err(usage("what stands before ? is no driver").with_hint("write 'adbc:DRIVER?uri=…'"));
        }
        if driver.is_empty() {
            return Err(usage("the locator names no driver").with_hint("write 'adbc:sqlite?uri=shop.db#orders'"));
        }
        let mut settings = locator.settings()?;
        let (entry_point, quote) = (settings.own("entryPoint"), settings.own("quote"));
        let product = Product::of(&driver);
        let quotes = match product {
            Product::BigQuery => [("backtick", Quote::Backtick), ("double", Quote::DOUBLE)],
            _ => [("double", Quote::DOUBLE), ("backtick", Quote::Backtick)],
        };
        Ok(Self {
            library: library(&driver, entry_point),
            quote: login::choose("quote", quote.as_deref(), &quotes)?,
            options: settings.of_driver(),
            product,
            driver,
        })
    }

    /// The option that says where, and what of it may be seen.
    fn place(&self) -> Option<(&str, String)> {
        let (name, uri) = self.options.iter().find(|(name, _)| name == "uri" || name == "path")?;
        let uri = uri.reveal();
        let (scheme, rest) = match uri.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            // Only these two are known to be files.
            None if matches!(self.product, Product::Sqlite | Product::DuckDb) => (String::new(), uri),
            None => return None,
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            // A password held the ?, or stands behind it.
            return None;
        }
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        Some((name, format!("{scheme}{place}")))
    }

    /// `text`, which a driver wrote, without what may be a secret of these options.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut secret = Vec::new();
        for (name, value) in &self.options {
            let value = value.reveal();
            if name == "uri" || name == "path" {
                secret.extend(pieces(value));
            } else if !is_harmless(name) && !["true", "false"].contains(&value) {
                secret.push(value.to_owned());
            }
        }
        hide(text, secret)
    }
}

impl Located for Config {
    const CONNECTOR: &'static str = "adbc";
    const EXAMPLE: &'static str = "'adbc:sqlite?uri=shop.db#orders'";

    /// The driver and the place that it opens, without users, passwords and settings.
    fn label(&self) -> String {
        match self.place() {
            Some((name, place)) => format!("adbc:{}?{name}={place}", self.driver),
            None => format!("adbc:{}", self.driver),
        }
    }
}

/// Whether the value of the setting `name` may be seen, as far as it is known.
fn is_harmless(name: &str) -> bool {
    seen::adbc_place(name) || ["uri", "path"].iter().any(|end| name.ends_with(end))
}

/// What of a URI, or of words such as `password=…`, may be a password: also the parts into which a driver may cut one.
fn pieces(uri: &str) -> Vec<String> {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let login = rest.rsplit_once('@').map_or("", |(login, _)| login);
    let password = login.split_once(':').map_or("", |(_, password)| password);
    let settings = rest.split(['?', '&', ' ', ';']).filter_map(|word| word.split_once('='));
    let settings = settings.filter(|(name, _)| !is_harmless(name) && *name != "dbname");
    let mut pieces: Vec<String> = settings.map(|(_, value)| value.to_owned()).collect();
    pieces.extend(decode(password).ok());
    pieces.push(password.to_owned());
    pieces.extend(password.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
    pieces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;

    fn parse(options: &Json) -> Result<Config> {
        let variable = |name: &str| (name == "PW").then(|| "s3&cret".to_owned());
        Config::parse_in(options, &Surroundings { variable: &variable, ..Surroundings::NOTHING })
    }

    fn of(url: &str) -> Config {
        parse(&json!({"url": url})).unwrap()
    }

    #[test]
    fn options_are_the_drivers_own() {
        let config = of("adbc:flightsql?uri=grpc://h:1&password=${PW}&quote=backtick&a.b=x%26y");
        let options: Vec<(&str, &str)> =
            config.options.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(options, [("uri", "grpc://h:1"), ("password", "s3&cret"), ("a.b", "x&y"),]);
        assert_eq!((config.quote, of("adbc:bigquery").quote), (Quote::Backtick, Quote::Backtick));
        assert!(!format!("{config:?}").contains("cret"));
    }

    #[test]
    fn labels_and_messages_show_no_password() {
        let labels = [
            ("adbc:sqlite?uri=/tmp/shop.db", "adbc:sqlite?uri=/tmp/shop.db"),
            ("adbc:duckdb?path=shop.duckdb", "adbc:duckdb?path=shop.duckdb"),
            (
                "adbc:postgresql?uri=postgresql://ada:s3@cret@db:5/shop?password=t0p",
                "adbc:postgresql?uri=postgresql://db:5/shop",
            ),
            ("adbc:snowflake?uri=ada:s3cret@account/db", "adbc:snowflake"),
            ("adbc:postgresql?uri=host=db password=s3cret", "adbc:postgresql"),
            ("adbc:postgresql?uri=postgresql://db/shop?password=s3@cret", "adbc:postgresql"),
        ];
        for (url, label) in labels {
            assert_eq!(of(url).label(), label);
        }
        for url in [
            "adbc:postgresql?uri=postgresql://ada:s3@cret%2F@db:5/shop?sslmode=x%26password=t0p",
            "adbc:postgresql?uri=host=db password=cret connect=s3",
            "adbc:snowflake?uri=ada:cret@account/db&other=t0p",
        ] {
            let hidden = of(url).hide("no port \"cret/\" of t0p on db:5/shop, s3@cret");
            assert!(!hidden.contains("cret") && hidden.contains("db:5"), "{hidden}");
        }
    }

    #[test]
    fn what_is_wrong_is_a_usage_error() {
        for options in [
            json!({}),
            json!({"url": "adbc:"}),
            json!({"url": "adbc:sqlite?s3cret"}),
            json!({"url": "adbc:sqlite?quote=odd"}),
            json!({"url": "adbc:sqlite", "uri": "a.db"}),
            json!({"url": "adbc:postgresql://ada:s3cret@db/shop"}),
        ] {
            let error = parse(&options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{options}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
