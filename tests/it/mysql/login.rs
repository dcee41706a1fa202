//! Passwords and TLS, as the servers ask for them: by each plugin, encrypted or not, with certificates that pass and that do not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::own::OwnMariadb;
use crate::program::{copied, etl};
use crate::server::own::folder;
use crate::server::{certificates, mariadb, mariadb_client, mysql};

/// As it is, and as a URL has it.
const PASSWORD: [&str; 2] = ["s3cret/@word", "s3cret%2F%40word"];

/// A user of one database, who logs in as `how` says, and is gone with the test.
struct User {
    server: String,
    name: String,
}

impl User {
    fn new(database: &str, how: &str, demand: &str) -> Self {
        let name = format!("clerk{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
        let user = Self { server: database.to_owned(), name };
        let (_, shop) = database.rsplit_once('/').unwrap();
        for account in user.accounts() {
            mariadb_client(database, &format!("create user {account} identified {how} {demand}"));
            mariadb_client(database, &format!("grant all on {shop}.* to {account}"));
        }
        user
    }

    /// An anonymous user of `localhost` would come before one of any host.
    fn accounts(&self) -> [String; 2] {
        ["localhost", "127.0.0.1"].map(|host| format!("'{}'@'{host}'", self.name))
    }

    /// The locator of the table `t`, with `options` behind `?`.
    fn table(&self, password: &str, options: &str) -> String {
        let login = format!("{}:{password}@", self.name);
        let mark = if options.is_empty() { "" } else { "?" };
        format!("{}{mark}{options}#t", self.server.replacen("root@", &login, 1))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            mariadb_client(&self.server, &format!("drop user {}", self.accounts().join(", ")));
        }
    }
}

fn with_table(url: String) -> String {
    mariadb_client(&url, "create table t (id int primary key, v varchar(9)); insert into t values (1, 'x'), (2, null)");
    url
}

fn reads(folder: &Path, source: &str) {
    copied(folder, &[source, "t.csv", "--mode", "replace"]);
    assert_eq!(std::fs::read_to_string(folder.join("t.csv")).unwrap(), "id,v\n1,x\n2,\n", "{source}");
}

fn fails(folder: &Path, source: &str, says: &str) {
    let done = etl(folder, &["copy", "-q", source, "never.csv"]);
    assert_eq!(done.code, 1, "{source}: {}", done.stderr);
    assert!(done.stderr.to_lowercase().contains(says), "{source}: {}", done.stderr);
    assert!(!done.stderr.contains("s3cret") && !done.stderr.contains("panicked"), "{}", done.stderr);
    assert!(!folder.join("never.csv").exists());
}

/// Someone with all rights on one database and none beside writes into it, and more rows are refused than the server keeps warnings of
/// by itself.
#[test]
fn a_user_of_one_database_writes() {
    for url in [mysql(), mariadb()].map(with_table) {
        let (folder, user) = (tempfile::tempdir().unwrap(), User::new(&url, "by 's3cret'", ""));
        let rows = |ids: std::ops::RangeInclusive<u32>| {
            let lines: Vec<String> = ids.map(|id| format!("{id},x\n")).collect();
            std::fs::write(folder.path().join("rows.csv"), format!("id,v\n{}", lines.concat())).unwrap();
        };
        let table = user.table("s3cret", "");
        let words = ["rows.csv", &table, "--mode", "append", "--on-error", "skip", "--max-errors", "5000"];
        rows(3..=3000);
        copied(folder.path(), &words);
        rows(1..=4000);
        copied(folder.path(), &words);
        let held = mariadb_client(&url, "select count(*), min(id), max(id), sum(v is null) from t");
        assert_eq!(held.trim_end(), "4000\t1\t4000\t1", "{url}");
    }
}

#[test]
fn passwords_of_caching_sha2_password() {
    by_caching_sha2_password(mysql(), ["tlsMode=DISABLED", "tlsMode=REQUIRED"]);
}

