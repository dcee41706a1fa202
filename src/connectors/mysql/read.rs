//! Reading one table, view or query: SELECTs whose rows come in binary form and are decoded on the processor pool.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::logical_expr::Expr;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mysql_common::constants::ColumnFlags;
use tokio::sync::OnceCell;

use super::catalog::Table;
use super::config::{Timestamps, ZeroDates};
use super::decode::{Decoding, Frames, Layout, Width, decode, sift};
use super::name::identifier;
use super::session::{Lease, Pool};
use super::split::{self, Part};
use super::stage::own_comment;
use super::typemap::{COLLATION, Kind, MyType};
use super::wire::Column as Announced;
use crate::attempt::Attempt;
use crate::bridge::ahead::ahead;
use crate::bridge::cpu;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::reject::{Sifted, Tray, set_aside};
use crate::schema::{self, CLOCK, COMMENT, with_metadata};
use crate::source::{BatchStream, Pushdown, ReadPlan, Scan, Source, Split, SplitGoal, TableShape};
use crate::sql::dialect::MySql;
use crate::sql::filter::{self, Compares};
use crate::sql::select::{distinct_in_any_case, list, select};

/// Offsets of text are 32 bits wide.
const MOST_BATCH_BYTES: usize = 1 << 30;

/// What is read.
#[derive(Debug)]
pub(super) enum What {
    Table(Box<Table>),
    /// Without its final semicolon.
    Query(String),
}

impl What {
    /// The table, where it is one.
    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Query(_) => None,
        }
    }
}

/// One object of a session.
#[derive(Debug)]
pub(super) struct MySource {
    pool: Arc<Pool>,
    what: What,
    columns: OnceCell<Vec<Column>>,
}

/// Keeps a date of zeros that an expression gives: it is NULL otherwise, and not refused.
const ZERO_DATES: &str = "SET sql_mode = REPLACE(REPLACE(@@sql_mode, 'NO_ZERO_DATE', ''), 'TRADITIONAL', '')";

/// How a statement begins that gives the columns of a query other names.
const RENAMED: &str = "WITH etl_query";

/// A column as it is read.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Whether its query calls it otherwise, as it does another column.
    renamed: bool,
    /// As SQL names it.
    sql: String,
    /// What the server calls its type.
    declared: String,
    /// None for a type that is not known.
    my_type: Option<MyType>,
    nullable: bool,
    /// Character set and collation: `latin1:latin1_swedish_ci`.
    collation: Option<String>,
    comment: Option<String>,
}

/// How columns are read, and what filters may know of them.
struct Columns<'a> {
    all: &'a [Column],
    types: Vec<DataType>,
    zero_dates: ZeroDates,
}

impl MySource {
    pub(super) fn new(pool: Arc<Pool>, what: What) -> Self {
        Self { pool, what, columns: OnceCell::new() }
    }

    async fn columns(&self) -> Result<&[Column]> {
        let (what, which) = self.label();
        self.columns.get_or_try_init(|| self.look()).await.map(Vec::as_slice).at(what, || which)
    }

    /// The columns as the server tells them, and as the options want their types.
    async fn look(&self) -> Result<Vec<Column>> {
        let mut columns = match &self.what {
            What::Table(table) if table.is_view => self.of_view(table).await?,
            What::Table(table) => of_table(table),
            What::Query(query) => {
                let mut lease = self.lease().await?;
                of_query(&lease.connection().prepare(query).await?)?
            }
        };
        let is_query = matches!(self.what, What::Query(_));
        for column in &mut columns {
            match self.pool.config().timestamps {
                Timestamps::Clock => column.my_type = column.my_type.take().map(MyType::by_the_clock),
                Timestamps::Server if is_query && column.is_instant() => column.sql = in_utc(&column.sql),
                Timestamps::Server | Timestamps::Instant => {}
            }
        }
        Ok(columns)
    }

    /// The columns of a view, with whole numbers as wide as they are sent: MySQL declares those of a comparison narrower.
    async fn of_view(&self, view: &Table) -> Result<Vec<Column>> {
        let mut columns = of_table(view);
        let names: Vec<String> = columns.iter().map(|column| column.sql.clone()).collect();
        let mut lease = self.lease().await?;
        let announced = lease.connection().prepare(&select(&list(&names), &view.name.quoted(), &[], None)).await?;
        for (column, announced) in columns.iter_mut().zip(&announced) {
            let (Some(declared), Some(sent)) = (&column.my_type, MyType::of_result(announced)) else { continue };
            if declared.kind != sent.kind && split::is_integer(declared.kind) && split::is_integer(sent.kind) {
                column.my_type = Some(sent);
            }
        }
        Ok(columns)
    }

