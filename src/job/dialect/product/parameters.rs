//! Parameters of URLs of JDBC: which become options of a connector, and which do nothing here.

use super::super::jdbc::Url;
use super::super::lacks::{IdleKey, Lacks, idle, note_parameters};
use super::Product;

/// Whatever the database is.
const ALL: &str = "all databases";
const MYSQL: &str = "MySQL";
const POSTGRES: &str = "PostgreSQL";
const SQL_SERVER: &str = "SQL Server";

/// All that are known and do nothing.
pub(in super::super) const LACKS: Lacks = Lacks { program: "URLs of JDBC", keys: KEYS, plugins: &[] };

/// Those that become options, in small letters.
const MAPPED: &[(Product, &[&str])] = &[
    (
        Product::Mysql,
        &["sslmode", "usessl", "requiressl", "verifyservercertificate", "connecttimeout", "sessionvariables"],
    ),
    (
        Product::Postgres,
        &["ssl", "sslmode", "sslrootcert", "sslcert", "sslkey", "currentschema", "options", "applicationname"],
    ),
    (Product::Postgres, &["connecttimeout", "logintimeout", "targetservertype", "loadbalancehosts"]),
    (Product::SqlServer, &["encrypt", "trustservercertificate", "applicationname", "logintimeout", "packetsize"]),
    (Product::Clickhouse, &["ssl", "database", "socket_timeout", "connection_timeout", "connect_timeout"]),
    (Product::Sqlite, &["busy_timeout"]),
];

/// Who logs in, where the job does not say it.
const LOGIN: [&str; 2] = ["user", "password"];

const FETCHED: &str = "rows come as fast as they are taken, in batches of bounded memory";
const SENT: &str = "rows are sent by the fastest way of the database";
const UTF8: &str = "texts travel in UTF-8, whatever encoding a table has";
const MOMENTS: &str = "a timestamp is read as its moment, by DataX into text as the clock of the server shows it, and a datetime as it stands";
const AGAIN: &str = "a task that fails is begun again, as the job says";
const SILENT: &str = "a server that is silent is waited for as long as the connection lives";
const JAVA: &str = "it concerns the driver of Java alone";
const CATALOG: &str = "the catalog of the server is asked for tables and columns";
const STORES: &str = "certificates are PEM files, or those of the system";

