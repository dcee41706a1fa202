use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse_with(url: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Config> {
    let find = |list: &[(&str, &str)], name: &str| {
        list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let variable = |name: &str| find(variables, name).or_else(|| (name == "USER").then(|| "me".to_owned()));
    let file = |path: &Path| find(files, path.to_str().unwrap());
    Config::parse_in(
        &json!({ "url": url }),
        &Surroundings { variable: &variable, file: &file, ..Surroundings::NOTHING },
    )
}

fn parse(url: &str) -> Config {
    parse_with(url, &[], &[]).unwrap()
}

fn password(config: &Config) -> Option<&str> {
    config.password.as_ref().map(Secret::reveal)
}

#[test]
fn uris() {
    let config = parse("postgres://ann:p%40ss@db.example:5433/shop?sslmode=require&connect_timeout=5");
    assert_eq!(config.label(), "postgres://ann@db.example:5433/shop");
    assert_eq!(password(&config), Some("p@ss"));
    assert_eq!(config.tls.mode, SslMode::Require);
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(5)));

    let config = parse("postgresql:///shop");
    assert!(config.hosts.is_empty());
    assert_eq!((config.user.as_str(), config.dbname.as_str()), ("me", "shop"));

    let config = parse("postgresql+psycopg2://[::1]:6000,b,%2Frun%2Fpg:7/d");
    let hosts: Vec<String> = config.hosts.iter().map(Host::to_string).collect();
    assert_eq!(hosts, ["::1:6000", "b:5432", "/run/pg:7"]);
    assert!(config.hosts[2].is_socket());

    assert_eq!(parse("jdbc:postgresql://h/d?user=u&ssl=true").tls.mode, SslMode::Require);
    assert_eq!(parse("postgres://u@h").dbname, "u");
}

/// The names that all connectors have beside libpq's own.
#[test]
fn options() {
    let of = |options: serde_json::Value| Config::parse_in(&options, &Surroundings::NOTHING).unwrap();
    let config = of(json!({"host": "h", "port": 5433, "user": "u", "database": "d", "connectTimeout": 7}));
    assert_eq!(config.label(), "postgres://u@h:5433/d");
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(of(json!({"url": "postgres://u@h/a", "dbname": "b"})).dbname, "b");
    assert_eq!(config.timestamps, Timestamps::Instant);
    assert_eq!(of(json!({"url": "postgres://u@h?timestamptz=server"})).timestamps, Timestamps::Server);
    let tls =
        of(json!({"host": "h", "user": "u", "tlsMode": "verify-ca", "tlsCa": "/ca", "tlsCert": "/c", "tlsKey": "/k"}))
            .tls;
    assert_eq!((tls.mode, tls.cert, tls.key), (SslMode::VerifyCa, Some("/c".into()), Some("/k".into())));
    for both in [json!({"database": "a", "dbname": "b"}), json!({"tlsMode": "allow", "sslmode": "allow"})] {
        let error = Config::parse_in(&both, &Surroundings::NOTHING).unwrap_err();
        assert!(error.kind() == ErrorKind::Usage && error.message().starts_with("two options mean "), "{error}");
    }
}

#[test]
fn a_peer_that_is_gone_is_noticed_within_two_minutes() {
    let seconds = |url: &str| {
        let Keepalive { off, idle, interval, count, .. } = parse(url).keepalive;
        (!off).then(|| [idle.as_secs(), interval.as_secs(), u64::from(count)])
    };
    assert_eq!(seconds("postgres://u@h"), Some([60, 10, 6]));
    let own = "postgres://u@h?keepalives_idle=300&keepalives_interval=0&keepalives_count=2";
    assert_eq!(seconds(own), Some([300, 10, 2]));
    assert_eq!(seconds("postgres://u@h?keepalives=0"), None);
}

#[test]
fn keyword_strings() {
    let config = parse(r"postgres: host=a,b port = 1,2 user='o\'neil x' password=a\ b dbname=''");
    assert_eq!(config.hosts[1].to_string(), "b:2");
    assert_eq!((config.user.as_str(), config.dbname.as_str()), ("o'neil x", "o'neil x"));
    assert_eq!(password(&config), Some("a b"));
    assert_eq!(parse("").user, "me");
}

#[test]
fn environment_and_references() {
    let config = parse_with("postgres://u:${SHOP_PW}@h/d", &[("SHOP_PW", "a/b?c@"), ("PGPORT", "99")], &[]).unwrap();
    assert_eq!(password(&config), Some("a/b?c@"));
    assert_eq!(config.hosts[0].port, 99);
    let error = parse_with("postgres://u:${NONE}@h/d", &[], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("NONE"));
    assert_eq!(password(&parse("postgres://u:a$b%7B${@h/d")), Some("a$b{${"));
}

