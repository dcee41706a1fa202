use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::super::driver::Way;
use super::super::jdbc;
use super::options::{self, Options};
use super::{IdleParameters, LACKS, Product};
use crate::job::tree::Tree;

/// The options of `url` for the user `u`, with a `session` where one is named, and the notes.
fn told(product: Product, url: &str, session: Option<&str>) -> (Options, Vec<String>) {
    let tree = Tree::new(json!({"jdbcUrl": url, "session": session}), HashMap::new());
    let root = tree.root();
    let node = root.need("jdbcUrl").unwrap();
    let urls = [jdbc::read(product, &node).unwrap()];
    let login = (Some("u".to_owned()), None);
    let (mut notes, mut idle) = (Vec::new(), IdleParameters::default());
    let told = (&mut notes, &mut idle);
    let options = options::of((product, Way::Reading), &urls, (&root, &node), login, told).unwrap();
    notes.extend(idle.notes());
    (options, notes)
}

/// Each parameter that means something here, as the option that it becomes: no note is said.
#[test]
fn parameters_become_options() {
    let (mysql, postgres) = (Product::Mysql, Product::Postgres);
    let my = |more: &str| format!("jdbc:mysql://h/d?{more}");
    let pg = |more: &str| format!("jdbc:postgresql://h/d?{more}");
    let ms = |more: &str| format!("jdbc:sqlserver://h;DatabaseName=d;{more}");
    let ch = |more: &str| format!("jdbc:clickhouse://h/d?{more}");
    let cases: Vec<(Product, String, &str, Json)> = vec![
        (mysql, my("useSSL=false"), "sslMode", json!("DISABLED")),
        (mysql, my("sslMode=verify_ca"), "sslMode", json!("VERIFY_CA")),
        (mysql, my("sslMode=verify-full"), "sslMode", json!("VERIFY_IDENTITY")),
        (mysql, my("useSSL=true&requireSSL=true"), "sslMode", json!("REQUIRED")),
        (mysql, my("useSSL=true&verifyServerCertificate=true"), "sslMode", json!("VERIFY_CA")),
        (mysql, my("connectTimeout=1500"), "connectTimeout", json!(2)),
        (mysql, my("connectTimeout=0"), "connectTimeout", Json::Null),
        (
            mysql,
            my("sessionVariables=sql_mode='ANSI,TRADITIONAL',@mine=7"),
            "session",
            json!("SET SESSION sql_mode='ANSI,TRADITIONAL', @mine=7"),
        ),
        (mysql, my("password=p%26w"), "password", json!("p&w")),
        (mysql, my("user=other"), "user", json!("u")),
        (postgres, pg("ssl=true"), "sslmode", json!("require")),
        (postgres, pg("ssl=true&sslmode=verify-full"), "sslmode", json!("verify-full")),
        (postgres, pg("sslrootcert=/r.pem"), "sslrootcert", json!("/r.pem")),
        (postgres, pg("sslcert=/c.pem"), "sslcert", json!("/c.pem")),
        (postgres, pg("sslkey=/k.pem"), "sslkey", json!("/k.pem")),
        (postgres, pg("currentSchema=a,%20b"), "options", json!("-c search_path=a,\\ b")),
        (
            postgres,
            pg("currentSchema=s&options=-c%20statement_timeout=5min"),
            "options",
            json!("-c search_path=s -c statement_timeout=5min"),
        ),
        (postgres, pg("ApplicationName=nightly"), "applicationName", json!("nightly")),
        (postgres, pg("connectTimeout=7&loginTimeout=9"), "connectTimeout", json!(7)),
        (postgres, pg("loginTimeout=9"), "connectTimeout", json!(9)),
        (postgres, pg("targetServerType=preferSlave"), "targetSessionAttrs", json!("prefer-standby")),
        (postgres, pg("targetServerType=any"), "targetSessionAttrs", Json::Null),
        (postgres, pg("loadBalanceHosts=true"), "loadBalanceHosts", json!("random")),
        (Product::SqlServer, ms("encrypt=true"), "tlsCheck", Json::Null),
        (Product::SqlServer, ms("encrypt=true;trustServerCertificate=true"), "tlsCheck", json!("none")),
        (Product::SqlServer, ms("applicationName=nightly"), "applicationName", json!("nightly")),
        (Product::SqlServer, ms("loginTimeout=9"), "connectTimeout", json!(9)),
        (Product::SqlServer, ms("packetSize=4096"), "packetBytes", json!(4096)),
        (Product::SqlServer, "jdbc:sqlserver://h;databasename=e;database=f".to_owned(), "database", json!("e")),
        (Product::SqlServer, "jdbc:sqlserver://h/d;database=f".to_owned(), "database", json!("f")),
        (postgres, "jdbc:pivotal:greenplum://h;DatabaseName=d".to_owned(), "dbname", json!("d")),
        (Product::Clickhouse, ch("database=e"), "database", json!("d")),
        (Product::Clickhouse, "jdbc:clickhouse://h?database=e".to_owned(), "database", json!("e")),
        (Product::Clickhouse, ch("ssl=true"), "secure", json!(true)),
        (Product::Clickhouse, ch("socket_timeout=90000"), "timeout", json!(90)),
        (Product::Clickhouse, ch("connection_timeout=2000"), "connectTimeout", json!(2)),
        (Product::Sqlite, "jdbc:sqlite:/a.db?busy_timeout=5000".to_owned(), "busyTimeout", json!(5)),
        (Product::Generic, pg("ApplicationName=nightly"), "applicationName", json!("nightly")),
        (Product::Generic, my("connectTimeout=1500"), "connectTimeout", json!(2)),
    ];
    for (product, url, option, expected) in cases {
        let (options, notes) = told(product, &url, None);
        assert_eq!(options.get(option).cloned().unwrap_or_default(), expected, "{url}");
        assert_eq!(notes, Vec::<String>::new(), "{url}");
    }
}