    /// A reader, which goes by UTC, but for the query of a user.
    async fn lease(&self) -> Result<Lease> {
        let mut lease = self.pool.lease().await?;
        match self.what {
            What::Table(_) => lease.connection().go_by_utc().await?,
            What::Query(_) => {
                lease.connection().go_by_own_clock().await?;
                if self.pool.clock().is_some() {
                    lease.connection().run(ZERO_DATES).await?;
                }
            }
        }
        Ok(lease)
    }

    /// How errors name the source.
    fn label(&self) -> (&'static str, String) {
        match &self.what {
            What::Table(table) => ("table", table.name.quoted()),
            What::Query(_) => ("query", "of the source".to_owned()),
        }
    }

    fn known<'a>(&self, columns: &'a [Column]) -> Columns<'a> {
        let types = columns.iter().map(|column| self.field(column).data_type().clone()).collect();
        Columns { all: columns, types, zero_dates: self.pool.config().zero_dates }
    }

    /// The Arrow form of a column, as the options want it.
    fn field(&self, column: &Column) -> Field {
        let config = self.pool.config();
        let field = match &column.my_type {
            Some(my_type) => {
                let field = my_type.arrow_field(&column.name, column.nullable, config.time);
                let field = match (my_type.kind, self.pool.clock()) {
                    (Kind::Timestamp(_), Some(clock)) => with_metadata(field, CLOCK, clock),
                    _ => field,
                };
                let is_date = is_date(my_type);
                match config.zero_dates {
                    ZeroDates::Text if is_date => field.with_data_type(DataType::Utf8),
                    // Such a date is NULL then.
                    ZeroDates::Null if is_date => field.with_nullable(true),
                    _ => field,
                }
            }
            None => Field::new(&column.name, DataType::Binary, column.nullable),
        };
        let field = match &column.collation {
            Some(collation) => with_metadata(field, COLLATION, &format!("{}:{collation}", self.pool.product())),
            None => field,
        };
        match &column.comment {
            Some(comment) => with_metadata(field, COMMENT, comment),
            None => field,
        }
    }

    /// The SELECT for `part` of `scan`.
    fn select(&self, columns: &[Column], scan: &Scan, part: &Part) -> Result<String> {
        let fields = scan.schema.fields();
        let wanted = fields.iter().map(|field| find(columns, field.name())).collect::<Result<Vec<_>>>()?;
        let named: Vec<String> = wanted.iter().zip(fields).map(|(column, field)| column.expression(field)).collect();
        let (filters, exact) = filter::conditions(&scan.filters, &self.known(columns), &MySql)?;
        let limit = scan.limit.filter(|_| exact);
        let conditions: Vec<String> = part.condition().into_iter().chain(filters).collect();
        let from = match &self.what {
            What::Table(table) => table.name.quoted(),
            What::Query(query) => {
                let whole = wanted.len() == columns.len()
                    && wanted.iter().zip(columns).all(|(wanted, column)| wanted.name == column.name)
                    && wanted.iter().zip(&named).all(|(column, sql)| *sql == identifier(&column.name));
                if whole && conditions.is_empty() && limit.is_none() {
                    return Ok(query.clone());
                }
                // The line break ends a comment at the end of the query.
                if columns.iter().any(|column| column.renamed) {
                    // Rows within FROM may have no two columns of one name, and no list of names in MariaDB.
                    let names: Vec<String> = columns.iter().map(|column| identifier(&column.name)).collect();
                    let rows = select(&list(&named), "etl_query", &conditions, limit);
                    return Ok(format!("{RENAMED} ({}) AS ({query}\n) {rows}", names.join(", ")));
                }
                format!("({query}\n) AS etl_query")
            }
        };
        Ok(select(&list(&named), &from, &conditions, limit))
    }

    async fn start(&self, scan: &Scan, split: &Split) -> Result<(Lease, Layout)> {
        let columns = self.columns().await?;
        let part: Part = serde_json::from_value(split.detail.clone())?;
        let select = self.select(columns, scan, &part)?;
        let mut lease = self.lease().await?;
        let server = lease.connection().server();
        if select.starts_with(RENAMED) && !server.is_mariadb && !server.is_mysql_from(80_000) {
            let message = "two columns of the query have one name, and this server cannot tell them apart";
            return Err(Error::new(ErrorKind::Schema, message).with_hint("give each a name of its own with AS"));
        }
        let announced = lease.connection().open(&select).await?;
        let layout = self.layout(columns, scan, &announced)?;
        Ok((lease, layout))
    }

    /// How what the server announced is decoded into the columns of `scan`.
    fn layout(&self, columns: &[Column], scan: &Scan, announced: &[Announced]) -> Result<Layout> {
        let config = self.pool.config();
        let fields = scan.schema.fields();
        if announced.len() != fields.len().max(1) {
            return Err(Error::new(ErrorKind::Schema, "the source has other columns than when it was planned"));
        }
        let decoding = |(field, announced): (&Arc<Field>, &Announced)| {
            let column = find(columns, field.name())?;
            let my_type =
                column.my_type.as_ref().ok_or_else(|| refused(&column.declared).at("column", &column.name))?;
            let width = Width::of(announced.column_type());
            // A number of a query may be narrower where the query stands in another.
            let sent = MyType::of_result(announced).map(|sent| sent.kind);
            let kind = sent.filter(|sent| sent.is_integer() && my_type.kind.is_integer()).unwrap_or(my_type.kind);
            Ok(Decoding { kind, width, zeros: config.zero_dates, times: config.time })
        };
        let columns = fields.iter().zip(announced).map(decoding).collect::<Result<_>>()?;
        Ok(Layout { schema: Arc::clone(&scan.schema), columns })
    }
}

