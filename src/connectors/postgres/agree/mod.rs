//! What a write will do, decided before anything is touched: columns, forms and fates, the way in, the promise.
//!
//! `columns.rs` matches the columns and chooses what the engine has to deliver; `path.rs` chooses how rows become
//! visible. What writers and commit need travels as [`Detail`] in the agreement.

mod columns;
mod fate;
mod path;

use serde::{Deserialize, Serialize};

use super::connect::Connection;
use super::ddl;
use super::encode::{Column, Format};
use super::marker::Marker;
use super::merge::Merging;
use super::name::Name;
use super::position::Positions;
use super::publish::refuse_rows;
use super::target::{Catalog, Constraint, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Agreement, ColumnPlan, Guarantee, Kept, Merge, WriteMode, WriteRequest, Writers};
use crate::source::{Encoding, TableShape};
use crate::sql::columns::by_place;

use self::columns::Matched;
pub(super) use self::fate::modifier;
pub(super) use self::path::{Emptying, Path};

/// What writers and commit need; private to this connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    /// The target.
    pub(super) target: Name,
    /// How rows become visible.
    pub(super) path: Path,
    /// How the COPY is laid out.
    pub(super) format: Format,
    /// The columns that are written.
    pub(super) columns: Vec<Column>,
    /// How the target is made; none when it is there.
    pub(super) create: Option<ddl::NewTable>,
    /// Which job it is: one run of it alone writes at a time.
    pub(super) job: Option<String>,
    /// Where the marker of the commit stands.
    pub(super) marker: Marker,
    /// Whether the stage stays out of the log: as its target does, or so that no publication sends it on.
    pub(super) unlogged: bool,
    /// Whether the target may have children that statements on it must not reach.
    pub(super) only: bool,
    /// The lock under which rows go into the target; none where it takes no lock.
    pub(super) lock: Option<Lock>,
    /// Whether rows that are there when the new ones become visible are refused.
    pub(super) must_be_empty: bool,
    /// Whether a long COPY is cut.
    pub(super) length: CopyLength,
    /// Checks of the target that the stage can make as well.
    pub(super) checks: Vec<Constraint>,
    /// How rows are merged by key; none where they are added.
    pub(super) merging: Option<Merging>,
    /// The encoding that can be passed through, when there is one.
    pub(super) raw: Option<Encoding>,
    /// What the server can do for a proof: its version, and whether it hashes texts as we do.
    #[serde(default)]
    pub(super) proof: (u32, bool),
    /// What becomes of rows that the server refuses.
    pub(super) refusals: Refusals,
    /// What of the target refuses rows that are left out, and is looked for in the stage.
    #[serde(default)]
    pub(super) guard: Guard,
}

/// What may refuse rows beyond their types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Guard {
    /// Nothing, or no row is left out.
    #[default]
    None,
    /// Constraints, triggers, domains.
    Rules,
}

/// What may happen beside us between the look at a target and the COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Lock {
    /// Others may write rows, but not change the definition.
    Definition,
    /// Others may only read.
    Rows,
}

/// How long one COPY is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum CopyLength {
    /// It is ended and begun anew, so that a refused row is heard of early.
    Cut,
    /// As long as the task: the target fires or checks something at the end of each statement.
    Whole,
}

