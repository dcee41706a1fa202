//! Rows that are seen task by task: they stay, and never come twice.

use super::*;

const LEFT: &str = "select count(*) from pg_class where relname like 'etl\\_stage%'";

/// A place for the rows, with one that is there already.
fn target() -> (String, String) {
    let url = postgres();
    psql(&url, "create table t (id bigint, note text); insert into t values (0, 'old')");
    (format!("{url}#t"), url)
}

#[test]
fn what_a_killed_run_showed_is_gone_on_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    let words = [ROWS, &target, "--mode", "append", "--publish", "task", "-j", "2"];
    killed_at(folder.path(), &words, ("wrote", 2));
    let seen: u64 = psql(&url, "select count(*) from t").parse().unwrap();
    assert!(seen > 1 && seen < 160_001, "{seen}");
    // Begun anew, these rows would come twice.
    let refused = end(start(folder.path(), &words));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("the rows of its tasks stay in the target"), "{}", refused.stderr);
    // So they would where they were to be seen at once.
    let at_once = [&words[..4], &words[6..]].concat();
    let refused = end(start(folder.path(), &at_once));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("the rows of its tasks stay in the target"), "{}", refused.stderr);
    let refused = end(start(folder.path(), &[&at_once[..], &["--resume"]].concat()));
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("is of another job, which differs in publish"), "{}", refused.stderr);
    // Another job on the same table leaves alone what notes them.
    copied(folder.path(), &["gen:id:seq,note:text(1..1)?rows=1", &target, "--mode", "append", "-j", "2"]);
    psql(&url, "delete from t where note not like 'old' and length(note) = 1");
    assert!(kept(&resumed(folder.path(), &words)) > 0);
    assert_eq!(psql(&url, COUNTED), "160001|160001|12800080000");
    assert_eq!(psql(&url, LEFT), "0");
}

#[test]
fn who_gives_a_run_up_is_told_what_it_showed() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    killed_at(folder.path(), &[ROWS, &target, "--mode", "append", "--publish", "task", "-j", "2"], ("wrote", 1));
    let listed = beside(folder.path(), &["jobs", "--output", "json"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let cleaned = beside(folder.path(), &["jobs", "clean", listed["runs"][0]["run"].as_str().unwrap()]);
    assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
    assert!(cleaned.stderr.contains("that had ended stays in"), "{}", cleaned.stderr);
    assert_ne!(psql(&url, "select count(*) from t"), "1");
    assert_eq!(psql(&url, LEFT), "0");
}

#[test]
fn what_a_failed_run_showed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    psql(&url, "alter table t add constraint few check (id < 150000)");
    let words = [ROWS, &target, "--mode", "append", "--publish", "task", "-j", "2"];
    let failed = end(start(folder.path(), &words));
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("stay, and --resume goes on behind them"), "{}", failed.stderr);
    assert_ne!(psql(&url, "select count(*) from t"), "1");
    psql(&url, "alter table t drop constraint few");
    assert!(kept(&resumed(folder.path(), &words)) > 0);
    assert_eq!(psql(&url, COUNTED), "160001|160001|12800080000");
}

#[test]
fn a_run_that_showed_nothing_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    psql(&url, "alter table t add constraint none check (id < 0) not valid");
    let words = [ROWS, &target, "--mode", "append", "--publish", "task", "-j", "2"];
    let failed = end(start(folder.path(), &words));
    assert!(failed.code == 1 && !failed.stderr.contains("stay"), "{}", failed.stderr);
    assert_eq!(psql(&url, LEFT), "0");
    assert_eq!(records(folder.path(), "aborted"), 1);
}

#[test]
fn a_new_table_is_made_with_its_key_and_filled_in_the_open() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(
        &url,
        "create table s (id int primary key, note text); insert into s select g, 'x' || g from generate_series(1, 50000) g",
    );
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    let done = end(start(folder.path(), &[&from, &to, "--publish", "task", "-j", "2"]));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let differs = "select count(*) from (table s except table t union all (table t except table s)) d";
    assert_eq!(psql(&url, differs), "0");
    assert_eq!(psql(&url, "select contype from pg_constraint where conrelid = 't'::regclass"), "p");
}

#[test]
fn what_cannot_be_shown_so_is_refused_when_it_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let (target, url) = target();
    let refused: [(&[&str], &str); 4] = [
        (&[&target, "--mode", "truncate"], "only rows that are added can be seen task by task"),
        (&["t.db#t"], "this target shows all rows at once"),
        (&[&target, "--mode", "append", "--on-error", "skip"], "what was rejected is known to its process alone"),
        (
            &[&target, "--mode", "append", "--sql", "select max(id) as id, note from src group by note"],
            "all rows are needed together",
        ),
    ];
    for (words, message) in refused {
        let plan = [&["plan", ROWS, "--publish", "task", "-j", "2"], words].concat();
        let ended = etl(folder.path(), &plan);
        assert!(ended.code != 0 && ended.stderr.contains(message), "{words:?}: {} {}", ended.code, ended.stderr);
    }
    assert_eq!(psql(&url, "select count(*) from t"), "1");
}
