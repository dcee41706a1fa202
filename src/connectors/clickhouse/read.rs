//! Reading one table, view or query: one SELECT per split, whose blocks are decoded on the processor pool and cut to size.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::StreamExt as _;

use super::answer::{Answer, Decoding, Pieces};
use super::catalog::{Column as Known, Origin, Relation};
use super::config::{Compress, Config, CutBy};
use super::connect::Server;
use super::ddl::ORDER;
use super::decode::{decode, text_of};
use super::name::identifier;
use super::request::Setting;
use super::session::Shared;
use super::split::{self, Piece, Place};
use super::typemap::{Kind, Type};
use crate::attempt::Attempt;
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::cut::Cutter;
use crate::formats::exchange::{self, Fit, Misfit};
use crate::reject::{Tray, set_aside};
use crate::schema::{COMMENT, with_metadata};
use crate::shape::counted;
use crate::source::{BatchStream, Cut, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::dialect::ClickHouse;
use crate::sql::filter::{self, Column, Columns, Compares};
use crate::sql::select::{list, select};

/// Bytes of a block that the server hands out.
const BLOCK_BYTES: usize = 16 << 20;
/// Seconds for which the server waits until somebody takes the next rows.
const SEND_TIMEOUT_SECONDS: u32 = 3600;

/// One object of a session.
#[derive(Debug)]
pub(super) struct ChSource {
    shared: Arc<Shared>,
    relation: Relation,
}

impl ChSource {
    pub(super) fn new(shared: Arc<Shared>, relation: Relation) -> Self {
        Self { shared, relation }
    }

    fn place(&self, error: Error) -> Error {
        self.shared.server.place(error.at("table", self.relation.shown()))
    }

    async fn pieces(&self, scan: &Scan, goal: &SplitGoal, notes: &mut Vec<String>) -> Result<Vec<Piece>> {
        let whole = |notes: &mut Vec<String>, why: &str| {
            notes.push(format!("one stream, of the moment at which it begins: {why}"));
            let (rows, bytes) = (self.relation.rows.unwrap_or(0), self.relation.bytes.unwrap_or(0));
            Ok(vec![Piece { place: Place::Whole, rows, bytes }])
        };
        let table = match &self.relation.origin {
            Origin::Query(_) => return whole(notes, "a query has no parts"),
            Origin::Table(table) if !table.has_parts() => {
                return whole(notes, &format!("a table of the engine {} has no parts", table.engine));
            }
            Origin::Table(table) => table,
        };
        if self.relation.columns.iter().any(|column| split::HIDDEN.contains(&column.name.as_str())) {
            return whole(notes, "a column of the table hides its parts");
        }
        if self.shared.server.config().cut == CutBy::Nothing {
            return whole(notes, "the locator says so");
        }
        if goal.cut == Cut::ByKey {
            return whole(notes, "parts are no key");
        }
        if self.shared.readers == 1 || goal.channels == 1 {
            return whole(notes, "there is one reader");
        }
        if scan.limit.is_some() {
            return whole(notes, "few rows are wanted");
        }
        let parts = split::parts(&self.shared.server, table).await?;
        if split::is_small(&parts, goal) {
            return whole(notes, "the table is small");
        }
        if self.shared.server.config().cut == CutBy::Auto && !split::is_at_rest(&self.shared.server, table).await? {
            return whole(notes, "its parts may soon be merged; ?cut=parts reads them by several readers");
        }
        let pieces = split::cut(&parts, goal);
        notes.push(format!(
            "{} of {}, {} bytes a split: the table as it is now; a merge of these parts before they are read ends the run",
            counted(pieces.len(), "split"),
            counted(parts.len(), "part"),
            goal.split_bytes
        ));
        Ok(pieces)
    }
}

impl Relation {
    /// Its columns in their Arrow form. Those that are not read are among them, as bytes: a plan that wants one is refused.
    fn schema(&self) -> SchemaRef {
        let field = |column: &Known| {
            let field = match &column.declared_as {
                Some(declared) => declared.column(&column.name),
                None => Field::new(&column.name, DataType::Binary, true),
            };
            let field = match self.order.iter().position(|name| *name == column.name) {
                Some(place) => with_metadata(field, ORDER, &place.to_string()),
                None => field,
            };
            match &column.comment {
                Some(comment) => with_metadata(field, COMMENT, comment),
                None => field,
            }
        };
        Arc::new(Schema::new(self.plain().map(field).collect::<Vec<_>>()))
    }
}

#[async_trait]
impl Source for ChSource {
    async fn describe(&self) -> Result<TableShape> {
        let schema = self.relation.schema();
        let comment = Some(self.relation.comment.clone()).filter(|comment| !comment.is_empty());
        // A primary key of ClickHouse is an order: it may hold the same values twice.
        Ok(TableShape { comment, rows: self.relation.rows, bytes: self.relation.bytes, ..TableShape::of(schema) })
    }

    fn pushdown(&self, shape: &TableShape, filter: &Expr) -> Pushdown {
        filter::pushdown(filter, &Facts { schema: &shape.schema, relation: &self.relation }, &ClickHouse)
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        for field in scan.schema.fields() {
            self.relation.declared(field).map_err(|error| self.place(error))?;
        }
        let mut notes = Vec::new();
        let pieces = self.pieces(scan, goal, &mut notes).await.map_err(|error| self.place(error))?;
        let split = |(id, piece): (usize, &Piece)| {
            let detail = serde_json::to_value(&piece.place)?;
            let (rows, bytes) = (Some(piece.rows), Some(piece.bytes));
            Ok(Split { id: id as u32, source: 0, rows, bytes, place: piece.place.shown(), detail })
        };
        let splits = pieces.iter().enumerate().map(split).collect::<Result<Vec<_>>>()?;
        // One stream means all rows at any time.
        let cut = if splits.iter().all(|split| split.place.is_none()) { Cut::ByKey } else { Cut::Fastest };
        Ok(ReadPlan { splits, notes, cut, ..ReadPlan::default() })
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let place: Place = serde_json::from_value(split.detail.clone())?;
        let schema = self.relation.schema();
        let facts = Facts { schema: &schema, relation: &self.relation };
        let (filters, exact) = filter::conditions(&scan.filters, &facts, &ClickHouse)?;
        let conditions: Vec<String> = place.condition().into_iter().chain(filters).collect();
        let types = scan.schema.fields().iter().map(|field| self.relation.declared(field)).collect::<Result<Vec<_>>>();
        let types = types.map_err(|error| self.place(error))?;
        let select = Select::of(&self.relation.sql(), &scan.schema, types, &conditions, scan.limit.filter(|_| exact));
        let server = &self.shared.server;
        let cutter = Cutter::new(Arc::clone(&scan.schema), scan.batch_rows, scan.batch_bytes);
        let reading = Reading::begin(server, select, Some(Cutting { cutter, tray: tray.cloned() })).await;
        let mut reading = reading.map_err(|error| self.place(error))?;
        // The first rows are there, so the query has begun, and with it the parts that it reads.
        reading.fill().await.map_err(|error| self.place(error))?;
        if let Some(table) = self.relation.table() {
            let checked = place.check(server, table).await;
            if checked.as_ref().is_err_and(|error| error.kind() == ErrorKind::Mismatch) {
                self.shared.lose();
            }
            checked.map_err(|error| self.place(error))?;
        }
        let (server, shown) = (Arc::clone(server), self.relation.shown());
        Ok(reading.stream().map(move |batch| batch.map_err(|error| server.place(error.at("table", &shown)))).boxed())
    }
}

impl Relation {
    fn declared(&self, field: &Field) -> Result<Type> {
        let missing = || Error::new(ErrorKind::NotFound, "there is no such column").at("column", field.name());
        let column = self.columns.iter().find(|column| column.name == *field.name()).ok_or_else(missing)?;
        column.known().cloned()
    }
}

/// What filters may know of the columns of a shape.
struct Facts<'a> {
    schema: &'a SchemaRef,
    relation: &'a Relation,
}