pub(super) fn by_caching_sha2_password(url: String, modes: [&str; 2]) {
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(url));
    let [plain, escaped] = PASSWORD;
    let how = format!("with caching_sha2_password by '{plain}'");
    for mode in modes {
        let user = User::new(&url, &how, "");
        // The first login proves the whole password, by the server's key where nothing is encrypted; the second by what it keeps.
        for _ in 0..2 {
            reads(folder.path(), &user.table(escaped, mode));
        }
        fails(folder.path(), &user.table("s3cret-wrong", mode), "access denied");
    }
}

#[test]
fn passwords_of_mysql_native_password() {
    by_native_password(mariadb());
}

pub(super) fn by_native_password(url: String) {
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(url));
    let [plain, escaped] = PASSWORD;
    let user = User::new(&url, &format!("by '{plain}'"), "");
    let plugin = format!("select distinct plugin from mysql.user where user = '{}'", user.name);
    assert_eq!(mariadb_client(&url, &plugin), "mysql_native_password");
    reads(folder.path(), &user.table(escaped, ""));
    fails(folder.path(), &user.table("s3cret-wrong", ""), "access denied");
    // This server has no certificate.
    fails(folder.path(), &user.table(escaped, "tlsMode=REQUIRED"), "the server does not offer tls");
}

#[test]
fn passwords_of_ed25519() {
    let Ok(plugins) = std::env::var("ETL_TEST_MARIADB_PLUGINS") else {
        panic!("this test needs MariaDB's plugin for ed25519: run it by `tests/run`, which fetches it");
    };
    let server = OwnMariadb::start(&[&format!("--plugin-dir={plugins}"), "--plugin-load-add=auth_ed25519"]);
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(server.url()));
    let [plain, escaped] = PASSWORD;
    let user = User::new(&url, &format!("via ed25519 using password('{plain}')"), "");
    reads(folder.path(), &user.table(escaped, ""));
    fails(folder.path(), &user.table("s3cret-wrong", ""), "access denied");
}

