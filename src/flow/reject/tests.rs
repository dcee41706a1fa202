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

/// A share of several transfers is judged when the last of them has read all its rows, a number at once.
#[tokio::test]
async fn transfers_before_count_against_the_limit() {
    let before = Judged { read: 2, rejected: 1 };
    let ended = async |max: MaxErrors, others: Others| -> Result<()> {
        let log = Arc::new(RejectLog::new(Some(max), "s".to_owned(), None).beside(others));
        let basket = log.basket(&attempt(0));
        basket.read(2);
        basket.add(rejects(2)).await?;
        log.commit().await
    };
    let share = MaxErrors::Percent(75.0);
    ended(share, Others { before, more_follow: false }).await.unwrap();
    ended(share, Others { before: Judged::default(), more_follow: true }).await.unwrap();
    let alone = ended(share, Others::default()).await.unwrap_err();
    assert_eq!(alone.message(), "2 of 2 rows were rejected, and only 75 % may be");
    let last = ended(MaxErrors::Percent(74.0), Others { before, more_follow: false }).await.unwrap_err();
    let stays = "those of the transfers before count, and what these wrote stays";
    assert_eq!(last.message(), format!("3 of 4 rows were rejected, and only 74 % may be; {stays}"));
    ended(MaxErrors::Rows(3), Others { before, more_follow: true }).await.unwrap();
    let more = ended(MaxErrors::Rows(2), Others { before, more_follow: true }).await.unwrap_err();
    assert_eq!(more.message(), format!("more rows were rejected than the 2 that may be; {stays}"));
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
