//! A PostgreSQL of a test's own, which it may stop in any way and start again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use super::psql;
use crate::program::until;

/// Stopped when it is dropped.
pub(crate) struct Own {
    folder: tempfile::TempDir,
    port: u16,
    /// Bytes of the disk under the tablespace `small`, where it has one.
    disk_bytes: Option<u64>,
    server: Option<Child>,
}

impl Own {
    /// A new server with an empty database.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// The same, with a tablespace `small` on a disk of so many bytes.
    pub(crate) fn with_small_disk(disk_bytes: u64) -> Self {
        let own = Self::with(Some(disk_bytes));
        psql(&own.url(), &format!("create tablespace small location '{}'", own.folder.path().join("small").display()));
        own
    }

    fn with(disk_bytes: Option<u64>) -> Self {
        let folder = folder();
        fs::create_dir(folder.path().join("small")).unwrap();
        let data = folder.path().join("data");
        let data = data.to_str().unwrap();
        let mut initdb = own(folder.path(), "initdb", disk_bytes);
        let made = initdb.args(["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]).output();
        let made = made.unwrap_or_else(|error| panic!("initdb does not start ({error}): run the tests by `tests/run`"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut own = Self { folder, port: free_port(), disk_bytes, server: None };
        own.begin();
        own
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A standby, which replays the log of this one.
    pub(crate) fn standby(&self) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let mut backup = own(folder.path(), "pg_basebackup", None);
        backup.args(["-D", data.to_str().unwrap(), "-d", &self.url(), "-R", "-X", "stream", "-c", "fast", "--no-sync"]);
        let made = backup.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut own = Self { folder, port: free_port(), disk_bytes: None, server: None };
        own.begin();
        own
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn begin(&mut self) {
        self.begin_with("max_prepared_transactions=20");
    }

    /// The same, with one more setting.
    pub(crate) fn begin_with(&mut self, setting: &str) {
        let (data, sockets) = (self.folder.path().join("data"), self.folder.path().to_str().unwrap());
        let mut server = own(self.folder.path(), "postgres", self.disk_bytes);
        server.args(["-D", data.to_str().unwrap(), "-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        server.args(["-c", &format!("unix_socket_directories={sockets}"), "-c", "timezone=UTC", "-c", setting]);
        // What a process has written stays when it dies; only the machine would have to be asked to write it down.
        server.args(["-c", "fsync=off"]);
        self.server = Some(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let port = self.port.to_string();
        until(|| Command::new("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success());
    }

    /// Stops it by `signal`: `-QUIT` is `pg_ctl stop -m immediate`, after which it has to recover.
    pub(crate) fn end(&mut self, signal: &str) {
        let Some(mut server) = self.server.take() else { return };
        // `setpriv` has become the server: its number is that of the server.
        let told = Command::new("kill").args([signal, &server.id().to_string()]).status().unwrap();
        assert!(told.success());
        server.wait().unwrap();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.end("-QUIT");
    }
}

/// A folder that the owner of the server may write into.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A port that nobody has, and that nobody gets while its server is down: it lies below those that the system gives to clients
/// and to whoever asks for any port, and below those of the servers of `tests/run`.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 10_000;
    static ASKED: AtomicU16 = AtomicU16::new(0);
    loop {
        // Another run of the tests begins elsewhere.
        let begin = (std::process::id() as u16).wrapping_mul(101);
        let port = FIRST + begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A disk of `$1` bytes on the folder `$2`, seen by the rest of the words alone, which are run by a user other than root.
const ON_SMALL_DISK: &str = "mount -t tmpfs -o size=$1 none \"$2\" && shift 2 && \
    exec unshare --user --map-user=1000 --map-group=1000 setpriv --pdeathsig INT \"$@\"";

/// A program of the server. It refuses to run as root: then as the owner of the data of the server for all tests.
pub(crate) fn own(folder: &Path, program: &str, disk_bytes: Option<u64>) -> Command {
    if let Some(bytes) = disk_bytes {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "bash", "-c", ON_SMALL_DISK, "small-disk", &bytes.to_string()]);
        command.arg(folder.join("small")).arg(program).current_dir(folder);
        return command;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let owner = ["postgres", "nobody"].into_iter().find(|user| {
        Command::new("id").args(["-u", user]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    });
    let owner = owner.expect("a system has the user nobody");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", owner, "--clear-groups", "--pdeathsig", "INT", program]).current_dir(folder);
    command
}

#[test]
fn what_was_committed_is_there_after_a_crash() {
    let mut server = Own::start();
    psql(&server.url(), "create table t (i int); insert into t values (1)");
    server.end("-QUIT");
    server.begin();
    assert_eq!(psql(&server.url(), "table t"), "1");
}
