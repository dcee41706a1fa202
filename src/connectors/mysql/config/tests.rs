use proptest::prelude::*;
use serde_json::json;

use super::*;

type Texts<'a> = &'a [(&'a str, &'a str)];

/// Reads `options` where there are these variables and files; a file without text is a socket.
fn read(options: &Json, variables: Texts<'_>, files: Texts<'_>) -> Result<Config> {
    let find = |list: Texts<'_>, name: &str| {
        list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let variable = |name: &str| {
        let usual = match name {
            "USER" => Some("me"),
            "HOME" => Some("/h"),
            _ => None,
        };
        find(variables, name).or_else(|| usual.map(str::to_owned))
    };
    let file = |path: &Path| find(files, path.to_str().unwrap());
    let folder = |folder: &Path| {
        let paths = files.iter().map(|(path, _)| PathBuf::from(path));
        let mut inner: Vec<PathBuf> = paths.filter(|path| path.parent() == Some(folder)).collect();
        inner.sort();
        (!inner.is_empty()).then_some(inner)
    };
    let exists = |path: &Path| find(files, path.to_str().unwrap()).is_some();
    let around = Surroundings { variable: &variable, file: &file, folder: &folder, exists: &exists };
    Config::parse_in(options, &around)
}

fn url(url: &str) -> Config {
    read(&json!({ "url": url }), &[], &[]).unwrap()
}

fn password(config: &Config) -> Option<&str> {
    config.password.as_ref().map(Secret::reveal)
}

/// What the group `[client]` of the user's file makes of an empty URL.
fn of_file(lines: &str) -> Config {
    read(&json!({}), &[], &[("/h/.my.cnf", &format!("[client]\n{lines}"))]).unwrap()
}

#[test]
fn urls() {
    let config = url("mysql://ann:p%40ss@db.example:3307/shop?ssl-mode=required&connect_timeout=5");
    assert_eq!(config.label(), "mysql://ann@db.example:3307/shop");
    assert_eq!(password(&config), Some("p@ss"));
    assert_eq!(config.tls.mode, TlsMode::Required);
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(5)));

    let config = url("mariadb://[::1]:6000/a%2Fb");
    assert_eq!(config.hosts, [Host { name: "::1".to_owned(), port: 6000 }]);
    assert_eq!(config.label(), "mysql://me@[::1]:6000/a/b");
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(30)));
    assert_eq!(config.database.as_deref(), Some("a/b"));

    let config = url("mysql+pymysql://u@localhost/d?socket=%2Frun%2Fm.sock&connectTimeout=0");
    assert_eq!((config.socket.as_deref(), config.hosts.len()), (Some(Path::new("/run/m.sock")), 0));
    assert_eq!(config.label(), "mysql://u@localhost/d?socket=/run/m.sock");
    assert_eq!(config.connect_timeout, None);

    assert_eq!(url("mysql://localhost").label(), "mysql://me@localhost:3306/");
    assert_eq!(url("mysql:").label(), "mysql://me@127.0.0.1:3306/");
}

#[test]
fn every_spelling_of_a_name() {
    for name in ["tlsMode", "tls-mode", "ssl-mode", "sslmode", "ssl_mode", "sslMode"] {
        for word in ["VERIFY_IDENTITY", "verify_identity", "Verify-Identity"] {
            assert_eq!(url(&format!("mysql://h?{name}={word}")).tls.mode, TlsMode::VerifyIdentity, "{name}={word}");
        }
    }
}

#[test]
fn options() {
    let given = json!({
        "url": "mysql://u:a@h:1/d?zero-dates=null", "port": 2, "database": "e", "zeroDates": "text",
        "time": "duration", "timestamp": "clock", "lockAll": true, "tlsCert": "/c", "sslKey": "/k",
    });
    let config = read(&given, &[], &[]).unwrap();
    assert_eq!(config.label(), "mysql://u@h:2/e");
    assert_eq!((config.zero_dates, config.time), (ZeroDates::Text, TimeForm::Duration));
    assert_eq!(config.timestamps, Timestamps::Clock);
    assert_eq!(config.lock_all, LockAll::Yes);
    assert!(!config.tls.gives_way(), "it shows a certificate");
    assert_eq!((config.tls.cert.unwrap(), config.tls.key.unwrap()), (PathBuf::from("/c"), PathBuf::from("/k")));

    let config = url("mysql://h");
    assert_eq!((config.zero_dates, config.time), (ZeroDates::Reject, TimeForm::Time));
    assert_eq!(config.timestamps, Timestamps::Instant);
    assert_eq!((config.lock_all, config.tls.mode), (LockAll::No, TlsMode::Preferred));
    assert!(config.tls.gives_way() && !url("mysql://h?tlsMode=REQUIRED").tls.gives_way());
    assert_eq!((config.password, config.database), (None, None));
}

