use super::*;
use crate::job::syntax::{self, Syntax};
use crate::job::{LogLevel, OnError, Toggle};
use crate::merge::{Duplicates, Merge};
use crate::sink::WriteMode;

/// A world with `postgres`, `sqlite` and `file`, in which locators are paths.
struct World;

impl Places for World {
    fn locate(&self, locator: &str) -> Result<Place> {
        match locator.split_once('#') {
            Some((url, table)) => Ok(Place::new("sqlite", json!({ "url": url }), ObjectRef::Table(table.to_owned()))),
            None => Ok(Place::new("file", json!({ "url": locator }), ObjectRef::Whole)),
        }
    }
    fn connector(&self, name: &str) -> Result<&'static str> {
        let known = ["postgres", "sqlite", "file"].into_iter().find(|known| *known == name);
        known.ok_or_else(|| Error::new(ErrorKind::Usage, format!("there is no connector \"{name}\"")))
    }
    fn is_whole(&self, connector: &str) -> bool {
        connector == "file"
    }
    /// Nobody takes an option `wrong`, be it of a file or in a locator.
    fn check(&self, place: &Place) -> Result<()> {
        let is_wrong = place.options.get("wrong").is_some() || place.options["url"] == "wrong";
        if is_wrong { Err(Error::new(ErrorKind::Usage, "it is wrong")) } else { Ok(()) }
    }
}

fn environment(name: &str) -> Option<String> {
    (name == "DAY").then(|| "monday".to_owned())
}

fn settled(text: &str) -> Result<Native> {
    let tree = syntax::parse(text, Syntax::Json)?.into_tree();
    settle(&tree, &World, &Variables::of("", &environment).variables)
}

const SHOP: &str = r#"{
  "connections": {"shop": {"connector": "postgres", "url": "postgres://ada:${PW}@db/shop", "connectTimeout": 5}},
  "transfers": [
    {"source": {"connection": "shop", "table": "orders"}, "target": {"locator": "a.csv"}, "limits": {"jobs": 2}},
    {"source": {"connector": "file", "url": "${DAY}.csv", "header": false}, "target": {"connection": "shop", "table": "t"},
     "mode": {"upsert": {"key": ["id"], "duplicates": {"last": "at"}}}, "transform": {"filter": "a > 1", "pushdown": false}}
  ],
  "settings": {"limits": {"jobs": 7}, "errors": {"onError": "skip", "rejects": {"connector": "file", "url": "r.jsonl"}}}
}"#;

#[test]
fn transfers_take_connections_and_settings() {
    let native = settled(SHOP).unwrap();
    assert_eq!(native.unknown, Vec::<String>::new());
    let [first, second] = native.jobs.as_slice() else { unreachable!("{:?}", native.jobs) };
    assert_eq!(
        (first.source.connector.as_str(), &first.source.object),
        ("postgres", &ObjectRef::Table("orders".to_owned()))
    );
    // The password stays a reference.
    assert_eq!(first.source.options, json!({"url": "postgres://ada:${PW}@db/shop", "connectTimeout": 5}));
    assert_eq!((first.limits.jobs, second.limits.jobs), (Some(2), Some(7)));
    assert_eq!(first.mode, WriteMode::Create);
    assert_eq!(second.source.options, json!({"url": "monday.csv", "header": false}));
    let merge = Merge { key: vec!["id".to_owned()], duplicates: Duplicates::Last("at".to_owned()), ..Merge::default() };
    assert_eq!(second.mode, WriteMode::Upsert(merge));
    assert_eq!((second.transform.pushdown, second.errors.on_error), (Toggle::Off, OnError::Skip));
    assert_eq!(second.errors.rejects.as_ref().unwrap().options, json!({"url": "r.jsonl"}));
}

#[test]
fn what_was_written_is_read_as_the_same() {
    let jobs = settled(SHOP).unwrap().jobs;
    let text = emit(&jobs).unwrap().to_string();
    let again = settled(&text).unwrap();
    assert_eq!(again.unknown, Vec::<String>::new());
    assert_eq!(serde_json::to_value(&again.jobs).unwrap(), serde_json::to_value(&jobs).unwrap());
    let plain = Job::new(World.locate("a${x}.csv").unwrap(), World.locate("b.db#t").unwrap());
    let told = json!({"transfers": [{
        "source": {"connector": "file", "url": "a$${x}.csv"}, "target": {"connector": "sqlite", "url": "b.db", "table": "t"},
    }]});
    assert_eq!(emit(&[plain]).unwrap(), told);
}

