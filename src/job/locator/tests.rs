//! What each kind of locator means, and what no input may do.

use proptest::prelude::*;

use super::*;

/// A world with the real schemes, the files given, and two variables.
struct World(&'static [&'static str]);

const SCHEMES: [(&str, &str); 11] = [
    ("file", "file"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("pg", "postgres"),
    ("sqlite", "sqlite"),
    ("duckdb", "duckdb"),
    ("connectorx", "connectorx"),
    ("trino", "connectorx"),
    ("trino+https", "connectorx"),
    ("gen", "stream"),
    ("null", "stream"),
];

impl Lookup for World {
    fn connector(&self, scheme: &str) -> Option<&'static str> {
        SCHEMES.iter().find(|(name, _)| *name == scheme).map(|(_, connector)| *connector)
    }
    fn schemes(&self) -> Vec<&'static str> {
        SCHEMES.iter().map(|(name, _)| *name).collect()
    }
    fn exists(&self, path: &str) -> bool {
        self.0.contains(&path)
    }
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PW" => Some("p@ss/w#d'".to_owned()),
            "URL" => Some("postgres://ada:s3cret@db/shop".to_owned()),
            _ => None,
        }
    }
    fn is_extension(&self, word: &str) -> bool {
        ["csv", "gz", "parquet"].contains(&word.to_ascii_lowercase().as_str())
    }
}

const EMPTY: World = World(&[]);

fn parsed(text: &str) -> (String, String, String, Option<String>) {
    let locator = parse(text, &EMPTY).unwrap();
    let options: Vec<_> = locator.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    (locator.connector.to_owned(), locator.url.clone(), options.join("&"), locator.object.clone())
}

