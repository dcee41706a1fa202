//! SQL Server, as far as a stand-in shows it: what goes over the wire, by an implementation of TDS that shares nothing with ours
//! (`tests/servers/mssql.py`). What a real server does with it, no test here proves.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::program::{copied, etl, refused};
use crate::server::duckdb;

/// A client of its own, by the same implementation as the stand-in: it prints the first column of what one statement gives.
const CLIENT: &str = "
import sys, pytds
port, sql = int(sys.argv[1]), sys.stdin.read()
with pytds.connect('127.0.0.1', 'shop', 'sa', 's3cret,/?', port=port, autocommit=True) as connection:
    cursor = connection.cursor()
    cursor.execute(sql)
    for row in cursor.fetchall() if cursor.description else []:
        print(row[0])
";

/// A stand-in with tables of its own, which ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn python() -> Command {
    let Ok(python) = std::env::var("ETL_TEST_PYTHON") else {
        panic!("this test needs python-tds: run it by `tests/run`, which installs it");
    };
    Command::new(python)
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(files: &[&Path]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/mssql.py");
        let mut server = python();
        let server = server.arg("-B").arg(script).args(files).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = server.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the stand-in says its port: is python-tds installed by `tests/run`?");
        Self { process, port }
    }

    fn url(&self, table: &str) -> String {
        format!("mssql://sa:s3cret%2C%2F%3F@127.0.0.1:{}/shop?encrypt=none#{table}", self.port)
    }

    /// What the independent client gets for `sql`.
    fn client(&self, sql: &str) -> Vec<String> {
        let mut client = python();
        let client = client.args(["-c", CLIENT, &self.port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.spawn().unwrap();
        process.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        let done = process.wait_with_output().unwrap();
        assert!(done.status.success(), "{sql}");
        String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn table(&self, spec: &Json) {
        self.client(&format!("TEST TABLE {spec}"));
    }

    /// Columns and rows of a table.
    fn show(&self, table: &str) -> (Json, Vec<Json>) {
        let lines = self.client(&format!("TEST SHOW {table}"));
        let mut lines = lines.iter().map(|line| serde_json::from_str::<Json>(line).unwrap());
        (lines.next().unwrap(), lines.collect())
    }

    fn log(&self) -> Vec<String> {
        self.client("TEST LOG")
    }
}

/// A column of every type that is copied, one row of extremes, one of plain values and one of NULLs.
#[allow(clippy::too_many_lines, reason = "one table, a line for each type")]
fn every_type() -> Json {
    let columns = json!([
        ["id", "int"],
        ["b", "bit"],
        ["t", "tinyint"],
        ["s", "smallint"],
        ["l", "bigint"],
        ["r", "real"],
        ["f", "float"],
        ["d1", "decimal(38,10)"],
        ["d2", "decimal(38,38)"],
        ["n", "numeric(9,2)"],
        ["m", "money"],
        ["sm", "smallmoney"],
        ["da", "date"],
        ["t0", "time(0)"],
        ["t3", "time(3)"],
        ["t7", "time(7)"],
        ["sd", "smalldatetime"],
        ["dt", "datetime"],
        ["d20", "datetime2(0)"],
        ["d23", "datetime2(3)"],
        ["d27", "datetime2(7)"],
        ["o0", "datetimeoffset(0)"],
        ["o7", "datetimeoffset(7)"],
        ["c", "char(4)"],
        ["v", "varchar(10)"],
        ["vm", "varchar(max)"],
        ["nc", "nchar(4)"],
        ["nv", "nvarchar(10)"],
        ["nm", "nvarchar(max)"],
        ["x", "xml"],
        ["bi", "binary(4)"],
        ["vb", "varbinary(10)"],
        ["vx", "varbinary(max)"],
        ["u", "uniqueidentifier"]
    ]);
    let extremes = json!([
        1,
        true,
        255,
        -32768,
        i64::MIN,
        1.5,
        -1e300,
        "-1234567890123456789012345678.0123456789",
        "0.99999999999999999999999999999999999999",
        "-9999999.99",
        "922337203685477.5807",
        "-214748.3648",
        "9999-12-31",
        "23:59:59",
        "23:59:59.999",
        "23:59:59.9999999",
        "2079-06-06 23:59:00",
        "1753-01-01 00:00:00.003",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999",
        "2262-04-11 23:47:16.8547758",
        "9999-12-31 23:59:59 +00:00",
        "1970-01-01 01:59:59.9999999 +02:00",
        "ab  ",
        "é€",
        "ü".repeat(300),
        "雪  ",
        "雪😀",
        "雪".repeat(5000),
        "<a>é</a>",
        "00ff00ff",
        "00ff",
        "00ff".repeat(5000),
        "00112233-4455-6677-8899-aabbccddeeff"
    ]);
    let plain = json!([
        2,
        false,
        0,
        0,
        0,
        0.0,
        0.5,
        "0.0000000000",
        "0.00000000000000000000000000000000000000",
        "0.00",
        "0.0000",
        "0.0000",
        "1970-01-01",
        "00:00:00",
        "00:00:00.000",
        "00:00:00.0000000",
        "1900-01-01 00:00:00",
        "9999-12-31 23:59:59.997",
        "1970-01-01 00:00:00",
        "1969-12-31 23:59:59.999",
        "1677-09-21 00:12:43.1452242",
        "0001-01-01 00:00:00 +00:00",
        "2024-02-29 12:00:00.1234567 +00:00",
        "    ",
        "",
        "",
        "    ",
        "",
        "",
        "<a/>",
        "00000000",
        "",
        "",
        "00000000-0000-0000-0000-000000000000"
    ]);
    let nulls: Vec<Json> = (0..34).map(|place| if place == 0 { json!(3) } else { Json::Null }).collect();
    json!({"name": "every", "columns": columns, "key": ["id"], "rows": [extremes, plain, nulls]})
}

/// What DuckDB's own client prints of `columns` of a Parquet file.
fn printed(folder: &Path, columns: &[&str]) -> Vec<String> {
    let list: Vec<String> = columns.iter().map(|column| format!("cast({column} as varchar)")).collect();
    let file = folder.join("every.parquet");
    let sql = format!("select {} from '{}' order by id", list.join(", "), file.display());
    duckdb(&folder.join("look.duckdb"), &sql).lines().map(str::to_owned).collect()
}

#[test]
fn values_are_read_as_they_are() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&every_type());
    copied(folder.path(), &[&server.url("every"), "every.parquet", "--drop", "t7"]);
    let columns = [
        "b", "t", "s", "l", "f", "d1", "d2", "n", "m", "sm", "da", "t0", "sd", "dt", "d20", "d23", "c", "v", "nv", "x",
    ];
    let rows = printed(folder.path(), &columns);
    assert_eq!(
        rows,
        [
            "true|255|-32768|-9223372036854775808|-1e+300|-1234567890123456789012345678.0123456789|\
             .99999999999999999999999999999999999999|-9999999.99|922337203685477.5807|-214748.3648|9999-12-31|23:59:59|\
             2079-06-06 23:59:00|1753-01-01 00:00:00.003|0001-01-01 00:00:00|9999-12-31 23:59:59.999|ab  |é€|雪😀|<a>é</a>",
            "false|0|0|0|0.5|0.0000000000|.00000000000000000000000000000000000000|0.00|0.0000|0.0000|1970-01-01|00:00:00|\
             1900-01-01 00:00:00|9999-12-31 23:59:59.997|1970-01-01 00:00:00|1969-12-31 23:59:59.999|    |||<a/>",
            &"|".repeat(19),
        ]
    );
    let rows = printed(folder.path(), &["length(vm)", "length(nm)", "octet_length(vx)", "hex(bi)", "hex(vb)"]);
    assert_eq!(rows[0], "300|5000|10000|00FF00FF|00FF");
    copied(folder.path(), &[&server.url("every"), "uuid.csv", "--select", "id,u"]);
    let text = std::fs::read_to_string(folder.path().join("uuid.csv")).unwrap();
    assert_eq!(text.lines().nth(1), Some("1,00112233-4455-6677-8899-aabbccddeeff"));
}