fn transfer(members: &str) -> Result<Native> {
    settled(&format!(
        "{{\"transfers\": [{{\"source\": {{\"locator\": \"a.csv\"}}, \"target\": {{\"locator\": \"b.csv\"}}{members}}}]}}"
    ))
}

#[test]
fn several_places_stand_in_lists() {
    let text = r#"{"transfers": [{"sources": [{"locator": "a.csv"}, {"locator": "b.csv"}],
        "targets": [{"locator": "c.db#t"}, {"locator": "d.csv"}, {"locator": "e.csv"}]}]}"#;
    let native = settled(text).unwrap();
    assert_eq!(native.unknown, Vec::<String>::new());
    let job = &native.jobs[0];
    let sources: Vec<&Json> = job.sources().map(|place| &place.options["url"]).collect();
    let targets: Vec<&Json> = job.targets().map(|place| &place.options["url"]).collect();
    assert_eq!(sources, ["a.csv", "b.csv"]);
    assert_eq!(targets, ["c.db", "d.csv", "e.csv"]);
    let told = emit(&native.jobs).unwrap();
    assert_eq!(told["transfers"][0]["sources"][1], json!({"connector": "file", "url": "b.csv"}));
    assert_eq!(told["transfers"][0]["targets"].as_array().map(Vec::len), Some(3));
    let again = settled(&told.to_string()).unwrap();
    assert_eq!(serde_json::to_value(&again.jobs).unwrap(), serde_json::to_value(&native.jobs).unwrap());
    // A list of one is no other thing.
    let one =
        settled(r#"{"transfers": [{"sources": [{"locator": "a.csv"}], "target": {"locator": "b.csv"}}]}"#).unwrap();
    assert!(one.jobs[0].union.is_empty());
}

