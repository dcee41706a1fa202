//! Disks that are too small for what is copied: the copy fails with one sentence, and what was there stays.

use crate::program::{bash, copied};
use crate::server::own::Own;
use crate::server::psql;

/// 40 MB and more in any form.
const LONG: &str = "gen:id:seq,note:text(400..400)?rows=100000";

/// What `etl copy` with `words` leaves on a disk of 4 MiB that holds `old.csv` and the table `old` of `old.db`.
fn on_small_disk(words: &str) -> (String, i32, String) {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path(), &["gen:id:seq,note:text(10)?rows=1000", "old.csv"]);
    copied(folder.path(), &["old.csv", "old.db#old"]);
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    let before = "find . -type f | sort | xargs sha256sum";
    let script = format!(
        "mount -t tmpfs -o size=4m none disk && cp old.csv old.db disk && cd disk && mkdir parts && {before} > ../before && \
         \"$ETL\" copy -q -j 2 \"{LONG}\" {words}; code=$?; {before} | diff ../before -; exit $code"
    );
    let state = folder.path().join("state");
    let line = format!("XDG_STATE_HOME='{}' exec unshare --mount --map-root-user bash -c '{script}'", state.display());
    let ended = bash(folder.path(), &line);
    (ended.stdout, ended.code, ended.stderr)
}

#[test]
fn files_and_sqlite_are_as_they_were() {
    for (words, named) in [
        ("new.csv", "new.csv"),
        ("new.parquet", "new.parquet"),
        ("new.avro", "new.avro"),
        ("new.arrow", "new.arrow"),
        ("new.jsonl", "new.jsonl"),
        ("parts/ --to-format csv", "parts"),
        ("old.csv --mode append", "old.csv"),
        ("old.csv --mode replace", "old.csv"),
        ("new.db#t", "new.db"),
        ("old.db#old --mode append", "old.db"),
        ("old.db#old --mode replace", "old.db"),
    ] {
        let (stdout, code, stderr) = on_small_disk(words);
        assert_eq!((code, stdout.as_str()), (1, ""), "a file differs: {words}: {stderr}");
        assert!(stderr.contains(named) && stderr.contains("the disk is full"), "{words}: {stderr}");
    }
}

#[test]
fn tables_of_a_server_are_as_they_were() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Own::with_small_disk(16 << 20));
    let url = server.url();
    psql(&url, "alter database postgres set default_tablespace = small");
    psql(&url, "create table t (id bigint primary key, note text); insert into t values (-1, 'old')");
    psql(&url, "create table other (id bigint references t)");
    for (target, words) in [
        ("new", &["-j", "1"][..]),
        ("new", &["-j", "2"]),
        ("t", &["--mode", "append", "-j", "1"]),
        ("t", &["--mode", "append", "-j", "2"]),
        ("t", &["--mode", "upsert", "--key", "id"]),
    ] {
        let place = format!("{url}#{target}");
        let ended = crate::program::etl(folder.path(), &[&["copy", "-q", LONG, &place], words].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("No space left on device"), "{words:?}: {}", ended.stderr);
        let left = "select (select string_agg(id || note, ',') from t), (select count(*) from pg_class \
                    where relname = 'new' or relname like 'etl\\_stage%' or relname like 'etl\\_own%')";
        assert_eq!(psql(&url, left), "-1old|0", "{words:?}");
    }
    // What was written and rolled back takes room until then.
    psql(&url, "drop table other, t");
    let little = ["gen:id:seq,note:text(10)?rows=1000", &format!("{url}#t"), "--mode", "append"];
    copied(folder.path(), &little);
    assert_eq!(psql(&url, "select count(*), sum(id) from t"), "1000|500500");
}