impl Detail {
    /// What stands in `agreement`.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail).map_err(|source| {
            Error::new(ErrorKind::Internal, "this is not an agreement with PostgreSQL").with_source(source)
        })
    }

    /// Whom the locks on a target that is there keep waiting, and how long.
    pub(super) fn holds_up(&self) -> Option<&'static str> {
        if self.create.is_some() {
            return None;
        }
        Some(match self.path {
            Path::Held(Emptying::Truncate) => {
                "the table is locked from the first row to the commit: nobody else can read or write it"
            }
            Path::Held(_) if self.must_be_empty => {
                "from the first row to the commit nobody else can write into the table or alter it"
            }
            Path::Held(_) => {
                "from the first row to the commit others can read and write the table, and neither alter, truncate nor index it"
            }
            Path::Prepared => {
                "from the first row to the commit others can read and write the table, and neither alter, truncate nor index it; \
                 who inserts a key that waits there waits, too, and dead rows are not cleared away"
            }
            Path::PerTask => {
                "while a task writes, others can read and write the table, and neither alter, truncate nor index it"
            }
            Path::Refill(Emptying::Truncate) => {
                "nobody else can read or write the table while it is emptied and filled at the end"
            }
            Path::Refill(Emptying::Delete) => {
                "who changes rows of the table waits while they are exchanged at the end; others can read it all the time"
            }
            Path::Refill(Emptying::Keep) if self.must_be_empty => {
                "nobody else can write into the table or alter it while rows are inserted at the end"
            }
            Path::Refill(Emptying::Keep) => {
                "others can read and write the table all the time, and not alter it while rows are inserted at the end"
            }
            Path::Swap => {
                "others can use the table until its indexes are built; then it is locked for the moment of the exchange"
            }
            Path::Merge => "others can read the table all the time, and not alter it while rows are merged at the end",
            Path::NewHeld | Path::NewStaged => return None,
        })
    }

    /// Whether rows of the stage have their place in the source beside them.
    pub(super) fn is_placed(&self) -> bool {
        match self.path {
            Path::Refill(_) => self.guard == Guard::Rules,
            Path::Merge => self.refusals == Refusals::LeftOut || self.is_by_arrival(),
            _ => self.is_by_arrival(),
        }
    }

    /// Whether one of several rows with one key is chosen by its place.
    pub(super) fn is_by_arrival(&self) -> bool {
        self.merging.as_ref().is_some_and(Merging::is_by_arrival)
    }
}

/// The columns that `incoming` gets in a new table of a server without types of its own.
pub(super) fn new_columns(incoming: &TableShape) -> Result<Vec<ColumnPlan>> {
    let catalog = Catalog::built_in(columns::type_names(incoming));
    Ok(columns::plan_new(&catalog, incoming, &[])?.0.plans)
}

/// Agrees on `incoming` into `name`.
pub(super) async fn agree(
    connection: &Connection,
    name: &Name,
    incoming: &TableShape,
    request: &WriteRequest,
) -> Result<Agreement> {
    if let WriteMode::Changes { .. } = request.mode {
        return Err(Error::new(ErrorKind::Unsupported, "PostgreSQL takes no change feed yet"));
    }
    ddl::check_name(&name.table, "table")?;
    let mut wanted = columns::type_names(incoming);
    wanted.sort_unstable();
    wanted.dedup();
    let catalog = Catalog::read(connection, name, &wanted, path::look(request)).await?;
    let target = settle_name(name, &catalog)?;
    let label = target.quoted();
    let under_its_names =
        |table: &Table| by_place(incoming, table.columns.iter().map(|column| column.name.as_str()), request.schema);
    let paired = catalog.table.as_ref().map(under_its_names).transpose().map_err(|error| error.at("table", &label))?;
    let incoming = paired.as_deref().unwrap_or(incoming);
    let merge = request.mode.merge().map(|merge| settled(merge, catalog.table.as_ref(), incoming)).transpose();
    let merge = merge.map_err(|error| error.at("table", &label))?;
    let key = merge.as_ref().map_or(&[][..], |merge| &merge.key);
    let draft = if let Some(table) = &catalog.table {
        check_target(table, &label)?;
        if request.mode == WriteMode::Create {
            refuse_rows(connection, &target).await?;
        }
        let matched = columns::match_existing(&catalog, table, incoming, (request.schema, key));
        let matched = matched.map_err(|error| error.at("table", &label))?;
        let path = path::existing(table, request, catalog.prepared).map_err(|error| error.at("table", &label))?;
        Draft { target, matched, path, create: None }
    } else {
        let (matched, create) =
            columns::plan_new(&catalog, incoming, key).map_err(|error| error.at("table", &label))?;
        let mut path = path::new(request, &create.key).map_err(|error| error.at("table", &label))?;
        path.notes.extend(columns::lacking(&catalog, incoming));
        Draft { target, matched, path, create: Some(create) }
    };
    if !catalog.has_schema {
        let schema = draft.target.schema.as_deref().unwrap_or_default();
        return Err(Error::new(ErrorKind::NotFound, format!("there is no schema {schema:?} for {label}"))
            .with_hint("name one that is there, or make it before with --pre-sql 'CREATE SCHEMA …'"));
    }
    if !catalog.may_create && (draft.create.is_some() || !draft.path.path.held()) {
        return Err(Error::new(ErrorKind::Permission, format!("no table may be created in the schema of {label}"))
            .with_hint(
                "GRANT CREATE ON SCHEMA … TO this user; an append or truncate with --jobs 1 needs no table beside",
            ));
    }
    let merging = merge.map(|merge| Merging::new(&merge, &request.mode, catalog.table.as_ref(), &draft.matched.copied));
    let merging = merging.transpose().map_err(|error| error.at("table", &label))?;
    let advance = match &request.advance {
        Some(advance) => Positions::find(connection, &draft.target).await?.map(|found| (found, advance.clone())),
        None => None,
    };
    let marker = Marker::choose(&catalog.marker, catalog.may_create, &draft.target).advancing(advance);
    finish(&catalog, draft, request, (merging, marker))
}

