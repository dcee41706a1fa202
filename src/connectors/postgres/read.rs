//! Reading: the shape of a table or query, how it is cut, and its rows by binary COPY.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray as _};
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use datafusion::common::tree_node::TreeNode as _;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;

use super::catalog::{self, Column, Relation};
use super::config::Timestamps;
use super::copy::{self, Limits};
use super::decode::{self, Kind, Layout};
use super::encode::wire_texts;
use super::plan;
use super::session::Core;
use super::split::Part;
use super::statements;
use super::typemap::{Codec, PRODUCT, PgType, Read, Wire, by_oid};
use super::unseen;
use crate::attempt::Attempt;
use crate::bridge::ahead::ahead;
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fate::has_zone;
use crate::reject::{Sifted, Tray, set_aside};
use crate::schema;
use crate::source::{
    BatchStream, Encoding, Late, Mark, Pushdown, RawStream, ReadPlan, Scan, Source, Split, SplitGoal, TableShape,
};
use crate::sql::dialect;
use crate::sql::filter;
use crate::sql::select::select;

/// Name of the encoding: tuples of binary COPY, without header and trailer.
pub(super) const ENCODING: &str = "postgres-copy-binary";
/// Bytes of one raw frame, at least.
const RAW_BYTES: usize = 256 * 1024;

/// A table, view or query of a session.
#[derive(Debug)]
pub(super) struct TableSource {
    pub(super) core: Arc<Core>,
    pub(super) what: What,
    columns: OnceCell<Table>,
}

/// What is read.
#[derive(Debug)]
pub(super) enum What {
    /// A relation, under the name that the user gave.
    Relation(String, Relation),
    /// A SELECT of the user, without its final semicolon.
    Query(String),
}

/// The columns, once they are known.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    comment: Option<String>,
    /// Every letter has a place in the database, so that any text may stand in a condition.
    utf8: bool,
    /// By which clock instants become times without a zone, where the source says one.
    clock: Option<String>,
    /// Who wrote the rows, once that is asked for: a column beyond the shape.
    writer: OnceLock<Column>,
}

/// The one statement of a query, without its semicolon.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) when there is none, more than one, or one that is no SELECT.
pub(super) fn one_statement(query: &str) -> Result<&str> {
    let wrong = match statements::split(query)[..] {
        [statement] if statements::may_be_a_table(statement) => return Ok(statement),
        [_] => "the query is no SELECT",
        [] => "the query is empty",
        _ => "the query is more than one statement",
    };
    Err(Error::new(ErrorKind::Usage, wrong).with_hint("write one SELECT").at("query", "of the source"))
}

impl TableSource {
    /// A relation of the session.
    pub(super) fn table(core: Arc<Core>, name: String, relation: Relation) -> Self {
        Self { core, what: What::Relation(name, relation), columns: OnceCell::new() }
    }

    /// A query in the server's own SQL.
    pub(super) fn query(core: Arc<Core>, query: &str) -> Result<Self> {
        let what = What::Query(one_statement(query)?.to_owned());
        Ok(Self { core, what, columns: OnceCell::new() })
    }

    /// The columns, asked for once.
    pub(super) async fn described(&self) -> Result<&Table> {
        let ask = async || -> Result<Table> {
            let leader = self.core.leader()?;
            let (columns, comment) = match &self.what {
                What::Relation(name, relation) => catalog::columns(&leader, relation).await.at("table", || name)?,
                What::Query(query) => {
                    (catalog::query_columns(&leader, query).await.at("query", || "of the source")?, None)
                }
            };
            let clock = (self.core.timestamps() == Timestamps::Server).then(|| leader.server().clock());
            Ok(Table { columns, comment, utf8: catalog::is_utf8(&leader), clock, writer: OnceLock::new() })
        };
        self.columns.get_or_try_init(ask).await
    }

