//! The fingerprint of a job: equal for two starts of the same job, on any machine and by any build.
//!
//! A resume compares it, so the digest is fixed: FNV-1a over canonical JSON. It holds no secret: locators are masked, options that
//! hide something are left out, and of settings that a mask hides and of longer texts there is a digest.

use arrow::datatypes::{Schema, SchemaRef};
use serde_json::{Map, Value as Json, json};

use crate::job::locator::{PATHS, is_secret, mask, plain_settings};
use crate::job::{FinerTimes, Highest, Job, OnError, Place, UnionBy};
use crate::schema::{CLOCK, NATIVE};
use crate::sink::Visible;

/// The fingerprint of `job` over a source with these `columns`.
pub(super) fn of(job: &Job, columns: &SchemaRef) -> String {
    let mut what = described(job);
    what["columns"] = Json::from(columns_of(columns));
    digest_of(what)
}

/// The same without the columns, which are known only when the source is open, and with the folder in which names of
/// files begin.
pub(super) fn identity(job: &Job) -> String {
    let mut what = described(job);
    what["folder"] = Json::from(folder(job));
    digest_of(what)
}

/// The current folder, where a place of `job` is a file named from there.
pub(super) fn folder(job: &Job) -> Option<String> {
    let is_relative = |path: &str| !path.split_once(':').map_or(path, |(_, path)| path).starts_with('/');
    let from_here = |place: &Place| {
        let url = place.options["url"].as_str().unwrap_or_default();
        let more = place.options["paths"].as_array().into_iter().flatten().filter_map(Json::as_str);
        PATHS.contains(&place.connector.as_str()) && std::iter::once(url).chain(more).any(is_relative)
    };
    let here = || std::env::current_dir().ok().map(|folder| folder.display().to_string());
    if job.sources().chain(job.targets()).any(from_here) { here() } else { None }
}

/// What the log says of `job`: its SQL, which may hold a secret, by its digest.
pub(super) fn recorded(job: &Job) -> Json {
    let mut what = described(job);
    let digests = |sql: &[String]| sql.iter().map(|sql| digest_of(Json::from(sql.as_str()))).collect::<Vec<_>>();
    what["preSql"] = Json::from(digests(&job.pre_sql));
    what["postSql"] = Json::from(digests(&job.post_sql));
    what["folder"] = Json::from(folder(job));
    // Also where there is none, so that one more is seen as a difference, and one less.
    for name in ["also", "union", "unionBy", "allowLossy", "finerTimes", "incremental", "publish", "onError"] {
        what[name] = what[name].take();
    }
    what
}

/// What makes `job` what it is.
fn described(job: &Job) -> Json {
    let mut what = json!({
        "source": place(&job.source),
        "target": place(&job.target),
        "transform": job.transform,
        "mode": job.mode,
        "schema": job.schema,
        "preSql": job.pre_sql,
        "postSql": job.post_sql,
    });
    if !job.union.is_empty() {
        what["union"] = job.union.iter().map(place).collect();
    }
    if job.union_by == UnionBy::Place {
        what["unionBy"] = json!(job.union_by);
    }
    if !job.also.is_empty() {
        what["also"] = job.also.iter().map(place).collect();
    }
    if !job.allow_lossy.is_empty() {
        what["allowLossy"] = json!(job.allow_lossy);
    }
    if job.finer_times != FinerTimes::Refused {
        what["finerTimes"] = json!(job.finer_times);
    }
    if let Some(incremental) = &job.incremental {
        what["incremental"] = json!(incremental);
    }
    if job.visible != Visible::AtOnce {
        what["publish"] = json!(job.visible);
    }
    if job.errors.on_error == OnError::Skip {
        what["onError"] = json!(job.errors.on_error);
    }
    what
}

