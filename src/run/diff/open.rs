//! One side of a comparison: open, described, and planned.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use tokio::sync::RwLock;
use uuid::Uuid;

use super::Comparison;
use crate::attempt::Token;
use crate::endpoint::{Endpoint, OpenRequest, Session};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::flow::heavy::{self, HeavyDoor};
use crate::flow::throttle::Throttle;
use crate::job::{Place, Transform};
use crate::plan::context::Ends;
use crate::plan::diff::columns::{Columns, Given};
use crate::plan::diff::side::Rows;
use crate::plan::diff::{Codec, Side};
use crate::plan::pipeline::{Parts, Pipeline};
use crate::run::Surroundings;
use crate::run::budget::{self, Budget, Work};
use crate::run::sizing::{self, Wanted};
use crate::run::stages::{cores, endpoint};
use crate::schema::{FORM, TEXT, with_metadata};
use crate::source::{Source, SplitGoal, TableShape};

/// Names of the two ends in a plan.
const ENDS: [&str; 2] = ["source0", "source1"];

/// One side, open and described.
pub(super) struct Open {
    pub(super) side: Side,
    place: Place,
    endpoint: Arc<dyn Endpoint>,
    pub(super) session: Arc<dyn Session>,
    source: Arc<dyn Source>,
    shape: TableShape,
    /// Columns that are read as text, though the source has a type for them.
    as_text: HashSet<String>,
    budget: Budget,
    goal: SplitGoal,
    /// Held by every reader that is alive.
    pub(super) readers: Arc<RwLock<()>>,
}

impl Open {
    /// Opens `place`, which gets half of the memory and of the channels.
    pub(super) async fn of(side: Side, place: &Place, comparison: &Comparison) -> Result<Self> {
        let limits = &comparison.limits;
        let memory_bytes = budget::memory(limits.memory_bytes)? / 2;
        let wanted = Wanted::of(limits, cores()).channels.div_ceil(2);
        let channels = wanted.min(budget::channels_max(memory_bytes, 1, Work::Query));
        let endpoint = endpoint(place)?;
        let request = OpenRequest {
            objects: vec![place.object.clone()],
            readers: channels,
            join: None,
            row_bytes_max: Some(heavy::row_bytes_max(memory_bytes)),
        };
        let described = async {
            let session = endpoint.open(&request).await?;
            let source = session.source(&place.object)?;
            let shape = source.describe().await?;
            Ok::<_, Error>((session, source, shape))
        };
        let described = described.await.at("source", || endpoint.label()).at("side", || side);
        let (session, source, shape) = described?;
        let channels = channels.min(sizing::gathering_channels(&shape, memory_bytes));
        let split_bytes = sizing::split_bytes(limits, shape.bytes, channels);
        let budget =
            budget::divide(memory_bytes, channels, 1, Work::Query).gathering(sizing::gathered_row_bytes(&shape));
        Ok(Self {
            side,
            place: place.clone(),
            session,
            source,
            shape,
            as_text: HashSet::new(),
            budget,
            goal: SplitGoal::new(split_bytes, channels),
            readers: Arc::default(),
            endpoint,
        })
    }

    /// Its label without secrets.
    pub(super) fn label(&self) -> String {
        self.endpoint.label()
    }

    /// How many splits of it are read at once.
    pub(super) fn channels(&self) -> usize {
        self.goal.channels
    }

    /// Its columns, for being compared.
    pub(super) fn given(&self) -> Given {
        let all_text = self.place.options["allStrings"] == true;
        let is_text = |field: &&Arc<Field>| *field.data_type() == DataType::Utf8;
        let untyped = self.shape.schema.fields().iter().filter(|field| all_text && is_text(field));
        let untyped = untyped.map(|field| field.name().clone()).chain(self.as_text.iter().cloned()).collect();
        Given { schema: Arc::clone(&self.shape.schema), key: self.shape.key.clone(), untyped }
    }

    /// The plan of the rows of `columns`.
    pub(super) async fn rows(
        &self,
        comparison: &Comparison,
        (codec, columns): (&Arc<Codec>, &Columns),
        surroundings: &Surroundings,
    ) -> Result<Rows> {
        let name = ENDS[self.side as usize].to_owned();
        let pipeline = Pipeline::new(Parts {
            endpoint: name.clone(),
            connector: self.place.connector.clone(),
            label: self.endpoint.label(),
            object: self.place.object.clone(),
            source: Arc::clone(&self.source),
            shape: self.shape.clone(),
            window: None,
            transform: Transform {
                filter: comparison.filter.clone(),
                select: columns.all().map(|column| column.name.clone()).collect(),
                ..Transform::default()
            },
            goal: self.goal,
            batch_rows: self.budget.batch_rows,
            batch_bytes: self.budget.batch_bytes,
            memory_bytes: self.budget.operator_bytes,
            token: Token { run: Uuid::now_v7().simple().to_string(), transfer: 0, sink: 0, epoch: 0 },
        })?;
        let (root, splits) = pipeline.rows().await?;
        let bytes = splits.iter().filter_map(|split| split.bytes).sum();
        surroundings.meter.expect(splits.len() as u64, self.shape.rows.unwrap_or(0), bytes);
        let speed = &comparison.limits.speed;
        let ends = Ends {
            sessions: HashMap::from([(name, Arc::clone(&self.session))]),
            meter: Arc::clone(&surroundings.meter),
            throttle: Throttle::new(speed.job_bytes, speed.job_rows),
            heavy: HeavyDoor::new(self.budget.memory_bytes, self.budget.batch_bytes),
            lane_bytes: self.budget.lane_bytes,
            readers: Arc::clone(&self.readers),
            ..Ends::default()
        };
        Rows::new(self.side, root, pipeline.task_context(Arc::new(ends)), (codec, columns))
    }
}

/// Reads a column as text from now on that has a value which Arrow cannot hold, such as an infinite date, and the same
/// column of the other side too where that has a text of the same kind. `false` when `error` names none, or it is so already.
pub(super) fn turn_to_text(sides: &mut [Open; 2], error: &Error) -> bool {
    let which = |what: &str| error.frames().iter().find(|frame| frame.what == what).map(|frame| frame.which.clone());
    let (Some(side), Some(column)) = (which("side"), which("column")) else { return false };
    if error.kind() != ErrorKind::Value {
        return false;
    }
    let forms = [0, 1].map(|side| native(&sides[side].shape, &column));
    let both = forms[0].is_some() && forms[0] == forms[1];
    let mut turned = false;
    for open in sides {
        if (both || open.side.to_string() == side) && turn_column(&mut open.shape, &column) {
            open.as_text.insert(column.clone());
            turned = true;
        }
    }
    turned
}

fn native(shape: &TableShape, column: &str) -> Option<Arc<Field>> {
    shape.native[shape.schema.index_of(column).ok()?].clone()
}

fn turn_column(shape: &mut TableShape, column: &str) -> bool {
    let Ok(index) = shape.schema.index_of(column) else { return false };
    if shape.native[index].take().is_none() {
        return false;
    }
    let mut fields: Vec<_> = shape.schema.fields().iter().map(Arc::clone).collect();
    let text = Field::new(column, DataType::Utf8, fields[index].is_nullable());
    fields[index] = Arc::new(with_metadata(text, FORM, TEXT));
    shape.schema = Arc::new(Schema::new(fields));
    true
}