/// `merge` with its key found.
fn settled(merge: &Merge, table: Option<&Table>, incoming: &TableShape) -> Result<Merge> {
    let primary = table.map_or(&[][..], Table::primary);
    let comes = |name: &str| incoming.schema.field_with_name(name).is_ok();
    merge.settled(merge.own(primary, table.into_iter().flat_map(Table::unique), comes), incoming)
}

/// Removes marks of commits that nobody will ask for any more.
pub(super) async fn tidy(connection: &Connection, agreement: &Agreement) -> Result<()> {
    Detail::of(agreement)?.marker.tidy(connection).await
}

/// The target of `agreement`, as SQL has it.
pub(super) fn target(agreement: &Agreement) -> Result<String> {
    Ok(Detail::of(agreement)?.target.quoted())
}

/// Everything that was decided, before it is written down.
struct Draft {
    target: Name,
    matched: Matched,
    path: path::Choice,
    create: Option<ddl::NewTable>,
}

fn finish(
    catalog: &Catalog,
    draft: Draft,
    request: &WriteRequest,
    (merging, marker): (Option<Merging>, Marker),
) -> Result<Agreement> {
    let Draft { target, matched, path, create } = draft;
    let table = catalog.table.as_ref();
    let is = |what: fn(&Table) -> bool| table.is_some_and(what);
    let mut notes = path.notes;
    if matched.format == Format::Text {
        notes.push("a column has a type with a text form only: the COPY is in text format".to_owned());
    }
    if path.path == Path::NewStaged && catalog.all_published {
        notes.push("a publication for all tables sees the hidden table, too, before it gets its name".to_owned());
    }
    if let (Some(merging), Some(table)) = (&merging, table) {
        notes.extend(merging.notes(table));
    }
    notes.extend(merging.as_ref().and_then(Merging::note_of_duplicates));
    let guarantee = match marker.guarantee(&mut notes) {
        Guarantee::AtLeastOnce if merging.is_some() => Guarantee::IdempotentByKey,
        guarantee => guarantee,
    };
    let must_be_empty = table.is_some() && request.mode == WriteMode::Create;
    let cut = path.path.stages() || !is(|table| table.triggers || table.refers_to_itself);
    let left_out = request.refusals == Refusals::LeftOut;
    let sifted = left_out && is(|table| table.guarded);
    let by_arrival = merging.as_ref().is_some_and(Merging::is_by_arrival);
    // A stage without checks: rows that break one are looked for there.
    let checks = table.filter(|_| !left_out).map(|table| writable(&table.checks, &matched.copied));
    let by_query = "rows that its constraints refuse are looked for in the table beside, by one query for each";
    notes.extend(sifted.then(|| by_query.to_owned()));
    let detail = Detail {
        target,
        path: path.path,
        // Of frames no row can be left out, and none has its place.
        raw: matched.raw.filter(|_| matched.format == Format::Binary && !sifted && !by_arrival),
        refusals: request.refusals,
        guard: if sifted { Guard::Rules } else { Guard::None },
        format: matched.format,
        columns: matched.copied,
        create,
        job: request.job.clone(),
        marker,
        unlogged: is(|table| table.persistence == 'u') || path.path.stages() && is(|table| table.published),
        only: is(|table| table.kind == 'r'),
        lock: table
            .filter(|table| matches!(table.kind, 'r' | 'p'))
            .map(|table| lock(table, must_be_empty || merging.as_ref().is_some_and(Merging::keeps_others_out))),
        merging,
        must_be_empty,
        length: if cut { CopyLength::Cut } else { CopyLength::Whole },
        checks: checks.unwrap_or_default(),
        proof: (catalog.version, catalog.hashes),
    };
    Ok(Agreement {
        label: detail.target.quoted(),
        target: matched.target,
        columns: matched.plans,
        ddl: ddl::shown(&detail),
        writers: if detail.path.held() { Writers::One } else { Writers::Any },
        publish: detail.path.publish(),
        guarantee,
        kept: match (detail.path.held(), detail.marker.is_kept()) {
            (true, true) => Kept::Commit,
            (true, false) => Kept::Nothing,
            (false, _) => Kept::Tasks,
        },
        marked: detail.marker.is_kept(),
        refusals: request.refusals,
        // As few transactions as there are channels: the server holds but some.
        task_bytes: (detail.path == Path::Prepared).then_some(u64::MAX),
        notes,
        detail: serde_json::to_value(&detail)?,
    })
}

