//! Checks of a sink's life cycle: nothing is visible before commit, nothing is lost or doubled by repeating, by
//! a lost attempt, or by the end of the process. Dropping everything without a call is that end; who comes after it
//! has an endpoint of its own.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use futures::future::BoxFuture;

use super::drive::{Run, expect_no_debris, expect_nothing, expect_visible, load, numbered, texted};
use super::{Fixture, Target, expect};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Merged, Receipt, Tasks, WriteMode, Writer};

async fn start(target: &Target, mode: WriteMode, tasks: Tasks) -> Result<Run> {
    Run::start(target, &numbered(0..1)?.schema(), mode, tasks).await
}

/// One way of writing, onto a table that has rows unless they would be refused.
struct Scene<'a> {
    fixture: &'a dyn Fixture,
    target: Target,
    mode: WriteMode,
    tasks: Tasks,
}

impl Scene<'_> {
    async fn start(&self) -> Result<Run> {
        start(&self.target, self.mode.clone(), self.tasks).await
    }

    /// How many tasks a run has.
    fn task_count(&self, run: &Run) -> u32 {
        if self.tasks == Tasks::Many && run.many() { 2 } else { 1 }
    }

    /// Fails unless the target is as it was.
    async fn unchanged(&self) -> Result<()> {
        if self.mode == WriteMode::Create {
            return expect_nothing(self.fixture, &self.target).await;
        }
        expect_visible(self.fixture, &self.target, &old()?).await
    }

    /// Fails unless the target is what `rows` make of it.
    async fn holds(&self, rows: &RecordBatch) -> Result<()> {
        let all = match self.mode {
            WriteMode::Append | WriteMode::Upsert(_) => concat_batches(&rows.schema(), [&old()?, rows])?,
            _ => rows.clone(),
        };
        expect_visible(self.fixture, &self.target, &all).await
    }

    /// A process that comes after the one of `dead` finds the target as it was, writes, and sweeps by what the log holds.
    async fn goes_on_after(&self, dead: Run) -> Result<()> {
        let (agreement, token) = (dead.agreement.clone(), dead.token.clone());
        drop(dead);
        self.unchanged().await?;
        let rows = new()?;
        load(&self.target, &rows, self.mode.clone()).await?;
        self.holds(&rows).await?;
        self.target.elsewhere()?.sink(&self.target.object)?.abort(&agreement, &token).await?;
        self.holds(&rows).await?;
        expect_no_debris(self.fixture, &self.target).await
    }

    /// Commits what the second attempt wrote, or aborts when it was refused; either way no row is there twice.
    async fn settle(&self, run: &Run, second: Result<Receipt>, rows: &RecordBatch) -> Result<()> {
        if let Ok(receipt) = second {
            run.commit(&[receipt]).await?;
            self.target.endpoint.finish(std::slice::from_ref(&run.agreement)).await?;
            self.holds(rows).await
        } else {
            run.abort().await?;
            self.unchanged().await
        }
    }
}

/// The rows that are there before.
fn old() -> Result<RecordBatch> {
    numbered(1000..1010)
}

/// The rows of a second run.
fn new() -> Result<RecordBatch> {
    numbered(50..60)
}

/// Runs `check` in every mode, with one task and with several.
async fn each_way(fixture: &dyn Fixture, check: for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, Result<()>>) -> Result<()> {
    for mode in fixture.modes() {
        for tasks in [Tasks::One, Tasks::Many] {
            let target = fixture.target().await?;
            if mode != WriteMode::Create {
                load(&target, &old()?, WriteMode::Create).await?;
            }
            let scene = Scene { fixture, target, mode: mode.clone(), tasks };
            let checked = check(&scene).await;
            checked.map_err(|error| error.at("tasks", format!("{tasks:?}")).at("mode", format!("{mode:?}")))?;
        }
    }
    Ok(())
}

/// Four tasks of a hundred rows: at once where the sink allows it, each in two batches.
pub(super) async fn writers(fixture: &dyn Fixture) -> Result<()> {
    let target = fixture.target().await?;
    let run = start(&target, WriteMode::Create, Tasks::Many).await?;
    let mut receipts: Vec<Receipt> = Vec::new();
    if run.many() {
        let mut open: Vec<Box<dyn Writer>> = Vec::new();
        for task in 0..4 {
            open.push(run.writer(task).await?);
        }
        for from in [0, 50] {
            for (task, writer) in (0..4_i32).zip(&mut open).rev() {
                let from = i64::from(task) * 100 + from;
                run.write(writer, &numbered(from..from + 50)?).await?;
            }
        }
        for mut writer in open.into_iter().rev() {
            receipts.push(writer.flush(&run.token).await?);
        }
        receipts.reverse();
    } else {
        let mut writer = run.writer(0).await?;
        for from in (0..400).step_by(50) {
            run.write(&mut writer, &numbered(from..from + 50)?).await?;
        }
        receipts.push(writer.flush(&run.token).await?);
    }
    let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
    expect(rows == 400, || format!("the receipts count {rows} of 400 rows"))?;
    expect_nothing(fixture, &target).await?;
    run.commit(&receipts).await?;
    expect_visible(fixture, &target, &numbered(0..400)?).await
}