/// Times keep all their digits where they go back into the same type; instants are written in UTC.
#[test]
fn a_copy_of_a_table_holds_the_same() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&every_type());
    copied(folder.path(), &[&server.url("every"), &server.url("again")]);
    let ((from, rows), (to, mut copy)) = (server.show("every"), server.show("again"));
    assert_eq!(to, from, "types");
    copy.sort_by_key(|row| row[0].as_i64());
    // The stage keeps seven digits, and the stand-in does not cut them as a column with fewer does.
    let same = |one: &Json, other: &Json| match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => {
            let bare = |text: &str| {
                let moment = text.split(" +").next().unwrap();
                let digits = moment.trim_end_matches('0').trim_end_matches('.');
                if moment.contains('.') { digits.to_owned() } else { moment.to_owned() }
            };
            one == other || one.contains(':') && bare(one) == bare(other)
        }
        _ => one == other,
    };
    let offset = json!("1970-01-01 01:59:59.9999999 +02:00");
    for (row, copied) in rows.iter().zip(&copy) {
        for ((column, one), other) in
            from.as_array().unwrap().iter().zip(row.as_array().unwrap()).zip(copied.as_array().unwrap())
        {
            let in_utc = json!("1969-12-31 23:59:59.9999999 +00:00");
            let one = if *one == offset { &in_utc } else { one };
            assert!(same(one, other), "{column}: {one} {other}");
        }
    }
    assert_eq!((copy.len(), server.show("etl_commits").1.len()), (3, 1));
    let left = server.client("SELECT o.name FROM sys.objects o WHERE LEFT(o.name, 4) = N'etl_' ORDER BY o.name");
    assert_eq!(left, ["etl_commits"]);
}