/// A MariaDB with a certificate for `localhost`, which its own root and no other vouches for; all files are in the folder.
fn with_certificate() -> (OwnMariadb, tempfile::TempDir) {
    let files = folder();
    certificates::make(files.path());
    // The owner of the server is another one.
    std::fs::set_permissions(files.path().join("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let setting = |name: &str, file: &str| format!("--ssl-{name}={}", files.path().join(file).display());
    let settings = [setting("ca", "ca.crt"), setting("cert", "server.crt"), setting("key", "server.key")];
    (OwnMariadb::start(&settings.each_ref().map(String::as_str)), files)
}

#[test]
fn the_certificate_of_mariadb_is_checked_as_far_as_the_mode_says() {
    let ((server, files), folder) = (with_certificate(), tempfile::tempdir().unwrap());
    let url = with_table(server.url());
    let [plain, escaped] = PASSWORD;
    let user = User::new(&url, &format!("by '{plain}'"), "require ssl");
    let at = |host: &str, options: &str| user.table(escaped, options).replace("127.0.0.1", host);
    let with = |mode: &str, ca: &str| format!("tlsMode={mode}&tlsCa={}", files.path().join(ca).display());
    for mode in ["REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"] {
        reads(folder.path(), &at("localhost", &with(mode, "ca.crt")));
    }
    // Encryption alone asks nothing of the certificate; that of 127.0.0.1 is another name.
    reads(folder.path(), &at("localhost", &with("REQUIRED", "other.crt")));
    reads(folder.path(), &at("127.0.0.1", &with("VERIFY_CA", "ca.crt")));
    for (host, mode, ca) in [
        ("localhost", "VERIFY_CA", "other.crt"),
        ("localhost", "VERIFY_IDENTITY", "other.crt"),
        ("127.0.0.1", "VERIFY_IDENTITY", "ca.crt"),
    ] {
        fails(folder.path(), &at(host, &with(mode, ca)), "do not come to terms on tls");
    }
    fails(folder.path(), &at("localhost", &with("VERIFY_CA", "no.crt")), "no.crt");
    fails(folder.path(), &at("localhost", "tlsMode=DISABLED"), "access denied");
}

#[test]
fn a_user_of_whom_a_certificate_is_asked_shows_one() {
    let ((server, files), folder) = (with_certificate(), tempfile::tempdir().unwrap());
    let place = |name: &str| files.path().join(name).display().to_string();
    let of_mysql = mysql();
    let data = mariadb_client(&of_mysql, "select @@datadir");
    for (url, [ca, cert, key]) in [
        (of_mysql, ["ca.pem", "client-cert.pem", "client-key.pem"].map(|name| format!("{data}{name}"))),
        (server.url(), ["ca.crt", "client.crt", "client.key"].map(place)),
    ] {
        let url = with_table(url);
        let [plain, escaped] = PASSWORD;
        let user = User::new(&url, &format!("by '{plain}'"), "require x509");
        let own = format!("tlsCert={cert}&tlsKey={key}");
        reads(folder.path(), &user.table(escaped, &own));
        reads(folder.path(), &user.table(escaped, &format!("tlsMode=VERIFY_CA&tlsCa={ca}&{own}")));
        // MySQL's own files end with a NUL.
        let both = [&cert, &key].map(|name| std::fs::read_to_string(name).unwrap().replace('\0', "")).concat();
        std::fs::write(place("both.pem"), both).unwrap();
        reads(folder.path(), &user.table(escaped, &format!("tlsCert={}", place("both.pem"))));
        fails(folder.path(), &user.table(escaped, "tlsMode=REQUIRED"), "access denied");
        // One that nobody vouches for, whom the server knows, and one that is not there.
        let other = format!("tlsCert={}&tlsKey={}", place("other.crt"), place("other.key"));
        fails(folder.path(), &user.table(escaped, &other), "check tlscert and tlskey: ");
        fails(folder.path(), &user.table(escaped, &format!("tlsCert={}", place("none.pem"))), "none.pem");
    }
}

#[test]
fn tls_is_used_where_the_server_wants_it_and_certificates_are_checked() {
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(mysql()));
    let [plain, escaped] = PASSWORD;
    let user = User::new(&url, &format!("by '{plain}'"), "require ssl");
    let pem = |name: &str| format!("tlsCa={}{name}.pem", mariadb_client(&url, "select @@datadir"));
    let ca = pem("ca");
    for options in ["", "tlsMode=REQUIRED", &ca, &format!("tlsMode=VERIFY_CA&{ca}")] {
        reads(folder.path(), &user.table(escaped, options));
    }
    // The server lets nobody in who does not encrypt; its certificate has no name, and another one does not vouch for it.
    fails(folder.path(), &user.table(escaped, "tlsMode=DISABLED"), "access denied");
    fails(folder.path(), &user.table(escaped, &format!("tlsMode=VERIFY_IDENTITY&{ca}")), "do not come to terms on tls");
    fails(folder.path(), &user.table(escaped, &pem("client-cert")), "do not come to terms on tls");
}

#[test]
fn an_option_file_says_what_the_url_leaves_open() {
    for url in [mysql(), mariadb()] {
        let (folder, url) = (tempfile::tempdir().unwrap(), with_table(url));
        let user = User::new(&url, &format!("by '{}'", PASSWORD[0]), "");
        let (_, address) = url.split_once('@').unwrap();
        let (address, database) = address.split_once('/').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let file = folder.path().join("my.cnf");
        let lines = format!("[client]\nuser={}\npassword=\"{}\"\nhost={host}\nport={port}\n", user.name, PASSWORD[0]);
        std::fs::write(&file, lines).unwrap();
        reads(folder.path(), &format!("mysql:///{database}?defaultsFile={}#t", file.display()));
    }
}