#[test]
fn a_session_of_the_job_follows_that_of_the_url() {
    let (options, _) = told(Product::Mysql, "jdbc:mysql://h/d?sessionVariables=a=1", Some("set b = 2;"));
    assert_eq!(options["session"], json!("SET SESSION a=1; set b = 2"));
}

/// Only the driver of ODBC understands a description, as those of clusters are.
#[test]
fn a_description_of_oracle_goes_to_its_driver() {
    let description = "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST=a/b)(PORT=1521))(CONNECT_DATA=(SERVICE_NAME=s)))";
    let (options, notes) = told(Product::Oracle, &format!("jdbc:oracle:thin:@{description}"), None);
    let url = options["url"].as_str().unwrap();
    assert!(url.starts_with("odbc:?Driver=Oracle&DBQ=%28DESCRIPTION%3D%28ADDRESS") && url.ends_with("&UID=u"), "{url}");
    assert!(notes.len() == 1 && notes[0].contains("goes through ODBC"), "{notes:?}");
}

#[test]
fn a_semicolon_at_the_end_is_a_part_of_a_block_alone() {
    let of = |sql: &str| told(Product::Oracle, "jdbc:oracle:thin:@h:1521:d", Some(sql)).0["session"].clone();
    assert_eq!(of("begin x; END;"), json!(["begin x; END;"]));
    assert_eq!(of("alter session set a = weekend; "), json!(["alter session set a = weekend"]));
}

/// Whatever stands in the list is noted where its database has it, in any case; and what nobody knows is, too.
#[test]
fn parameters_that_do_nothing_are_named() {
    for idle in LACKS.keys {
        let (product, url) = match idle.of {
            "MySQL" | "all databases" => (Product::Mysql, format!("jdbc:mysql://h/d?{}=x", idle.key.to_uppercase())),
            "PostgreSQL" => (Product::Postgres, format!("jdbc:postgresql://h/d?{}=x", idle.key)),
            "SQL Server" => (Product::SqlServer, format!("jdbc:sqlserver://h;{}=x", idle.key)),
            other => panic!("no URL is one of {other}"),
        };
        let (_, notes) = told(product, &url, None);
        let expected = format!("these parameters of the URL do nothing here: {} (the page ", idle.key);
        assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{url}: {notes:?}");
    }
    for (product, url, name) in [
        (Product::Generic, "jdbc:dm://h:5236/d?colour=red", "colour"),
        (Product::Generic, "jdbc:db2://h:50000/d:colour=red;", "colour"),
        // Of PostgreSQL's URLs those with semicolons alone have it.
        (Product::Postgres, "jdbc:postgresql://h/d?databaseName=e", "databaseName"),
    ] {
        let (_, notes) = told(product, url, None);
        assert_eq!(notes, [format!("these parameters of the URL are not known, and do nothing here: {name}")], "{url}");
    }
}
