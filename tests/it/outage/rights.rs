//! Rights that are taken away in the middle of a copy: it fails with one sentence, and the target is as it was.

use std::path::Path;

use super::{COPYING, LEFT, ROWS, start};
use crate::program::etl;
use crate::server::{postgres, psql, until};

/// A role of its own for a test, which may do everything in the schema `public` of the database of `url`.
struct Role {
    admin: String,
    name: String,
}

impl Role {
    fn new() -> Self {
        let role = Self { admin: postgres(), name: format!("clerk{}", uuid::Uuid::now_v7().simple()) };
        role.sql(&format!("create role {0} login; grant create, usage on schema public to {0}", role.name));
        role
    }

    fn url(&self) -> String {
        self.admin.replacen("postgres@", &format!("{}@", self.name), 1)
    }

    fn sql(&self, sql: &str) {
        psql(&self.admin, &sql.replace("$ROLE", &self.name));
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        psql(&self.admin, &format!("drop owned by {0}; drop role {0}", self.name));
    }
}

/// Takes `rights` away in the midst of a copy with `words`, and gives what it says.
fn deprived(role: &Role, folder: &Path, words: &[&str], rights: &str) -> String {
    let copy = start(folder, words);
    until(&role.admin, COPYING, |count| count != "0");
    role.sql(rights);
    let ended = crate::program::end(copy);
    assert_eq!(ended.code, 1, "{words:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("permission denied"), "{words:?}: {}", ended.stderr);
    ended.stderr
}

/// Another user has made it, for positions or with `--state`.
#[test]
fn a_schema_of_ours_that_may_not_be_looked_into_is_no_hindrance() {
    let (folder, role) = (tempfile::tempdir().unwrap(), Role::new());
    role.sql("create schema etl; create table etl.commits (token text); create table etl.positions (stream text)");
    let target = format!("{}#t", role.url());
    for more in [&["--mode", "append"][..], &["--mode", "incremental", "--cursor", "id"][..]] {
        let done = etl(folder.path(), &[&["copy", "-q", "gen:id:seq?rows=5", &target], more].concat());
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{more:?}");
        assert_eq!(psql(&role.admin, "select count(*) from t"), "5");
        role.sql("drop table t");
    }
    assert_eq!(psql(&role.admin, "select (select count(*) from etl.commits), count(*) from etl.positions"), "0|0");
}

#[test]
fn a_target_that_may_no_longer_be_written_is_as_it_was() {
    let (folder, role) = (tempfile::tempdir().unwrap(), Role::new());
    role.sql("create table t (id bigint, note text); insert into t values (0, 'old')");
    // One writer alone is asked for its rights when it begins.
    for (mode, jobs) in [("append", "2"), ("truncate", "2")] {
        role.sql("grant all on t to $ROLE");
        let words = [ROWS, &format!("{}#t", role.url()), "--mode", mode, "-j", jobs];
        let said = deprived(&role, folder.path(), &words, "revoke insert, truncate on t from $ROLE");
        assert!(said.contains('t'), "{said}");
        assert_eq!(psql(&role.admin, "table t"), "0|old", "{mode} {jobs}");
        assert_eq!(psql(&role.admin, LEFT), "0", "{mode} {jobs}");
    }
}

#[test]
fn a_source_that_may_no_longer_be_read_ends_the_copy() {
    let (folder, role) = (tempfile::tempdir().unwrap(), Role::new());
    role.sql("create table s as select g as id, repeat('x', 300) as note from generate_series(1, 200000) g");
    role.sql("grant select on s to $ROLE");
    let words = [&format!("{}#s", role.url()), "t.csv", "-j", "2"];
    let said = deprived(&role, folder.path(), &words, "revoke select on s from $ROLE");
    assert!(said.contains("\"s\"") || said.contains(" s"), "{said}");
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["state"]);
}