    /// The SELECT for `part` of `scan`.
    pub(super) fn select(&self, table: &Table, scan: &Scan, part: &Part) -> Result<String> {
        let columns: Result<Vec<String>> =
            scan.schema.fields().iter().map(|field| expression(table.column(field.name())?, field)).collect();
        let from = match (&self.what, &part.relation) {
            (What::Relation(..), Some(leaf)) => format!("ONLY {leaf}"),
            (What::Relation(_, relation), None) => relation.sql.clone(),
            // The line break ends a comment at the end of the query, which may give several columns the same name.
            (What::Query(query), _) => {
                let names: Vec<&str> = table.columns.iter().map(|column| column.sql.as_str()).collect();
                format!("({query}\n) AS etl_query({})", names.join(", "))
            }
        };
        let (filters, exact) = filter::conditions(&scan.filters, table, &dialect::Postgres)?;
        let conditions: Vec<String> = part.condition().into_iter().chain(filters).collect();
        // A row without columns is one here, and has none on the wire.
        Ok(select(&columns?.join(", "), &from, &conditions, scan.limit.filter(|_| exact)))
    }

    async fn start(&self, scan: &Scan, split: &Split, limits: Limits) -> Result<(Started, Layout)> {
        let table = self.described().await?;
        let part: Part = serde_json::from_value(split.detail.clone())?;
        self.refuse_rewritten(&part)?;
        let select = self.select(table, scan, &part)?;
        let layout = layout(table, scan)?;
        let lane = self.core.lane(part.alone).await?;
        let sql = format!("COPY ({select}) TO STDOUT (FORMAT binary)");
        let chunks = copy::chunks(Arc::clone(&self.core), lane, &sql, limits).await?;
        Ok((chunks.boxed(), layout))
    }

    /// Refuses places of rows that have other places by now: the split was cut by an earlier process.
    fn refuse_rewritten(&self, part: &Part) -> Result<()> {
        let What::Relation(_, relation) = &self.what else { return Ok(()) };
        let leaf = relation.leaves.iter().find(|leaf| Some(&leaf.sql) == part.relation.as_ref());
        if part.file.is_none() || part.file == leaf.map(|leaf| leaf.file) {
            return Ok(());
        }
        let message = "the table was rewritten since it was cut into splits: its rows lie in other places";
        Err(Error::new(ErrorKind::Schema, message).with_hint("begin the copy anew, without --resume"))
    }

    /// How errors name the source.
    fn label(&self) -> (&'static str, String) {
        match &self.what {
            What::Relation(name, _) => ("table", name.clone()),
            What::Query(_) => ("query", "of the source".to_owned()),
        }
    }
}

type Started = stream::BoxStream<'static, Result<decode::Chunk>>;

impl Table {
    /// The column called `name`.
    pub(super) fn column(&self, name: &str) -> Result<&Column> {
        let column = self.find(name);
        column.ok_or_else(|| Error::new(ErrorKind::NotFound, "the source has no such column").at("column", name))
    }

    fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().chain(self.writer.get()).find(|column| column.name == name)
    }

    /// `field` with the clock that its instants go by.
    fn by_clock(&self, field: Field) -> Field {
        match &self.clock {
            Some(clock) if has_zone(&field) == Some(true) => schema::with_metadata(field, schema::CLOCK, clock),
            _ => field,
        }
    }

    /// A filter as SQL; none when nothing of it can be.
    fn translated(&self, filter: &Expr) -> Option<filter::Translated> {
        // A letter that the database's encoding lacks would be an error of the server.
        let can_be_sent = self.utf8 || !has_foreign_letters(filter);
        if can_be_sent { filter::to_sql(filter, self, &dialect::Postgres) } else { None }
    }
}

/// Whether a text in `filter` has letters beyond ASCII.
fn has_foreign_letters(filter: &Expr) -> bool {
    let foreign = |value: &ScalarValue| value.try_as_str().flatten().is_some_and(|text| !text.is_ascii());
    // Walking an expression fails only where the closure does.
    filter.exists(|expr| Ok(matches!(expr, Expr::Literal(value, _) if foreign(value)))).unwrap_or(true)
}

impl filter::Columns for Table {
    fn column(&self, name: &str) -> Option<filter::Column<'_>> {
        let column = self.find(name)?;
        Some(filter::Column { sql: column.sql.as_str().into(), data_type: &column.arrow, compares: column.compares })
    }
}

