//! Checks of a state log: nothing is lost, reordered or mixed up, also by several processes at once.

use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::Schema;
use serde_json::{Value as Json, json};

use super::drive::new_token;
use super::{Report, expect};
use crate::attempt::Attempt;
use crate::endpoint::{Snapshot, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Guarantee, Kept, Publish, Receipt, Writers};
use crate::source::{Cut, Split};
use crate::state::{Life, StateLog, StateRecord};

/// Runs that append at once, and records of each.
const RUNS: usize = 4;
const RECORDS: u64 = 20;

/// Runs the checks of a state log. `open` gives the same log each time, as another process would open it; it is empty
/// at first.
pub async fn check_state_log<Open, Opening>(open: Open) -> Report
where
    Open: Fn() -> Opening,
    Opening: Future<Output = Result<Arc<dyn StateLog>>>,
{
    let mut report = Report { checks: 4, failed: Vec::new() };
    let mut note = |name, result: Result<()>| report.failed.extend(result.err().map(|error| (name, error)));
    note("an empty log", empty(&open).await);
    note("one process after another", reopened(&open).await);
    note("several processes at once", at_once(&open).await);
    note("one run of a job at a time", leased(&open).await);
    report
}

async fn empty<Opening>(open: &impl Fn() -> Opening) -> Result<()>
where
    Opening: Future<Output = Result<Arc<dyn StateLog>>>,
{
    let log = open().await?;
    let runs = log.runs().await?;
    expect(runs.is_empty(), || format!("an empty log has {} runs", runs.len()))?;
    let records = log.read("none").await?;
    expect(records.is_empty(), || format!("a run that is not there has {} records", records.len()))
}

/// Every kind of record comes back as it was and in its order; runs are kept apart and listed oldest first.
async fn reopened<Opening>(open: &impl Fn() -> Opening) -> Result<()>
where
    Opening: Future<Output = Result<Arc<dyn StateLog>>>,
{
    let written = records();
    let (first, second) = ("z: the older run", "a: the newer 'run'");
    for record in &written {
        let log = open().await?;
        log.append(first, record).await?;
        log.append(second, &StateRecord::Finished { rows: u64::from(u32::MAX), read: 0, rejected: 0 }).await?;
    }
    let log = open().await?;
    let read = log.read(first).await?;
    expect(shown(&read)? == shown(&written)?, || "the records of a run changed, or their order did".to_owned())?;
    let others = log.read(second).await?.len();
    expect(others == written.len(), || format!("of {} records of another run {others} are there", written.len()))?;
    let runs = log.runs().await?.into_iter().map(|entry| entry.run).collect::<Vec<_>>();
    expect(runs == [first, second], || format!("the log lists the runs {runs:?}"))?;
    log.forget(first).await?;
    let left = (log.read(first).await?.len(), log.read(second).await?.len());
    expect(left == (0, written.len()), || format!("of two runs {left:?} records are left when one is forgotten"))
}

/// Who has a lease keeps others out until it is given back.
async fn leased<Opening>(open: &impl Fn() -> Opening) -> Result<()>
where
    Opening: Future<Output = Result<Arc<dyn StateLog>>>,
{
    let (one, other) = (open().await?, open().await?);
    one.lease("job", "first").await?;
    one.lease("job", "first").await?;
    let refused = other.lease("job", "second").await.err().map(|error| error.kind());
    expect(refused == Some(ErrorKind::Busy), || format!("a second run got {refused:?} for the lease of the first"))?;
    let holders = other.holders().await?;
    let told = holders.iter().any(|it| (&*it.job, &*it.run, it.life) == ("job", "first", Life::Alive));
    expect(told, || format!("the log lists the holders {holders:?}"))?;
    one.release("job", "first").await?;
    other.lease("job", "second").await?;
    other.release("job", "second").await
}

/// Each run has its own handle, and all append at once.
async fn at_once<Opening>(open: &impl Fn() -> Opening) -> Result<()>
where
    Opening: Future<Output = Result<Arc<dyn StateLog>>>,
{
    let run = |number: usize| format!("at once {number}");
    let append = async |number: usize| {
        let log = open().await?;
        for rows in 0..RECORDS {
            log.append(&run(number), &StateRecord::Finished { rows, read: 0, rejected: 0 }).await?;
        }
        Ok::<(), Error>(())
    };
    futures::future::try_join_all((0..RUNS).map(append)).await?;
    let log = open().await?;
    for number in 0..RUNS {
        let rows =
            |record: &StateRecord| if let StateRecord::Finished { rows, .. } = record { Some(*rows) } else { None };
        let read: Vec<Option<u64>> = log.read(&run(number)).await?.iter().map(rows).collect();
        let same = read.iter().copied().eq((0..RECORDS).map(Some));
        expect(same, || format!("the records of run {number} are {read:?}"))?;
    }
    Ok(())
}

/// One record of each kind.
fn records() -> Vec<StateRecord> {
    let split = Split {
        id: 7,
        source: 0,
        rows: Some(5),
        bytes: None,
        place: Some("row ids 1 to 5".to_owned()),
        detail: json!({"low": i64::MIN, "text": "é\u{1F600}\"\n"}),
    };
    let agreement = Agreement {
        label: "t".to_owned(),
        target: Arc::new(Schema::empty()),
        columns: Vec::new(),
        ddl: Vec::new(),
        writers: Writers::One,
        publish: Publish::Held,
        guarantee: Guarantee::ExactlyOnce,
        kept: Kept::Tasks,
        marked: true,
        refusals: crate::reject::Refusals::Fail,
        task_bytes: None,
        notes: Vec::new(),
        detail: Json::Null,
    };
    let receipt = Receipt::of(&Attempt::new(new_token(), 0, vec![7]), 5, 50, json!([1, "part"]));
    vec![
        StateRecord::Started { job: json!({"source": "memory:a"}), fingerprint: "f".to_owned() },
        StateRecord::StepBegun { step: Step::PreSql, index: 0 },
        StateRecord::Step { step: Step::PreSql, index: 0 },
        StateRecord::Planned {
            transfer: 0,
            snapshot: Snapshot::Lasting("a".to_owned()),
            splits: vec![split],
            cut: Cut::ByKey,
            at: Some("2026-11-25 19:45:24".to_owned()),
            together: true,
            agreements: vec![agreement],
        },
        StateRecord::Wrote { transfer: 0, receipt: receipt.clone() },
        StateRecord::Held { transfer: 0, receipt },
        StateRecord::Committed { transfer: 0, sink: 0, epoch: 0, position: Some(json!({"lsn": "0/1"})), marked: true },
        StateRecord::Step { step: Step::PostSql, index: 3 },
        StateRecord::Aborted { reason: "as asked for".to_owned() },
        StateRecord::Finished { rows: 5, read: 0, rejected: 0 },
    ]
}

fn shown(records: &[StateRecord]) -> Result<Vec<String>> {
    Ok(records.iter().map(serde_json::to_string).collect::<Result<_, _>>()?)
}