#[test]
fn long_values_go_by_a_statement_of_their_own() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let rows = json!([
        [1, "a".repeat(32_767), "00", "1.50", "2024-02-29 12:00:00.1234567"],
        [2, "雪".repeat(40_000), null, "-0.05", null],
        [3, null, "ab".repeat(70_000), null, "0001-01-01 00:00:00.0000000"],
    ]);
    let columns = json!([
        ["id", "int"],
        ["n", "nvarchar(max)"],
        ["v", "varbinary(max)"],
        ["d", "decimal(10,2)"],
        ["at", "datetime2(7)"]
    ]);
    server.table(&json!({"name": "long", "columns": columns, "rows": rows}));
    // The last row is beyond what nanoseconds hold: without it.
    copied(folder.path(), &[&server.url("long"), &server.url("again"), "--drop", "at"]);
    let (_, copy) = server.show("again");
    let mut copy: Vec<Json> = copy;
    copy.sort_by_key(|row| row[0].as_i64());
    for (row, copied) in rows.as_array().unwrap().iter().zip(&copy) {
        assert_eq!(row.as_array().unwrap()[..4], copied.as_array().unwrap()[..], "{}", row[0]);
    }
    let alone = server.log().iter().filter(|line| line.starts_with("INSERT INTO") && line.contains("@P1")).count();
    assert_eq!(alone, 2);
    let done = etl(folder.path(), &["copy", "-q", &server.url("long"), "long.parquet"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("1677") && done.stderr.contains("datetime2(6)"), "{}", done.stderr);
}

#[test]
fn several_readers_see_one_moment() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let rows: Vec<Json> = (0..20_000).map(|id| json!([id, format!("n{id}")])).collect();
    let spec = |pages: u64| json!({"name": "many", "columns": [["id", "bigint"], ["n", "nvarchar(20)"]], "key": ["id"], "rows": rows, "options": {"pages": pages}});
    server.table(&spec(100_000));
    copied(folder.path(), &[&server.url("many"), &server.url("copy"), "-j", "4"]);
    let (_, copy) = server.show("copy");
    let mut ids: Vec<i64> = copy.iter().filter_map(|row| row[0].as_i64()).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..20_000), "{}", ids.len());
    let log = server.log();
    let count = |words: &str| log.iter().filter(|line| line.contains(words)).count();
    assert!(count("ISOLATION LEVEL SNAPSHOT") >= 4 && count("WITH (TABLOCK, HOLDLOCK)") >= 1, "{log:?}");
    assert!(count("INSERT BULK") >= 1 && count("[id] >= ") > 1, "{log:?}");

    // Without snapshots one reader reads all, and the plan says so.
    server.client("TEST SNAPSHOTS off");
    let done = etl(folder.path(), &["plan", &server.url("many"), "many.parquet", "-j", "4"]);
    assert!(done.code == 0 && done.stdout.contains("ALLOW_SNAPSHOT_ISOLATION"), "{}{}", done.stdout, done.stderr);
}

