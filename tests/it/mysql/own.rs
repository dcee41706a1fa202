//! A `MariaDB` of a test's own: settings under which the other tests could not run.

use std::process::{Child, Command, Stdio};

use super::{reads_one_point_in_time, table, with_every_type};
use crate::program::{copied, etl, refused, until};
use crate::server::own::{folder, free_port, own};
use crate::server::{mariadb, mariadb_client};

/// Killed when it is dropped: nobody wants its data then.
pub(super) struct OwnMariadb {
    server: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl OwnMariadb {
    pub(super) fn start(settings: &[&str]) -> Self {
        let folder = folder();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let datadir = format!("--datadir={}", place("data"));
        let mut install = own(folder.path(), "mariadb-install-db", None);
        install.args(["--no-defaults", &datadir, "--auth-root-authentication-method=normal", "--skip-test-db"]);
        let made = install.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        // It is deaf to the signal that ends a PostgreSQL when this program is gone.
        let mut server = own(folder.path(), "setpriv", None);
        server.args(["--pdeathsig", "KILL", "mariadbd", "--no-defaults", &datadir, "--bind-address=127.0.0.1"]);
        server.args([format!("--tmpdir={}", folder.path().display()), format!("--socket={}", place("socket"))]);
        server.args([format!("--pid-file={}", place("pid")), format!("--port={port}")]);
        server.args(["--default-time-zone=+00:00", "--character-set-server=utf8mb4", "--innodb-buffer-pool-size=32M"]);
        let server = server.args(settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let own = Self { server, port, _folder: folder };
        own.wait();
        own
    }

    fn wait(&self) {
        let port = self.port.to_string();
        until(|| {
            let mut client = Command::new("mariadb");
            client.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--port", &port]);
            client.args(["--execute", "select 1"]).output().unwrap().status.success()
        });
    }

    /// URL of an empty database.
    pub(super) fn url(&self) -> String {
        let server = format!("mysql://root@127.0.0.1:{}/", self.port);
        mariadb_client(&server, "create database shop");
        format!("{server}shop")
    }
}

impl Drop for OwnMariadb {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn rows_go_by_insert_where_the_server_takes_no_files() {
    let server = OwnMariadb::start(&["--local-infile=OFF", "--max-allowed-packet=1M"]);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url());
    let path = folder.path();
    with_every_type(&url);
    let (from, to) = (table(&url, "every_type"), table(&url, "again"));
    let plan = etl(path, &["plan", &from, &to]);
    assert!(plan.stdout.contains("local_infile is off on the server: rows go in by INSERT"), "{plan:?}");
    copied(path, &[&from, &to]);
    let sums = mariadb_client(&url, "checksum table every_type, again");
    let sums: Vec<&str> = sums.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!(sums[0], sums[1]);
    // More than one statement takes.
    copied(path, &["gen:id:seq,note:text(100)?rows=50000", &table(&url, "many"), "-j", "2"]);
    assert_eq!(mariadb_client(&url, "select count(*), sum(id) from many"), "50000\t1250025000");

    let long = "x".repeat(2 << 20);
    std::fs::write(path.join("in.csv"), format!("id,t\n1,a\n2,{long}\n3,c\n")).unwrap();
    let target = table(&url, "posts");
    let said = refused(path, &["in.csv", &target]);
    assert!(said.contains("row 2") && said.contains("larger than the server's max_allowed_packet"), "{said}");
    assert_eq!(mariadb_client(&url, "show tables like '%post%'"), "");
    copied(path, &["in.csv", &target, "--on-error", "skip", "--rejects", "bad.jsonl"]);
    assert_eq!(mariadb_client(&url, "select group_concat(id order by id) from posts"), "1,3");
    assert_eq!(std::fs::read_to_string(path.join("bad.jsonl")).unwrap().lines().count(), 1);
}

/// What is loaded is cut into packets of ours, which have to be smaller than any that a server takes.
#[test]
fn rows_are_loaded_into_a_server_that_takes_small_packets() {
    let server = OwnMariadb::start(&["--local-infile=ON", "--max-allowed-packet=512K"]);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url());
    copied(folder.path(), &["gen:id:seq,note:text(100)?rows=50000", &table(&url, "many"), "-j", "2"]);
    assert_eq!(mariadb_client(&url, "select count(*), sum(id) from many"), "50000\t1250025000");

    let reached = etl(folder.path(), &["ping", &url]);
    assert!(reached.stdout.contains("packets of up to 512 KiB"), "{reached:?}");

    // A value may be longer than a packet, both ways.
    let source = mariadb();
    mariadb_client(
        &source,
        "create table t (id int primary key, v longtext character set utf8mb4, b longblob); \
         insert into t values (1, repeat('雪', 500000), repeat(x'00ff', 1000000)), (2, '', '')",
    );
    copied(folder.path(), &[&table(&source, "t"), &table(&url, "t")]);
    copied(folder.path(), &[&table(&url, "t"), &table(&source, "again")]);
    let sums = |url: &str, name: &str| {
        mariadb_client(url, &format!("select id, length(v), md5(v), length(b), md5(b) from {name} order by id"))
    };
    assert_eq!(sums(&url, "t"), sums(&source, "t"));
    assert_eq!(sums(&source, "again"), sums(&source, "t"));
}

/// What it takes over is not in its log.
#[test]
fn readers_of_a_replica_begin_under_a_lock() {
    let [primary, replica] = ["1", "2"].map(|id| OwnMariadb::start(&["--log-bin", &format!("--server-id={id}")]));
    mariadb_client(&primary.url(), "create table t (id int primary key); insert into t values (1)");
    let server = format!("mysql://root@127.0.0.1:{}/", replica.port);
    mariadb_client(
        &server,
        &format!(
            "change master to master_host = '127.0.0.1', master_port = {}, master_user = 'root'; start slave",
            primary.port
        ),
    );
    until(|| {
        mariadb_client(&server, "select count(*) from information_schema.tables where table_schema = 'shop'") == "1"
    });
    let folder = tempfile::tempdir().unwrap();
    let plan = etl(folder.path(), &["plan", &table(&format!("{server}shop"), "t"), "t.csv", "-j", "2"]);
    let locked = "2 readers began at one point in time, while the tables were locked";
    assert!(plan.stdout.contains(locked), "{}{}", plan.stdout, plan.stderr);
}

/// A server without a log shows to nobody that it is at rest.
#[test]
fn readers_begin_under_a_lock_where_no_log_tells_of_rest() {
    let server = OwnMariadb::start(&[]);
    let (folder, url) = (tempfile::tempdir().unwrap(), server.url());
    reads_one_point_in_time(&url);
    let plan = |source: &str, more: &[&str]| {
        let done = etl(folder.path(), &[&["plan", source, "t.csv", "-j", "4"], more].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout
    };
    let (source, locking) = (table(&url, "t"), format!("{url}?lockAll=true"));
    let told = plan(&source, &[]);
    assert!(told.contains(" readers began at one point in time, while the tables were locked"), "{told}");
    let query = ["--query", "select * from t"];
    let told = plan(&url, &query);
    assert!(told.contains("one reader only") && told.contains("?lockAll=true in the URL allows"), "{told}");
    let told = plan(&locking, &query);
    assert!(told.contains(" readers began at one point in time, while all tables were locked"), "{told}");

    // Somebody has written into the table, and does not end: nor does the server give a lock up by itself within a day.
    let held = url.clone();
    let sql = "start transaction; update t set v = v + 1 where id = 0; do sleep(600); rollback";
    let holder = std::thread::spawn(move || mariadb_client(&held, sql));
    let holds = "from information_schema.processlist where db = database() and info like 'do sleep%'";
    until(|| mariadb_client(&url, &format!("select count(*) {holds}")) != "0");
    let told = plan(&source, &[]);
    assert!(told.contains("one reader only: the server was not at rest, and there was no lock to be had"), "{told}");
    mariadb_client(&url, &format!("kill {}", mariadb_client(&url, &format!("select id {holds}"))));
    holder.join().unwrap_err();
}