/// Each mode onto a table with rows.
pub(super) async fn modes(fixture: &dyn Fixture) -> Result<()> {
    for mode in fixture.modes() {
        mode_of(fixture, &mode).await.map_err(|error| error.at("mode", format!("{mode:?}")))?;
    }
    Ok(())
}

async fn mode_of(fixture: &dyn Fixture, mode: &WriteMode) -> Result<()> {
    let target = fixture.target().await?;
    load(&target, &numbered(0..10)?, mode.clone()).await?;
    expect_visible(fixture, &target, &numbered(0..10)?).await?;
    if fixture.reader(&target, &numbered(0..1)?.schema())?.is_none() {
        return Ok(());
    }
    let second = load(&target, &numbered(10..15)?, mode.clone()).await;
    let expected = match (mode, second) {
        (WriteMode::Create, Err(error)) if error.kind() == ErrorKind::AlreadyExists => numbered(0..10)?,
        (WriteMode::Create, Ok(())) => {
            return Err(Error::new(ErrorKind::Internal, "a table with rows was not refused"));
        }
        (_, Err(error)) => return Err(error),
        (WriteMode::Truncate | WriteMode::Replace | WriteMode::Sync(_), Ok(())) => numbered(10..15)?,
        (_, Ok(())) => numbered(0..15)?,
    };
    expect_visible(fixture, &target, &expected).await?;
    expect_no_debris(fixture, &target).await
}

/// Rows that come replace those with their key: by an upsert the others stay, by a sync they go. A key that comes twice or
/// is NULL changes nothing.
pub(super) async fn merges(fixture: &dyn Fixture) -> Result<()> {
    for mode in fixture.modes().into_iter().filter(|mode| mode.merge().is_some()) {
        merge_of(fixture, &mode).await.map_err(|error| error.at("mode", format!("{mode:?}")))?;
    }
    Ok(())
}

async fn merge_of(fixture: &dyn Fixture, mode: &WriteMode) -> Result<()> {
    let target = fixture.target().await?;
    let (old, new) = (numbered(0..10)?, texted(5..15, "new")?);
    load(&target, &old, WriteMode::Create).await?;
    let run = start(&target, mode.clone(), Tasks::Many).await?;
    let parts = if run.many() { vec![new.slice(0, 6), new.slice(6, 4)] } else { vec![new.clone()] };
    let mut receipts = Vec::new();
    for (task, part) in (0..).zip(&parts) {
        receipts.push(run.task(task, part).await?);
    }
    expect_visible(fixture, &target, &old).await?;
    run.commit(&receipts).await?;
    run.commit(&receipts).await?;
    let (kept, deleted) = if matches!(mode, WriteMode::Sync(_)) { (0, 5) } else { (5, 0) };
    let expected = concat_batches(&old.schema(), [&old.slice(0, kept), &new])?;
    expect_visible(fixture, &target, &expected).await?;
    let (counted, wanted) = (run.sink.merged(&run.token), Merged { inserted: 5, updated: 5, deleted });
    expect(counted == Some(wanted), || format!("it counted {counted:?}, not {wanted:?}"))?;
    target.endpoint.finish(std::slice::from_ref(&run.agreement)).await?;

    let twice = concat_batches(&old.schema(), [&texted(7..9, "one")?, &texted(8..10, "other")?])?;
    let run = start(&target, mode.clone(), Tasks::Many).await?;
    let receipt = run.task(0, &twice).await?;
    let refused = run.commit(&[receipt]).await.err().map(|error| error.kind());
    expect(refused == Some(ErrorKind::Constraint), || format!("a key that comes twice gave {refused:?}"))?;
    run.abort().await?;
    expect_visible(fixture, &target, &expected).await?;
    let nullable = |name: &str| run.agreement.target.field_with_name(name).is_ok_and(Field::is_nullable);
    expect(!nullable("id"), || "NULL is taken into the key".to_owned())?;
    expect_no_debris(fixture, &target).await
}

/// The answer of a commit is lost: the second one changes nothing. Another run does.
pub(super) async fn commit_twice(fixture: &dyn Fixture) -> Result<()> {
    let target = fixture.target().await?;
    let rows = numbered(0..10)?;
    let run = start(&target, WriteMode::Create, Tasks::Many).await?;
    let receipts = [run.task(0, &rows).await?];
    run.commit(&receipts).await?;
    run.commit(&receipts).await?;
    // Also by a process that knows nothing but the records.
    target.elsewhere()?.sink(&target.object)?.commit(&run.agreement, &run.token, &receipts).await?;
    expect_visible(fixture, &target, &rows).await?;
    target.endpoint.finish(std::slice::from_ref(&run.agreement)).await?;
    expect_no_debris(fixture, &target).await?;

    if fixture.modes().contains(&WriteMode::Append) {
        load(&target, &rows, WriteMode::Append).await?;
        expect_visible(fixture, &target, &concat_batches(&rows.schema(), [&rows, &rows])?).await?;
    }
    Ok(())
}

/// Abort sweeps what was flushed, as often as it is called; after a commit it does nothing.
pub(super) async fn abort_twice(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(abort_twice_in(scene))).await
}

