//! Passwords and TLS, as the servers ask for them: by each plugin, encrypted or not, with certificates that pass and that do not.

use std::path::Path;

use crate::program::{copied, etl};
use crate::server::{mariadb, mariadb_client, mysql};

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

#[test]
fn passwords_of_caching_sha2_password() {
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(mysql()));
    let [plain, escaped] = PASSWORD;
    let how = format!("with caching_sha2_password by '{plain}'");
    for mode in ["DISABLED", "REQUIRED"] {
        let user = User::new(&url, &how, "");
        // The first login proves the whole password, by the server's key where nothing is encrypted; the second by what it keeps.
        for _ in 0..2 {
            reads(folder.path(), &user.table(escaped, &format!("tlsMode={mode}")));
        }
        fails(folder.path(), &user.table("s3cret-wrong", &format!("tlsMode={mode}")), "access denied");
    }
}

#[test]
fn passwords_of_mysql_native_password() {
    let (folder, url) = (tempfile::tempdir().unwrap(), with_table(mariadb()));
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
