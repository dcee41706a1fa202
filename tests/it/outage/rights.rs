//! Rights that are taken away in the middle of a copy: it fails with one sentence, and the target is as it was.

use std::path::Path;

use super::{COPYING, LEFT, ROWS, start};
use crate::program::{copied, refused};
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

/// What another user's copy has made stands in a schema that this one may not even look into: marks and positions of its own are beside
/// the target.
#[test]
fn a_schema_of_another_user_is_in_nobodys_way() {
    let (folder, role) = (tempfile::tempdir().unwrap(), Role::new());
    role.sql("create table t (id bigint primary key, note text); grant all on t to $ROLE");
    let csv = |rows: &str| std::fs::write(folder.path().join("a.csv"), format!("id,note\n{rows}")).unwrap();
    let place = |url: &str| format!("{url}#t");
    csv("1,x\n");
    copied(folder.path(), &["a.csv", &place(&role.admin), "--mode", "incremental", "--cursor", "id"]);
    assert_eq!(psql(&role.admin, "select count(*) from pg_namespace where nspname = 'etl'"), "1");
    for (mode, rows, held) in [("append", "2,y\n", "2"), ("upsert", "2,z\n3,z\n", "3"), ("sync", "2,w\n", "1")] {
        csv(rows);
        copied(folder.path(), &["a.csv", &place(&role.url()), "--mode", mode]);
        assert_eq!(psql(&role.admin, "select count(*) from t"), held, "{mode}");
    }
    csv("5,v\n7,v\n");
    for _ in 0..2 {
        let words = ["a.csv", &place(&role.url()), "--mode", "incremental", "--cursor", "id", "--key", "id"];
        copied(folder.path(), &words);
        assert_eq!(psql(&role.admin, "select count(*) from t"), "3");
    }
}

#[test]
fn row_security_that_takes_no_rows_says_who_may_write() {
    let (folder, role) = (tempfile::tempdir().unwrap(), Role::new());
    role.sql("create table t (id bigint); alter table t enable row level security; grant all on t to $ROLE");
    std::fs::write(folder.path().join("a.csv"), "id\n1\n").unwrap();
    let said = refused(folder.path(), &["a.csv", &format!("{}#t", role.url()), "--mode", "append"]);
    assert!(said.contains("row-level security") && said.contains("BYPASSRLS"), "{said}");
    assert_eq!(psql(&role.admin, "table t"), "");
}