async fn abort_twice_in(scene: &Scene<'_>) -> Result<()> {
    let run = scene.start().await?;
    for task in 0..scene.task_count(&run) {
        drop(run.task(task, &numbered(0..10)?).await?);
    }
    run.abort().await?;
    run.abort().await?;
    scene.unchanged().await?;
    expect_no_debris(scene.fixture, &scene.target).await?;

    let rows = new()?;
    let run = scene.start().await?;
    let receipt = run.task(0, &rows).await?;
    run.commit(&[receipt]).await?;
    run.abort().await?;
    scene.holds(&rows).await
}

/// All tasks are begun anew: what they have flushed is swept, and the rows come again under the same token.
pub(super) async fn begun_anew(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(begun_anew_in(scene))).await
}

async fn begun_anew_in(scene: &Scene<'_>) -> Result<()> {
    let run = scene.start().await?;
    for task in 0..scene.task_count(&run) {
        drop(run.task(task, &numbered(0..10)?).await?);
    }
    run.abort().await?;
    run.sink.prepare(&run.agreement, &run.token).await?;
    let rows = new()?;
    let receipt = run.task(0, &rows).await?;
    scene.settle(&run, Ok(receipt), &rows).await?;
    expect_no_debris(scene.fixture, &scene.target).await
}

/// The answer of a prepare is lost, before and after rows were flushed.
pub(super) async fn prepare_twice(fixture: &dyn Fixture) -> Result<()> {
    let target = fixture.target().await?;
    let rows = numbered(0..10)?;
    let run = start(&target, WriteMode::Create, Tasks::Many).await?;
    run.sink.prepare(&run.agreement, &run.token).await?;
    let receipt = run.task(0, &rows).await?;
    run.sink.prepare(&run.agreement, &run.token).await?;
    run.commit(&[receipt]).await?;
    expect_visible(fixture, &target, &rows).await
}

/// An attempt is dropped in the middle, another one does the task.
pub(super) async fn attempt_after_lost(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(attempt_after_lost_in(scene))).await
}

async fn attempt_after_lost_in(scene: &Scene<'_>) -> Result<()> {
    let rows = numbered(0..10)?;
    let run = scene.start().await?;
    let mut lost = run.writer(0).await?;
    run.write(&mut lost, &numbered(100..110)?).await?;
    drop(lost);
    let second = run.task(0, &rows).await?;
    scene.settle(&run, Ok(second), &rows).await?;
    expect_no_debris(scene.fixture, &scene.target).await
}

/// The receipt of an attempt is lost, another attempt does the task: its rows are there once. A sink may refuse
/// the second attempt; then nothing is there.
pub(super) async fn attempt_after_flushed(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(attempt_after_flushed_in(scene))).await
}

async fn attempt_after_flushed_in(scene: &Scene<'_>) -> Result<()> {
    let rows = numbered(0..10)?;
    let run = scene.start().await?;
    drop(run.task(0, &rows).await?);
    let second = run.task(0, &rows).await;
    scene.settle(&run, second, &rows).await?;
    expect_no_debris(scene.fixture, &scene.target).await
}

/// Two attempts of one task are open at once, the older one is a zombie that never flushes.
pub(super) async fn attempts_at_once(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(attempts_at_once_in(scene))).await
}

async fn attempts_at_once_in(scene: &Scene<'_>) -> Result<()> {
    let rows = numbered(0..10)?;
    let run = scene.start().await?;
    if !run.many() {
        return run.abort().await;
    }
    let mut zombie = run.writer(0).await?;
    run.write(&mut zombie, &rows).await?;
    let second = run.task(0, &rows).await;
    let committed = second.is_ok();
    scene.settle(&run, second, &rows).await?;
    // Whether this is refused or goes to nowhere is the sink's matter.
    drop(zombie.flush(&run.token).await);
    drop(zombie);
    run.abort().await?;
    if committed { scene.holds(&rows).await } else { scene.unchanged().await }
}

/// The process ends while a writer writes: nothing is there, and a new run works.
pub(super) async fn killed_before_flush(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(killed_before_flush_in(scene))).await
}

async fn killed_before_flush_in(scene: &Scene<'_>) -> Result<()> {
    let run = scene.start().await?;
    let mut writers = Vec::new();
    for task in 0..scene.task_count(&run) {
        let mut writer = run.writer(task).await?;
        run.write(&mut writer, &numbered(0..10)?).await?;
        writers.push(writer);
    }
    drop(writers);
    scene.goes_on_after(run).await
}

/// The process ends between flush and commit: nothing is there, and a new run works.
pub(super) async fn killed_after_flush(fixture: &dyn Fixture) -> Result<()> {
    each_way(fixture, |scene| Box::pin(killed_after_flush_in(scene))).await
}

async fn killed_after_flush_in(scene: &Scene<'_>) -> Result<()> {
    let run = scene.start().await?;
    for task in 0..scene.task_count(&run) {
        let from = i64::from(task) * 10;
        drop(run.task(task, &numbered(from..from + 10)?).await?);
    }
    scene.goes_on_after(run).await
}
