//! Types of extensions, as `hstore` and `citext`, in `PostgreSQL` and through files. What is true is asked of psql.

use crate::program::{copied, etl, refused};
use crate::server::{postgres, psql};

/// A table `s`, with rows enough for several readers.
const VALUES: &str = include_str!("postgres_extensions/values.sql");

/// A database with the table, and one with a table of the same columns, `empty`.
fn databases() -> [String; 2] {
    let urls = [postgres(), postgres()];
    for url in &urls {
        psql(url, VALUES);
    }
    psql(&urls[1], "create table empty (like s including all); drop table s");
    urls
}

/// All values of `table`, as the server shows them.
fn values(url: &str, table: &str) -> String {
    psql(url, &format!("select count(*), md5(string_agg(t::text, E'\\n' order by id)) from {table} t"))
}

fn types(url: &str, table: &str) -> String {
    psql(
        url,
        &format!(
            "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute
             where attrelid = '{table}'::regclass and attnum > 0 order by attnum"
        ),
    )
}

#[test]
fn they_are_the_same_in_another_database() {
    let (folder, [from, to]) = (tempfile::tempdir().unwrap(), databases());
    let expected = (values(&from, "s"), types(&from, "s"));
    for (mode, jobs) in [("create", "1"), ("create", "2"), ("append", "2"), ("replace", "2"), ("upsert", "2")] {
        psql(&to, "drop table if exists t");
        if mode != "create" {
            psql(&to, "create table t (like empty including all)");
        }
        if mode == "replace" || mode == "upsert" {
            psql(&to, "insert into t (id, c) values (1, 'old')");
        }
        let (source, target) = (format!("{from}#s"), format!("{to}#t"));
        copied(folder.path(), &[&source, &target, "--mode", mode, "-j", jobs, "--verify", "checksum"]);
        assert_eq!((values(&to, "t"), types(&to, "t")), expected, "{mode} {jobs}");
    }
}

#[test]
fn they_come_back_from_files() {
    let (folder, [from, to]) = (tempfile::tempdir().unwrap(), databases());
    // What a list cannot hold: an array of several dimensions beside others.
    psql(&from, "delete from s where id = 4");
    let expected = values(&from, "s");
    for (extension, keeps_types) in
        [("csv", false), ("jsonl", false), ("parquet", true), ("arrow", true), ("avro", true)]
    {
        let file = format!("s.{extension}");
        psql(&to, "drop table if exists t, new; create table t (like empty including all)");
        copied(folder.path(), &[&format!("{from}#s"), &file, "-j", "2"]);
        copied(folder.path(), &[&file, &format!("{to}#t"), "--mode", "append", "-j", "2"]);
        assert_eq!(values(&to, "t"), expected, "{extension}");
        if keeps_types {
            copied(folder.path(), &[&file, &format!("{to}#new")]);
            let now = (values(&to, "new"), types(&to, "new"));
            assert_eq!(now, (expected.clone(), types(&to, "empty")), "{extension}");
        }
    }
}

#[test]
fn a_database_without_the_extension_keeps_their_text_and_the_plan_says_so() {
    let (folder, from, to) = (tempfile::tempdir().unwrap(), postgres(), postgres());
    psql(
        &from,
        "create extension hstore; create domain facts as hstore; create table s (id int primary key, h hstore, a hstore[], f facts);
         insert into s values (1, 'a=>1', array['b=>2'::hstore, null], 'c=>NULL')",
    );
    let (source, target) = (format!("{from}#s"), format!("{to}#t"));
    let plan = etl(folder.path(), &["plan", &source, &target]);
    let told = "the target has no types facts, hstore, hstore[], and their columns get others: make them or their extensions \
                before, as with --pre-sql";
    assert!(plan.stdout.contains(told), "{} {}", plan.stdout, plan.stderr);
    copied(folder.path(), &[&source, &target]);
    assert_eq!(psql(&to, "select h, a[1], a[2], f from t"), r#""a"=>"1"|"b"=>"2"||"c"=>NULL"#);
    assert_eq!(types(&to, "t"), "id|integer|t\nh|text|f\na|text[]|f\nf|text|f");

    let made = ["--pre-sql", "create extension hstore; create domain facts as hstore"];
    let same = format!("{to}#same");
    copied(folder.path(), &[&[source.as_str(), same.as_str()], &made[..]].concat());
    assert_eq!(values(&to, "same"), values(&from, "s"));
    assert_eq!(types(&to, "same"), types(&from, "s"));
}

#[test]
fn equal_and_a_key_mean_what_they_mean_here_and_there() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create extension citext; create table s (c citext primary key, v int);
         insert into s values ('MiXed', 1), ('other', 2)",
    );
    let table = format!("{url}#s");
    // A condition means the same for every source: here, other letters are another text.
    for (condition, rows) in [("c = 'MiXed'", "c,v\nMiXed,1\n"), ("c = 'mixed'", "c,v\n")] {
        copied(folder.path(), &[&table, "found.csv", "--where", condition, "--mode", "replace"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("found.csv")).unwrap(), rows, "{condition}");
    }
    // A key is that of the target.
    std::fs::write(folder.path().join("more.csv"), "c,v\nMIXED,3\nnew,4\n").unwrap();
    copied(folder.path(), &["more.csv", &table, "--mode", "upsert"]);
    assert_eq!(psql(&url, "select * from s order by v"), "other|2\nMiXed|3\nnew|4");
    std::fs::write(folder.path().join("more.csv"), "c,v\nTwice,5\ntwice,6\n").unwrap();
    let said = refused(folder.path(), &["more.csv", &table, "--mode", "upsert"]);
    assert!(said.contains("several rows of the source have the same key"), "{said}");
}

#[test]
fn a_text_that_is_no_value_is_named_by_its_place() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create extension hstore; create table t (id int, h hstore)");
    std::fs::write(folder.path().join("s.csv"), "id,h\n1,a=>1\n2,a=secret\n3,c=>3\n").unwrap();
    let target = format!("{url}#t");
    let words = ["s.csv", target.as_str(), "--mode", "append"];
    let said = refused(folder.path(), &words);
    assert!(said.contains("row 2: column h") && !said.contains("near \"s\""), "{said}");
    assert_eq!(psql(&url, "select count(*) from t"), "0");
    copied(folder.path(), &[&words[..], &["--on-error", "skip", "--rejects", "bad.jsonl"]].concat());
    assert_eq!(psql(&url, "select * from t order by id"), "1|\"a\"=>\"1\"\n3|\"c\"=>\"3\"");
}
