//! A copy that is completed at another point in time, as the user allows.

use super::*;
use crate::server::sqlite3;

/// A database with a table of old rows that has a key.
fn source() -> String {
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, note text); \
         insert into s select g, repeat('o', 200) from generate_series(1, 160000) g",
    );
    url
}

#[test]
fn key_ranges_are_completed_at_another_point_in_time() {
    let (folder, url) = (tempfile::tempdir().unwrap(), source());
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    let words = [from.as_str(), &to, "-j", "2", "--allow-mixed-snapshot"];
    let plan = etl(folder.path(), &[&["plan"], &words[..]].concat()).stdout;
    assert!(plan.contains("ranges of key id") && plan.contains("mixed: the rest is read at another"), "{plan}");
    killed_at(folder.path(), &words, ("wrote", 2));
    // The rows move to other pages; their keys stay.
    psql(&url, "update s set note = repeat('n', 200)");
    psql(&url, "vacuum full s");
    let said = resumed(folder.path(), &words);
    assert!(said.contains("not one point in time: 20") && kept(&said) > 0, "{said}");
    assert_eq!(psql(&url, COUNTED), ONCE);
    let notes = "select count(distinct note), bool_and(note in (repeat('o', 200), repeat('n', 200))) from t";
    assert_eq!(psql(&url, notes), "2|t");
}

/// Keys of any type are cut by what the server knows of their values: text by its own collation, several columns by the first.
#[test]
fn every_type_of_key_is_completed() {
    for (kind, key) in [
        ("uuid", "md5(g::text)::uuid"),
        ("text collate \"en-x-icu\"", "chr(39 + g % 80) || '\\' || md5(g::text)"),
        ("timestamptz", "timestamptz '2020-01-01 00:00Z' + g * interval '1.7 seconds'"),
        ("numeric", "g * 1.25"),
    ] {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        psql(
            &url,
            &format!(
                "create table s (k {kind}, id int, note text, primary key (k, id)) with (autovacuum_enabled = false); \
                 insert into s select {key}, g, repeat('o', 200) from generate_series(1, 160000) g"
            ),
        );
        let (from, to) = (format!("{url}#s"), format!("{url}#t"));
        let words = [from.as_str(), &to, "-j", "2", "--allow-mixed-snapshot"];
        let plan = || etl(folder.path(), &[&["plan"], &words[..]].concat()).stdout;
        let unknown = plan();
        assert!(unknown.contains("no ANALYZE has told how the values of key k lie"), "{kind}: {unknown}");
        psql(&url, "analyze s");
        let known = plan();
        assert!(known.contains("ranges of key k") && known.contains("mixed: the rest is read at another"), "{known}");
        killed_at(folder.path(), &words, ("wrote", 2));
        psql(&url, "update s set note = repeat('n', 200)");
        psql(&url, "vacuum full s");
        let said = resumed(folder.path(), &words);
        assert!(said.contains("not one point in time: 20") && kept(&said) > 0, "{kind}: {said}");
        assert_eq!(psql(&url, COUNTED), ONCE, "{kind}");
        let keys = "select count(*) from s join t using (k, id) where s.k::text = t.k::text";
        assert_eq!(psql(&url, keys), "160000", "{kind}");
    }
}

/// Of SQLite, where a key orders the rows; a row id alone is another one after a VACUUM.
#[test]
fn an_integer_key_of_sqlite_is_completed() {
    for (key, mixes) in [("id integer primary key", true), ("id int not null", false)] {
        let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
        let file = folder.path().join("s.db");
        let fill = "with recursive g(i) as (select 1 union all select i + 1 from g where i < 160000) \
                    insert into s select i, printf('%0200d', 0) from g";
        sqlite3(&file, &format!("create table s ({key}, note text); {fill}"));
        let (from, to) = (format!("{}#s", file.display()), format!("{url}#t"));
        let words = [from.as_str(), &to, "-j", "2", "--allow-mixed-snapshot"];
        killed_at(folder.path(), &words, ("wrote", 2));
        sqlite3(&file, "update s set note = printf('%0200d', 1); vacuum");
        let said = resumed(folder.path(), &words);
        assert_eq!(said.contains("not one point in time: 20") && kept(&said) > 0, mixes, "{said}");
        assert_eq!(said.contains("begun again"), !mixes, "{said}");
        assert_eq!(psql(&url, COUNTED), ONCE);
    }
}

#[test]
fn without_leave_it_begins_again() {
    let (folder, url) = (tempfile::tempdir().unwrap(), source());
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    killed_at(folder.path(), &[&from, &to, "-j", "2", "--allow-mixed-snapshot"], ("wrote", 2));
    psql(&url, "update s set note = 'n'");
    let said = resumed(folder.path(), &[&from, &to, "-j", "2"]);
    assert!(said.contains("begun again"), "{said}");
    assert_eq!(psql(&url, "select count(*), string_agg(distinct note, '') from t"), "160000|n");
}
