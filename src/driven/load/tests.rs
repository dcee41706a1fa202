use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use parking_lot::Mutex;

use super::*;
use crate::driven::name::Name;

type Asked = Arc<Mutex<Vec<String>>>;

/// A connection that notes what it is asked for, and whose first loads fail.
struct Fake {
    asked: Asked,
    failures: usize,
}

impl Fake {
    fn note(&mut self, what: &str) -> Result<()> {
        self.asked.lock().push(what.to_owned());
        if self.failures == 0 || !what.starts_with("fill") {
            return Ok(());
        }
        self.failures -= 1;
        Err(Error::new(ErrorKind::Constraint, "the target refuses a row"))
    }
}

impl Filler for Fake {
    const PATIENCE: Duration = Duration::ZERO;

    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }

    fn begin(&mut self) -> Result<()> {
        self.note("begin")
    }

    fn make(&mut self) -> Result<()> {
        self.note("make")
    }

    fn empty(&mut self) -> Result<()> {
        self.note("empty")
    }

    fn is_filled(&mut self) -> Result<bool> {
        Ok(true)
    }

    fn count(&mut self) -> Result<Option<u64>> {
        Ok(Some(2))
    }

    fn misfit(&self, _batch: &RecordBatch) -> Option<(usize, FieldRef, &'static str)> {
        None
    }

    fn fill(&mut self, batches: Vec<RecordBatch>) -> Result<()> {
        self.note(&format!("fill {}", batches.len()))
    }

    fn commit(&mut self) -> Result<()> {
        self.note("commit")
    }

    fn rollback(&mut self) -> Result<()> {
        self.note("rollback")
    }
}

fn begun(before: Before, transactions: Transactions, failures: usize) -> (Result<Load<Fake>>, Asked) {
    let asked = Asked::default();
    let name = Name::parse("t").unwrap();
    let terms = Terms { name, before, transactions, first: String::new(), memory_bytes: 30 };
    let connect = || Ok(Fake { asked: Arc::clone(&asked), failures });
    (Load::begin(&terms, connect), asked)
}

/// Two rows of 16 bytes.
fn rows() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    RecordBatch::try_from_iter([("n", numbers)]).unwrap()
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn an_attempt_that_is_lost_is_undone_with_all_of_it() {
    let (load, asked) = begun(Before::Make, Transactions::Had, 1);
    let mut load = load.unwrap();
    load.open("a", 0).unwrap();
    load.write("a", rows()).unwrap();
    assert_eq!(load.write("a", rows()).unwrap_err().kind(), ErrorKind::Constraint);
    load.open("b", 0).unwrap();
    assert_eq!(load.write("a", rows()).unwrap_err().kind(), ErrorKind::Internal);
    load.write("b", rows()).unwrap();
    assert_eq!(load.flush("b").unwrap(), 2);
    assert_eq!(load.verify(2).unwrap(), Verdict::Equal);
    assert_eq!(load.commit(&ids(&["a"])).unwrap_err().kind(), ErrorKind::Internal);
    load.commit(&ids(&["b"])).unwrap();
    load.abort().unwrap();
    drop(load);
    let expected = ["begin", "make", "fill 2", "rollback", "make", "fill 1", "commit"];
    assert_eq!(*asked.lock(), expected);
}

#[test]
fn there_is_no_second_attempt_beside_other_tasks() {
    let (load, asked) = begun(Before::Empty, Transactions::Had, 0);
    let mut load = load.unwrap();
    load.open("a", 0).unwrap();
    load.write("a", rows()).unwrap();
    load.flush("a").unwrap();
    assert_eq!(load.open("b", 0).unwrap_err().kind(), ErrorKind::Unsupported);
    load.open("c", 1).unwrap();
    // Nothing of it was sent yet.
    load.write("c", rows()).unwrap();
    load.open("d", 1).unwrap();
    load.write("d", rows()).unwrap();
    load.write("d", rows()).unwrap();
    assert_eq!(load.open("e", 1).unwrap_err().kind(), ErrorKind::Unsupported);
    drop(load);
    assert_eq!(*asked.lock(), ["begin", "empty", "fill 1", "fill 2", "rollback"]);
}

#[test]
fn without_transactions_rows_stay_and_are_told() {
    let (load, asked) = begun(Before::Keep, Transactions::Missing, 0);
    let mut load = load.unwrap();
    load.open("a", 0).unwrap();
    load.write("a", rows()).unwrap();
    load.flush("a").unwrap();
    assert_eq!(load.verify(2).unwrap(), Verdict::Unknown);
    assert_eq!(load.abort().unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(*asked.lock(), ["fill 1"]);
    let (load, _) = begun(Before::Refuse, Transactions::Had, 0);
    assert_eq!(load.unwrap_err().kind(), ErrorKind::AlreadyExists);
}