#[test]
fn what_the_target_would_change_is_refused_and_leaves_nothing() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&json!({"name": "t", "columns": [["a", "int"], ["v", "varchar(10)"]], "rows": [[0, "old"]]}));
    std::fs::write(folder.path().join("rows.jsonl"), "{\"a\":1,\"v\":\"é\"}\n{\"a\":2,\"v\":\"雪\"}\n").unwrap();
    let done = etl(folder.path(), &["copy", "-q", "rows.jsonl", &server.url("t"), "--mode", "append"]);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stderr.contains("code page") && !done.stderr.contains('雪'), "{}", done.stderr);
    assert_eq!(server.show("t").1, [json!([0, "old"])]);
    let left = server.client("SELECT o.name FROM sys.objects o WHERE LEFT(o.name, 4) = N'etl_' ORDER BY o.name");
    assert_eq!(left, ["etl_commits"]);

    std::fs::write(folder.path().join("rows.jsonl"), "{\"a\":1,\"v\":\"é\"}\n").unwrap();
    let done = etl(folder.path(), &["copy", "-q", "rows.jsonl", &server.url("t")]);
    assert!(done.code != 0 && done.stderr.contains("has rows"), "{}", done.stderr);
    copied(folder.path(), &["rows.jsonl", &server.url("t"), "--mode", "replace"]);
    assert_eq!(server.show("t").1, [json!([1, "é"])]);
    copied(folder.path(), &["rows.jsonl", &server.url("t"), "--mode", "append"]);
    assert_eq!(server.show("t").1.len(), 2);
    let done = etl(folder.path(), &["copy", "-q", "rows.jsonl", &server.url("t"), "--mode", "upsert", "--key", "a"]);
    assert!(done.code != 0 && done.stderr.contains("not written into SQL Server yet"), "{}", done.stderr);
}

#[test]
fn numbers_of_an_identity_are_kept_and_queries_are_read() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let options = json!({"identity": ["id"]});
    server.table(
        &json!({"name": "t", "columns": [["id", "int"], ["n", "nvarchar(5)"]], "key": ["id"], "options": options}),
    );
    std::fs::write(folder.path().join("rows.csv"), "id,n\n7,a\n8,b\n").unwrap();
    copied(folder.path(), &["rows.csv", &server.url("t"), "--mode", "append"]);
    assert_eq!(server.show("t").1, [json!([7, "a"]), json!([8, "b"])]);
    assert_eq!(server.log().iter().filter(|line| line.starts_with("SET IDENTITY_INSERT [dbo].[t]")).count(), 2);
    let database = server.url("").trim_end_matches('#').to_owned();
    copied(folder.path(), &[&database, "query.csv", "--query", "SELECT * FROM [t] ;"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("query.csv")).unwrap(), "id,n\n7,a\n8,b\n");
    // A column that comes again has a name of its own.
    copied(folder.path(), &[&database, "again.csv", "--query", "SELECT [n], [id], [n] FROM [t]"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("again.csv")).unwrap(), "n,id,n_2\na,7,a\nb,8,b\n");
    // One that is computed has none on the server.
    let computed = "SELECT CAST([n] AS nvarchar(9)), [id], CAST([id] AS bigint) FROM [t]";
    copied(folder.path(), &[&database, "computed.csv", "--query", computed]);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("computed.csv")).unwrap(),
        "column1,id,column3\na,7,7\nb,8,8\n"
    );
    let amount = "SELECT CAST([n] AS nvarchar(9)), CAST([id] AS money) FROM [t]";
    let told = refused(folder.path(), &[&database, "amount.csv", "--query", amount]);
    assert!(told.contains("column column2: type money of a query would be read as a float"), "{told}");
}

#[test]
fn a_column_that_is_not_read_can_be_left_out() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&json!({"name": "t", "columns": [["id", "int"], ["v", "sql_variant"]], "key": ["id"]}));
    copied(folder.path(), &[&server.url("t"), "t.csv", "--drop", "v"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("t.csv")).unwrap(), "id\n");
    let told = refused(folder.path(), &[&server.url("t"), "no.csv"]);
    assert!(told.contains("column v: type sql_variant is not copied"), "{told}");
}