const KEYS: &[IdleKey] = &[
    idle(ALL, "socketTimeout", SILENT),
    idle(ALL, "tcpKeepAlive", "the system watches each connection"),
    idle(MYSQL, "useUnicode", UTF8),
    idle(MYSQL, "characterEncoding", UTF8),
    idle(MYSQL, "characterSetResults", UTF8),
    idle(MYSQL, "connectionCollation", UTF8),
    idle(MYSQL, "passwordCharacterEncoding", UTF8),
    idle(MYSQL, "zeroDateTimeBehavior", "a date that is zero is read as NULL, as DataX and FlinkX tell the driver"),
    idle(MYSQL, "tinyInt1isBit", "a tinyint(1) is the number that it is"),
    idle(MYSQL, "transformedBitIsBoolean", "a tinyint(1) is the number that it is"),
    idle(MYSQL, "yearIsDateType", "a year is a number"),
    idle(MYSQL, "emptyStringsConvertToZero", "an empty text is no number"),
    idle(MYSQL, "jdbcCompliantTruncation", "a value that does not fit is refused"),
    idle(MYSQL, "noDatetimeStringSync", "a datetime is read as it stands"),
    idle(MYSQL, "sendFractionalSeconds", "fractions of seconds are kept"),
    idle(MYSQL, "serverTimezone", MOMENTS),
    idle(MYSQL, "connectionTimeZone", MOMENTS),
    idle(MYSQL, "forceConnectionTimeZoneToSession", MOMENTS),
    idle(MYSQL, "preserveInstants", MOMENTS),
    idle(MYSQL, "useTimezone", MOMENTS),
    idle(MYSQL, "useLegacyDatetimeCode", MOMENTS),
    idle(MYSQL, "useJDBCCompliantTimezoneShift", MOMENTS),
    idle(MYSQL, "rewriteBatchedStatements", SENT),
    idle(MYSQL, "allowLoadLocalInfile", SENT),
    idle(MYSQL, "maxAllowedPacket", SENT),
    idle(MYSQL, "useCursorFetch", FETCHED),
    idle(MYSQL, "defaultFetchSize", FETCHED),
    idle(MYSQL, "useServerPrepStmts", FETCHED),
    idle(MYSQL, "cachePrepStmts", FETCHED),
    idle(MYSQL, "prepStmtCacheSize", FETCHED),
    idle(MYSQL, "prepStmtCacheSqlLimit", FETCHED),
    idle(MYSQL, "netTimeoutForStreamingResults", "the server waits an hour for rows to be taken"),
    idle(MYSQL, "allowMultiQueries", "each of preSql and postSql is sent as it stands"),
    idle(MYSQL, "useCompression", "rows are not compressed on the way"),
    idle(MYSQL, "allowPublicKeyRetrieval", "the plugin of the server says how a password is proved"),
    idle(MYSQL, "createDatabaseIfNotExist", "a database that is missing is not made"),
    idle(MYSQL, "useAffectedRows", "the summary says how many rows were added and changed"),
    idle(MYSQL, "autoReconnect", AGAIN),
    idle(MYSQL, "autoReconnectForPools", AGAIN),
    idle(MYSQL, "maxReconnects", AGAIN),
    idle(MYSQL, "initialTimeout", AGAIN),
    idle(MYSQL, "failOverReadOnly", "of several hosts the first that answers is taken, for reading and writing"),
    idle(MYSQL, "nullCatalogMeansCurrent", CATALOG),
    idle(MYSQL, "nullDatabaseMeansCurrent", CATALOG),
    idle(MYSQL, "useInformationSchema", CATALOG),
    idle(MYSQL, "useOldAliasMetadataBehavior", CATALOG),
    idle(MYSQL, "noAccessToProcedureBodies", CATALOG),
    idle(MYSQL, "trustCertificateKeyStoreUrl", STORES),
    idle(MYSQL, "trustCertificateKeyStorePassword", STORES),
    idle(MYSQL, "clientCertificateKeyStoreUrl", STORES),
    idle(MYSQL, "clientCertificateKeyStorePassword", STORES),
    idle(MYSQL, "useLocalSessionState", JAVA),
    idle(MYSQL, "elideSetAutoCommits", JAVA),
    idle(MYSQL, "cacheServerConfiguration", JAVA),
    idle(MYSQL, "cacheResultSetMetadata", JAVA),
    idle(MYSQL, "maintainTimeStats", JAVA),
    idle(MYSQL, "dontTrackOpenResources", JAVA),
    idle(POSTGRES, "stringtype", "a text is taken as a value of the column that it goes into"),
    idle(POSTGRES, "reWriteBatchedInserts", SENT),
    idle(POSTGRES, "defaultRowFetchSize", FETCHED),
    idle(POSTGRES, "prepareThreshold", FETCHED),
    idle(POSTGRES, "preparedStatementCacheQueries", FETCHED),
    idle(POSTGRES, "preparedStatementCacheSizeMiB", FETCHED),
    idle(POSTGRES, "binaryTransfer", "values travel in the binary form wherever there is one"),
    idle(POSTGRES, "readOnly", "a source is only read"),
    idle(POSTGRES, "autosave", "all rows become visible together"),
    idle(POSTGRES, "cleanupSavepoints", "all rows become visible together"),
    idle(POSTGRES, "sslfactory", STORES),
    idle(POSTGRES, "sslpassword", "the key of a client is read from a file without a password"),
    idle(POSTGRES, "assumeMinServerVersion", JAVA),
    idle(POSTGRES, "loggerLevel", JAVA),
    idle(POSTGRES, "loggerFile", JAVA),
    idle(POSTGRES, "disableColumnSanitiser", JAVA),
    idle(SQL_SERVER, "instanceName", "an instance is found by its port"),
    idle(SQL_SERVER, "integratedSecurity", "a name and a password log in"),
    idle(SQL_SERVER, "sendStringParametersAsUnicode", "texts keep all their letters"),
    idle(SQL_SERVER, "selectMethod", FETCHED),
    idle(SQL_SERVER, "responseBuffering", FETCHED),
    idle(SQL_SERVER, "hostNameInCertificate", STORES),
    idle(SQL_SERVER, "trustStore", STORES),
    idle(SQL_SERVER, "trustStorePassword", STORES),
];

/// Parameters of the URLs of a job that do nothing here.
#[derive(Debug, Default)]
pub(in super::super) struct IdleParameters {
    known: Vec<&'static str>,
    /// Those that nobody knows.
    others: Vec<String>,
}

impl IdleParameters {
    /// Adds those of `url`, a database of `product`.
    pub(super) fn add(&mut self, product: Product, url: &Url) {
        let is_mapped = |key: &str| {
            let of = MAPPED.iter().filter(|(of, _)| *of == product).flat_map(|(_, keys)| keys.iter());
            LOGIN.iter().chain(of).any(|mapped| mapped.eq_ignore_ascii_case(key))
        };
        for (key, _) in url.parameters.iter().filter(|(key, _)| !is_mapped(key)) {
            let mut idle = KEYS.iter().filter(|idle| [ALL, product.title()].contains(&idle.of)).map(|idle| idle.key);
            match idle.find(|idle| idle.eq_ignore_ascii_case(key)) {
                Some(idle) => self.known.push(idle),
                None => self.others.push(key.clone()),
            }
        }
    }

    /// One note of those that are known, and one of the others.
    pub(in super::super) fn notes(self) -> impl Iterator<Item = String> {
        let mut others = self.others;
        others.sort_unstable();
        others.dedup();
        let told = || format!("these parameters of the URL are not known, and do nothing here: {}", others.join(", "));
        let unknown = (!others.is_empty()).then(told);
        note_parameters(self.known).into_iter().chain(unknown)
    }
}
