//! Kills of copies from a table in which rows are inserted, deleted and moved, and which is rewritten meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

/// Ids and the numbers beside them; the row 0 holds the number of the last transaction.
const SOURCE: &str = "
    create table s (id int primary key, n int, note text);
    insert into s select g, 0, repeat('x', 200) from generate_series(0, 60000) g;
    create table history (tx int, id int, n int, note text);
    insert into history select 0, id, n, note from s where id > 0;
    create table gone (tx int, id int)";

/// Transaction `$TX`: rows are moved, deleted and inserted, and what became of them is written down.
const CHANGE: &str = "
    begin;
    with moved as (update s set n = $TX where id > 0 and id % 97 = $TX % 97 returning id, n, note)
        insert into history select $TX, id, n, note from moved;
    with deleted as (delete from s where id > 0 and id % 1009 = $TX returning id)
        insert into gone select $TX, id from deleted;
    with new as (insert into s values (1000000 + $TX, $TX, 'new') returning id, n, note)
        insert into history select $TX, id, n, note from new;
    update s set n = $TX where id = 0;
    commit;";

/// Rows in which the table `t` differs from the source as it was after some transaction; the row 0 of `t` says which.
const DIFFERS: &str = "
    with at as (select n from t where id = 0),
    state as (
        select distinct on (id) id, n, note, tx from history where tx <= (select n from at) order by id, tx desc
    ),
    truth as (
        select id, n, note from state
        where not exists (select from gone where gone.id = state.id and gone.tx <= (select n from at))
        union all select 0, n, repeat('x', 200) from at
    )
    select (select count(*) from at) || ' ' || (select count(*) from (
        (select id, n, note from t except all table truth) union all (table truth except all select id, n, note from t)
    ) d)";

/// Ends the changes, also where the test fails before it would: nobody waits for a thread that never ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Changes the source until it is told to end; gives how many transactions there were.
fn change(url: &str, is_over: &AtomicBool) -> u32 {
    let mut transactions = 0;
    while !is_over.load(Ordering::Relaxed) {
        transactions += 1;
        psql(url, &CHANGE.replace("$TX", &transactions.to_string()));
        if transactions % 5 == 0 {
            // Given up where a copy is under way: others would wait behind it.
            let _ = std::process::Command::new("psql")
                .args(["-Xq", url, "-c", "set lock_timeout = '50ms'", "-c", "vacuum full s"])
                .stderr(Stdio::null())
                .status();
        }
    }
    transactions
}

/// Kills a copy with `words` four times and lets the fifth start end; gives all that was said by those that went on.
fn killed_until_done(folder: &Path, words: &[&str]) -> String {
    let planned = records(folder, "planned");
    for pause in [300, 700, 500, 900] {
        let mut child = start(folder, &[words, &["--resume", "--limit-rate", "15k rows/s"]].concat());
        // There is something to go on with from the first of them on.
        until(|| records(folder, "planned") > planned);
        std::thread::sleep(Duration::from_millis(pause));
        assert!(child.try_wait().unwrap().is_none(), "{words:?}: {:?}", end(child));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let done = end(start(folder, &[words, &["--resume"]].concat()));
    assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
    done.stderr
}

#[test]
fn the_target_is_the_source_at_one_instant_or_the_run_says_that_it_is_not() {
    let (folder, url, is_over) = (tempfile::tempdir().unwrap(), postgres(), AtomicBool::new(false));
    psql(&url, SOURCE);
    let source = format!("{url}#s");
    let transactions = std::thread::scope(|threads| {
        let writer = threads.spawn(|| change(&url, &is_over));
        let over = Over(&is_over);
        for target in [format!("{url}#t"), "t.parquet".to_owned(), "t.db#t".to_owned()] {
            psql(&url, "drop table if exists t");
            let said = killed_until_done(folder.path(), &[&source, &target, "-j", "2"]);
            assert!(said.contains("begun again") && !said.contains("one point in time"), "{target}: {said}");
            if !target.starts_with(&url) {
                copied(folder.path(), &[&target, &format!("{url}#t")]);
            }
            assert_eq!(psql(&url, DIFFERS), "1 0", "{target}");
        }
        psql(&url, "drop table t");
        let words = [&source, &format!("{url}#t"), "-j", "2", "--allow-mixed-snapshot"];
        let said = killed_until_done(folder.path(), &words);
        // Where no split was done before a kill, all of them are from one point in time.
        let is_told = ["not one point in time", "begun again", "note: 0 of "].iter().any(|told| said.contains(told));
        assert!(is_told, "{said}");
        drop(over);
        writer.join().unwrap()
    });
    assert!(transactions > 20, "{transactions} transactions only");
    // Of several points in time each row is from one.
    let never =
        "select count(*) from (select id, n, note from t where id > 0 except select id, n, note from history) d";
    assert_eq!(psql(&url, &format!("{never}; select count(*) - count(distinct id) from t")), "0\n0");
}