#[test]
fn a_session_begins_with_the_statements_of_the_user() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&json!({"name": "t", "columns": [["a", "int"]], "rows": [[1]]}));
    let url = server.url("t").replace("encrypt=none", "encrypt=none&session=SET%20DEADLOCK_PRIORITY%20LOW");
    copied(folder.path(), &[&url, "t.csv"]);
    let log = server.log();
    let count = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
    assert!(count("SET DEADLOCK_PRIORITY LOW") > 0, "{log:?}");
    assert_eq!(count("SET DEADLOCK_PRIORITY LOW"), count("SET ANSI_NULLS, ANSI_PADDING"), "{log:?}");
}

#[test]
fn a_wrong_password_is_refused_and_shown_nowhere() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let url = format!("mssql://sa:wr0ng@127.0.0.1:{}/shop?encrypt=none", server.port);
    let done = etl(folder.path(), &["ping", &url]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("refuses this user or password"), "{}", done.stderr);
    assert!(!done.stderr.contains("wr0ng") && !done.stdout.contains("wr0ng"), "{}", done.stderr);
    let url = server.url("").trim_end_matches('#').to_owned();
    let done = etl(folder.path(), &["ping", &url]);
    assert!(done.code == 0 && done.stdout.contains("SQL Server 16.0"), "{}{}", done.stdout, done.stderr);
    // The server would have TLS, or would not.
    let done = etl(folder.path(), &["ping", &url.replace("?encrypt=none", "")]);
    assert!(done.code != 0 && done.stderr.contains("does not offer TLS"), "{}", done.stderr);
}

#[test]
fn tls_is_spoken_within_tds_and_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Server::start_with(&[&folder.path().join("cert.pem"), &folder.path().join("key.pem")]);
    let ping = |host: &str, settings: &str| {
        let url = format!("mssql://sa:s3cret%2C%2F%3F@{host}:{}/shop?{settings}", server.port);
        etl(folder.path(), &["ping", &url])
    };
    for settings in ["tlsCa=cert.pem", "encrypt=strict&tlsCa=cert.pem", "tlsCheck=none"] {
        let done = ping("localhost", settings);
        assert_eq!(done.code, 0, "{settings}: {}", done.stderr);
    }
    assert_eq!(ping("127.0.0.1", "tlsCa=cert.pem&tlsCheck=chain").code, 0);
    for (host, settings) in [("127.0.0.1", "tlsCa=cert.pem"), ("localhost", "encrypt=required")] {
        let done = ping(host, settings);
        assert!(done.code != 0 && (done.stderr.contains("TLS") || done.stderr.contains("root")), "{}", done.stderr);
    }
}

#[test]
fn the_plan_says_whom_locks_keep_waiting() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&json!({"name": "t", "columns": [["a", "int"]], "rows": [[1]]}));
    std::fs::write(folder.path().join("in.csv"), "a\n2\n").unwrap();
    let plan = |table: &str, mode: &str| {
        let done = etl(folder.path(), &["plan", "in.csv", &server.url(table), "--mode", mode, "--output", "json"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout
    };
    assert!(plan("t", "append").contains("others wait who come to one of them"));
    assert!(plan("t", "replace").contains("nobody else can write into the table, nor read it unless under SNAPSHOT"));
    // Nobody waits for what is not there yet.
    let made = plan("new", "create");
    assert!(!made.contains("others wait") && !made.contains("nobody else can"), "{made}");
}

#[test]
fn it_is_marked_as_unproven() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.table(&json!({"name": "t", "columns": [["a", "int"]], "rows": [[1]]}));
    let list = etl(folder.path(), &["connectors"]).stdout;
    let line = list.lines().find(|line| line.starts_with("mssql")).unwrap();
    assert!(line.ends_with("SQL Server, Azure SQL"), "{list}");
    let done = etl(folder.path(), &["plan", &server.url("t"), "t.parquet"]);
    let words = "unproven: no test has run the connector mssql against a real SQL Server";
    assert!(done.code == 0 && done.stdout.contains(words), "{}{}", done.stdout, done.stderr);
}
