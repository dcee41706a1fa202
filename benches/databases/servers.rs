//! The servers other than PostgreSQL, as their own clients reach them.

use std::process::{Command, Stdio};

use super::copies::{Cost, measured};

/// The parts of a URL `scheme://user:password@host:port/…`, as they are written.
struct Login {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Login {
    fn of(url: &str, port: &str) -> Self {
        let (_, rest) = url.split_once("://").expect("a URL with ://");
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = authority.rsplit_once('@').expect("a URL with user@host");
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, port));
        Self { user: user.to_owned(), password: password.to_owned(), host: host.to_owned(), port: port.to_owned() }
    }

    fn url(&self, scheme: &str) -> String {
        let Self { user, password, host, port } = self;
        let colon = if password.is_empty() { "" } else { ":" };
        format!("{scheme}://{user}{colon}{password}@{host}:{port}")
    }
}

/// A server of MySQL or MariaDB, and the names of two databases of ours there.
pub(super) struct MySql {
    pub(super) product: &'static str,
    login: Login,
    database: String,
}

impl MySql {
    /// # Errors
    /// What is missing, as a sentence.
    pub(super) fn from_environment(product: &'static str, variable: &str, database: &str) -> Result<Self, String> {
        let url = std::env::var(variable).map_err(|_| format!("set {variable} to the URL of a server"))?;
        if let Some(lack) = lack_of("mariadb") {
            return Err(lack);
        }
        Ok(Self { product, login: Login::of(&url, "3306"), database: database.to_owned() })
    }

    /// Of the second database, into which tables of the first are copied.
    pub(super) fn other(&self) -> String {
        format!("{}_other", self.database)
    }

    pub(super) fn locator(&self, table: &str) -> String {
        self.locator_in(&self.database, table)
    }

    pub(super) fn locator_in(&self, database: &str, table: &str) -> String {
        format!("{}/{database}?sslMode=DISABLED#{table}", self.login.url("mysql"))
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// A table of the first database, as Sling names it.
    pub(super) fn qualified(&self, table: &str) -> String {
        format!("{}.{table}", self.database)
    }

    /// What pgloader lacks for this server.
    pub(super) fn lack_for_pgloader(&self) -> Option<String> {
        (self.product == "MySQL").then(|| "it knows no login of MySQL 8 and later".to_owned())
    }

    /// For `ConnectorX`.
    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.login.url("mysql"), self.database)
    }

    /// For DuckDB, under the name `mysql`.
    pub(super) fn attached(&self) -> String {
        let Login { user, password, host, port } = &self.login;
        let password = if password.is_empty() { String::new() } else { format!(" password={password}") };
        format!("mysql=host={host} port={port} user={user}{password} database={} ssl_mode=disabled", self.database)
    }

    pub(super) fn create(&self) {
        self.administer(&format!("create database {}; create database {}", self.database, self.other()));
    }

    pub(super) fn sweep(&self) {
        self.administer(&format!("drop database {}; drop database {}", self.database, self.other()));
    }

    /// What of the server matters to the figures.
    pub(super) fn facts(&self) -> String {
        let sql = "select concat(version(), ', buffer pool ', @@innodb_buffer_pool_size div 1048576, ' MB, ', \
                   @@innodb_flush_method, ', flush at commit ', @@innodb_flush_log_at_trx_commit, ', binary log ', @@log_bin)";
        let output = self.client(None).args(["-N", "-e", sql]).output().unwrap();
        format!("{}: {}", self.product, String::from_utf8_lossy(&output.stdout).trim())
    }

    pub(super) fn sql(&self, sql: &str) {
        measured(self.client(Some(&self.database)).args(["-e", sql]));
    }

    /// `LOAD DATA` of a CSV file whose NULL is the word.
    pub(super) fn load(&self, table: &str, file: &str) -> Cost {
        let sql = format!(
            "set time_zone = '+00:00'; load data local infile '{file}' into table {table} character set utf8mb4 \
             fields terminated by ',' optionally enclosed by '\"' escaped by '' lines terminated by '\\n' ignore 1 lines"
        );
        measured(self.client(Some(&self.database)).args(["-e", &sql]))
    }

    /// A table of the first database into the second.
    pub(super) fn dumped(&self, table: &str) -> Cost {
        let words = self.words().join(" ");
        let (from, to) = (&self.database, self.other());
        let line = format!(
            "set -o pipefail; mariadb-dump {words} --single-transaction --quick {from} {table} | mariadb {words} {to}"
        );
        let cost = measured(Command::new("bash").args(["-c", &line]).env("MYSQL_PWD", &self.login.password));
        // The peak is that of the shell.
        Cost { peak_bytes: 0, ..cost }
    }

    fn administer(&self, sql: &str) {
        measured(self.client(None).args(["-e", sql]));
    }

    fn words(&self) -> [String; 5] {
        let Login { user, host, port, .. } = &self.login;
        [
            "--no-defaults".to_owned(),
            "--skip-ssl".to_owned(),
            format!("-h{host}"),
            format!("-P{port}"),
            format!("-u{user}"),
        ]
    }

    fn client(&self, database: Option<&str>) -> Command {
        let mut client = Command::new("mariadb");
        client.args(self.words()).arg("--local-infile=1").args(database).env("MYSQL_PWD", &self.login.password);
        client
    }
}

/// A server of ClickHouse, and the name of a database of ours there.
pub(super) struct ClickHouse {
    login: Login,
    database: String,
}

impl ClickHouse {
    /// # Errors
    /// What is missing, as a sentence.
    pub(super) fn from_environment(database: &str) -> Result<Self, String> {
        let variable = "ETL_BENCH_CLICKHOUSE";
        let url = std::env::var(variable).map_err(|_| format!("set {variable} to the URL of a server"))?;
        let server = Self { login: Login::of(&url, "8123"), database: database.to_owned() };
        lack_of("curl").map_or(Ok(server), Err)
    }

    pub(super) fn locator(&self, table: &str) -> String {
        format!("{}/{}#{table}", self.login.url("clickhouse"), self.database)
    }

    pub(super) fn create(&self) {
        self.execute(&format!("create database {}", self.database));
    }

    pub(super) fn sweep(&self) {
        self.execute(&format!("drop database {}", self.database));
    }

    fn execute(&self, sql: &str) {
        let Login { user, password, host, port } = &self.login;
        let user = format!("{user}:{password}");
        measured(Command::new("curl").args(["-sSf", "-u", &user, &format!("http://{host}:{port}/"), "-d", sql]));
    }
}

/// Why `program` cannot be run, if so.
pub(super) fn lack_of(program: &str) -> Option<String> {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_err().then(|| format!("{program} is not in PATH"))
}