fn of_table(table: &Table) -> Vec<Column> {
    let column = |column: &super::catalog::Column| Column {
        name: column.name.clone(),
        renamed: false,
        sql: identifier(&column.name),
        declared: column.declared.clone(),
        my_type: column.my_type.clone(),
        nullable: column.nullable,
        collation: column.charset.as_ref().zip(column.collation.as_ref()).map(|(set, name)| format!("{set}:{name}")),
        comment: column.comment.clone(),
    };
    table.columns.iter().map(column).collect()
}

fn of_query(announced: &[Announced]) -> Result<Vec<Column>> {
    if announced.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the query gives no rows").with_hint("write a SELECT"));
    }
    let names: Vec<String> = announced.iter().map(|column| column.name_str().into_owned()).collect();
    let column = |(name, column): (String, &Announced)| Column {
        sql: identifier(&name),
        renamed: name != column.name_str(),
        declared: format!("{:?}", column.column_type()),
        my_type: MyType::of_result(column),
        nullable: !column.flags().contains(ColumnFlags::NOT_NULL_FLAG),
        collation: None,
        comment: None,
        name,
    };
    Ok(distinct_in_any_case(&names).into_iter().zip(announced).map(column).collect())
}

fn find<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column> {
    let column = columns.iter().find(|column| column.name == name);
    column.ok_or_else(|| Error::new(ErrorKind::NotFound, "the source has no such column").at("column", name))
}

/// The error of a column of the type `name`.
pub(super) fn refused(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("type {name} is not copied"))
        .with_hint("leave the column out with --drop, or cast it in --query")
}

/// The instant `sql` as UTC shows it, whatever the zone of the session is. A date of zeros, of which the seconds are 0 or NULL, stays one.
fn in_utc(sql: &str) -> String {
    let seconds = format!("UNIX_TIMESTAMP({sql})");
    let shown = format!("TIMESTAMP '1970-01-01 00:00:00' + INTERVAL {seconds} SECOND");
    format!("CASE WHEN {seconds} > 0 THEN {shown} ELSE {sql} END")
}

impl Column {
    fn is_instant(&self) -> bool {
        self.my_type.as_ref().is_some_and(|my_type| matches!(my_type.kind, Kind::Timestamp(_)))
    }

    /// What stands in the SELECT for the column in the form of `field`.
    fn expression(&self, field: &Field) -> String {
        let is_date = self.my_type.as_ref().is_some_and(|my_type| my_type.kind.is_temporal());
        let as_text = field.metadata().get(schema::FORM).is_some_and(|form| form == schema::TEXT)
            || is_date && *field.data_type() == DataType::Utf8;
        if as_text { format!("CAST({} AS CHAR)", self.sql) } else { self.sql.clone() }
    }
}

impl filter::Columns for Columns<'_> {
    fn column(&self, name: &str) -> Option<filter::Column<'_>> {
        let place = self.all.iter().position(|column| column.name == name)?;
        let column = &self.all[place];
        let my_type = column.my_type.as_ref()?;
        let compares = match my_type.kind {
            Kind::Bit(1) => Compares::Equality,
            // Compared in 64 bits with a literal; by letters whose case or accents do not count; by text.
            Kind::Float | Kind::Time(_) | Kind::Text | Kind::Json | Kind::Binary | Kind::Geometry | Kind::Uuid => {
                Compares::No
            }
            // A literal below 100 is taken for the last two digits of a year.
            Kind::Bit(_) | Kind::Year => Compares::No,
            // A clock that was put back shows two instants alike: an index tells them apart, and a comparison does not.
            Kind::DateTime(_) if column.declared.to_ascii_lowercase().contains("timestamp") => Compares::No,
            kind if kind.is_temporal() && self.types[place] == DataType::Utf8 => Compares::No,
            _ => Compares::Order,
        };
        // What is NULL here may be a date there.
        let compares = match (compares, self.zero_dates == ZeroDates::Null && is_date(my_type)) {
            (Compares::Order, true) => Compares::OrderOrNull,
            (_, true) => return None,
            (compares, false) => compares,
        };
        Some(filter::Column { sql: column.sql.as_str().into(), data_type: &self.types[place], compares })
    }
}