/// A user who may only insert cannot keep other writers out.
fn lock(table: &Table, alone: bool) -> Lock {
    if alone && table.access.lock { Lock::Rows } else { Lock::Definition }
}

/// The checks that look only at columns that are written.
fn writable(checks: &[Constraint], copied: &[Column]) -> Vec<Constraint> {
    let written = |name: &String| copied.iter().any(|column| column.name == *name);
    checks.iter().filter(|check| check.columns.iter().all(written)).cloned().collect()
}

/// The target with its schema, which must exist.
fn settle_name(name: &Name, catalog: &Catalog) -> Result<Name> {
    if let Some(table) = &catalog.table {
        return Ok(Name { schema: Some(table.schema.clone()), table: table.name.clone() });
    }
    match name.schema.clone().or_else(|| catalog.schema.clone()) {
        Some(schema) => Ok(Name { schema: Some(schema), table: name.table.clone() }),
        None => Err(Error::new(ErrorKind::NotFound, "no schema of the search path exists")
            .with_hint("name the schema: schema.table")),
    }
}

fn check_target(table: &Table, label: &str) -> Result<()> {
    let what = match table.kind {
        'r' | 'p' | 'f' if table.access.insert => return Ok(()),
        'r' | 'p' | 'f' => {
            return Err(Error::new(ErrorKind::Permission, format!("this user may not insert into {label}"))
                .with_hint("GRANT INSERT ON the table TO this user"));
        }
        'v' => "a view",
        'm' => "a materialized view",
        'S' => "a sequence",
        'c' => "a composite type",
        _ => "no table",
    };
    Err(Error::new(ErrorKind::Unsupported, format!("{label} is {what}: rows go into tables only")))
}