#[test]
fn an_option_that_a_connector_does_not_take_is_named_by_its_path() {
    for (source, path) in [
        (r#"{"locator": "a.csv"}"#, None),
        (r#"{"connector": "file", "url": "a.csv", "header": false, "wrong": 1}"#, Some("transfers.0.source.wrong")),
        (r#"{"connector": "file", "url": "wrong", "header": false}"#, Some("transfers.0.source.url")),
        (r#"{"connection": "shop", "table": "t"}"#, Some("connections.shop.wrong")),
        (r#"{"locator": "wrong"}"#, Some("transfers.0.source.locator")),
        (r#"{"connector": "file", "url": "wrong", "wrong": 1}"#, Some("transfers.0.source")),
    ] {
        let text = format!(
            r#"{{"connections": {{"shop": {{"connector": "postgres", "port": 1, "wrong": 2}}}},
                "transfers": [{{"source": {source}, "target": {{"locator": "b.csv"}}}}]}}"#
        );
        let mistake = settled(&text).unwrap().mistake.map(|error| error.to_string());
        let told = path.map(|path| format!("key {path} (line "));
        assert_eq!(mistake.is_some(), told.is_some(), "{source}");
        assert!(mistake.unwrap_or_default().starts_with(&told.unwrap_or_default()), "{source}");
    }
}

#[test]
fn settings_name_a_log() {
    let file = |log: &str| {
        settled(&format!(
            "{{\"settings\": {{\"log\": {log}}}, \"transfers\": [{{\"source\": {{\"locator\": \"a\"}}, \"target\": {{\"locator\": \"b\"}}}}]}}"
        ))
    };
    let log = |text: &str| file(text).map(|native| native.log.unwrap());
    let plain = log("{\"path\": \"${DAY}.log\"}").unwrap();
    assert_eq!((plain.path.as_str(), plain.bytes, plain.level), ("monday.log", LogFile::BYTES, LogLevel::All));
    let whole = log("{\"path\": \"run.log\", \"bytes\": 50000, \"level\": \"note\"}").unwrap();
    assert_eq!((whole.bytes, whole.level), (50_000, LogLevel::Note));
    assert_eq!(file("{\"path\": \"a\", \"size\": 1}").unwrap().unknown, ["settings.log.size"]);
    let wrong = log("{\"path\": \"a\", \"level\": \"debug\"}").unwrap_err().to_string();
    assert!(wrong.contains("key settings.log.level (line 1"), "{wrong}");
}

#[test]
fn a_key_that_is_nearly_right_is_named() {
    let file = r#"{"connections": {"x": {"connector": "file", "url": "a"}},
        "settings": {"limits": {"retres": 1}},
        "transfers": [{"source": {"connection": "x"}, "target": {"locator": "b.csv"}, "mdoe": "append", "far": 1,
                       "transform": {"limt": 1}, "errors": {"onErrors": "skip"}}]}"#;
    let tree = syntax::parse(file, Syntax::Json).unwrap().into_tree();
    let unknown = settle(&tree, &World, &Variables::of("", &environment).variables).unwrap().unknown;
    let meant: Vec<Option<String>> = unknown.iter().map(|path| tree.meant(path)).collect();
    let of = |path: &str| meant[unknown.iter().position(|known| known == path).unwrap()].as_deref();
    assert_eq!(of("settings.limits.retres"), Some("retries"));
    assert_eq!((of("transfers.0.mdoe"), of("transfers.0.far")), (Some("mode"), None));
    assert_eq!((of("transfers.0.transform.limt"), of("transfers.0.errors.onErrors")), (Some("limit"), Some("onError")));
}

#[test]
fn a_mode_that_merges_may_stand_alone() {
    let mode = |text: &str| transfer(&format!(", \"mode\": {text}")).map(|native| native.jobs[0].mode.clone());
    assert_eq!(mode("\"upsert\"").unwrap(), WriteMode::Upsert(Merge::default()));
    assert_eq!(mode("\"append\"").unwrap(), WriteMode::Append);
    assert!(mode("\"merge\"").unwrap_err().to_string().contains("transfers.0.mode"));
}

#[test]
fn keys_without_a_meaning_are_named() {
    let native = transfer(", \"moed\": \"append\", \"limits\": {\"job\": 3}").unwrap();
    assert_eq!(native.unknown, ["transfers.0.moed", "transfers.0.limits.job"]);
    let file = r#"{"connections": {"x": {"connector": "file", "url": "a"}}, "transfer": 1,
        "settings": {"limits": {"job": 1}, "mode": "append"},
        "transfers": [{"source": {"locator": "a.csv"}, "target": {"locator": "b.csv"}}]}"#;
    let mut unknown = settled(file).unwrap().unknown;
    unknown.sort();
    assert_eq!(unknown, ["connections", "settings.limits.job", "settings.mode", "transfer"]);
}

#[test]
fn mistakes_are_named_with_their_path() {
    let table = [
        (r#"{"a": 1}"#, "the key 'transfers' is missing"),
        (r#"{"transfers": []}"#, "key transfers (line 1, column 15): the file has no transfer"),
        (
            r#"{"transfers": [{"source": {"locator": "a.csv"}}]}"#,
            "key transfers.0 (line 1, column 16): the key 'target' is missing",
        ),
        (
            r#"{"transfers": [{"source": {"url": "a.csv"}}]}"#,
            "key transfers.0.source (line 1, column 27): a place is named by one of",
        ),
        (r#"{"transfers": [{"source": {"connection": "x"}}]}"#, "the file has no connections"),
        (
            r#"{"transfers": [{"source": {"connector": "oracle"}}]}"#,
            "key transfers.0.source.connector (line 1, column 41): there is no connector \"oracle\"",
        ),
        (
            r#"{"transfers": [{"source": {"locator": "a"}, "sources": [{"locator": "b"}]}]}"#,
            "key transfers.0.sources (line 1, column 56): both 'source' and 'sources' are here",
        ),
        (
            r#"{"transfers": [{"source": {"locator": "a"}, "targets": []}]}"#,
            "key transfers.0.targets (line 1, column 56): the list names no place",
        ),
        (
            r#"{"transfers": [{"source": {"locator": "a"}, "target": {"locator": "b"}, "also": []}]}"#,
            "'also' is no key of a transfer",
        ),
        (r#"{"transfers": [{"source": {"connector": "postgres"}}]}"#, "no table is named here"),
        (r#"{"transfers": [{"source": {"locator": "a.csv", "table": "t"}}]}"#, "file has no tables"),
        (r#"{"transfers": [{"source": {"locator": "a#b", "table": "t"}}]}"#, "the locator names a table already"),
        (r#"{"transfers": [{"source": {"locator": "a", "query": "x", "table": "t"}}]}"#, "both 'table' and 'query'"),
        (
            r#"{"transfers": [{"source": {"connector": "file", "url": "${X}"}}]}"#,
            "key transfers.0.source.url (line 1, column 56): the variable X is not set",
        ),
    ];
    for (text, message) in table {
        let error = settled(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    let wrong = transfer(", \"limits\": {\"jobs\": \"four\"}").unwrap_err().to_string();
    assert!(
        wrong.contains("key transfers.0.limits.jobs (line 1, column") && wrong.contains("invalid type: string"),
        "{wrong}"
    );
    for (members, wanted) in [
        (", \"limits\": {\"jobs\": \"four\"}", "expected a whole number"),
        (", \"limits\": 4", "expected an object"),
        (", \"transform\": {\"select\": \"id\"}", "expected a list"),
    ] {
        let message = transfer(members).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
    let yes = transfer(", \"transform\": {\"pushdown\": \"yes\"}").unwrap_err().to_string();
    assert!(yes.contains("transfers.0.transform.pushdown") && yes.contains("true or false"), "{yes}");
}

#[test]
fn a_secret_is_not_written() {
    let refused = |connector: &str, options: Json| {
        let place = Place::new(connector, options, ObjectRef::Table("t".to_owned()));
        refuse_secrets(&[Job::new(place.clone(), place)]).map_err(|error| error.to_string())
    };
    for open in
        ["postgres://ada:s3cret@db/shop", "postgres://db/shop?password=s3cret", "postgres:host=db password=s3cret"]
    {
        let error = refused("postgres", json!({ "url": open })).unwrap_err();
        assert!(error.contains("a secret stands there") && !error.contains("s3cret"), "{error}");
    }
    assert!(refused("postgres", json!({"url": "postgres:", "password": "s3cret"})).is_err());
    for plain in
        ["postgres://ada:${PW}@db/shop", "postgres://ada@db:5432/shop?application_name=x&foo=bar", "postgres:host=db"]
    {
        assert_eq!(refused("postgres", json!({ "url": plain })), Ok(()), "{plain}");
    }
    assert_eq!(refused("sqlite", json!({"url": "sqlite:a:b@c.db"})), Ok(()));
}

#[test]
fn a_secret_becomes_a_reference() {
    let place =
        |password: &str| Place::new("postgres", json!({"url": "postgres:", "password": password}), ObjectRef::Whole);
    let mut jobs = [Job::new(place("a"), place("b")), Job::new(place("b"), place("${PW}"))];
    assert_eq!(refer_to_secrets(&mut jobs), ["SOURCE_PASSWORD", "TARGET_PASSWORD_2"]);
    assert_eq!(jobs[0].source.options["password"], "${SOURCE_PASSWORD}");
    assert_eq!(jobs[1].source.options["password"], "${TARGET_PASSWORD_2}");
    assert_eq!(jobs[1].target.options["password"], "${PW}");
    let located = |url: &str| Place::new("odbc", json!({ "url": url }), ObjectRef::Table("t".to_owned()));
    let mut jobs = [
        Job::new(located("odbc:?Driver=x&UID=a&PWD=p%40"), located("oracle://a:p%40@h:1521/s")),
        Job::new(located("odbc:?Driver=x&PWD=${PW}"), located("odbc:?Driver=x&PWD=p&Secret=q")),
    ];
    assert_eq!(refer_to_secrets(&mut jobs), ["SOURCE_PASSWORD"]);
    let urls = |job: &Job| [&job.source, &job.target].map(|place| place.options["url"].as_str().unwrap().to_owned());
    let expected = ["odbc:?Driver=x&UID=a&PWD=${SOURCE_PASSWORD}", "oracle://a:${SOURCE_PASSWORD}@h:1521/s"];
    assert_eq!(urls(&jobs[0]), expected);
    refuse_secrets(&jobs[..1]).unwrap();
    assert_eq!(urls(&jobs[1])[0], "odbc:?Driver=x&PWD=${PW}");
    assert!(refuse_secrets(&jobs[1..]).is_err(), "which of them is one?");
}

#[test]
fn secrets_of_all_places_are_found() {
    let secret =
        |password: Json| Place::new("postgres", json!({"password": password}), ObjectRef::Table("t".to_owned()));
    let plain = || Job::new(World.locate("a.csv").unwrap(), World.locate("b.csv").unwrap());
    let places: [fn(&mut Job, Place); 3] = [
        |job, place| job.union.push(place),
        |job, place| job.also.push(place),
        |job, place| job.errors.rejects = Some(place),
    ];
    for put in places {
        let mut jobs = [plain()];
        put(&mut jobs[0], secret(json!("x1")));
        assert!(refuse_secrets(&jobs).is_err());
        assert_eq!(refer_to_secrets(&mut jobs).len(), 1);
        refuse_secrets(&jobs).unwrap();
        let mut jobs = [plain()];
        put(&mut jobs[0], secret(json!(12345)));
        assert!(refuse_secrets(&jobs).is_err());
    }
}