/// The name under which the position of an incremental copy into `target` is kept. Columns and their transform may change; another
/// source, target, cursor, start or choice of rows is another copy. A copy that leaves rows with the `highest` cursor ends elsewhere than
/// one that takes them.
pub(super) fn stream(job: &Job, target: &Place, (cursor, highest): (&str, Highest)) -> String {
    let mut what = json!({
        "source": place(&job.source),
        "target": place(target),
        "cursor": cursor,
        "filter": job.transform.filter,
    });
    if !job.union.is_empty() {
        what["union"] = job.union.iter().map(self::place).collect();
    }
    if let Some(start) = job.incremental.as_ref().and_then(|incremental| incremental.start.as_ref()) {
        // Who names another start wants the rows from there on.
        what["start"] = Json::from(start.as_str());
    }
    if highest == Highest::Left {
        what["highest"] = json!(highest);
    }
    digest_of(what)
}

fn digest_of(what: Json) -> String {
    format!("{:032x}", digest(canonical(what).to_string().as_bytes()))
}

/// A place that can be opened again where nothing hides; of options that do there are digests beside it.
fn place(place: &Place) -> Json {
    let (mut shown, mut digests) = (Map::new(), Map::new());
    for (name, value) in place.options.as_object().into_iter().flatten().filter(|(name, _)| !is_secret(name)) {
        match value {
            Json::String(url) if name == "url" => {
                let settings = plain_settings(url);
                if !settings.is_empty() {
                    digests.insert(name.clone(), Json::from(digest_of(json!(settings))));
                }
                shown.insert(name.clone(), Json::from(mask(url)));
            }
            // More than words may be SQL, or hold whatever.
            Json::String(text) if !is_words(text) => {
                digests.insert(name.clone(), Json::from(digest_of(Json::from(text.as_str()))));
            }
            Json::Array(statements) if name == "session" => {
                digests.insert(name.clone(), Json::from(digest_of(json!(statements))));
            }
            other => {
                shown.insert(name.clone(), other.clone());
            }
        }
    }
    let mut told = json!({"connector": place.connector, "options": shown, "object": place.object});
    if !digests.is_empty() {
        told["digests"] = Json::Object(digests);
    }
    told
}

/// Whether `text` is a path, a name, a list of them, or a sign.
fn is_words(text: &str) -> bool {
    text.chars().count() == 1 || text.chars().all(|c| c.is_alphanumeric() || "._-/\\,*".contains(c))
}

fn columns_of(columns: &Schema) -> Vec<Json> {
    let column = |field: &arrow::datatypes::FieldRef| {
        let native = field.metadata().get(NATIVE);
        let known = json!([field.name(), field.data_type().to_string(), field.is_nullable(), native]);
        match field.metadata().get(CLOCK) {
            Some(clock) => json!([known, clock]),
            None => known,
        }
    };
    columns.fields().iter().map(column).collect()
}

