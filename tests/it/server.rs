//! The servers of the tests, and their own clients, which say what is true.
#![allow(dead_code, reason = "each build of the tests uses some of these")]

pub(crate) mod certificates;
pub(crate) mod own;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program;

/// URL of a fresh, empty database on the private server that `tests/run` started.
pub(crate) fn postgres() -> String {
    let Ok(server) = std::env::var("ETL_TEST_POSTGRES") else {
        panic!("this test needs PostgreSQL: run it by `tests/run`, which starts a private server");
    };
    postgres_database(&server)
}

/// URL of a fresh, empty database on the private PostgreSQL of an older `version`, 10 or 13, that `tests/run` started.
pub(crate) fn older_postgres(version: &str) -> String {
    let Ok(server) = std::env::var(format!("ETL_TEST_POSTGRES_{version}")) else {
        panic!("this test needs PostgreSQL {version}: run it by `tests/run`, which starts a private one");
    };
    postgres_database(&server)
}

/// A database on the server with the database `server`.
fn postgres_database(server: &str) -> String {
    let name = fresh_name();
    psql(server, &format!("create database {name}"));
    let (before, _) = server.rsplit_once('/').expect("a URL of PostgreSQL ends in a database");
    format!("{before}/{name}")
}

/// URL of a fresh, empty database on the private MariaDB that `tests/run` started.
pub(crate) fn mariadb() -> String {
    let Ok(server) = std::env::var("ETL_TEST_MARIADB") else {
        panic!("this test needs MariaDB: run it by `tests/run`, which starts a private server");
    };
    mysql_database(&server)
}

/// URL of a fresh, empty database on the private MySQL 9 that `tests/run` started.
pub(crate) fn mysql() -> String {
    let Ok(server) = std::env::var("ETL_TEST_MYSQL") else {
        panic!("this test needs MySQL: run it by `tests/run`, and not `--without-mysql`: it starts a private one");
    };
    mysql_database(&server)
}

/// URL of a fresh, empty database on the private MySQL of an older `version`, 5.7 or 8.0, that `tests/run` started.
pub(crate) fn older_mysql(version: &str) -> String {
    let Ok(server) = std::env::var(format!("ETL_TEST_MYSQL_{}", version.replace('.', "_"))) else {
        panic!(
            "this test needs MySQL {version}: run it by `tests/run`, and not `--without-mysql`: it starts a private one"
        );
    };
    mysql_database(&server)
}

/// URL of a fresh, empty database on the private ClickHouse that `tests/run` started.
pub(crate) fn clickhouse() -> String {
    let Ok(server) = std::env::var("ETL_TEST_CLICKHOUSE") else {
        panic!("this test needs ClickHouse: run it by `tests/run`, which installs its embedded engine and starts it");
    };
    let name = fresh_name();
    clickhouse_client(&server, &format!("create database {name} engine = Atomic"));
    format!("{server}{name}")
}

/// What ClickHouse itself prints for one statement, `sql`: rows with fields parted by tabs, NULL as `\N`, escapes as `\n`. `url` is
/// `clickhouse://user@host:port/database`, or without a database. Fails on any SQL error. Plain HTTP, without a line of `etl`.
pub(crate) fn clickhouse_client(url: &str, sql: &str) -> String {
    let (_, rest) = url.split_once('@').expect("clickhouse://user@");
    let (address, database) = rest.split_once('/').expect("a URL of a server ends in /");
    let database = if database.is_empty() { "default" } else { database };
    let mut stream = std::net::TcpStream::connect(address).expect("ClickHouse answers");
    let head = format!("POST /?database={database} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{sql}", sql.len()).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let mut body = &answer[end + 4..];
    let mut whole = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let line = body.windows(2).position(|two| two == b"\r\n").expect("the answer ends");
            let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
            body = &body[line + 2..];
            if size == 0 {
                break;
            }
            whole.extend_from_slice(&body[..size]);
            body = &body[size + 2..];
        }
    } else {
        whole.extend_from_slice(body);
    }
    let printed = String::from_utf8(whole).unwrap();
    assert!(head.starts_with("http/1.1 200"), "ClickHouse refuses {sql:?}: {printed}");
    printed.strip_suffix('\n').unwrap_or(&printed).to_owned()
}

/// A fresh database on each of the servers.
pub(crate) struct Databases {
    pub(crate) postgres: String,
    pub(crate) mysql: String,
    pub(crate) mariadb: String,
    pub(crate) clickhouse: String,
}

impl Databases {
    pub(crate) fn new() -> Self {
        Self { postgres: postgres(), mysql: mysql(), mariadb: mariadb(), clickhouse: clickhouse() }
    }

    /// The locator of the table `name` in one of them, or in a database file of its own, or of a file with the extension `kind`.
    pub(crate) fn place(&self, kind: &str, name: &str) -> String {
        let url = match kind {
            "postgres" => &self.postgres,
            "mysql" => &self.mysql,
            "mariadb" => &self.mariadb,
            "clickhouse" => &self.clickhouse,
            "sqlite" => return format!("{name}.db#{name}"),
            "duckdb" => return format!("{name}.duckdb#{name}"),
            extension => return format!("{name}.{extension}"),
        };
        format!("{url}#{name}")
    }
}

/// A database on the server whose URL, which names none, is `server`.
fn mysql_database(server: &str) -> String {
    let name = fresh_name();
    mariadb_client(server, &format!("create database {name}"));
    format!("{server}{name}")
}

fn fresh_name() -> String {
    format!("t{}", uuid::Uuid::now_v7().simple())
}

