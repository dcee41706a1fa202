//! Writers apart from readers, by the real program: batches go to them in turn, and so do the frames of PostgreSQL.

use std::fs;

use crate::program::{copied, etl};
use crate::server::{postgres, psql};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 16_384;

#[test]
fn batches_go_to_the_writers_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["gen:id:seq?rows=400000", "out/", "--to-format", "csv", "-j", "1", "--writers", "4"];
    copied(folder.path(), &words);
    let parts = fs::read_dir(folder.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts = parts.filter(|path| path.extension().is_some_and(|end| end == "csv"));
    // Without the header.
    let rows: Vec<usize> = parts.map(|path| fs::read_to_string(path).unwrap().lines().count() - 1).collect();
    assert_eq!((rows.len(), rows.iter().sum::<usize>()), (4, 400_000), "{rows:?}");
    let (least, most) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
    assert!(most - least <= BATCH_ROWS, "{rows:?}");
}

#[test]
fn frames_of_postgres_go_to_all_writers() {
    let (folder, url) = (tempfile::tempdir().unwrap(), postgres());
    psql(&url, "create table t as select i::bigint id, repeat('x', 100) pad from generate_series(1, 50000) i");
    let words = [&format!("{url}#t"), &format!("{url}#u"), "-j", "1", "--writers", "3"];
    let plan = etl(folder.path(), &[&["plan"], &words[..]].concat()).stdout;
    assert!(plan.contains("SpreadExec: readers=1, writers=3") && plan.contains("raw=postgres-copy-binary"), "{plan}");
    copied(folder.path(), &words);
    assert_eq!(psql(&url, "select count(*), count(distinct id), sum(id) from u"), "50000|50000|1250025000");
}