/// What stands in the SELECT for a column in the form of `field`.
pub(super) fn expression(column: &Column, field: &Field) -> Result<String> {
    let Column { sql, pg, .. } = column;
    // The output functions of enums, ranges and arrays take no domain over them.
    let value = match &pg.base {
        Some(base) => format!("({sql}::{base})"),
        None => sql.clone(),
    };
    // The output function itself: a cast to text may be another function (`inet`) or cut (`char(n)`).
    let text = || format!("pg_catalog.textin({}({value}))", pg.output);
    let form = field.metadata().get(schema::FORM).map(String::as_str);
    Ok(match (form, pg.codec()) {
        (_, Codec::Scalar(Read::Refused)) => return Err(refused(&pg.name).at("column", &column.name)),
        (Some(schema::TEXT), _) | (None, Codec::Scalar(Read::AsText)) => text(),
        // By its text for the same reason, which the server then takes apart; `box` and some others part by `;`.
        (None, Codec::TextList) if pg.delimiter == Some(b',') => format!("{}::text[]", text()),
        (None, Codec::TextList) => format!("{value}::text[]"),
        _ => sql.clone(),
    })
}

/// The error of a column of the type `name`.
pub(super) fn refused(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("type {name} is not copied"))
        .with_hint("leave the column out with --drop, or cast it in --query")
}

fn layout(table: &Table, scan: &Scan) -> Result<Layout> {
    let kind = |field: &Arc<Field>| Ok(kind(table.column(field.name())?, field));
    let kinds: Result<Vec<Kind>> = scan.schema.fields().iter().map(kind).collect();
    Ok(Layout { schema: Arc::clone(&scan.schema), kinds: kinds? })
}

/// How what [`expression`] gives for a column is decoded into the form of `field`.
pub(super) fn kind(column: &Column, field: &Field) -> Kind {
    match (field.metadata().get(schema::FORM).map(String::as_str), column.pg.codec()) {
        (Some(schema::WIRE), _) => Kind::Wire,
        (Some(_), _) => Kind::Scalar(Read::Text),
        (None, Codec::Scalar(read)) => Kind::Scalar(read),
        (None, Codec::List(read)) => Kind::List(read),
        (None, Codec::TextList) => Kind::List(Read::Text),
    }
}

/// The word for a column in the raw encoding; none when its wire bytes mean something else elsewhere.
fn raw_word(pg: &PgType) -> Option<String> {
    let refused = pg.codec() == Codec::Scalar(Read::Refused);
    // An enum's wire form is its label.
    let portable = pg.wire() == Wire::Portable || (pg.class == b'e' && by_oid(pg.oid).is_none());
    (portable && !refused).then(|| pg.base.clone().unwrap_or_else(|| pg.name.clone()))
}

