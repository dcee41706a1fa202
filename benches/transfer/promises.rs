//! What the promises cost: receipts, the record of runs, rejects, proofs and the buffer, as ratios to the same copy
//! without them.

use std::fs;
use std::process::Command;

use super::copies::{Cost, ETL, measured};
use super::{Bench, report, shell_once};

/// Columns of `mixed` that text files give back as they were.
const TO_CSV: &str = "select id, a, b, t1, t2, t3, t4, amount, ok, d, ts, tz, u, f from mixed";

impl Bench {
    /// Create, replace and publishing by task, against tasks that write straight into a table that is there, with nothing
    /// recorded and nothing counted.
    pub(super) fn receipts(&self, table: &str) {
        let (url, csv) = (&self.url, self.csv_of(table));
        let read = format!("{url}#{table}");
        let target = format!("{url}#target");
        for (name, source) in [("PG → PG", &read), ("CSV → PG", &csv)] {
            let into = |words: &[&str]| self.etl(&[&[source, &target, "-q", "-j", "2"], words].concat());
            let without = || {
                self.renewed(table);
                bare(&[source, &target, "-q", "-j", "2", "--mode", "append"])
            };
            let create = || {
                // A file says less of its types: its table is one that is there and empty.
                if source == &csv {
                    self.renewed(table);
                } else {
                    self.dropped();
                }
                into(&[])
            };
            let append = |publish: &str| {
                self.renewed(table);
                into(&["--mode", "append", "--publish", publish])
            };
            // What `replace` removes on its way, this removes on its own.
            let emptied = ["--mode", "append", "--pre-sql", "truncate target"];
            let truncate = || bare(&[&[source, &target, "-q", "-j", "2"], &emptied[..]].concat());
            let [bare, create, emptied, replace, once, task] = self.in_turns([
                &mut || without(),
                &mut || create(),
                &mut || truncate(),
                &mut || into(&["--mode", "replace"]),
                &mut || append("once"),
                &mut || append("task"),
            ]);
            report(&format!("{table}: {name}, without"), bare, bare, None);
            report(&format!("{table}: {name}, create"), create, bare, Some(1.1));
            report(&format!("{table}: {name}, truncate, without"), emptied, emptied, None);
            report(&format!("{table}: {name}, replace"), replace, emptied, Some(1.1));
            report(&format!("{table}: {name}, append, once"), once, bare, None);
            report(&format!("{table}: {name}, append, task"), task, bare, Some(1.1));
            if self.value("show max_prepared_transactions") != "0" {
                let [bare, prepared] = self.in_turns([&mut || without(), &mut || append("prepared")]);
                report(&format!("{table}: {name}, append, prepared"), prepared, bare, None);
            }
        }
        fs::remove_file(&csv).unwrap();
    }

    /// One bad row in a hundred: found by us before anything is sent, and by the constraints of the server.
    pub(super) fn rejects(&self) {
        let (url, clean, dirty) =
            (&self.url, format!("{}/clean.csv", self.folder), format!("{}/dirty.csv", self.folder));
        shell_once(&self.to_csv(&format!("({TO_CSV})"), &clean));
        shell_once(&format!("sed '2~100s/^[0-9]*,/none,/' '{clean}' > '{dirty}'"));
        let (target, rejects) = (format!("{url}#target"), format!("{}/rejects.jsonl", self.folder));
        let skip = |source: &str, prepare: &str| {
            self.sql(prepare);
            let _ = fs::remove_file(&rejects);
            let skip = ["--on-error", "skip", "--rejects", &rejects];
            self.etl(&[&[source, &target, "-q", "-j", "2", "--mode", "append"], &skip[..]].concat())
        };
        let plain = |prepare: &str| {
            self.sql(prepare);
            self.etl(&[&clean, &target, "-q", "-j", "2", "--mode", "append"])
        };
        let new = format!("drop table if exists target; create table target as {TO_CSV} limit 0");
        let [alone, skipping, dirty_rows] =
            self.in_turns([&mut || plain(&new), &mut || skip(&clean, &new), &mut || skip(&dirty, &new)]);
        report("CSV → PG, clean, no skipping", alone, alone, None);
        report("CSV → PG, clean, skip", skipping, alone, None);
        report("CSV → PG, 1 % bad by our checks", dirty_rows, alone, Some(1.0 / 0.9));
        let passing = format!("{new}; alter table target add check (id % 100 <> 1000)");
        let check = format!("{new}; alter table target add check (id % 100 <> 1)");
        let [checked, refused] = self.in_turns([&mut || plain(&passing), &mut || skip(&clean, &check)]);
        report("CSV → PG, clean, a check", checked, checked, None);
        report("CSV → PG, 1 % bad by that check", refused, checked, Some(1.0 / 0.5));
        let unique = format!("{new}; alter table target add primary key (id)");
        let taken = format!("{unique}; insert into target {TO_CSV} where id % 100 = 1");
        let [keyed, refused] = self.in_turns([&mut || plain(&unique), &mut || skip(&clean, &taken)]);
        report("CSV → PG, clean, a primary key", keyed, keyed, None);
        report("CSV → PG, 1 % bad by that key", refused, keyed, Some(1.0 / 0.5));
        fs::remove_file(&clean).unwrap();
        fs::remove_file(&dirty).unwrap();
    }

    /// Proofs, against counting alone. PostgreSQL computes its own; files are read back.
    pub(super) fn verify(&self, table: &str) {
        let (url, csv) = (&self.url, self.csv_of(table));
        let (read, parquet) = (format!("{url}#{table}"), format!("{}/verified.parquet", self.folder));
        let target = format!("{url}#target");
        self.dropped();
        for (name, source, target, most) in [
            ("PG → PG", &read, &target, Some(1.25)),
            ("CSV → PG", &csv, &target, Some(1.25)),
            ("PG → Parquet", &read, &parquet, None),
        ] {
            let with = |verify: &str| self.etl(&[source, target, "-q", "--mode", "replace", "--verify", verify]);
            let [counted, proved] = self.in_turns([&mut || with("count"), &mut || with("checksum")]);
            report(&format!("{table}: {name}, verify count"), counted, counted, None);
            report(&format!("{table}: {name}, verify checksum"), proved, counted, most);
        }
        fs::remove_file(&csv).unwrap();
    }

    /// Rows that wait on disk, against rows that go from hand to hand.
    pub(super) fn buffer(&self, table: &str) {
        let (read, target) = (format!("{}#{table}", self.url), format!("{}#target", self.url));
        let words = [&read, &target, "-q", "--mode", "replace"];
        self.dropped();
        let [alone, buffered] = self.in_turns([&mut || self.etl(&words), &mut || {
            self.etl(&[&words[..], &["--buffer", &self.folder]].concat())
        }]);
        report(&format!("{table}: PG → PG, no buffer"), alone, alone, None);
        report(&format!("{table}: PG → PG, --buffer"), buffered, alone, None);
    }
}

/// A copy that keeps no record, counts nothing and has no stage.
fn bare(words: &[&str]) -> Cost {
    let mut etl = Command::new(ETL);
    etl.arg("copy").args(words).args(["--publish", "task", "--verify", "none"]);
    measured(etl.env("XDG_STATE_HOME", "/dev/null/none"))
}
