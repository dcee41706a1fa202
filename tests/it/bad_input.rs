//! Bad input, as the user meets it: the real binary says one clear sentence with the object, the column and the row, and
//! what to do; it gives the right exit code; and the target is as it was.

mod jobs;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use crate::program::{Ended, bash, copied, etl};
use crate::server::{postgres, psql, sqlite3};

/// What `ended` must be: one sentence that holds all of `says`, a hint, and nothing of our insides.
fn tells(ended: &Ended, code: i32, says: &[&str]) {
    let Ended { code: given, stdout, stderr } = ended;
    assert_eq!((*given, stdout.as_str()), (code, ""), "{stderr}");
    let sentence = stderr.lines().next().unwrap_or_default();
    assert!(sentence.starts_with("error: "), "{stderr}");
    for part in says {
        assert!(sentence.contains(part), "{part:?} is missing: {stderr}");
    }
    assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("  hint: ")), "{stderr}");
    for inside in ["panicked", "RUST_BACKTRACE", ".rs:", "DataFusion", "datafusion"] {
        assert!(!stderr.contains(inside), "{stderr}");
    }
}

/// A folder with files of all kinds.
fn folder_of(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// `id,v` lines of `rows`.
fn csv(rows: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
    let lines = rows.into_iter().map(|(id, v)| format!("{id},{v}\n"));
    format!("id,v\n{}", lines.collect::<String>()).into_bytes()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn files_that_cannot_be_read() {
    let folder = folder_of(&[
        ("good.csv", &csv((0..20_000).map(|id| (id, id % 7)))),
        ("many.csv", b"a,b\n1,2\n3,4,5\n"),
        ("few.csv", b"a,b\n1,2\n3\n"),
        ("empty.csv", b""),
        ("text.avro", b"this is no Avro at all, whatever its name says"),
        ("text.parquet", b"this is no Parquet at all, whatever its name says"),
        ("unknown.xyz", b"a,b\n1,2\n"),
        ("late.csv", &[csv((0..20_000).map(|id| (id, id))), b"x,1\n".to_vec()].concat()),
    ]);
    let path = folder.path();
    copied(path, &["good.csv", "good.parquet"]);
    copied(path, &["good.csv", "good.avro"]);
    let avro = std::fs::read(path.join("good.avro")).unwrap();
    std::fs::write(path.join("cut.avro"), &avro[..avro.len() - 1]).unwrap();
    let parquet = std::fs::read(path.join("good.parquet")).unwrap();
    std::fs::write(path.join("cut.parquet"), &parquet[..parquet.len() / 2]).unwrap();
    copied(path, &["good.csv", "good.csv.gz"]);
    let gz = std::fs::read(path.join("good.csv.gz")).unwrap();
    std::fs::write(path.join("cut.csv.gz"), &gz[..gz.len() / 2]).unwrap();
    let before = names(path);
    let table: [(&str, i32, &[&str]); 11] = [
        ("missing.csv", 1, &["missing.csv", "does not exist"]),
        ("many.csv", 1, &["many.csv", "line 3", "3 fields, expected 2"]),
        ("few.csv", 1, &["few.csv", "line 3", "1 field, expected 2"]),
        ("empty.csv", 1, &["empty.csv", "empty"]),
        ("text.avro", 1, &["text.avro", "does not hold Avro"]),
        ("cut.avro", 1, &["cut.avro", "Avro", "end too early"]),
        ("text.parquet", 1, &["text.parquet", "does not hold Parquet"]),
        ("cut.parquet", 1, &["cut.parquet", "Parquet", "damaged"]),
        ("cut.csv.gz", 1, &["cut.csv.gz", "end too early"]),
        ("unknown.xyz", 2, &["unknown.xyz", "does not say what it holds"]),
        ("late.csv", 1, &["late.csv", "line 20002", "column id"]),
    ];
    for (source, code, says) in table {
        for target in ["out.csv", "out.parquet", "out.db#t"] {
            tells(&etl(path, &["copy", "-q", source, target]), code, says);
        }
        assert_eq!(names(path), before, "{source}");
    }
}

#[test]
fn bytes_in_a_column_of_texts() {
    let folder = folder_of(&[]);
    let path = folder.path();
    sqlite3(
        &path.join("a.db"),
        "create table t (id integer primary key, v text); insert into t values (1, 'x'), (2, x'c328')",
    );
    let ended = etl(path, &["copy", "-q", "a.db#t", "out.csv"]);
    tells(&ended, 1, &["table t", "rowid 2", "column v", "BLOB"]);
    // What it advises is a way out.
    assert!(ended.stderr.contains("CAST(\"v\" AS BLOB)"), "{}", ended.stderr);
    copied(path, &["a.db", "out.csv", "--query", "SELECT id, CAST(\"v\" AS BLOB) AS v FROM t ORDER BY id"]);
    assert_eq!(std::fs::read_to_string(path.join("out.csv")).unwrap(), "id,v\n1,\\x78\n2,\\xc328\n");
}

#[test]
fn rows_without_columns_are_lost_nowhere() {
    let folder = folder_of(&[("a.jsonl", b"{}\n{}\n"), ("empty.jsonl", b"")]);
    let path = folder.path();
    for target in ["a.csv", "a.tsv", "a.parquet", "a.xlsx"] {
        tells(&etl(path, &["copy", "-q", "a.jsonl", target]), 1, &[target, "no rows without columns"]);
        assert_eq!(names(path), ["a.jsonl", "empty.jsonl"], "{target}");
    }
    copied(path, &["a.jsonl", "b.jsonl"]);
    assert_eq!(std::fs::read_to_string(path.join("b.jsonl")).unwrap(), "{}\n{}\n");
    copied(path, &["empty.jsonl", "empty.parquet"]);
}

#[test]
fn sql_that_fails_makes_no_database() {
    let folder = folder_of(&[("a.csv", b"id\n1\n")]);
    let ended = etl(folder.path(), &["copy", "-q", "a.csv", "new.db#t", "--pre-sql", "create table x (a); no sql"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("pre-SQL 1") && ended.stderr.contains("new.db"), "{}", ended.stderr);
    assert_eq!(names(folder.path()), ["a.csv"]);
}

#[test]
fn values_that_a_type_does_not_read_are_not_told() {
    let url = postgres();
    psql(&url, "create table t (q tsquery, r regclass)");
    let folder = folder_of(&[("q.csv", b"q\n'very secret\n"), ("r.csv", b"r\nverysecret\n")]);
    for name in ["q", "r"] {
        let (file, target, column) = (format!("{name}.csv"), format!("{url}#t"), format!("column {name}"));
        let words = ["copy", "-q", &file, &target, "--mode", "append", "--schema", "ignore"];
        let ended = etl(folder.path(), &words);
        tells(&ended, 1, &["row 1", &column]);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
}

#[test]
fn expressions_that_cannot_be() {
    let folder = folder_of(&[("a.csv", b"id,name\n1,n1\n2,n2\n3,n3\n")]);
    let path = folder.path();
    let table: [(&[&str], i32, &[&str]); 11] = [
        (&["--where", "nope > 1"], 2, &["--where", "nope"]),
        (&["--where", "1/0 > id"], 1, &["--where", "division by zero"]),
        (&["--set", "x=1/0"], 1, &["--set x", "division by zero"]),
        (&["--set", "x=id/(id-2)"], 1, &["division by zero", "row"]),
        (&["--set", "x=cast(name as int)"], 1, &["row"]),
        (&["--cast", "name:int"], 1, &["a.csv", "line 2", "column name"]),
        (&["--sql", "SELECT id FROM nowhere"], 2, &["--sql"]),
        (&["--sql", "SELEC id"], 2, &["--sql"]),
        (&["--sql", "SELECT id FROM src; SELECT name FROM src"], 2, &["--sql", "several statements"]),
        (&["--select", "nope"], 2, &["--select", "nope"]),
        (&["--cast", "id:blob99"], 2, &["id", "blob99"]),
    ];
    for (flags, code, says) in table {
        let ended = etl(path, &[&["copy", "-q", "a.csv", "out.csv"], flags].concat());
        let Ended { code: given, stderr, .. } = &ended;
        assert_eq!(*given, code, "{flags:?}: {stderr}");
        let first = stderr.lines().next().unwrap();
        assert!(says.iter().all(|part| first.contains(part)), "{flags:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(names(path), ["a.csv"], "{flags:?}");
    }
}

/// Files for targets that refuse a row of theirs, each with the table that refuses it, and what is said.
fn refused_rows() -> [(&'static str, &'static str, &'static [&'static str]); 5] {
    [
        ("unique.csv", "u", &["u", "row 3"]),
        ("check.csv", "u", &["u", "row 2"]),
        ("null.csv", "n", &["column v", "NULL"]),
        ("fraction.csv", "w", &["column v", "row 2"]),
        ("foreign.csv", "f", &["f"]),
    ]
}

fn refused_files() -> tempfile::TempDir {
    folder_of(&[
        ("unique.csv", b"id,v\n1,1\n2,2\n1,3\n"),
        ("check.csv", b"id,v\n1,1\n2,-2\n"),
        ("null.csv", b"id,v\n1,1\n2,\n"),
        ("fraction.csv", b"id,v\n1,1\n2,2.5\n"),
        ("foreign.csv", b"id,v\n1,7\n2,77\n"),
    ])
}

const TABLES: &str = "create table u (id integer primary key, v integer check (v > 0));
    create table n (id integer, v integer not null); create table w (id integer, v integer);
    create table z (id integer primary key); create table f (id integer, v integer references z (id));
    insert into z values (7); insert into u values (100, 1); insert into n values (100, 1);
    insert into w values (100, 1); insert into f values (100, 7);";

const COUNTS: &str = "select (select count(*) from u), (select count(*) from n), (select count(*) from w), \
                      (select count(*) from f), (select sum(id) from u)";

#[test]
fn postgres_refuses_rows() {
    let (folder, url) = (refused_files(), postgres());
    psql(&url, TABLES);
    for (file, table, says) in refused_rows() {
        let target = format!("{url}#{table}");
        tells(&etl(folder.path(), &["copy", "-q", file, &target, "--mode", "append"]), 1, says);
        assert_eq!(psql(&url, COUNTS), "1|1|1|1|100", "{file}");
    }
    let tables = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace \
                  where relkind = 'r' and nspname = 'public'";
    assert_eq!(psql(&url, tables), "5");
}

#[test]
fn postgres_says_what_is_wrong_and_not_how_we_go_about_it() {
    let (folder, url) = (refused_files(), postgres());
    psql(&url, &format!("{TABLES} delete from u; create table k (id integer primary key, v integer)"));
    let path = folder.path();
    let copy = |file: &str, table: &str, more: &[&str]| {
        etl(path, &[&["copy", "-q", file, &format!("{url}#{table}")], more].concat())
    };
    let broken = copy("check.csv", "u", &["--mode", "replace"]);
    tells(&broken, 1, &["row 2", "new row violates check constraint \"u_v_check\""]);
    let twice = copy("unique.csv", "k", &["--mode", "replace"]);
    tells(&twice, 1, &["column id", "duplicate key"]);
    assert!(twice.stderr.contains("comes twice"), "{}", twice.stderr);
    let schema = copy("unique.csv", "nowhere.k", &[]);
    tells(&schema, 1, &["there is no schema \"nowhere\""]);
    let after = copy("unique.csv", "new", &["--post-sql", "insert into nothing values (1)"]);
    tells(&after, 1, &["the data are committed", "nothing"]);
    assert!(!after.stderr.contains("folder"), "{}", after.stderr);
    // Nobody holds such a point in time; where a shell had none to say, nothing is asked for.
    let source = format!("{url}#u");
    let gone = etl(path, &["copy", "-q", &source, "out.csv", "--snapshot", "00000003-00000001-1"]);
    tells(&gone, 1, &["nobody holds the point in time"]);
    assert!(gone.stderr.contains("etl snapshot hold"), "{}", gone.stderr);
    assert_eq!(etl(path, &["copy", "-q", &source, "out.csv", "--snapshot", ""]).code, 2);
}

#[test]
fn sqlite_refuses_rows() {
    let folder = refused_files();
    let database = folder.path().join("shop.db");
    // Only a strict table has types that refuse a value.
    let strict = "create table w (id integer, v integer)";
    sqlite3(&database, &TABLES.replace(strict, &format!("{strict} strict")));
    let before = names(folder.path());
    for (file, table, says) in refused_rows() {
        let target = format!("shop.db#{table}");
        tells(&etl(folder.path(), &["copy", "-q", file, &target, "--mode", "append"]), 1, says);
        assert_eq!(sqlite3(&database, COUNTS), "1|1|1|1|100", "{file}");
        assert_eq!(names(folder.path()), before, "{file}");
    }
}

#[test]
fn targets_that_are_there_or_differ() {
    let (folder, url) = (folder_of(&[("a.csv", b"id,v\n1,1\n"), ("old.csv", b"x\n1\n")]), postgres());
    let path = folder.path();
    psql(&url, "create table t (id integer); insert into t values (5)");
    sqlite3(&path.join("shop.db"), "create table t (id integer); insert into t values (5)");
    let in_postgres = format!("{url}#t");
    for target in [in_postgres.as_str(), "shop.db#t"] {
        tells(&etl(path, &["copy", "-q", "a.csv", target]), 1, &["t", "exists and has rows"]);
        tells(&etl(path, &["copy", "-q", "a.csv", target, "--mode", "append"]), 1, &["t", "columns", "v"]);
    }
    tells(&etl(path, &["copy", "-q", "a.csv", "old.csv"]), 1, &["old.csv", "exists"]);
    tells(&etl(path, &["copy", "-q", "a.csv", "nowhere/out.csv"]), 1, &["nowhere", "does not exist"]);
    assert_eq!(psql(&url, "table t"), "5");
    assert_eq!(sqlite3(&path.join("shop.db"), "select * from t"), "5");
    assert_eq!(std::fs::read(path.join("old.csv")).unwrap(), b"x\n1\n");
    assert_eq!(names(path), ["a.csv", "old.csv", "shop.db"]);
}

/// Behind the commit it would be too late to say so.
#[test]
fn sql_for_what_is_no_database() {
    let folder = folder_of(&[("a.csv", b"id,v\n1,1\n")]);
    for (target, flag) in [("out.csv", "--post-sql"), ("out/", "--pre-sql"), ("null:", "--post-sql")] {
        for command in ["copy", "plan"] {
            let ended = etl(folder.path(), &[command, "a.csv", target, flag, "select 1"]);
            tells(&ended, 2, &[flag, target, "runs no SQL"]);
        }
    }
    assert_eq!(names(folder.path()), ["a.csv"]);
}

#[test]
fn tables_that_are_not_there() {
    let (folder, url) = (folder_of(&[]), postgres());
    let path = folder.path();
    sqlite3(&path.join("shop.db"), "create table t (id integer)");
    tells(&etl(path, &["copy", "-q", &format!("{url}#nope"), "out.csv"]), 1, &["table nope", "no such table"]);
    tells(&etl(path, &["copy", "-q", "shop.db#nope", "out.csv"]), 1, &["shop.db", "no table or view nope"]);
    tells(&etl(path, &["copy", "-q", "missing.db#t", "out.csv"]), 1, &["missing.db", "does not exist"]);
    let (server, _) = url.rsplit_once('/').unwrap();
    tells(
        &etl(path, &["copy", "-q", &format!("{server}/nodb#t"), "out.csv"]),
        1,
        &["database \"nodb\" does not exist"],
    );
    assert_eq!(names(path), ["shop.db"]);
}

#[test]
fn servers_that_cannot_be_reached() {
    let folder = folder_of(&[("a.csv", b"id\n1\n")]);
    let path = folder.path();
    // Nobody listens on port 1.
    for words in
        [["postgres://ada:s3cret@127.0.0.1:1/shop#t", "out.csv"], ["a.csv", "postgres://ada:s3cret@127.0.0.1:1/shop#t"]]
    {
        let ended = etl(path, &[&["copy", "-q"], &words[..]].concat());
        tells(&ended, 1, &["127.0.0.1:1", "refuses the connection"]);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
    assert_eq!(names(path), ["a.csv"]);
}

/// A server that asks for a password and takes none. The private one of the tests trusts everybody.
fn refusing_server() -> (u16, std::thread::JoinHandle<()>) {
    fn serve(mut stream: TcpStream) -> std::io::Result<()> {
        let message = |stream: &mut TcpStream, head: usize| {
            let mut start = vec![0; head + 4];
            stream.read_exact(&mut start)?;
            let length = u32::from_be_bytes(start[head..].try_into().unwrap()) as usize;
            let mut body = vec![0; length - 4];
            stream.read_exact(&mut body).map(|()| body)
        };
        // The request for TLS, the same for GSS, and at last the start of the protocol.
        while message(&mut stream, 0)?.len() == 4 {
            stream.write_all(b"N")?;
        }
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?;
        message(&mut stream, 1)?;
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"ada\"\0\0";
        stream.write_all(&[b"E", &(fields.len() as u32 + 4).to_be_bytes()[..], fields].concat())
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(stream).unwrap();
    });
    (port, server)
}

#[test]
fn a_wrong_password() {
    let folder = folder_of(&[]);
    let (port, server) = refusing_server();
    let source = format!("postgres://ada:s3cret@127.0.0.1:{port}/shop?sslmode=disable#t");
    let ended = etl(folder.path(), &["copy", "-q", &source, "out.csv"]);
    tells(&ended, 1, &["password authentication failed for user \"ada\""]);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    server.join().unwrap();
    assert!(names(folder.path()).is_empty());
}

/// A limit on the size of files stands for the disk: the system refuses to write beyond it in the same way.
#[test]
fn a_full_disk() {
    let folder = folder_of(&[("old.csv", b"id,note\n1,x\n")]);
    let (path, state) = (folder.path(), tempfile::tempdir().unwrap());
    sqlite3(&path.join("old.db"), "create table t (id integer, note text); insert into t values (1, 'x')");
    let before = names(path);
    let full = |target: &str, flags: &str| {
        let source = "gen:id:seq,note:text(30)?rows=60000";
        // The record of runs falls under the limit, too, so it has to be a new one.
        let state = state.path().display();
        bash(
            path,
            &format!(
                "trap '' XFSZ; ulimit -f 400; XDG_STATE_HOME='{state}' exec \"$ETL\" copy -q -j 1 '{source}' '{target}' {flags}"
            ),
        )
    };
    for (target, flags) in [
        ("new.csv", ""),
        ("new.parquet", ""),
        ("new.avro", ""),
        ("new.db#t", ""),
        ("old.csv", "--mode append"),
        ("old.db#t", "--mode append"),
        ("parts/", "--to-format jsonl"),
    ] {
        let ended = full(target, flags);
        tells(&ended, 1, &[target.split('#').next().unwrap().trim_end_matches('/'), "the disk is full"]);
        assert_eq!(names(path), before, "{target}");
    }
    assert_eq!(std::fs::read(path.join("old.csv")).unwrap(), b"id,note\n1,x\n");
    assert_eq!(sqlite3(&path.join("old.db"), "select count(*) from t"), "1");
    let ended = bash(path, "exec \"$ETL\" copy -q 'gen:?rows=1000' - --to-format csv > /dev/full");
    tells(&ended, 1, &["the disk is full"]);
}