#[async_trait]
impl Source for TableSource {
    async fn describe(&self) -> Result<TableShape> {
        let table = self.described().await?;
        let mut fields = Vec::with_capacity(table.columns.len());
        let mut native = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let commented = |field: Field| match &column.comment {
                Some(comment) => schema::with_metadata(field, schema::COMMENT, comment),
                None => field,
            };
            let Column { name, pg, not_null, .. } = column;
            fields.push(table.by_clock(commented(pg.arrow_field(name, !not_null))));
            native.push(pg.native_field(name, !not_null).map(commented).map(Arc::new));
        }
        let mut key: Vec<&Column> = table.columns.iter().filter(|column| column.key.is_some()).collect();
        key.sort_by_key(|column| column.key);
        let (rows, bytes) = match &self.what {
            What::Relation(_, relation) => (super::split::rows(relation), plan::known_bytes(relation)),
            What::Query(_) => (None, None),
        };
        Ok(TableShape {
            schema: Arc::new(Schema::new(fields)),
            native,
            key: key.into_iter().map(|column| column.name.clone()).collect(),
            comment: table.comment.clone(),
            rows,
            bytes,
        })
    }

    fn pushdown(&self, _shape: &TableShape, filter: &Expr) -> Pushdown {
        // Before describe nothing is known, and nothing is promised.
        let translated = self.columns.get().and_then(|table| table.translated(filter));
        translated.map_or(Pushdown::None, |translated| translated.exactness)
    }

    fn plain(&self, field: &Field, array: &ArrayRef) -> Option<ArrayRef> {
        let wires = array.as_binary_opt::<i32>()?;
        let column = self.columns.get()?.column(field.name()).ok()?;
        if let Codec::List(read) = column.pg.codec() {
            return decode::of_wire(Kind::List(read), &Arc::new(column.pg.arrow_field(field.name(), true)), wires);
        }
        Some(Arc::new(wire_texts(schema::native_of(field, PRODUCT)?, wires)?))
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let table = self.described().await?;
        for field in scan.schema.fields() {
            expression(table.column(field.name())?, field)?;
        }
        plan::plan(self, table, scan, goal).await
    }

    async fn read(
        &self,
        scan: &Scan,
        split: &Split,
        _attempt: &Attempt,
        tray: Option<&Arc<Tray>>,
    ) -> Result<BatchStream> {
        let tray = tray.cloned();
        let (what, which) = self.label();
        let bytes = scan.batch_bytes.max(1);
        // A NULL is four bytes on the wire and as wide as any other value in Arrow.
        let widths = scan.schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(4));
        let rows = scan.batch_rows.min(bytes / widths.sum::<usize>().max(1)).max(1);
        let limits = Limits { rows, bytes };
        let (chunks, layout) = self.start(scan, split, limits).await.at(what, || &which)?;
        let skips = tray.is_some();
        let core = Arc::clone(&self.core);
        let decoded = move |chunk: Result<decode::Chunk>| {
            let (layout, core) = (layout.clone(), Arc::clone(&core));
            async move {
                let chunk = chunk?;
                let decoding = move || {
                    let decoded = if skips {
                        decode::sift(&layout, &chunk)
                    } else {
                        decode::decode(&layout, &chunk).map(|batch| (batch, None))
                    };
                    core.buffers().put(chunk.bytes, 2 * bytes);
                    decoded
                };
                cpu::run(decoding).await?
            }
        };
        // A chunk with a row much longer than a batch.
        let is_long =
            move |chunk: &Result<decode::Chunk>| chunk.as_ref().is_ok_and(|chunk| chunk.bytes.len() > 2 * bytes);
        let told = move |sifted: Result<Sifted>| sifted.and_then(|sifted| set_aside(tray.as_deref(), sifted));
        let place = move |error: Error| error.at(what, &which);
        Ok(ahead(chunks, is_long, decoded).map(told).map_err(place).boxed())
    }

    async fn mark(&self) -> Result<Option<Mark>> {
        match &self.what {
            What::Relation(_, relation) if unseen::is_told(relation) => self.core.mark().await,
            _ => Ok(None),
        }
    }

    async fn late(&self, mark: &Mark) -> Result<Late> {
        let Some(now) = self.mark().await? else { return Ok(Late::Unknown(unseen::UNTOLD.to_owned())) };
        let late = unseen::late(mark, &now)?;
        let writer = unseen::writer(&now)?;
        self.described().await?.writer.get_or_init(|| writer);
        Ok(late)
    }

    fn encoding(&self, scan: &Scan) -> Option<Encoding> {
        let table = self.columns.get()?;
        let word = |field: &Arc<Field>| raw_word(&table.column(field.name()).ok()?.pg);
        let columns = scan.schema.fields().iter().map(word).collect::<Option<Vec<_>>>()?;
        Some(Encoding { name: ENCODING.to_owned(), columns })
    }

    async fn read_raw(&self, scan: &Scan, split: &Split, _attempt: &Attempt) -> Result<RawStream> {
        let (what, which) = self.label();
        // The wire bytes of every column, whatever form the schema asks for.
        let wire = |field: &Arc<Field>| {
            let field = field.as_ref().clone().with_metadata(std::collections::HashMap::default());
            schema::with_metadata(field, schema::FORM, schema::WIRE)
        };
        let fields: Vec<Field> = scan.schema.fields().iter().map(wire).collect();
        let scan = Scan { schema: Arc::new(Schema::new(fields)), ..scan.clone() };
        let limits = Limits { rows: usize::MAX, bytes: RAW_BYTES };
        let (chunks, _) = self.start(&scan, split, limits).await.at(what, || &which)?;
        let frames = chunks.map_ok(|chunk| (chunk.bytes, chunk.rows as u64));
        Ok(frames.map_err(move |error| error.at(what, &which)).boxed())
    }
}