/// Whether it has dates, which may have zeros in them.
fn is_date(my_type: &MyType) -> bool {
    my_type.kind.is_temporal() && !matches!(my_type.kind, Kind::Time(_))
}

#[async_trait]
impl Source for MySource {
    async fn describe(&self) -> Result<TableShape> {
        let columns = self.columns().await?;
        let fields: Vec<Field> = columns.iter().map(|column| self.field(column)).collect();
        // Where such dates are to be NULL, they are not handed on as they are.
        let dates_change = self.pool.config().zero_dates == ZeroDates::Null;
        let native = |(column, field): (&Column, &Field)| {
            let my_type = column.my_type.as_ref().filter(|my_type| !(dates_change && is_date(my_type)))?;
            let native = my_type.native_field(&column.name, column.nullable)?;
            let commented = field.metadata().get(COMMENT);
            Some(Arc::new(commented.map_or(native.clone(), |comment| with_metadata(native, COMMENT, comment))))
        };
        let native = columns.iter().zip(&fields).map(native).collect();
        let table = self.what.table();
        Ok(TableShape {
            native,
            key: table.map(|table| table.primary().to_vec()).unwrap_or_default(),
            comment: table
                .and_then(|table| table.comment.as_deref())
                .map(own_comment)
                .filter(|own| !own.is_empty())
                .map(str::to_owned),
            rows: table.and_then(|table| table.rows),
            bytes: table.and_then(|table| table.bytes),
            ..TableShape::of(Arc::new(Schema::new(fields)))
        })
    }

    fn pushdown(&self, _shape: &TableShape, filter: &Expr) -> Pushdown {
        // Before describe nothing is known, and nothing is promised.
        let Some(columns) = self.columns.get() else { return Pushdown::None };
        filter::pushdown(filter, &self.known(columns), &MySql)
    }

    async fn plan(&self, scan: &Scan, goal: &SplitGoal) -> Result<ReadPlan> {
        let columns = self.columns().await?;
        for field in scan.schema.fields() {
            let column = find(columns, field.name())?;
            if column.my_type.is_none() {
                return Err(refused(&column.declared).at("column", &column.name));
            }
        }
        let (what, which) = self.label();
        let mut plan = match self.what.table() {
            Some(table) => {
                let mut lease = self.lease().await?;
                let timestamps = self.pool.config().timestamps;
                split::plan(lease.connection(), (table, timestamps), scan, goal).await.at(what, || which)?
            }
            None => split::whole(None)?,
        };
        plan.notes.splice(0..0, self.pool.notes().iter().cloned());
        plan.readers = Some(self.pool.readers()).filter(|readers| *readers < goal.channels);
        Ok(plan)
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
        let (lease, layout) = self.start(scan, split).await.at(what, || &which)?;
        let rows = scan.batch_rows.max(1);
        let bytes = scan.batch_bytes.clamp(1, MOST_BATCH_BYTES);
        let place = move |error: Error| error.at(what, &which);
        let skips = tray.is_some();
        let decoded = move |read: Result<(Frames, u64)>| {
            let layout = layout.clone();
            async move {
                let (frames, first) = read?;
                let decoding = move || {
                    if skips { sift(&layout, &frames, first) } else { Ok((decode(&layout, &frames, first)?, None)) }
                };
                cpu::run(decoding).await?
            }
        };
        // Frames with a row much longer than a batch.
        let is_long =
            move |read: &Result<(Frames, u64)>| read.as_ref().is_ok_and(|(frames, _)| frames.bytes.len() > 2 * bytes);
        let told = move |sifted: Result<Sifted>| sifted.and_then(|sifted| set_aside(tray.as_deref(), sifted));
        Ok(ahead(frames(lease, rows, bytes).boxed(), is_long, decoded).map(told).map_err(place).boxed())
    }
}

/// The rows of a statement that was opened, with how many came before them.
fn frames(lease: Lease, rows: usize, bytes: usize) -> impl futures::Stream<Item = Result<(Frames, u64)>> + Send {
    stream::try_unfold((lease, 0_u64), move |(mut lease, first)| async move {
        let Some(frames) = lease.connection().next_rows(rows, bytes).await? else { return Ok(None) };
        let next = first + frames.rows.len() as u64;
        Ok(Some(((frames, first), (lease, next))))
    })
}