/// `value` with the keys of every object in order.
fn canonical(value: Json) -> Json {
    match value {
        Json::Object(object) => {
            let mut pairs: Vec<(String, Json)> =
                object.into_iter().map(|(name, value)| (name, canonical(value))).collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            Json::Object(pairs.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

/// FNV-1a with 128 bits.
fn digest(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::endpoint::ObjectRef;
    use crate::job::TransformStep;

    fn job(options: Json) -> Job {
        let mut job = Job::new(
            Place::new("postgres", options, ObjectRef::Table("public.orders".to_owned())),
            Place::new("sqlite", json!({"url": "sqlite:shop.db"}), ObjectRef::Table("orders".to_owned())),
        );
        job.transform.filter = Some("id > 7".to_owned());
        job
    }

    fn columns() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
    }

    #[test]
    fn the_digest_is_the_published_one() {
        assert_eq!(digest(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(digest(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn a_known_job_has_a_known_fingerprint() {
        let known = of(&job(json!({"url": "postgres://ada@db/shop", "fetch": 5})), &columns());
        assert_eq!(known, "b01b5555448a76b482ec31134fa7f848");
    }

    #[test]
    fn order_and_secrets_of_options_do_not_matter() {
        let first = of(&job(json!({"url": "postgres://ada:one@db/shop", "fetch": 5, "password": "one"})), &columns());
        let second = of(&job(json!({"password": "two", "fetch": 5, "url": "postgres://ada:two@db/shop"})), &columns());
        assert_eq!(first, second);
    }

    #[test]
    fn a_changed_option_is_a_changed_job_and_none_shows() {
        let options = [
            json!({"url": "mysql://ada:s3cret@db/shop"}),
            json!({"url": "mysql://ada:s3cret@db/shop?zeroDates=null"}),
            json!({"url": "mysql://ada:s3cret@db/shop?zeroDates=text"}),
            json!({"url": "mysql://ada:s3cret@db/shop", "session": "set @a:=1; set x='p@ss'"}),
            json!({"url": "mysql://ada:s3cret@db/shop", "session": "set @a:=2; set x='p@ss'"}),
            json!({"url": "mysql://ada:s3cret@db/shop", "time": "duration"}),
            json!({"url": "mysql://ada:s3cret@db/shop", "time": "time"}),
            json!({"url": "odbc:SHOP", "session": ["set a = 1", "set x = 'p@ss'"]}),
            json!({"url": "odbc:SHOP", "session": ["set a = 2", "set x = 'p@ss'"]}),
        ];
        let all: std::collections::BTreeSet<String> =
            options.iter().map(|one| of(&job(one.clone()), &columns())).collect();
        assert_eq!(all.len(), options.len());
        for hidden in [&options[3], &options[7]] {
            let told = recorded(&job(hidden.clone())).to_string();
            assert!(!told.contains("p@ss") && !told.contains("s3cret"), "{told}");
        }
        // A run that is given up is swept by these options: none may stand there that its connector does not know.
        let told = recorded(&job(json!({"url": "postgres://db/shop?connect_timeout=9", "options": "-c x=y"})));
        assert_eq!(told["source"]["options"], json!({"url": "postgres://db/shop?connect_timeout=9"}));
        // A password that holds a question mark is one, too.
        let passwords = [
            "mysql://ada:a?b=c@db/shop",
            "mysql://ada:a?b=d@db/shop",
            "mysql://db/shop?password=x",
            "mysql://db/shop?password=y",
        ];
        let [first, second, third, fourth] = passwords.map(|url| of(&job(json!({ "url": url })), &columns()));
        assert_eq!((first, third), (second, fourth));
    }

    #[test]
    fn files_that_are_named_from_here_belong_to_this_folder() {
        let file = |options: Json| Place::new("file", options, ObjectRef::Whole);
        let here = std::env::current_dir().unwrap().display().to_string();
        for (options, wanted) in [
            (json!({"url": "/a.csv"}), None),
            (json!({"url": "a.csv"}), Some(here.clone())),
            (json!({"url": "/a.csv", "paths": ["/b.csv"]}), None),
            (json!({"url": "/a.csv", "paths": ["/b.csv", "c.csv"]}), Some(here)),
        ] {
            let null = Place::new("stream", json!({"url": "null:"}), ObjectRef::Whole);
            assert_eq!(folder(&Job::new(file(options.clone()), null)), wanted, "{options}");
        }
    }

    #[test]
    fn everything_else_matters() {
        let options = || json!({"url": "postgres://ada@db/shop"});
        let base = of(&job(options()), &columns());
        let mut others = vec![of(&job(json!({"url": "postgres://ada@db/other"})), &columns())];
        let fewer = Arc::new(columns().project(&[0]).unwrap());
        others.push(of(&job(options()), &fewer));
        let changes: [fn(&mut Job); 10] = [
            |job| job.union.push(job.source.clone()),
            |job| job.union_by = UnionBy::Place,
            |job| _ = job.allow_lossy.insert("name".to_owned()),
            |job| job.finer_times = FinerTimes::Cut,
            |job| job.also.push(job.source.clone()),
            |job| job.transform.filter = None,
            |job| {
                let (function, parameters) = ("dx_pad".to_owned(), ["l", "5", "0"].map(str::to_owned).to_vec());
                job.transform.steps.push(TransformStep { function, column_index: 0, parameters });
            },
            |job| job.pre_sql.push("select 1".to_owned()),
            |job| job.post_sql.push("select 1".to_owned()),
            |job| job.mode = crate::sink::WriteMode::Append,
        ];
        for change in changes {
            let mut changed = job(options());
            change(&mut changed);
            others.push(of(&changed, &columns()));
        }
        assert!(others.iter().all(|other| *other != base), "{others:?}");
    }
}
