//! Whether every part of a connector is written: what one that was just begun still lacks.
//!
//! A part that is not written answers [`Unsupported`](ErrorKind::Unsupported). Calls come in the order of the contract;
//! where one fails, the next gets a stand-in for its result, so that each part is asked. Whether the answers are right is
//! for the other checks.

use arrow::datatypes::SchemaRef;
use futures::StreamExt as _;
use serde_json::Value as Json;

use super::drive::{align, new_token, numbered};
use super::{Fixture, Report};
use crate::attempt::Attempt;
use crate::connector::{CHAPTERS, Connector, option_table};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{
    Agreement, ColumnPlan, Guarantee, Kept, Publish, Receipt, Sink, Tasks, WriteMode, WriteRequest, Writers,
};
use crate::source::{Scan, Split, SplitGoal, TableShape};

/// What stands in a chapter that is still to be written.
const NOT_WRITTEN: &str = "*Not written:*";

/// Asks each part of `connector` once, in a fresh target of `fixture`. The report has one sentence for each that is not written.
pub async fn check_parts(connector: &dyn Connector, fixture: &dyn Fixture) -> Report {
    let mut asked = Asked(Report { checks: 0, failed: Vec::new() });
    asked.page(connector);
    if let Some(target) = asked.part("target", fixture.target().await) {
        asked.part("list", target.endpoint.list("*").await);
        asked.part("ping", target.endpoint.ping().await);
        let sink = target.endpoint.sink(&target.object);
        let takes = sink.is_ok();
        if let Ok(sink) = sink {
            asked.sink(&*target.endpoint, &*sink).await;
        }
        let request = OpenRequest { objects: vec![target.object.clone()], readers: 1, ..OpenRequest::default() };
        match target.endpoint.open(&request).await {
            Ok(session) => asked.source(&*session, &target.object).await,
            Err(error) if !takes => {
                asked.0.failed.push(("contract", Error::new(error.kind(), "it neither gives rows nor takes any")));
            }
            Err(_) => {}
        }
    }
    asked.0
}

struct Asked(Report);

impl Asked {
    /// The answer of `part`; none where there is no good one.
    fn part<T>(&mut self, part: &'static str, answer: Result<T>) -> Option<T> {
        self.0.checks += 1;
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) if error.kind() == ErrorKind::Unsupported => self.0.failed.push((part, error)),
            Err(_) => {}
        }
        None
    }

    fn page(&mut self, connector: &dyn Connector) {
        let page = connector.page();
        for title in CHAPTERS {
            let chapter = page.split("\n## ").find_map(|text| text.strip_prefix(title)?.strip_prefix('\n'));
            self.holds(chapter.is_some_and(|text| !text.contains(NOT_WRITTEN)), || {
                format!("chapter {title:?} of README.md is not written")
            });
        }
        self.holds(page.contains(&option_table(connector.options())), || {
            "the table of options in README.md is not that of the code".to_owned()
        });
    }

    fn holds(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        let answer = if holds { Ok(()) } else { Err(Error::new(ErrorKind::Unsupported, otherwise())) };
        self.part("page", answer);
    }

    async fn source(&mut self, session: &dyn Session, object: &ObjectRef) {
        let Some(source) = self.part("source", session.source(object)) else { return };
        let shape = self.part("describe", source.describe().await).unwrap_or_else(|| TableShape::of(schema()));
        let scan = Scan {
            schema: shape.schema,
            filters: Vec::new().into(),
            limit: None,
            batch_rows: 8192,
            batch_bytes: 1 << 20,
        };
        let plan = self.part("plan", source.plan(&scan, &SplitGoal::new(1 << 20, 1)).await);
        let split = plan.and_then(|plan| plan.splits.into_iter().next()).unwrap_or_else(|| Split {
            id: 0,
            source: 0,
            rows: None,
            bytes: None,
            place: None,
            detail: Json::Null,
        });
        let attempt = Attempt::new(new_token(), 0, vec![0]);
        let first = match source.read(&scan, &split, &attempt, None).await {
            Ok(mut batches) => batches.next().await.transpose(),
            Err(error) => Err(error),
        };
        self.part("read", first);
    }

    async fn sink(&mut self, endpoint: &dyn Endpoint, sink: &dyn Sink) {
        let request = WriteRequest { tasks: Tasks::One, ..WriteRequest::new(WriteMode::Create) };
        let agreed = self.part("agree", sink.agree(&TableShape::of(schema()), &request).await);
        let agreement = agreed.unwrap_or_else(stand_in);
        let token = new_token();
        let attempt = Attempt::new(token.clone(), 0, vec![0]);
        self.part("prepare", sink.prepare(&agreement, &token).await);
        let mut receipt = None;
        if let Some(mut writer) = self.part("writer", sink.writer(&agreement, &attempt).await) {
            if let Ok(batch) = numbered(0..3).and_then(|rows| align(&rows, &agreement)) {
                self.part("write", writer.write(batch).await);
            }
            receipt = self.part("flush", writer.flush(&token).await);
        }
        let receipt = receipt.unwrap_or_else(|| Receipt::of(&attempt, 3, 0, Json::Null));
        self.part("commit", sink.commit(&agreement, &token, &[receipt]).await);
        self.part("abort", sink.abort(&agreement, &token).await);
        self.part("finish", endpoint.finish(&[agreement]).await);
    }
}

fn schema() -> SchemaRef {
    numbered(0..1).expect("the columns fit their schema").schema()
}

/// What a sink might have agreed on that takes columns as they come.
fn stand_in() -> Agreement {
    Agreement {
        label: "stand-in".to_owned(),
        columns: schema().fields().iter().map(|field| ColumnPlan::exact(field.name(), "")).collect(),
        target: schema(),
        ddl: Vec::new(),
        writers: Writers::One,
        publish: Publish::AtOnce,
        guarantee: Guarantee::AtLeastOnce,
        kept: Kept::Nothing,
        marked: false,
        refusals: Refusals::Fail,
        task_bytes: None,
        notes: Vec::new(),
        detail: Json::Null,
    }
}