#[test]
fn the_stronger_source_wins() {
    let variables = [("MYSQL_PWD", "v"), ("MYSQL_HOST", "v"), ("MYSQL_TCP_PORT", "2")];
    let files = [("/h/.my.cnf", "[client]\npassword=f\nhost=f\nport=3\nuser=f\n")];
    let all = |options: Json| read(&options, &variables, &files).unwrap();
    let config = all(json!({ "url": "mysql://u:u@u:1/", "host": "o", "password": "o" }));
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://u@o:1/", Some("o")));
    let config = all(json!({ "url": "mysql://u:u@u:1/" }));
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://u@u:1/", Some("u")));
    let config = all(json!({ "url": "mysql:" }));
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://f@v:2/", Some("v")));
    let config = read(&json!({}), &[], &files).unwrap();
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://f@f:3/", Some("f")));
    // An empty password is said, not left out.
    assert_eq!(password(&all(json!({ "url": "mysql://u:@h/" }))), None);
}

#[test]
fn socket_or_host() {
    let sock = ("/var/run/mysqld/mysqld.sock", "");
    let file = |text| [sock, ("/etc/my.cnf", text)];
    let label =
        |options: Json, variables: Texts<'_>, files: Texts<'_>| read(&options, variables, files).unwrap().label();
    let usual = "mysql://me@localhost/?socket=/var/run/mysqld/mysqld.sock";
    let own = "mysql://me@localhost/?socket=/s";
    let given = file("[client-server]\nport=3310\nsocket=/s\n");
    assert_eq!(label(json!({}), &[], &[sock]), usual);
    assert_eq!(label(json!({}), &[], &given), own);
    assert_eq!(label(json!({}), &[("MYSQL_UNIX_PORT", "/s")], &[sock]), own);
    // Whoever names host or port has them.
    assert_eq!(label(json!({ "host": "localhost" }), &[], &given), "mysql://me@localhost:3310/");
    assert_eq!(label(json!({ "url": "mysql://:3311" }), &[], &given), "mysql://me@127.0.0.1:3311/");
    assert_eq!(label(json!({ "port": 3311 }), &[], &[sock]), "mysql://me@127.0.0.1:3311/");
    assert_eq!(label(json!({}), &[("MYSQL_HOST", "db")], &given), "mysql://me@db:3310/");
    // Of one source, the socket is for this machine alone, as in the clients.
    assert_eq!(label(json!({}), &[], &file("[client]\nhost=localhost\nsocket=/s\n")), own);
    assert_eq!(label(json!({}), &[], &file("[client]\nhost=db\nsocket=/s\n")), "mysql://me@db:3306/");
    assert_eq!(label(json!({ "url": "mysql://db/", "socket": "/s" }), &[], &[]), own);
}

#[test]
fn references() {
    let variables = [("SHOP_PW", "a/b?c@")];
    let config = read(&json!({ "url": "mysql://u:${SHOP_PW}@h/d" }), &variables, &[]).unwrap();
    assert_eq!(password(&config), Some("a/b?c@"));
    let config = read(&json!({ "host": "h", "password": "x${SHOP_PW}" }), &variables, &[]).unwrap();
    assert_eq!(password(&config), Some("xa/b?c@"));
    let error = read(&json!({ "password": "${NONE}" }), &variables, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("NONE"), "{error}");
    // Clients read no references in files.
    assert_eq!(password(&of_file("password=${SHOP_PW}\n")), Some("${SHOP_PW}"));
}

