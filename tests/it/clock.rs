//! Instants and times without a zone, which become each other by the clock that `--clock` names, and by none else.

use std::path::Path;

use crate::program::{copied, etl, refused};
use crate::server::{mariadb, mariadb_client, mysql, postgres, psql};

fn table(url: &str, name: &str) -> String {
    format!("{url}#{name}")
}

/// Appends the rows of `from` to `to` by the clock of `zone`.
fn by_clock(folder: &Path, zone: &str, from: &str, to: &str) {
    copied(folder, &[from, to, "--mode", "append", "--clock", zone]);
}

#[test]
fn timestamps_of_postgres_go_both_ways() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table t (id int primary key, at timestamptz, shown timestamp);
         insert into t values (1, '2024-01-31 20:00:00.123456Z', '2024-07-01 12:00:00'), (2, null, null);
         create table u (id int primary key, at timestamp, shown timestamptz); create table v (like u)",
    );
    let words = [table(&url, "t"), table(&url, "u")];
    let said = refused(path, &[&words[0], &words[1], "--mode", "append"]);
    assert!(said.contains("column at") && said.contains("--clock"), "{said}");
    let plan = etl(path, &["plan", &words[0], &words[1], "--mode", "append", "--clock", "+08:00"]);
    assert_eq!(plan.stdout.matches("by the clock of +08:00").count(), 2, "{}{}", plan.stdout, plan.stderr);
    by_clock(path, "+08:00", &words[0], &words[1]);
    let shown = "set timezone = 'UTC'; select at, shown from u where id = 1";
    assert_eq!(psql(&url, shown), "2024-02-01 04:00:00.123456|2024-07-01 04:00:00+00");
    by_clock(path, "Europe/Berlin", &words[0], &table(&url, "v"));
    let same = "select count(*) from t join v using (id) where v.at is not distinct from t.at at time zone 'Europe/Berlin' \
                and v.shown is not distinct from t.shown at time zone 'Europe/Berlin'";
    assert_eq!(psql(&url, same), "2");
    let said = refused(path, &[&words[0], &words[1], "--mode", "truncate", "--clock", "Mars"]);
    assert!(said.contains("\"Mars\" is no zone"), "{said}");
    let proved = ["--mode", "truncate", "--clock", "+08:00", "--verify", "rows"];
    let said = refused(path, &[&[words[0].as_str(), words[1].as_str()], &proved[..]].concat());
    assert!(said.contains("what a clock shows"), "{said}");
}

/// A text that names its offset is the instant that it names.
#[test]
fn texts_become_instants_by_the_clock() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table t (id int, at text); create table u (id int, at timestamptz);
         insert into t values (1, '2024-07-01 12:00:00.5'), (2, '2024-07-01T12:00:00Z'), (3, null)",
    );
    let words = [table(&url, "t"), table(&url, "u")];
    let said = refused(folder.path(), &[&words[0], &words[1], "--mode", "append"]);
    assert!(said.contains("column at") && said.contains("row 1"), "{said}");
    by_clock(folder.path(), "Europe/Berlin", &words[0], &words[1]);
    let shown = "set timezone = 'UTC'; select * from u order by id";
    assert_eq!(psql(&url, shown), "1|2024-07-01 10:00:00.5+00\n2|2024-07-01 12:00:00+00\n3|");
}

/// Of what a clock shows twice or never nobody knows the instant.
#[test]
fn times_of_no_instant_are_errors_of_their_rows() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    let path = folder.path();
    psql(
        &url,
        "create table t (id int, at timestamp); create table u (id int, at timestamptz); insert into t values
         (1, '2024-03-31 01:59:59'), (2, '2024-03-31 02:30:00'), (3, '2024-10-27 02:30:00'), (4, '2024-10-27 03:00:00')",
    );
    let words = [table(&url, "t"), table(&url, "u")];
    let said = refused(path, &[&words[0], &words[1], "--mode", "append", "--clock", "Europe/Berlin"]);
    assert!(said.contains("column at") && said.contains("row 2") && said.contains("twice or never"), "{said}");
    copied_without_misfits(path, &words[0], &words[1]);
    let kept = "set timezone = 'UTC'; select * from u order by id";
    assert_eq!(psql(&url, kept), "1|2024-03-31 00:59:59+00\n4|2024-10-27 02:00:00+00");
}

/// Leaves the rows out that the clock of Berlin makes nothing of.
fn copied_without_misfits(folder: &Path, from: &str, to: &str) {
    let clock = "Europe/Berlin";
    let done = etl(folder, &["copy", "-q", from, to, "--mode", "append", "--clock", clock, "--on-error", "skip"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

/// Whatever the clock of the server is, `--clock` counts.
#[test]
fn timestamps_of_mysql_become_datetimes() {
    for url in [mysql(), mariadb()] {
        let folder = tempfile::tempdir().unwrap();
        mariadb_client(
            &url,
            "set time_zone = '+00:00'; create table t (id int primary key, at timestamp null, shown datetime);
             insert into t values (1, '2024-01-31 20:00:00', '2024-07-01 12:00:00'), (2, null, null);
             create table u (id int primary key, at datetime, shown timestamp null); create table v like u",
        );
        let said = refused(folder.path(), &[&table(&url, "t"), &table(&url, "u"), "--mode", "append"]);
        assert!(said.contains("--clock"), "{url}: {said}");
        by_clock(folder.path(), "+08:00", &table(&url, "t"), &table(&url, "u"));
        let shown = |name: &str| {
            let rows = format!("set time_zone = '+00:00'; select at, shown from {name} order by id");
            mariadb_client(&url, &rows)
        };
        assert_eq!(shown("u"), "2024-02-01 04:00:00\t2024-07-01 04:00:00\nNULL\tNULL", "{url}");
        // As the option of the place says, the clock of the session goes before.
        let session = "session=SET%20time_zone%3D%27%2B09%3A00%27&timestamp=server";
        let place = |name: &str| format!("{url}?{session}#{name}");
        by_clock(folder.path(), "+08:00", &place("t"), &place("v"));
        assert_eq!(shown("v"), "2024-02-01 05:00:00\t2024-07-01 03:00:00\nNULL\tNULL", "{url}");
    }
}
