//! A plan that was made into bytes and back gives the same receipts for the same rows, and checks as before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_etl::attempt::Token;
use arrow_etl::endpoint::OpenRequest;
use arrow_etl::plan::codec::Codec;
use arrow_etl::plan::context::Ends;
use arrow_etl::plan::error::from_datafusion;
use arrow_etl::plan::pipeline::{Parts, Pipeline, Target, Terms};
use arrow_etl::plan::write::receipts;
use arrow_etl::proof::Verify;
use arrow_etl::sink::{Receipt, Sink, Tasks, WriteMode, WriteRequest};
use arrow_etl::source::SplitGoal;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _, displayable};
use futures::TryStreamExt as _;

use super::*;

fn table(name: &str) -> ObjectRef {
    ObjectRef::Table(name.to_owned())
}

fn parts(
    source: Arc<dyn arrow_etl::source::Source>,
    shape: arrow_etl::source::TableShape,
    transform: Transform,
) -> Parts {
    Parts {
        endpoint: "source0".to_owned(),
        connector: "memory".to_owned(),
        label: "memory:".to_owned(),
        object: table("src"),
        source,
        shape,
        window: None,
        transform,
        goal: SplitGoal::new(1 << 20, 3),
        batch_rows: 100,
        batch_bytes: 1 << 20,
        memory_bytes: 64 << 20,
        token: Token { run: "codec".to_owned(), transfer: 0, sink: 0, epoch: 0 },
    }
}

/// Plans `transform` from `source` to `target`, sends the plan through the codec, runs what comes out, and commits.
async fn travelled(source: &Memory, target: &Memory, transform: Transform) -> Result<u64, Error> {
    travelled_to(source, (target, None), transform).await
}

/// The same, with so many writers.
async fn travelled_to(
    source: &Memory,
    (target, writers): (&Memory, Option<usize>),
    transform: Transform,
) -> Result<u64, Error> {
    let request = OpenRequest { objects: vec![table("src")], readers: 3, ..OpenRequest::default() };
    let session = source.endpoint().open(&request).await?;
    let reader = session.source(&table("src"))?;
    let shape = reader.describe().await?;
    let pipeline = Pipeline::new(parts(reader, shape, transform))?;
    let sink: Arc<dyn Sink> = target.endpoint().sink(&table("dst"))?;
    let draft = pipeline.draft().await?;
    let agreement = sink.agree(&draft.shape, &WriteRequest::new(WriteMode::Create)).await?;
    let token = Token { run: "codec".to_owned(), transfer: 0, sink: 0, epoch: 0 };
    let to = Target { endpoint: "sink0".to_owned(), sink: Arc::clone(&sink), agreement: agreement.clone(), token };
    let terms = Terms { tasks: Tasks::Many, splits: None, verify: Verify::Count, writers };
    let planned = pipeline.transfer(&draft, &[to], terms).await?;
    let ends = Ends {
        sessions: HashMap::from([("source0".to_owned(), session)]),
        sinks: HashMap::from([("sink0".to_owned(), Arc::clone(&sink))]),
        lane_bytes: 1 << 20,
        ..Ends::default()
    };
    let context = pipeline.task_context(Arc::new(ends));
    let root = planned.transfer.root;
    let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(&**plan).indent(false).to_string();
    let decoded = Codec::default().decode(&Codec::default().encode(Arc::clone(&root))?, &context)?;
    assert_eq!(shown(&decoded), shown(&root));
    let partitions = decoded.output_partitioning().partition_count();
    let running = (0..partitions).map(|partition| {
        let stream = decoded.execute(partition, Arc::clone(&context)).map_err(from_datafusion);
        async { stream?.map_err(from_datafusion).try_collect::<Vec<_>>().await }
    });
    let batches = futures::future::try_join_all(running).await?;
    let all: Vec<Receipt> = batches.iter().flatten().map(receipts).collect::<Result<Vec<_>, _>>()?.concat();
    sink.commit(&agreement, &planned.transfer.token, &all).await?;
    Ok(all.iter().map(|receipt| receipt.rows).sum())
}

