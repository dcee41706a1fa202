//! Logging in to PostgreSQL: TLS as `sslmode` means it, sockets, passwords and the file that holds them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use arrow_etl::endpoint::ObjectRef;
use arrow_etl::error::{Error, ErrorKind};

use crate::postgres_read::{column, open, runtime, scan};
use crate::server::own::free_port;
use crate::server::{certificates, psql};

/// A server of its own, because its settings would be those of all tests.
struct Server {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

/// A command as the user that may run a server: PostgreSQL refuses to be root.
fn as_owner(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &owner(), "--regid", &printed(Command::new("id").args(["-g", &owner()]))]);
    command.args(["--clear-groups", "--pdeathsig", "INT", program]);
    command
}

fn is_root() -> bool {
    printed(Command::new("id").arg("-u")) == "0"
}

fn owner() -> String {
    let postgres = Command::new("id").args(["-u", "postgres"]).stderr(Stdio::null()).output().unwrap().status.success();
    if postgres { "postgres" } else { "nobody" }.to_owned()
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        certificates::make(folder.path());
        let key = folder.path().join("server.key");
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let home = folder.path().join("server");
        std::fs::create_dir(&home).unwrap();
        std::fs::rename(folder.path().join("server.key"), home.join("server.key")).unwrap();
        std::fs::copy(folder.path().join("server.crt"), home.join("server.crt")).unwrap();
        if is_root() {
            printed(Command::new("chown").args(["-R", &owner()]).arg(&home));
        }
        let data = home.join("data");
        printed(as_owner("initdb").arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let rules = "local all all trust\nhost all needs_password 127.0.0.1/32 scram-sha-256\n\
            hostnossl all plain 127.0.0.1/32 trust\nhostssl all postgres 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let port = free_port();
        let process = as_owner("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", "fsync=off"])
            .args(["-c", &format!("unix_socket_directories=@etl-{port},{}", home.display())])
            .args(["-c", &format!("ssl_cert_file={0}/server.crt", home.display())])
            .args(["-c", &format!("ssl_key_file={0}/server.key", home.display())])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Self { process, folder, port };
        server.wait();
        psql(
            &server.url("postgres", "sslmode=require"),
            "create role plain login; create role needs_password login password 'right'",
        );
        server
    }

    fn wait(&self) {
        let mut ready = Command::new("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        for _ in 0..2400 {
            if ready.status().unwrap().success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{}", std::fs::read_to_string(self.file("log")).unwrap());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, user: &str, settings: &str) -> String {
        format!("postgres://{user}@localhost:{}/postgres?{settings}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By SIGINT, the server ends its own processes, too; `setpriv` has become the server.
        printed(Command::new("kill").args(["-INT", &self.process.id().to_string()]));
        self.process.wait().unwrap();
    }
}

/// Whether the connection of `url` is encrypted.
fn encrypted(url: &str) -> Result<bool, Error> {
    let query =
        ObjectRef::Query("select coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) s".into());
    runtime().block_on(async {
        let open = open(url, &query, 1).await?;
        let found = column(&open.all(&scan(&open.shape)).await?, 0);
        open.session.close().await?;
        Ok(found == ["true"])
    })
}

#[test]
fn sslmode_means_what_it_says() {
    let server = Server::start();
    let root = |name: &str| format!("sslrootcert={}", server.file(name).display());
    let with = |user: &str, settings: &str| encrypted(&server.url(user, settings));
    assert!(with("postgres", "sslmode=require").unwrap());
    assert!(with("postgres", "sslmode=prefer").unwrap());
    assert!(with("postgres", "sslmode=allow").unwrap());
    // This user is let in without TLS only.
    assert!(!with("plain", "sslmode=prefer").unwrap());
    assert!(!with("plain", "sslmode=disable").unwrap());
    assert_eq!(with("plain", "sslmode=require").unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(with("postgres", "sslmode=disable").unwrap_err().kind(), ErrorKind::Authentication);
    for mode in ["require", "verify-ca", "verify-full"] {
        assert!(with("postgres", &format!("sslmode={mode}&{}", root("ca.crt"))).unwrap(), "{mode}");
        let error = with("postgres", &format!("sslmode={mode}&{}", root("other.crt"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{mode}");
        assert!(error.to_string().contains("TLS"), "{error}");
    }
    let elsewhere = |mode: &str| {
        let url = server.url("postgres", &format!("sslmode={mode}&{}", root("ca.crt")));
        encrypted(&url.replace("localhost", "127.0.0.1"))
    };
    assert!(elsewhere("verify-ca").unwrap());
    assert_eq!(elsewhere("verify-full").unwrap_err().kind(), ErrorKind::Authentication);
    let missing = with("postgres", &format!("sslmode=verify-full&{}", root("no.crt"))).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn sockets_and_passwords() {
    let server = Server::start();
    let port = server.port;
    // Not a file: its name is known to the system only.
    let unnamed = format!("postgres:host=@etl-{port} port={port} user=postgres dbname=postgres");
    assert!(!encrypted(&unnamed).unwrap());
    let nowhere = encrypted(&unnamed.replace("@etl", "@none")).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Connection);

    let passfile = server.file("pgpass");
    std::fs::write(&passfile, format!("localhost:{port}:*:needs_password:right\n")).unwrap();
    let login = |settings: &str| encrypted(&server.url("needs_password", settings));
    let with_file = format!("passfile={}", passfile.display());
    let mode = |mode| std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    assert!(login(&with_file).unwrap());
    mode(0o644);
    let error = login(&with_file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(error.hint().unwrap().contains("chmod 600"), "{:?}", error.hint());

    let error = login("password=wr0ng").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    let shown = format!("{error} {error:?} {}", error.hint().unwrap());
    assert!(shown.contains("needs_password") && !shown.contains("wr0ng"), "{shown}");
}