/// Each value was seen in the answer of `my_print_defaults` of MySQL 9.7 and MariaDB 10.11 to the same line.
#[test]
fn option_files_are_read_as_clients_read_them() {
    let cases = [
        ("user = ann # trailing", "ann"),
        ("user=\"a#b\"", "a#b"),
        ("user = 'db.example'   # c", "db.example"),
        ("  user  =  /tmp/my\\ssock  ", "/tmp/my sock"),
        ("user=a\\tb\\n\\r\\\\c\\q\\\"d", "a\tb\n\r\\c\\q\"d"),
        ("user=a\"b#c\"d", "a\"b#c\"d"),
        ("user=\"it's # fine\"", "it's # fine"),
        ("user='a\\'b'", "a'b"),
        ("user=\"unclosed # x", "\"unclosed # x"),
        ("user= \"a\" \"b\"", "a\" \"b"),
        ("user=a;b", "a;b"),
        ("user=x\\", "x\\"),
        ("user=a\nuser=b", "b"),
        ("user = y \r", "y"),
        ("user=a\n[client] # after\nuser=b", "b"),
        ("user=a\n[client]x\nuser=b", "b"),
        ("user=a\n[ client ]\nuser=b", "a"),
        ("user=a\n[client ]\nuser=b", "b"),
        ("user=a\n[mysql]\nuser=b", "a"),
        ("user=a\n[client-mariadb]\nuser=b", "b"),
        ("user=a\n!none\nnothing\n=5", "a"),
        ("# c\n; d\nuser=a", "a"),
    ];
    for (lines, user) in cases {
        assert_eq!(of_file(lines).user, user, "{lines}");
    }
}

#[test]
fn switches_and_names_of_option_files() {
    let config = of_file("ssl_ca=/ca\nssl-cert=/c\nloose-ssl_key=/k\nconnect_timeout=7\nunknown=1\npassword\n");
    let tls = Tls { mode: TlsMode::VerifyCa, ca: Some("/ca".into()), cert: Some("/c".into()), key: Some("/k".into()) };
    assert_eq!((config.tls, config.connect_timeout), (tls, Some(Duration::from_secs(7))));
    assert_eq!(config.password, None);
    let modes = [
        ("ssl", TlsMode::Required),
        ("ssl=0", TlsMode::Disabled),
        ("skip-ssl\nssl-ca=/ca", TlsMode::Disabled),
        ("skip_ssl", TlsMode::Disabled),
        ("ssl=on\nssl-ca=/ca", TlsMode::VerifyCa),
        ("ssl-verify-server-cert", TlsMode::VerifyIdentity),
        ("ssl\nssl-ca=/ca\nskip-ssl-verify-server-cert", TlsMode::Required),
        ("ssl-ca=/ca\nssl-verify-server-cert=off", TlsMode::Preferred),
        ("ssl-mode=REQUIRED\nssl-ca=/ca", TlsMode::Required),
        ("ssl-mode=DISABLED\nssl", TlsMode::Disabled),
    ];
    for (lines, mode) in modes {
        assert_eq!(of_file(lines).tls.mode, mode, "{lines}");
    }
}

#[test]
fn no_weaker_source_weakens_what_roots_demand() {
    for lines in ["ssl-mode=PREFERRED", "ssl-mode=DISABLED", "skip-ssl", "ssl-verify-server-cert=0"] {
        let text = format!("[client]\n{lines}\n");
        let files = [("/h/.my.cnf", text.as_str())];
        let mode = |url: &str| read(&json!({ "url": url }), &[], &files).unwrap().tls.mode;
        assert_eq!(mode("mysql://h?ssl-ca=/ca"), TlsMode::VerifyCa, "{lines}");
        assert_eq!(mode("mysql://h?ssl-ca=/ca&ssl-mode=VERIFY_IDENTITY"), TlsMode::VerifyIdentity, "{lines}");
        assert_eq!(mode("mysql://h?ssl-ca=/ca&ssl-mode=REQUIRED"), TlsMode::Required, "{lines}");
    }
}