#[test]
fn every_form_means_what_it_should() {
    // text, connector, url, options, object
    let table = [
        ("-", "file", "-", "", None),
        ("orders.csv", "file", "orders.csv", "", None),
        ("./a b/orders.csv.gz", "file", "./a b/orders.csv.gz", "", None),
        ("out/", "file", "out/", "", None),
        ("a#b.csv", "file", "a#b.csv", "", None),
        ("book.XLSX#Sheet 1", "file", "book.XLSX", "sheet=Sheet 1", None),
        ("a.ods?range=A:F#2", "file", "a.ods", "range=A:F&sheet=2", None),
        ("file:a.xls#Old", "file", "a.xls", "sheet=Old", None),
        ("part-?.csv", "file", "part-?.csv", "", None),
        ("part-??.csv?header=false&delimiter=%3B", "file", "part-??.csv", "header=false&delimiter=;", None),
        ("notes#1.csv", "file", "notes#1.csv", "", None),
        ("file:notes#1.csv", "file", "notes#1.csv", "", None),
        ("file:///tmp/a%20b.csv", "file", "/tmp/a b.csv", "", None),
        ("file://localhost/tmp/a.csv?format=csv", "file", "/tmp/a.csv", "format=csv", None),
        ("shop.db#orders", "sqlite", "sqlite:shop.db", "", Some("orders")),
        ("dir/shop.SQLite#orders", "sqlite", "sqlite:dir/shop.SQLite", "", Some("orders")),
        ("sqlite:shop#orders", "sqlite", "sqlite:shop", "", Some("orders")),
        ("sqlite:/tmp/shop.db", "sqlite", "sqlite:/tmp/shop.db", "", None),
        ("sqlite:///tmp/shop.db#t", "sqlite", "sqlite:/tmp/shop.db", "", Some("t")),
        ("sqlite:////tmp/shop.db#t", "sqlite", "sqlite:/tmp/shop.db", "", Some("t")),
        ("sqlite://shop.db#t", "sqlite", "sqlite:shop.db", "", Some("t")),
        ("duckdb:shop.db#main.t", "duckdb", "duckdb:shop.db", "", Some("main.t")),
        ("duckdb:/tmp/a b.db?memoryLimit=1GB#t", "duckdb", "duckdb:/tmp/a b.db", "memoryLimit=1GB", Some("t")),
        ("dir/shop.duckdb#t", "duckdb", "duckdb:dir/shop.duckdb", "", Some("t")),
        ("duckdb:///tmp/shop.ddb", "duckdb", "duckdb:/tmp/shop.ddb", "", None),
        ("postgres://u@h:5432/db#public.orders", "postgres", "postgres://u@h:5432/db", "", Some("public.orders")),
        ("pg://h/db?sslmode=require#t", "postgres", "pg://h/db?sslmode=require", "", Some("t")),
        ("jdbc:postgresql://h/db#t", "postgres", "postgresql://h/db", "", Some("t")),
        ("postgresql+psycopg2://h/db#t", "postgres", "postgresql://h/db", "", Some("t")),
        ("POSTGRES://h/db", "postgres", "postgres://h/db", "", None),
        ("postgres:host=h dbname=d#t", "postgres", "postgres:host=h dbname=d", "", Some("t")),
        ("postgres:host=h password='a#b'#t", "postgres", "postgres:host=h password='a#b'", "", Some("t")),
        (r"postgres:password='a\'#b'#t", "postgres", r"postgres:password='a\'#b'", "", Some("t")),
        (r#"pg://h/db#"My.Table""#, "postgres", "pg://h/db", "", Some(r#""My.Table""#)),
        ("pg://h/db#My%20Table", "postgres", "pg://h/db", "", Some("My Table")),
        ("pg://h/db#100%", "postgres", "pg://h/db", "", Some("100%")),
        (r#"pg://h/db#"a#b@c""#, "postgres", "pg://h/db", "", Some(r#""a#b@c""#)),
        ("connectorx:mysql://u@h/db#t", "connectorx", "connectorx:mysql://u@h/db", "", Some("t")),
        ("Trino+HTTPS://u@h/db#t", "connectorx", "trino+https://u@h/db", "", Some("t")),
        ("trino+rest://u@h/db#t", "connectorx", "trino://u@h/db", "", Some("t")),
        ("gen:orders?rows=10", "stream", "gen:orders?rows=10", "", None),
        ("null:", "stream", "null:", "", None),
        ("${URL}#orders", "postgres", "postgres://ada:s3cret@db/shop", "", Some("orders")),
        ("pg://h/db#`a\"#@*b`", "postgres", "pg://h/db", "", Some("`a\"#@*b`")),
        ("pg://h/db#a`b", "postgres", "pg://h/db", "", Some("a`b")),
    ];
    for (text, connector, url, options, object) in table {
        let expected = (connector.to_owned(), url.to_owned(), options.to_owned(), object.map(str::to_owned));
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn what_exists_is_taken_by_its_name() {
    let world = World(&["a#b?c=d.csv", "shop.db", "a:b.csv", "${x}.csv"]);
    for name in ["a#b?c=d.csv", "a:b.csv", "${x}.csv"] {
        let locator = parse(name, &world).unwrap();
        assert_eq!((locator.connector, locator.url.as_str()), ("file", name));
        assert_eq!(locator.place(ObjectRef::Whole, &world).unwrap().options["url"], name);
    }
    assert_eq!(parse("file:a#b?c=d.csv", &world).unwrap().url, "a#b?c=d.csv");
    assert_eq!(parse("file:x.csv", &World(&["file:x.csv"])).unwrap().url, "./file:x.csv");
    assert_eq!(parse("shop.db", &world).unwrap().connector, "sqlite");
}

const HASH: &str = "a '#' stands in a user, password or other value before the table";

#[test]
fn mistakes_are_explained() {
    let table = [
        ("", "an empty locator names nothing", "write a path"),
        ("postgers://h/db#t", "there is no connector for 'postgers:'", "did you mean 'postgres:'?"),
        ("mssql://h/db#t", "this build has no connector for 'mssql:'", "build the program with"),
        ("oracle://h/db", "this build has no connector for 'oracle:'", "build the program with '--features full'"),
        ("sybase://h/db", "there is no connector for 'sybase:'", "there are file, postgres"),
        ("pg://h/db#", "nothing stands after '#'", "name a table there"),
        (
            "pg://h/db#public.*",
            "a '*' in the name of a table means many of them, and one copy takes one",
            "name one table",
        ),
        ("pg://u:p#w@h/db#t", HASH, "write it as %23"),
        ("pg://u:p@x#w@h/db", HASH, "write it as %23"),
        ("pg://u:p#\"w@h/db", HASH, "write it as %23"),
        ("pg://u:p#`w@h/db", HASH, "write it as %23"),
        ("pg://h/db?password=p#w#t", HASH, "write it as %23"),
        ("postgres:host=h password=p#w#t", HASH, "write it as %23"),
        ("postgres//u:pw@h/db#t", "the colon behind the scheme is missing", "write a path"),
        ("sqlite:", "'sqlite:' names no database file", "write 'sqlite:shop.db#orders'"),
        ("${NOPE}#t", "the environment variable NOPE is not set", "export NOPE="),
        ("${", "'${' in a locator begins no variable", "write '${NAME}'"),
    ];
    for (text, message, hint) in table {
        let error = parse(text, &EMPTY).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, message), "{text}");
        assert!(error.hint().unwrap().starts_with(hint), "{text}: {:?}", error.hint());
    }
}

#[test]
fn variables_are_filled_in_paths_and_stay_references_in_urls() {
    let url = |text: &str| {
        let locator = parse(text, &EMPTY).unwrap();
        assert!(locator.url.contains("${PW}"));
        locator.place(ObjectRef::Whole, &EMPTY).unwrap().options["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(url("dir-${PW}/a.csv"), "dir-p@ss/w#d'/a.csv");
    assert_eq!(url("sqlite:${PW}.db#t"), "sqlite:p@ss/w#d'.db");
    assert_eq!(url("pg://ada:${PW}@db/shop#t"), "pg://ada:${PW}@db/shop");
    let unset = parse("dir/${NOPE}.csv", &EMPTY).unwrap();
    assert_eq!(unset.place(ObjectRef::Whole, &EMPTY).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn passwords_are_masked() {
    let table = [
        ("postgres://ada:s3cret@db/shop", "postgres://ada:***@db/shop"),
        ("postgres://ada:s3c@ret@db/shop", "postgres://ada:***@db/shop"),
        ("postgres://ada:s3/cret@db/shop", "postgres://ada:***@db/shop"),
        ("postgres://ada:s3?cret@db/shop", "postgres://ada:***?***"),
        ("postgres://ada:s3cret/shop", "postgres://ada:***"),
        ("postgres:/ada:s3cret@db/shop", "postgres:***"),
        ("postgres://ada@db/shop", "postgres://ada@db/shop"),
        ("postgres://db:5432/shop", "postgres://db:5432/shop"),
        ("postgres://a:1,[::1]:2/shop", "postgres://a:1,[::1]:2/shop"),
        ("postgres://db/shop?password=s3cret&sslmode=require", "postgres://db/shop?password=***&sslmode=require"),
        ("postgres://db/shop?password=s3c@ret", "postgres://db/shop?password=***"),
        ("postgres://db:5432/shop?password=s3c@ret", "postgres://db:***?password=***"),
        ("postgres://db/shop?pass%77ord=s3 cret", "postgres://db/shop?password=***"),
        ("postgres://db/shop?paswort=s3cret", "postgres://db/shop?***"),
        ("postgres://db/shop?sslpassword=s3cret&sslkey=k", "postgres://db/shop?sslpassword=***&sslkey=k"),
        ("postgres:host=db password=s3cret user=ada", "postgres:host=db password=*** user=ada"),
        ("postgres:host=db password=s3&cret user=ada", "postgres:host=db password=*** user=ada"),
        (r"postgres:host=db password=s3\ cret user=ada", "postgres:host=db password=*** user=ada"),
        (r"postgres:password = 's3 \' cret' user=ada", "postgres:password=*** user=ada"),
        ("postgres:password='s3 cret", "postgres:password=***"),
        ("gen:id:seq,price:decimal(10,2)?rows=10", "gen:id:seq,price:decimal(10,2)?rows=10"),
        ("orders.csv", "orders.csv"),
        ("adbc:sqlite?uri=shop.db", "adbc:sqlite?uri=shop.db"),
        ("adbc:postgresql?uri=postgresql://ada:s3@cret@db/shop", "adbc:postgresql?uri=postgresql://ada:***@db/shop"),
        ("adbc:postgresql?uri=postgresql://ada:12&3@db/shop", "adbc:postgresql?***"),
        ("adbc:postgresql?uri=host=db password=s3cret", "adbc:postgresql?uri=host=db password=***"),
        ("adbc:snowflake?uri=ada:s3cret@account/db&a.b=s3cret", "adbc:snowflake?uri=***@account/db&***"),
        (
            "adbc:snowflake?adbc.snowflake.sql.account=a&password=s3cret",
            "adbc:snowflake?adbc.snowflake.sql.account=a&password=***",
        ),
        ("adbc:postgresql://ada:s3cret@db", "adbc:***"),
        ("connectorx:postgresql://ada:s3@cret@db/shop", "connectorx:postgresql://ada:***@db/shop"),
        ("connectorx:sqlite:/tmp/shop.db", "connectorx:sqlite:/tmp/shop.db"),
        ("connectorx:s3cret", "connectorx:***"),
        ("connectorx:postgresql:s3cret", "connectorx:***"),
        ("trino+https://ada:s3cret@db/hive", "trino+https://ada:***@db/hive"),
        ("odbc:SHOP", "odbc:SHOP"),
        ("odbc:SHOP?UID=ada&PWD=s3cret", "odbc:SHOP?UID=ada&PWD=***"),
        ("odbc:?Driver=PostgreSQL Unicode&Server=db&Own=s3cret", "odbc:?Driver=PostgreSQL Unicode&Server=db&***"),
        ("odbc:?Driver=x&PWD=12&3cret", "odbc:?***"),
        ("odbc:?Driver=x&DBQ=ada/s3cret@db", "odbc:?***"),
        ("odbc:Driver=x;PWD=s3cret", "odbc:***"),
    ];
    for (text, masked) in table {
        assert_eq!(mask(text), masked, "{text}");
    }
    let locator = parse("${URL}#t", &EMPTY).unwrap();
    assert_eq!(locator.label(), "postgres://ada:***@db/shop#t");
    assert!(!format!("{locator:?}").contains("s3cret"));
    let place = locator.place(ObjectRef::Table("t".to_owned()), &EMPTY).unwrap();
    assert!(!format!("{place:?}").contains("s3cret"));
}

#[test]
fn a_target_takes_the_name_of_its_source() {
    let named = |text: &str, object: ObjectRef| default_table(&parse(text, &EMPTY).unwrap(), &object, &EMPTY).ok();
    let table = |name: &str| ObjectRef::Table(name.to_owned());
    let cases = [
        (named("pg://h/db", table("public.orders")), Some("orders")),
        (named("pg://h/db", table(r#"s."My.Table""#)), Some(r#""My.Table""#)),
        (named("pg://h/db", ObjectRef::Query("select 1".to_owned())), None),
        (named("dir/orders.csv.gz", ObjectRef::Whole), Some("orders")),
        (named("dir/2024.orders.csv", ObjectRef::Whole), Some(r#""2024.orders""#)),
        (named("orders/", ObjectRef::Whole), Some("orders")),
        (named("my orders.parquet", ObjectRef::Whole), Some(r#""my orders""#)),
        (named("orders-*.csv", ObjectRef::Whole), None),
        (named("-", ObjectRef::Whole), None),
        (named("..", ObjectRef::Whole), None),
        (named(".csv", ObjectRef::Whole), Some(r#"".csv""#)),
        (named("gen:tpch.lineitem?sf=1", ObjectRef::Whole), Some("lineitem")),
        (named("gen:", ObjectRef::Whole), None),
        (named("gen:id:seq,note:text?rows=5", ObjectRef::Whole), None),
    ];
    for (index, (name, expected)) in cases.into_iter().enumerate() {
        assert_eq!(name.as_deref(), expected, "case {index}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}") {
        check(&text);
    }

    #[test]
    fn nor_does_text_of_its_own_letters(text in r#"(pg|file|sqlite|gen|jdbc|\$\{PW\}|[:/#?&=%'"@*.a0 -]){0,20}"#) {
        check(&text);
    }

    /// Only the password has capitals, so none may be seen, wherever it stands and whatever is in it.
    #[test]
    fn a_password_never_shows(password in r#"[A-Z@:/?&=#%'"\\ *]{0,12}"#) {
        let secret = format!("Q{password}Q");
        let quoted = secret.replace('\\', r"\\").replace('\'', r"\'");
        let encoded = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        for url in [
            format!("postgres://ada:{secret}@db/shop"),
            format!("postgres://ada:{secret}@db:5432/shop?sslmode=require"),
            format!("postgres://ada:{encoded}@db/shop"),
            format!("postgres://db/shop?user=ada&password={secret}"),
            format!("postgres://db/shop?password={secret}&user=ada"),
            format!("postgres://db/shop?paswort={secret}"),
            format!("postgres:host=db password={secret} user=ada"),
            format!("postgres:host=db password = '{quoted}' user=ada"),
            format!("postgres:/ada:{secret}@db/shop"),
            format!("postgres//ada:{secret}@db/shop"),
            format!("jdbc:postgresql://db/shop?user=ada&password={secret}"),
        ] {
            let shown = |text: &str| text.contains(|c: char| c.is_ascii_uppercase());
            prop_assert!(!shown(&mask(&url)), "{url}: {}", mask(&url));
            let said = match parse(&format!("{url}#t"), &EMPTY) {
                Ok(locator) => format!("{} {locator:?}", locator.label()).replace("Locator", "").replace("Some", ""),
                Err(error) => format!("{error} {}", error.hint().unwrap_or_default()).replace(FORMS, "").replace("URL", ""),
            };
            prop_assert!(!shown(&said), "{url}: {said}");
        }
    }

    #[test]
    fn what_is_decoded_was_encoded(text in "[a-zA-Z0-9 #?%.\"ä]{1,20}") {
        let encoded = text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        prop_assert_eq!(percent_decode(&encoded), text);
    }
}

fn check(text: &str) {
    let Ok(locator) = parse(text, &EMPTY) else { return };
    let _ = (locator.label(), format!("{locator:?}"), locator.is_glob());
    let _ = default_table(&locator, &ObjectRef::Whole, &EMPTY);
    let object = locator.object().map_or(ObjectRef::Whole, |name| ObjectRef::Table(name.to_owned()));
    let _ = default_table(&locator, &object, &EMPTY);
    let _ = locator.place(object, &EMPTY);
}
