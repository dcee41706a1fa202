//! What a connection needs: options, then the URL, then `MSSQL_*` variables, then defaults.
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
        "mssql://user:password@host:port/database?encrypt=strict, whose last part takes any option; \
         ${NAME} is an environment variable.",
    )
    .required(),
    option("host", "string", "MSSQL_HOST, 127.0.0.1", "The server's name or address."),
    option("port", "integer", "1433", "The port; that of a named instance has to be given.").within("1 to 65535"),
    option("user", "string", "MSSQL_USER, sa", "The login of SQL Server's own authentication."),
    option("password", "string", "MSSQL_PASSWORD", "The password; better a reference such as ${NAME}."),
    option("database", "string", "the login's own", "The database."),
    option("encrypt", "string", "required", "TLS within TDS, TLS around it (TDS 8.0), or none at all.")
        .within("required, strict, none"),
    option("tlsCheck", "string", "identity", "How much of the server's certificate is checked.")
        .within("identity, chain, none"),
    option("tlsCa", "string", "the system's roots", "Trusted roots: a PEM file."),
    option("connectTimeout", "integer", "30", "Seconds that connecting may take; 0 waits for ever."),
    option("packetBytes", "integer", "16384", "Bytes of a packet; the server may want fewer.").within("512 to 32767"),
    option("applicationName", "string", "etl", "What the server shows of us."),
    option(
        "session",
        "string",
        "",
        "SQL that each connection runs first, parted by semicolons; what a copy needs is set after it.",
    ),
];

const PORT: u16 = 1433;
const VARIABLES: [(&str, &str); 3] = [("MSSQL_HOST", "host"), ("MSSQL_USER", "user"), ("MSSQL_PASSWORD", "password")];

/// A validated connection setting.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) host: Host,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    /// None for the one of the login.
    pub(super) database: Option<String>,
    pub(super) encrypt: Encrypt,
    pub(super) tls: Demand,
    /// None waits for ever.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) packet_bytes: u32,
    pub(super) application_name: String,
    /// What each connection runs first.
    pub(super) session: Option<String>,
}

/// Where TLS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encrypt {
    /// Begun within TDS.
    Required,
    /// Around TDS: version 8.0 of it.
    Strict,
    None,
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
        let settings = Settings::new("SQL Server", OPTIONS.iter().map(|option| option.name));
        let [options, url] = settings.read(options, around, |url| of_url(url, &settings))?;
        build(&Layers::of([options, url, login::of_variables(&VARIABLES, around)]))
    }

    /// The locator without its password: `mssql://user@host:port/database`.
    pub(super) fn label(&self) -> String {
        format!("mssql://{}@{}/{}", self.user, self.host, self.database.as_deref().unwrap_or_default())
    }
}

/// What a URL says; one without `//` says nothing.
fn of_url(text: &str, settings: &Settings) -> Result<Layer> {
    let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
    // A driver may be named, as in `mssql+pyodbc://`.
    let product = scheme.split('+').next().unwrap_or(scheme);
    match (product, rest.strip_prefix("//")) {
        ("mssql" | "sqlserver", Some(rest)) => settings.of_uri(rest),
        ("mssql" | "sqlserver" | "", None) if rest.is_empty() => Ok(Layer::new()),
        // Not repeated: it may hold a password.
        _ => Err(Error::new(ErrorKind::Usage, "the URL is none of SQL Server")
            .with_hint("write mssql://user@host:port/database")),
    }
}

fn build(layers: &Layers) -> Result<Config> {
    let text = |name: &str, default: &str| layers.get(name).unwrap_or(default).to_owned();
    let encrypts = [("required", Encrypt::Required), ("strict", Encrypt::Strict), ("none", Encrypt::None)];
    let packet_bytes = layers.whole("packetBytes", 16_384)?;
    if !(512..=32_767).contains(&packet_bytes) {
        return Err(Error::new(ErrorKind::Usage, "packetBytes is not between 512 and 32767"));
    }
    Ok(Config {
        host: layers.host("127.0.0.1", PORT)?,
        user: text("user", "sa"),
        password: layers.get("password").map(|word| Secret::new(word.to_owned())),
        database: layers.get("database").map(str::to_owned),
        encrypt: layers.choose("encrypt", &encrypts)?,
        tls: Demand::of(layers)?,
        connect_timeout: layers.seconds("connectTimeout", 30)?,
        packet_bytes: packet_bytes as u32,
        application_name: text("applicationName", "etl"),
        session: layers.get("session").filter(|sql| !sql.trim().is_empty()).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bridge::tls::Check;

    fn of(url: &str) -> Result<Config> {
        let around = Surroundings {
            variable: &|name| (name == "MSSQL_PASSWORD").then(|| "s3cret".to_owned()),
            ..Surroundings::NOTHING
        };
        Config::parse_in(&json!({ "url": url }), &around)
    }

    #[test]
    fn urls_say_where_and_how() {
        let config = of("mssql://ada@db:1444/shop?encrypt=strict&tls-check=chain&packetBytes=4096").unwrap();
        assert_eq!(config.label(), "mssql://ada@db:1444/shop");
        assert_eq!(
            (config.encrypt, config.tls.check, config.packet_bytes),
            (Encrypt::Strict, Some(Check::Chain), 4096)
        );
        assert_eq!(config.session, None);
        let config = of("mssql://db?session=SET%20LOCK_TIMEOUT%205").unwrap();
        assert_eq!(config.session.as_deref(), Some("SET LOCK_TIMEOUT 5"));
        let config = of("sqlserver://db").unwrap();
        assert_eq!(config.label(), "mssql://sa@db:1433/");
        assert_eq!((config.encrypt, config.database.as_deref()), (Encrypt::Required, None));
        assert_eq!(config.password.unwrap().reveal(), "s3cret");
    }

    #[test]
    fn no_password_is_shown() {
        let config = of("mssql://ada:pa%2Fss@db/shop").unwrap();
        assert_eq!(config.password.as_ref().unwrap().reveal(), "pa/ss");
        let shown = format!("{} {config:?}", config.label());
        assert!(!shown.contains("pa/ss") && !shown.contains("pa%2Fss"), "{shown}");
        for wrong in ["mysql://db", "mssql://db?passwort=x", "mssql://db?encrypt=maybe", "mssql://db?packetBytes=1"] {
            assert_eq!(of(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}
