//! HTTPS, with certificates that pass and that do not.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{copied, etl};
use crate::server::own::free_port;
use crate::server::{certificates, clickhouse_client};

/// A server of the test's own with a certificate for `localhost`; all files are in the folder.
struct Own {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Own {
    fn start() -> Self {
        let Ok(python) = std::env::var("ETL_TEST_PYTHON") else {
            panic!("this test needs ClickHouse's embedded engine: run it by `tests/run`, which installs it");
        };
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        certificates::make(folder.path());
        let mut server = Command::new(python);
        server.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/clickhouse.py"));
        server.args(["data", &port.to_string(), "server.crt", "server.key"]).current_dir(folder.path());
        let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (own, begin) = (Self { process, port, folder }, Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_mins(1), "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        own
    }

    /// The table `t` over HTTPS at `host`.
    fn table(&self, host: &str, options: &str) -> String {
        format!("clickhouses://ada:s3cret%2C%2F%3F@{host}:{}/default?{options}#t", self.port)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn rows_go_both_ways_over_https() {
    let server = Own::start();
    let path = server.folder.path();
    let with_root = server.table("localhost", "tlsCa=ca.crt");
    copied(path, &["gen:id:seq,note:text(10..30)?rows=50000", &with_root, "-j", "2"]);
    // The engine is asked without TLS: its answer is its own.
    let plain = format!("clickhouse://default@127.0.0.1:{}/", server.port);
    assert_eq!(clickhouse_client(&plain, "select count(), sum(id) from t"), "50000\t1250025000");
    let by_option = with_root.replace("clickhouses:", "clickhouse:").replace('?', "?secure=true&");
    for (number, source) in [
        with_root,
        by_option,
        server.table("127.0.0.1", "tlsCa=ca.crt&tlsCheck=chain"),
        server.table("localhost", "tlsCheck=none"),
        server.table("127.0.0.1", "tlsCheck=none&tlsCa=other.crt"),
    ]
    .iter()
    .enumerate()
    {
        let target = format!("{number}.csv");
        copied(path, &[source, &target, "--where", "id <= 3", "--select", "id"]);
        let mut ids: Vec<String> =
            std::fs::read_to_string(path.join(target)).unwrap().lines().map(str::to_owned).collect();
        ids[1..].sort();
        assert_eq!(ids, ["id", "1", "2", "3"], "{source}");
    }
}

#[test]
fn a_certificate_that_does_not_pass_is_told() {
    let server = Own::start();
    let plain = format!("clickhouse://default@127.0.0.1:{}/", server.port);
    clickhouse_client(&plain, "create table t (id Int32) engine = MergeTree order by id");
    for (source, says) in [
        (server.table("localhost", "tlsCa=other.crt"), "do not come to terms on TLS"),
        (server.table("localhost", "tlsCa=other.crt&tlsCheck=chain"), "do not come to terms on TLS"),
        (server.table("127.0.0.1", "tlsCa=ca.crt"), "do not come to terms on TLS"),
        (server.table("localhost", "tlsCa=none.crt"), "none.crt"),
    ] {
        let done = etl(server.folder.path(), &["copy", "-q", &source, "never.csv"]);
        assert_eq!(done.code, 1, "{source}: {}", done.stderr);
        let sentence = done.stderr.lines().next().unwrap();
        assert!(sentence.starts_with("error: ") && sentence.contains(says), "{source}: {}", done.stderr);
        assert_eq!(done.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", done.stderr);
        assert!(done.stderr.contains("  hint: "), "{source}: {}", done.stderr);
        assert!(!done.stderr.contains("s3cret") && !done.stderr.contains("panicked"), "{}", done.stderr);
        assert!(!server.folder.path().join("never.csv").exists());
    }
}