#[test]
fn services() {
    let file = "# mine\n[other]\nhost=x\n[shop]\nhost = s1\nport=7\ndbname=shop\n[shop]\nhost=never\n";
    let files = [("/h/.pg_service.conf", file)];
    let config = parse_with("postgres:service=shop port=8", &[("HOME", "/h"), ("PGUSER", "u")], &files).unwrap();
    assert_eq!(config.label(), "postgres://u@s1:8/shop");
    let error = parse_with("", &[("HOME", "/h"), ("PGSERVICE", "none")], &files).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn password_file() {
    let text = "#x:*:*:*:no\nh:5432:d:u:one\n*:*:*:u:t\\:wo\\\\\n";
    assert_eq!(passfile::lookup(text, ["h", "5432", "d", "u"]).as_deref(), Some("one"));
    assert_eq!(passfile::lookup(text, ["g", "5432", "d", "u"]).as_deref(), Some("t:wo\\"));
    assert_eq!(passfile::lookup(text, ["g", "5432", "d", "v"]), None);
    let names = ["db", "/tmp", "/var/run/postgresql/", "/srv/pg", "@own"].map(passfile::host_name);
    assert_eq!(names, ["db", "localhost", "localhost", "/srv/pg", "@own"]);
}

#[test]
fn weak_modes_with_system_roots() {
    assert_eq!(parse("postgres://h?sslrootcert=system").tls.mode, SslMode::VerifyFull);
    let kind = |url| parse_with(url, &[], &[]).unwrap_err().kind();
    assert_eq!(kind("postgres://h?sslrootcert=system&sslmode=require"), ErrorKind::Usage);
    assert_eq!(kind("postgres://h?sslnegotiation=direct"), ErrorKind::Usage);
    assert_eq!(kind("postgres://h?gssencmode=require"), ErrorKind::Unsupported);
    assert_eq!(kind("postgres://h?sslmode=sometimes"), ErrorKind::Usage);
    assert_eq!(kind("postgres://h:0/d"), ErrorKind::Usage);
    assert_eq!(kind("postgres://h?nope=1"), ErrorKind::Usage);
    assert_eq!(kind("postgres://h/%zz"), ErrorKind::Usage);
}

#[test]
fn secrets_do_not_show() {
    let config = parse("postgres://u:hunter2@h/d");
    assert!(!format!("{config:?} {}", config.label()).contains("hunter2"));
}

#[test]
fn passwords_with_signs_of_the_url_are_refused_and_not_repeated() {
    for url in [
        "postgres://ann:hunter2/x@db/shop",
        "postgres://ann:1234/hunter2@db/shop",
        "postgres://ann:hunter2?x@db/shop",
        "postgres://ann:hunter2?x=y@db/shop",
        "postgres://ann:1234?hunter2@db/shop",
        "postgres://ann:hunter2",
        "postgres://ann:1234?hunter2=1",
        "postgres://ann:1234?sslmode=hunter2",
        "postgres:host=h password=a hunter2=b",
    ] {
        let error = parse_with(url, &[], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
        let shown = format!("{error:?} {error} {}", error.hint().unwrap_or_default());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    // An @ that is no password's end is taken as it is.
    assert_eq!(parse("postgres://h/d?user=ann@corp").user, "ann@corp");
    assert_eq!(parse("postgres://[::1]/d?user=ann@corp").user, "ann@corp");
}

#[test]
fn the_system_says_who_runs_it() {
    let files = [
        ("/proc/self/status", "Name:\tetl\nUid:\t0\t1001\t0\t0\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:x:1001:1001:Ada,,,:/home/ada:/bin/sh\n"),
        ("/home/ada/.pg_service.conf", "[shop]\nhost=s1\n"),
    ];
    let find = |list: &[(&str, &str)], name: &str| {
        list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let file = |path: &Path| find(&files, path.to_str().unwrap());
    let around = Surroundings { file: &file, ..Surroundings::NOTHING };
    let config = Config::parse_in(&json!({ "url": "postgres:service=shop" }), &around).unwrap();
    assert_eq!(config.label(), "postgres://ada@s1:5432/ada");
    let error = Config::parse_in(&json!({ "url": "" }), &Surroundings::NOTHING).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_can_read_is_ignored() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "*:*:*:*:secret\n").unwrap();
    let config = parse(&format!("postgres:host=h user=u passfile={}", file.path().display()));
    let mode = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    assert_eq!(config.password(&config.hosts[0]).unwrap().reveal(), "secret");
    assert_eq!(config.ignored_passfile(), None);
    mode(0o640);
    assert_eq!(config.password(&config.hosts[0]), None);
    assert_eq!(config.ignored_passfile(), Some(file.path()));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), service in "\\PC{0,40}") {
        let _ = parse_with(&text, &[], &[]);
        let _ = parse_with(&format!("postgres://{text}"), &[], &[]);
        let _ = keywords::service(&text, &service);
        let _ = passfile::lookup(&text, ["a", "b", "c", "d"]);
    }

    #[test]
    fn quoted_values_come_back(value in "[^\u{0}]{1,30}") {
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "$");
        let config = parse_with(&format!("postgres:user='{quoted}' dbname=x"), &[], &[]).unwrap();
        prop_assert_eq!(config.user, value.replace("${", "$"));
    }
}