impl Columns for Facts<'_> {
    fn column(&self, name: &str) -> Option<Column<'_>> {
        let (_, field) = self.schema.column_with_name(name)?;
        let column = self.relation.columns.iter().find(|column| column.name == name)?;
        let compares = match column.declared_as.as_ref()?.kind {
            Kind::Boolean | Kind::Integer { .. } | Kind::Date | Kind::Date32 => Compares::Order,
            Kind::DateTime(_) | Kind::DateTime64(0..=6, _) | Kind::Text => Compares::Order,
            _ => Compares::No,
        };
        Some(Column { sql: identifier(name).into(), data_type: field.data_type(), compares })
    }
}

/// One SELECT and how its rows become batches.
#[derive(Clone, Debug)]
pub(super) struct Select {
    sql: String,
    schema: SchemaRef,
    types: Vec<Type>,
}

impl Select {
    /// The columns of `schema`, which are of `types`, out of `from`, which is quoted.
    pub(super) fn of(
        from: &str,
        schema: &SchemaRef,
        types: Vec<Type>,
        conditions: &[String],
        limit: Option<u64>,
    ) -> Self {
        let fields = schema.fields().iter().zip(&types);
        let columns: Vec<String> = fields.map(|(field, declared)| selected(field.name(), declared)).collect();
        let sql = select(&list(&columns), from, conditions, limit);
        Self { sql: format!("{sql} FORMAT ArrowStream"), schema: Arc::clone(schema), types }
    }
}

/// Rows that a SELECT gave, before which it gave others.
struct Rows<'a> {
    select: &'a Select,
    before: u64,
}

