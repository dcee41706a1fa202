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
use super::name::Name;
use super::target::{Catalog, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Publish, WriteMode, WriteRequest, Writers};
use crate::source::{Encoding, TableShape};

use self::columns::Matched;
pub(super) use self::path::{Emptying, Path};

/// Framing of what [`super::write`] takes as it is.
pub(super) const RAW: &str = "postgres-copy-binary";

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
    /// Where the marker of the commit stands.
    pub(super) marker: Marker,
    /// Whether the stage stays out of the log: as its target does, or so that no publication sends it on.
    pub(super) unlogged: bool,
    /// The encoding that can be passed through, when there is one.
    pub(super) raw: Option<Encoding>,
}

impl Detail {
    /// What stands in `agreement`.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail).map_err(|source| {
            Error::new(ErrorKind::Internal, "this is not an agreement with PostgreSQL").with_source(source)
        })
    }
}

/// Agrees on `incoming` into `name`.
pub(super) async fn agree(
    connection: &Connection,
    name: &Name,
    incoming: &TableShape,
    request: &WriteRequest,
) -> Result<Agreement> {
    if let WriteMode::Upsert { .. } | WriteMode::Changes { .. } = request.mode {
        return Err(Error::new(ErrorKind::Unsupported, "rows cannot be merged by key into PostgreSQL yet"));
    }
    ddl::check_name(&name.table, "table")?;
    let mut wanted = columns::type_names(incoming);
    wanted.sort_unstable();
    wanted.dedup();
    let catalog = Catalog::read(connection, name, &wanted).await?;
    let target = settle_name(name, &catalog)?;
    let label = target.quoted();
    let draft = if let Some(table) = &catalog.table {
        check_target(table, &label)?;
        if request.mode == WriteMode::Create {
            refuse_rows(connection, &target).await?;
        }
        let matched = columns::match_existing(&catalog, table, incoming, request.schema);
        let matched = matched.map_err(|error| error.at("table", &label))?;
        let path = path::existing(table, request).map_err(|error| error.at("table", &label))?;
        Draft { target, matched, path, create: None }
    } else {
        let (matched, create) = columns::plan_new(&catalog, incoming).map_err(|error| error.at("table", &label))?;
        Draft { target, matched, path: path::new(request), create: Some(create) }
    };
    if !catalog.may_create && (draft.create.is_some() || draft.path.path.stages()) {
        return Err(Error::new(ErrorKind::Permission, format!("no table may be created in the schema of {label}"))
            .with_hint(
                "GRANT CREATE ON SCHEMA … TO this user; an append or truncate with --jobs 1 needs no table beside",
            ));
    }
    finish(&catalog, draft, label)
}

/// Everything that was decided, before it is written down.
struct Draft {
    target: Name,
    matched: Matched,
    path: path::Choice,
    create: Option<ddl::NewTable>,
}

fn finish(catalog: &Catalog, draft: Draft, label: String) -> Result<Agreement> {
    let Draft { target, matched, path, create } = draft;
    let unlogged = catalog.table.as_ref().is_some_and(|table| table.published || table.persistence == 'u');
    let marker = Marker::choose(&catalog.marker, catalog.may_create, &target);
    let mut notes = path.notes;
    if matched.format == Format::Text {
        notes.push("a column has a type with a text form only: the COPY is in text format".to_owned());
    }
    let guarantee = marker.guarantee(&mut notes);
    let mut detail = Detail {
        target,
        path: path.path,
        format: matched.format,
        columns: matched.copied,
        create,
        marker,
        unlogged,
        raw: matched.raw,
    };
    if detail.format == Format::Text {
        detail.raw = None;
    }
    let statements = ddl::shown(&detail);
    Ok(Agreement {
        label,
        target: matched.target,
        columns: matched.plans,
        ddl: statements,
        writers: if detail.path.held() { Writers::One } else { Writers::Any },
        publish: if detail.path.held() { Publish::Held } else { Publish::AtOnce },
        guarantee,
        task_bytes: None,
        notes,
        detail: serde_json::to_value(&detail)?,
    })
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
        'r' | 'p' | 'f' if table.may_insert => return Ok(()),
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

async fn refuse_rows(connection: &Connection, target: &Name) -> Result<()> {
    let sql = format!("SELECT 1 FROM {} LIMIT 1", target.quoted());
    if connection.rows(&sql).await?.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("{} exists and has rows", target.quoted())))
}
