//! Which rejects count.

use arrow::array::{ArrayRef, Int64Array};

use super::*;
use crate::reject::Stage;

fn log() -> Arc<RejectLog> {
    Arc::new(RejectLog::new(None, "s".to_owned(), None))
}

fn attempt(task: u32) -> Attempt {
    Attempt::new(Token { run: "r".to_owned(), transfer: 0, sink: 0, epoch: 0 }, task, vec![task])
}

fn receipt(attempt: &Attempt) -> Receipt {
    Receipt::of(attempt, 8, 0, serde_json::Value::Null)
}

fn rejects(rows: i64) -> Rejects {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let errors = (0..rows).map(|_| Error::new(ErrorKind::Value, "no number")).collect();
    Rejects::new(Stage::Read, RecordBatch::try_from_iter([("a", column)]).unwrap(), errors)
}

#[tokio::test]
async fn rejects_of_a_complete_attempt_that_does_not_count_are_taken_back() {
    let (log, attempts) = (log(), [0, 1].map(attempt));
    for attempt in &attempts {
        let basket = log.basket(attempt);
        basket.read(10);
        basket.add(rejects(2)).await.unwrap();
        assert_eq!(basket.seal(&receipt(attempt), Vec::new()).await.unwrap(), 2);
    }
    assert_eq!((log.rejected(), log.state.lock().read), (4, 20));
    log.forget(&receipt(&attempts[0]));
    log.accept(&receipt(&attempts[1]));
    // What counts is not taken back any more.
    log.forget(&receipt(&attempts[1]));
    assert_eq!((log.rejected(), log.shown().len(), log.state.lock().read), (2, 2, 10));
}

#[tokio::test]
async fn what_comes_when_an_attempt_is_complete_is_not_lost_in_silence() {
    let log = log();
    let complete = log.basket(&attempt(0));
    complete.seal(&receipt(&attempt(0)), Vec::new()).await.unwrap();
    assert_eq!(complete.add(rejects(1)).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let given_up = log.basket(&attempt(1));
    given_up.forget();
    given_up.add(rejects(1)).await.unwrap();
    assert_eq!(log.rejected(), 0);
}