fn set(name: &str, expression: &str) -> Transform {
    Transform { set: vec![(name.to_owned(), expression.to_owned())], ..Transform::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoded_plan_gives_what_the_plan_itself_gives() {
    let source = wide(1_000, 7);
    let limited = Transform { limit: Some(250), ..set("more", "cast(id as int) * -2") };
    let filtered = Transform { filter: Some("id % 2 = 0".to_owned()), ..set("more", "try_cast(pad as int) + id") };
    let steps = vec![steps::step("dx_filter", 1, ["<", "100"]), steps::step("dx_substr", 2, ["1", "3"])];
    let stepped = Transform { steps, ..set("more", "id * 2") };
    for transform in [
        Transform::default(),
        limited,
        filtered,
        stepped,
        sql("select ref % 10 as id, sum(id * 2) as n, avg(cast(id as decimal(70,2))) as m from src group by ref % 10"),
        sql("select id, -cast(ref as decimal(38,0)) * 3 as n from src order by id + 1, cast(ref as int) desc"),
        sql(
            "select a.id, b.ref from src a join src b on cast(a.id as int) + 1 = cast(b.ref as int) and a.ref * 2 > b.id - 9",
        ),
        sql("select id from src union all select ref from src"),
        sql("select id, sum(ref) over (order by id rows between 2 preceding and current row) as s from src"),
    ] {
        let (direct, decoded) = (Memory::new(), Memory::new());
        run(&job(transform.clone()), &source, &direct).await.unwrap_or_else(|error| panic!("{transform:?} {error:?}"));
        let rows = travelled(&source, &decoded, transform.clone()).await;
        let rows = rows.unwrap_or_else(|error| panic!("{transform:?} {error:?}"));
        let rows_of = |memory: &Memory| {
            let batch = memory.table("dst").unwrap().rows;
            let text = arrow::util::pretty::pretty_format_batches(&[batch]).unwrap().to_string();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(rows as usize, direct.table("dst").unwrap().rows.num_rows(), "{transform:?}");
        assert_eq!(rows_of(&decoded), rows_of(&direct), "{transform:?}");
    }
}

/// Writers that share all batches: of the rows themselves, and of a query.
#[tokio::test(flavor = "multi_thread")]
async fn a_decoded_plan_has_its_writers() {
    for transform in [Transform::default(), sql("select ref % 10 as id, count(*) as n from src group by ref % 10")] {
        for writers in [1, 4] {
            let (source, target) = (wide(1_000, 7), Memory::new());
            let rows = travelled_to(&source, (&target, Some(writers)), transform.clone()).await.unwrap();
            assert_eq!(rows as usize, target.table("dst").unwrap().rows.num_rows(), "{transform:?}");
            assert_eq!(rows == 1_000, transform == Transform::default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoded_plan_is_still_checked() {
    let source = wide(1_000, 7);
    let large = "(id + 9223372036854775000)";
    for transform in [
        set("x", &format!("{large} * 2")),
        set("x", "cast(id / 2.0 as int)"),
        sql(&format!("select sum{large} as s from src")),
        sql(&format!("select max({large} * 3) as s from src group by ref % 3")),
        sql("select id from src order by cast(id / 2.0 as int)"),
        sql(
            "select max(-(cast(id as decimal(38,0)) + cast(repeat('9', 38) as decimal(38,0)))) as x from src group by ref",
        ),
    ] {
        let (direct, decoded) = (Memory::new(), Memory::new());
        let error = run(&job(transform.clone()), &source, &direct).await.expect_err("unchecked before it travels");
        assert_eq!(error.kind(), ErrorKind::Value, "{transform:?} {error:?}");
        let error = travelled(&source, &decoded, transform.clone()).await.expect_err("unchecked after it travelled");
        assert_eq!(error.kind(), ErrorKind::Value, "{transform:?} {error:?}");
    }
}