impl exchange::Decoder for Rows<'_> {
    fn array(&self, position: usize, given: &ArrayRef) -> Fit {
        decode(&self.select.types[position], given)
    }

    fn text(&self, position: usize, given: &ArrayRef, row: usize) -> Option<String> {
        text_of(&self.select.types[position].kind, given, row)
    }

    fn error(&self, position: usize, misfit: Misfit) -> Error {
        let error = misfit.unread(self.select.schema.field(position).name(), self.before);
        match self.select.types[position].kind {
            Kind::Text => error.with_hint("read Strings as bytes with ?strings=binary in the locator"),
            Kind::Time | Kind::Time64(_) => {
                error.with_hint("read it as text: --query with toString(column), or leave it out with --drop")
            }
            _ => error,
        }
    }
}

/// What is selected of the column `name`. Of times it is their numbers: at one beyond a day the server would fail, and not say in
/// which column and row.
fn selected(name: &str, declared: &Type) -> String {
    let column = identifier(name);
    match declared.kind {
        Kind::Time => format!("toInt32({column})"),
        Kind::Time64(digits) => format!("toDecimal64({column}, {digits})"),
        _ => column,
    }
}

/// What a server is told of the rows that it hands out: shapes that `decode` knows, in blocks of a good size.
fn settings(config: &Config) -> [Setting<'static>; 8] {
    let method = match config.compress {
        Compress::None => "none",
        Compress::Lz4 => "lz4_frame",
    };
    [
        ("output_format_arrow_compression_method", method.to_owned()),
        ("output_format_arrow_string_as_string", "0".to_owned()),
        ("output_format_arrow_low_cardinality_as_dictionary", "0".to_owned()),
        ("output_format_json_quote_64bit_integers", "0".to_owned()),
        ("max_block_size", config.block_rows.to_string()),
        ("preferred_block_size_bytes", BLOCK_BYTES.to_string()),
        ("cancel_http_readonly_queries_on_client_close", "1".to_owned()),
        // Whoever writes the rows may be slow.
        ("http_send_timeout", SEND_TIMEOUT_SECONDS.to_string()),
    ]
}

/// A SELECT whose rows are coming.
pub(super) struct Reading {
    answer: Answer,
    /// Away while a thread of the pool works with it.
    work: Option<Work>,
    full: VecDeque<RecordBatch>,
    ended: bool,
}

/// What turns bytes into batches.
struct Work {
    decoding: Decoding,
    select: Select,
    cut: Option<Cutting>,
    rows: u64,
}

/// How batches are cut to size, and where rows go that cannot be decoded.
pub(super) struct Cutting {
    cutter: Cutter,
    tray: Option<Arc<Tray>>,
}

impl Reading {
    /// Asks for the rows of `select`. Where they are not `cut` they come as the server hands them out.
    pub(super) async fn begin(server: &Arc<Server>, select: Select, cut: Option<Cutting>) -> Result<Self> {
        let answer = server.stream(&select.sql, &settings(server.config())).await?;
        let work = Work { decoding: Decoding::default(), select, cut, rows: 0 };
        Ok(Self { answer, work: Some(work), full: VecDeque::new(), ended: false })
    }

    /// The next batch; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.full.pop_front() {
                return Ok(Some(batch));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Decodes some more.
    async fn fill(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let (pieces, last) = match self.answer.pieces().await? {
            Pieces::Some(pieces) => (pieces, false),
            Pieces::Last(pieces) => (pieces, true),
        };
        let lost = || Error::new(ErrorKind::Internal, "the reading of these rows has failed before");
        let mut work = self.work.take().ok_or_else(lost)?;
        let worked = cpu::run(move || {
            let mut full = VecDeque::new();
            work.feed(pieces, last, &mut full).map(|()| (work, full))
        })
        .await?;
        // What cannot be decoded may be the text of an exception.
        let (work, full) = worked.map_err(|error| match error.kind() {
            ErrorKind::Corrupt => self.answer.exception().unwrap_or(error),
            _ => error,
        })?;
        (self.work, self.ended) = (Some(work), last);
        self.full.extend(full);
        Ok(())
    }

    fn stream(self) -> BatchStream {
        let next = |mut reading: Self| async move { Ok(reading.next().await?.map(|batch| (batch, reading))) };
        futures::stream::try_unfold(self, next).boxed()
    }
}

impl Work {
    fn feed(&mut self, pieces: Vec<bytes::Bytes>, last: bool, full: &mut VecDeque<RecordBatch>) -> Result<()> {
        let Self { decoding, select, cut, rows } = self;
        decoding.feed(pieces, |batch| {
            let sifted = exchange::sift(&select.schema, &batch, &Rows { select, before: *rows })?;
            *rows += batch.num_rows() as u64;
            let Some(Cutting { cutter, tray }) = cut else {
                full.push_back(set_aside(None, sifted)?);
                return Ok(());
            };
            let send = |batch| {
                full.push_back(batch);
                true
            };
            cutter.add_sifted(tray.as_deref(), sifted, send).map(drop)
        })?;
        if last {
            decoding.finish()?;
            if let Some(Cutting { cutter, .. }) = cut {
                full.extend(cutter.end()?);
            }
        }
        Ok(())
    }
}