/// What `psql` prints for `sql`: unaligned rows, fields parted by `|`, NULL as nothing. Fails on any SQL error.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    feed(Command::new("psql").args(["-XAtq", "-v", "ON_ERROR_STOP=1", url]), sql)
}

/// Waits until `psql` prints for `sql` what `is` accepts.
#[track_caller]
pub(crate) fn until(url: &str, sql: &str, is: impl Fn(&str) -> bool) {
    program::until(|| is(&psql(url, sql)));
}

/// What MariaDB's client, which serves MySQL as well, prints for `sql`: rows with fields parted by tabs, all bytes as
/// they are, NULL as `NULL`. `url` is `mysql://user@host:port/database`, or without a database. Fails on any SQL error.
pub(crate) fn mariadb_client(url: &str, sql: &str) -> String {
    let (user, rest) = url.strip_prefix("mysql://").and_then(|rest| rest.split_once('@')).expect("mysql://user@");
    let (address, database) = rest.split_once('/').expect("a URL of a server ends in /");
    let (host, port) = address.split_once(':').expect("host:port");
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--batch", "--raw", "--skip-column-names", "--default-character-set=utf8mb4"]);
    // Else it would read \r\n in a value as \n, and end at a zero byte.
    client.args(["--binary-mode", "--max-allowed-packet=64M"]);
    client.args(["--protocol=tcp", "--host", host, "--port", port, "--user", user]);
    feed(client.args((!database.is_empty()).then_some(database)), sql)
}

/// What `sqlite3` prints for `sql`: rows with fields parted by `|`, NULL as nothing. Fails on any SQL error.
pub(crate) fn sqlite3(database: &Path, sql: &str) -> String {
    feed(Command::new("sqlite3").args(["-batch", "-bail"]).arg(database), sql)
}

/// What the SQLite file `database` has beside `table`.
pub(crate) fn beside(database: &Path, table: &str) -> Vec<String> {
    let names = sqlite3(database, &format!("select name from sqlite_master where name <> '{table}'"));
    names.lines().map(str::to_owned).collect()
}

/// Waits for a file that a program which has ended still lets go of.
const DUCKDB: &str = "
import sys, time, duckdb
begin = time.monotonic()
while True:
    try:
        database = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException as error:
        if 'Could not set lock' not in str(error) or time.monotonic() - begin > 60:
            raise
        time.sleep(0.02)
database.execute(\"set TimeZone = 'UTC'; set enable_progress_bar = false\")
rows = database.execute(sys.stdin.read())
for row in rows.fetchall() if rows.description else []:
    print('|'.join('' if value is None else str(value) for value in row))
";

/// The library of the ADBC driver `name`, in the folders that `tests/run` names.
pub(crate) fn adbc_driver(name: &str) -> std::path::PathBuf {
    let Some(folders) = std::env::var_os("ETL_TEST_ADBC") else {
        panic!("this test needs drivers of ADBC: run it by `tests/run`, which installs them");
    };
    let file = format!("libadbc_driver_{name}.so");
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(&file));
    paths.find(|path| path.is_file()).unwrap_or_else(|| panic!("ETL_TEST_ADBC has no {file}"))
}

/// What DuckDB's own client for Python prints for the last of the statements in `sql`: rows with fields parted by `|`, NULL as
/// nothing. Fails on any SQL error.
pub(crate) fn duckdb(database: &Path, sql: &str) -> String {
    let Ok(python) = std::env::var("ETL_TEST_PYTHON") else {
        panic!("this test needs DuckDB's library and client: run it by `tests/run`, which fetches them");
    };
    feed(Command::new(python).args(["-c", DUCKDB]).arg(database), sql)
}

fn feed(command: &mut Command, input: &str) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): run the tests by `tests/run`"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // On a thread of its own: a client that prints much before it has read all would wait for us, and we for it.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let written = writer.join().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} failed: {complaint}");
    written.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.strip_suffix('\n').unwrap_or(&printed).to_owned()
}

#[test]
fn every_call_is_an_empty_database() {
    let (one, other) = (postgres(), postgres());
    psql(&one, "create table t (a int); insert into t values (1), (null)");
    assert_eq!(psql(&one, "table t"), "1\n");
    assert_eq!(psql(&other, "select count(*) from pg_class where relname = 't'"), "0");

    let (one, other) = (clickhouse(), clickhouse());
    clickhouse_client(&one, "create table t (a Nullable(Int32), b String) engine = MergeTree order by tuple()");
    clickhouse_client(&one, "insert into t values (1, 'ü\\t'), (null, '')");
    assert_eq!(clickhouse_client(&one, "select * from t order by a"), "1\tü\\t\n\\N\t");
    assert_eq!(clickhouse_client(&other, "show tables"), "");

    for new in [mariadb, mysql] {
        let (one, other) = (new(), new());
        mariadb_client(
            &one,
            "create table t (a int, b text); insert into t values (1, 'a\tb\r\nü\0\\\\'), (null, null)",
        );
        assert_eq!(mariadb_client(&one, "select * from t"), "1\ta\tb\r\nü\0\\\nNULL\tNULL");
        assert_eq!(mariadb_client(&other, "show tables"), "");
    }
}

#[test]
fn each_server_is_the_one_that_is_asked_for() {
    assert!(psql(&postgres(), "select version()").starts_with("PostgreSQL "));
    assert!(mariadb_client(&mariadb(), "select version()").contains("-MariaDB"));
    assert!(mariadb_client(&mysql(), "select version()").starts_with("9."));
    assert!(clickhouse_client(&clickhouse(), "select version()").starts_with("26."));
}