#[test]
fn files_in_turn_and_included() {
    let files = [
        ("/etc/my.cnf", "[client]\nuser=one\ndatabase=one\n"),
        ("/etc/mysql/my.cnf", "[client]\nuser=two\n!includedir /etc/mysql/conf.d/\nport=4\n!include /etc/none.cnf\n"),
        ("/etc/mysql/conf.d/b.cnf", "[mysqldump]\nport=9\n[client]\nuser=b\n[other]\nx=1\n"),
        ("/etc/mysql/conf.d/a.cnf", "[client]\nuser=a\nhost=a\n!include /etc/loop.cnf\n"),
        ("/etc/mysql/conf.d/c.txt", "[client]\nuser=c\n"),
        ("/etc/loop.cnf", "!include /etc/loop.cnf\n[client]\npassword=l\n"),
        ("/own.cnf", "[client]\nuser=own\n"),
    ];
    let config = read(&json!({}), &[], &files).unwrap();
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://b@a:4/one", Some("l")));
    let config = read(&json!({ "defaultsFile": "/own.cnf" }), &[], &files).unwrap();
    assert_eq!((config.label().as_str(), password(&config)), ("mysql://own@127.0.0.1:3306/", None));
    let error = read(&json!({ "defaultsFile": "/none.cnf" }), &[], &files).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/none.cnf"), "{error}");
}

#[test]
fn files_that_clients_refuse_are_refused_and_not_repeated() {
    for text in
        ["password=hunter2\n", "[client\npassword=hunter2\n", "\u{feff}[client]\n", "[client]\n!includedir /x\n"]
    {
        let error = read(&json!({}), &[], &[("/h/.my.cnf", text)]).unwrap_err();
        let shown = format!("{error:?}");
        assert!(shown.contains("/h/.my.cnf") && !shown.contains("hunter2"), "{shown}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_everybody_can_write_is_ignored() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[client]\n").unwrap();
    let mode = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert_eq!(option_file::text(file.path()).as_deref(), Some("[client]\n"));
    mode(0o646);
    assert_eq!(option_file::text(file.path()), None);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for url in [
        "mysql://h?nope=1",
        "mysql://h?url=x",
        "mysql://h?ssl-mode=sometimes",
        "mysql://h?zeroDates=maybe",
        "mysql://h?time=clock",
        "mysql://h?lockAll=perhaps",
        "mysql://h?connectTimeout=-1",
        "mysql://h?port",
        "mysql://h:0/d",
        "mysql://h:70000/d",
        "mysql://[::1/d",
        "mysql://h/%zz",
        "mysql:shop",
        "postgres://h/d",
    ] {
        let error = read(&json!({ "url": url }), &[], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
    }
    let error = read(&json!({ "dbname": "x" }), &[], &[]).unwrap_err();
    let hint = error.hint().unwrap_or_default();
    assert!(error.to_string().contains("dbname") && hint.contains("database, tlsMode"), "{error} {hint}");
    let twice = read(&json!({ "tlsMode": "REQUIRED", "ssl-mode": "DISABLED" }), &[], &[]).unwrap_err();
    assert_eq!(twice.to_string(), "two options mean tlsMode, one of them ssl-mode");
    assert_eq!(read(&json!({ "port": [1] }), &[], &[]).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(Config::parse_in(&json!({}), &Surroundings::NOTHING).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn secrets_do_not_show() {
    let config = url("mysql://u:hunter2@h/d");
    assert_eq!(password(&config), Some("hunter2"));
    assert!(!format!("{config:?} {}", config.label()).contains("hunter2"));
    for url in [
        "mysql://ann:hunter2/x@db/shop",
        "mysql://ann:1234/hunter2@db/shop",
        "mysql://ann:hunter2?x@db/shop",
        "mysql://ann:1234?hunter2@db/shop",
        "mysql://ann:hunter2",
        "mysql://ann:1234?hunter2=1",
        "mysql://ann:1234?sslmode=hunter2",
        "mysql:ann:hunter2@h",
        "hunter2",
    ] {
        let error = read(&json!({ "url": url }), &[], &[]).unwrap_err();
        let shown = format!("{error:?} {}", error.hint().unwrap_or_default());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = read(&json!({ "url": text }), &[], &[]);
        let _ = read(&json!({ "url": format!("mysql://{text}") }), &[], &[]);
        let _ = read(&json!({}), &[], &[("/h/.my.cnf", &format!("[client]\n{text}"))]);
    }

    #[test]
    fn quoted_values_come_back(value in "[^\u{0}\r\n]{1,30}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        prop_assert_eq!(of_file(&format!("user=\"{quoted}\"")).user, value);
    }
}
