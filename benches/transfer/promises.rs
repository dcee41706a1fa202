//! What the promises cost: receipts, the record of runs, rejects, proofs and the buffer, as ratios to the same copy
//! without them.

use std::fs;
use std::process::Command;

use super::copies::{Cost, ETL, measured};
use super::{Bench, report, shell_once};

/// Columns of `mixed` that text files give back as they were.
const COLUMNS: &str = "id, a, b, t1, t2, t3, t4, amount, ok, d, ts, tz, u, f";

impl Bench {
    /// Create, replace and publishing by task, against tasks that write straight into a table that is there, with nothing
    /// recorded and nothing counted.
    pub(super) fn receipts(&self, table: &str) {
        let (url, csv) = (&self.url, self.csv_of(table));
        let read = format!("{url}#{table}");
        for (name, source) in [("PG → PG", &read), ("CSV → PG", &csv)] {
            let into = |words: &[&str]| {
                let target = format!("{url}#target");
                self.etl(&[&[source, &target, "-q", "-j", "2"], words].concat())
            };
            let bare = self.median(|| {
                self.renewed(table);
                bare(&[source, &format!("{url}#target"), "-q", "-j", "2", "--mode", "append"])
            });
            report(&format!("{table}: {name}, without"), bare, bare);
            let create = self.median(|| {
                // A file says less of its types: its table is one that is there and empty.
                if source == &csv {
                    self.renewed(table);
                } else {
                    self.dropped();
                }
                into(&[])
            });
            report(&format!("{table}: {name}, create"), create, bare);
            // What is replaced is removed on the way: so it is by the copy that this is compared with.
            let truncate = || self::bare(&[source, &format!("{url}#target"), "-q", "-j", "2", "--mode", "truncate"]);
            let [emptied, replace] = self.in_turns([&truncate, &|| into(&["--mode", "replace"])]);
            report(&format!("{table}: {name}, truncate, without"), emptied, emptied);
            report(&format!("{table}: {name}, replace"), replace, emptied);
            let holds = self.value("show max_prepared_transactions") != "0";
            for publish in ["once", "task"].into_iter().chain(holds.then_some("prepared")) {
                let append = self.median(|| {
                    self.renewed(table);
                    into(&["--mode", "append", "--publish", publish])
                });
                report(&format!("{table}: {name}, append, {publish}"), append, bare);
            }
        }
        fs::remove_file(&csv).unwrap();
    }

    /// One bad row in a hundred: found by us before anything is sent, and by the constraints of the server.
    pub(super) fn rejects(&self) {
        let (url, clean, dirty) =
            (&self.url, format!("{}/clean.csv", self.folder), format!("{}/dirty.csv", self.folder));
        shell_once(&self.to_csv(&format!("(select {COLUMNS} from mixed)"), &clean));
        shell_once(&format!("sed '2~100s/^[0-9]*,/none,/' '{clean}' > '{dirty}'"));
        let copy = |source: &str, prepare: &str, words: &[&str]| {
            self.sql(prepare);
            let target = format!("{url}#target");
            self.etl(&[&[source, &target, "-q", "-j", "2", "--mode", "append"], words].concat())
        };
        let plain = |prepare: &str| copy(&clean, prepare, &[]);
        let skip = |source: &str, prepare: &str| {
            let rejects = format!("{}/rejects.jsonl", self.folder);
            let _ = fs::remove_file(&rejects);
            copy(source, prepare, &["--on-error", "skip", "--rejects", &rejects])
        };
        let new = format!("drop table if exists target; create table target as select {COLUMNS} from mixed limit 0");
        let [alone, unbroken, bad] = self.in_turns([&|| plain(&new), &|| skip(&clean, &new), &|| skip(&dirty, &new)]);
        report("CSV → PG, clean, no skipping", alone, alone);
        report("CSV → PG, clean, skip", unbroken, alone);
        report("CSV → PG, 1 % bad by our checks", bad, alone);
        let rule = |rest: u32| format!("{new}; alter table target add check (id % 100 <> {rest})");
        let [checked, bad] = self.in_turns([&|| plain(&rule(1000)), &|| skip(&clean, &rule(1))]);
        report("CSV → PG, clean, a check", checked, checked);
        report("CSV → PG, 1 % bad by that check", bad, checked);
        let unique = format!("{new}; alter table target add primary key (id)");
        let taken = format!("{unique}; insert into target select {COLUMNS} from mixed where id % 100 = 1");
        let [keyed, bad] = self.in_turns([&|| plain(&unique), &|| skip(&clean, &taken)]);
        report("CSV → PG, clean, a primary key", keyed, keyed);
        report("CSV → PG, 1 % bad by that key", bad, keyed);
        fs::remove_file(&clean).unwrap();
        fs::remove_file(&dirty).unwrap();
    }

    /// Proofs, against counting alone.
    pub(super) fn verify(&self, table: &str) {
        let (url, csv) = (&self.url, self.csv_of(table));
        let (read, parquet) = (format!("{url}#{table}"), format!("{}/verified.parquet", self.folder));
        let target = format!("{url}#target");
        self.dropped();
        for (name, source, target) in
            [("PG → PG", &read, &target), ("CSV → PG", &csv, &target), ("PG → Parquet", &read, &parquet)]
        {
            let with = |verify| self.etl(&[source, target, "-q", "--mode", "replace", "--verify", verify]);
            let [counted, proven] = self.in_turns([&|| with("count"), &|| with("checksum")]);
            report(&format!("{table}: {name}, verify count"), counted, counted);
            report(&format!("{table}: {name}, verify checksum"), proven, counted);
        }
        fs::remove_file(&csv).unwrap();
    }

    /// Rows that wait on disk, against rows that go from hand to hand.
    pub(super) fn buffer(&self, table: &str) {
        let (read, target) = (format!("{}#{table}", self.url), format!("{}#target", self.url));
        let words = [&read, &target, "-q", "--mode", "replace"];
        self.dropped();
        let through_files = || self.etl(&[&words[..], &["--buffer", &self.folder]].concat());
        let [alone, buffered] = self.in_turns([&|| self.etl(&words), &through_files]);
        report(&format!("{table}: PG → PG, no buffer"), alone, alone);
        report(&format!("{table}: PG → PG, --buffer"), buffered, alone);
    }
}

/// A copy that keeps no record, counts nothing and has no stage.
fn bare(words: &[&str]) -> Cost {
    let mut etl = Command::new(ETL);
    etl.arg("copy").args(words).args(["--publish", "task", "--verify", "none"]);
    measured(etl.env("XDG_STATE_HOME", "/dev/null/none"))
}
