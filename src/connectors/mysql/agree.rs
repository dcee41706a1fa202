//! What a write will do, decided before anything is touched: columns and fates, the way in, the promise.

mod columns;
mod path;

use serde::{Deserialize, Serialize};

use super::catalog::{self, Table, Ties};
use super::connect::{Connection, Server};
use super::ddl::{self, NewTable};
use super::encode::Column;
use super::merge::Merging;
use super::name::{Name, check_name, identifiers};
use super::stage;
use super::typemap::Kind;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sink::{Advance, Agreement, ColumnPlan, Guarantee, Kept, Merge, Publish, WriteMode, WriteRequest, Writers};
use crate::source::TableShape;
use crate::sql::columns::{Names, by_place, refuse_none};

use columns::Matched;
pub(super) use path::{Emptying, Path};

/// What writers and commit need; private to this connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    pub(super) target: Name,
    /// How rows become visible.
    pub(super) path: Path,
    /// The columns that are written.
    pub(super) columns: Vec<Column>,
    /// The columns of a stage that is filled before its rows go into the target.
    pub(super) definitions: Vec<String>,
    /// Whether the server makes no stage without a primary key.
    #[serde(default)]
    pub(super) requires_keys: bool,
    /// How the target is made; none when it is there.
    pub(super) create: Option<NewTable>,
    /// What its comment is, apart from our mark.
    pub(super) comment: String,
    /// What the target was like, where another table is to take its place.
    pub(super) definition: Option<String>,
    /// Which job it is: one run of it alone writes at a time.
    pub(super) job: Option<String>,
    /// Whether rows that are there when the new ones become visible are refused.
    pub(super) must_be_empty: bool,
    /// How rows are merged by key; none where they are added.
    pub(super) merging: Option<Merging>,
    /// The position that the commit moves.
    pub(super) advance: Option<Advance>,
    /// What becomes of rows that the server refuses.
    pub(super) refusals: Refusals,
    /// Whether rows go in by `LOAD DATA LOCAL`.
    pub(super) local_infile: bool,
    pub(super) max_packet_bytes: u64,
}

impl Detail {
    /// What stands in `agreement`.
    pub(super) fn of(agreement: &Agreement) -> Result<Self> {
        Self::deserialize(&agreement.detail).map_err(|source| {
            Error::new(ErrorKind::Internal, "this is not an agreement with MySQL").with_source(source)
        })
    }

    /// Whom the locks on a target that is there keep waiting, and how long, by what is promised of it.
    pub(super) fn holds_up(&self, guarantee: Guarantee) -> Option<&'static str> {
        if self.create.is_some() {
            return None;
        }
        Some(match self.path {
            Path::NewStaged => return None,
            Path::Swap => {
                "others can use the table until the moment of the exchange, which waits for transactions that have used it"
            }
            _ if guarantee == Guarantee::AtLeastOnce => {
                "each statement that brings rows locks the whole table: others wait for its end"
            }
            Path::Held(Emptying::Delete) => {
                "from the first row to the commit who changes rows of the table waits, and nobody can alter or truncate it; others can \
                 read it all the time"
            }
            Path::Held(Emptying::Keep) => {
                "from the first row to the commit others can read and write the table, and neither alter nor truncate it; who inserts \
                 a key that comes waits"
            }
            Path::Refill(Emptying::Delete) => {
                "who changes rows of the table waits while they are exchanged at the end; others can read it all the time"
            }
            Path::Refill(Emptying::Keep) => {
                "others can read and write the table all the time, and not alter it while rows are inserted at the end"
            }
            Path::Merge => {
                "who changes rows that the merge changes waits while rows are merged at the end, and nobody can alter the table then; \
                 others can read it all the time"
            }
            Path::PerTask => {
                "while a task writes, others can read and write the table, and neither alter nor truncate it"
            }
        })
    }

    /// Whether rows that the target refuses are looked for when those of the stage are brought into it.
    pub(super) fn is_sifted(&self) -> bool {
        self.refusals == Refusals::LeftOut && matches!(self.path, Path::Refill(_) | Path::Merge)
    }

    /// The columns that are written, quoted.
    pub(super) fn column_list(&self) -> String {
        identifiers(self.columns.iter().map(|column| column.name.as_str()))
    }
}

/// Everything that was decided, before it is written down.
struct Draft {
    target: Name,
    matched: Matched,
    choice: path::Choice,
    create: Option<NewTable>,
    comment: String,
}

/// The columns that `incoming` gets in a new table of a MySQL of today.
pub(super) fn new_columns(incoming: &TableShape) -> Result<Vec<ColumnPlan>> {
    Ok(columns::plan_new(incoming, &[], &ddl::server_of_today())?.0.plans)
}

/// Agrees on `incoming` into `name`.
pub(super) async fn agree(
    connection: &mut Connection,
    name: &Name,
    incoming: &TableShape,
    request: &WriteRequest,
) -> Result<Agreement> {
    if let WriteMode::Changes { .. } = request.mode {
        return Err(Error::new(ErrorKind::Unsupported, "MySQL takes no change feed yet"));
    }
    refuse_none(incoming)?;
    check_name(&name.table, "table")?;
    let table = catalog::find(connection, name).await?;
    let agreed = match &table {
        Some(table) => existing(connection, table, incoming, request).await,
        None => missing(connection, name, incoming, request),
    };
    agreed.at("table", || name.quoted())
}

async fn existing(
    connection: &mut Connection,
    table: &Table,
    incoming: &TableShape,
    request: &WriteRequest,
) -> Result<Agreement> {
    if table.is_view {
        return Err(Error::new(ErrorKind::Unsupported, "it is a view: rows go into tables only"));
    }
    let name = table.name.clone();
    if request.mode == WriteMode::Create {
        refuse_rows(connection, &name).await?;
    }
    let incoming = by_place(incoming, table.columns.iter().map(|column| column.name.as_str()), request.schema)?;
    let incoming = &*incoming;
    let merge = request.mode.merge().map(|merge| settled(merge, table, incoming)).transpose()?;
    let key = merge.as_ref().map_or(&[][..], |merge| &merge.key);
    let matched = columns::match_existing(table, incoming, (request.schema, key), connection.server())?;
    let ties = Ties::find(connection, &name).await?;
    let choice = path::existing(table, &ties, request)?;
    let merging =
        merge.map(|merge| Merging::new(&merge, &request.mode, (table, &ties), &matched.columns)).transpose()?;
    let comment = stage::own_comment(table.comment.as_deref().unwrap_or_default()).to_owned();
    let definition = match choice.path {
        Path::Swap => Some(definition(connection, &name).await?),
        _ => None,
    };
    let draft = Draft { target: name, matched, choice, create: None, comment };
    finish(connection, draft, request, (merging, definition))
}

/// `merge` with its key found.
fn settled(merge: &Merge, table: &Table, incoming: &TableShape) -> Result<Merge> {
    let unique = table.unique.iter().filter(|index| !index.is_primary()).map(|index| index.columns.as_slice());
    let fields = incoming.schema.fields();
    let coming = |name: &str| Names::AnyCase.find(fields.iter().map(|field| field.name().as_str()), name);
    let own = merge.own(table.primary(), unique, |name| coming(name).is_some());
    // As the rows that come call them.
    let own = own.iter().map(|name| coming(name).map_or(name, |place| fields[place].name()).clone());
    merge.settled(&own.collect::<Vec<_>>(), incoming)
}

fn missing(connection: &Connection, name: &Name, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
    let merge = request.mode.merge().map(|merge| merge.settled(&[], incoming)).transpose()?;
    let key = merge.as_ref().map_or(incoming.whole_key(), |merge| &merge.key);
    let (matched, create) = columns::plan_new(incoming, key, connection.server())?;
    let choice = path::new(request)?;
    let merging = merge.map(|merge| Merging::into_new(&merge, &request.mode, &matched.columns)).transpose()?;
    let comment = create.comment.clone().unwrap_or_default();
    let draft = Draft { target: name.clone(), matched, choice, create: Some(create), comment };
    finish(connection, draft, request, (merging, None))
}

fn finish(
    connection: &Connection,
    draft: Draft,
    request: &WriteRequest,
    (merging, definition): (Option<Merging>, Option<String>),
) -> Result<Agreement> {
    let Draft { target, matched, choice, create, comment } = draft;
    let server = connection.server();
    let mut notes = choice.notes;
    notes.extend(merging.iter().flat_map(Merging::notes));
    let loads = server.local_infile && !has_shape_to_insert(server, &matched);
    if !server.local_infile {
        notes
            .push("local_infile is off on the server: rows go in by INSERT, which is slower than LOAD DATA".to_owned());
    } else if !loads {
        let note = "rows go in by INSERT: MySQL 8.0 loads no geometry into a column that may not be NULL";
        notes.push(note.to_owned());
    }
    let detail = Detail {
        must_be_empty: create.is_none() && request.mode == WriteMode::Create,
        path: choice.path,
        columns: matched.columns,
        definitions: matched.definitions,
        requires_keys: server.requires_keys,
        create,
        comment,
        definition,
        job: request.job.clone(),
        merging,
        advance: request.advance.clone(),
        refusals: request.refusals,
        local_infile: loads,
        max_packet_bytes: server.max_packet_bytes,
        target,
    };
    Ok(Agreement {
        label: detail.target.quoted(),
        target: matched.target,
        columns: matched.plans,
        ddl: shown(&detail),
        writers: if detail.path.held() { Writers::One } else { Writers::Any },
        publish: match detail.path {
            Path::PerTask => Publish::PerTask,
            path if path.held() => Publish::Held,
            _ => Publish::AtOnce,
        },
        guarantee: if choice.transactional { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce },
        kept: if detail.path.held() { Kept::Commit } else { Kept::Tasks },
        marked: true,
        refusals: request.refusals,
        task_bytes: None,
        notes,
        detail: serde_json::to_value(&detail)?,
    })
}

/// Whether there is a geometry that may not be NULL on a server that says of such a column that it lacks a default, whatever `LOAD
/// DATA` sets it to: 8.0.15 does, 5.7.22 and 9.7 do not.
fn has_shape_to_insert(server: &Server, matched: &Matched) -> bool {
    let mut columns = matched.columns.iter().zip(matched.target.fields());
    server.is_mysql_from(80_000)
        && !server.is_mysql_from(80_400)
        && columns.any(|(column, field)| column.kind() == Some(Kind::Geometry) && !field.is_nullable())
}

/// The statements as the plan shows them, with the stage under a name without token.
fn shown(detail: &Detail) -> Vec<String> {
    let target = detail.target.quoted();
    let stage = detail.target.beside("etl_stage_…").quoted();
    let mut statements = Vec::new();
    match (detail.path, &detail.create) {
        (Path::NewStaged, Some(new)) => {
            statements.push(new.create(&stage, "…"));
            statements.push(format!("RENAME TABLE {stage} TO {target}"));
        }
        (Path::Swap, _) => {
            statements.push(format!("CREATE TABLE {stage} LIKE {target}"));
            statements.push(format!("RENAME TABLE {target} TO …, {stage} TO {target}"));
        }
        (Path::Held(Emptying::Delete), _) => statements.push(format!("DELETE FROM {target}")),
        (Path::Refill(emptying), new) => {
            statements.push(format!("CREATE TABLE {stage} ({})", detail.definitions.join(", ")));
            statements.extend(new.iter().map(|new| new.shown(&detail.target)));
            statements.extend((emptying == Emptying::Delete).then(|| format!("DELETE FROM {target}")));
            statements.push(refill(detail, &stage));
        }
        (Path::Merge, new) => {
            statements.push(format!("CREATE TABLE {stage} ({})", detail.definitions.join(", ")));
            statements.extend(new.iter().map(|new| new.shown(&detail.target)));
            statements.extend(detail.merging.iter().flat_map(|merging| merging.statements(detail, &stage)));
        }
        (Path::PerTask, Some(new)) => statements.push(new.shown(&detail.target)),
        _ => {}
    }
    statements
}

/// Inserts the rows of `stage` into the target.
pub(super) fn refill(detail: &Detail, stage: &str) -> String {
    let columns = detail.column_list();
    format!("INSERT INTO {} ({columns}) SELECT {columns} FROM {stage}", detail.target.quoted())
}

/// Refuses a target that has rows.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists).
pub(super) async fn refuse_rows(connection: &mut Connection, target: &Name) -> Result<()> {
    if connection.rows(&format!("SELECT 1 FROM {} LIMIT 1", target.quoted())).await?.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::AlreadyExists, format!("{} exists and has rows", target.quoted())))
}

/// What a table is like: the statement that would make it, without the next number it would give.
pub(super) async fn definition(connection: &mut Connection, name: &Name) -> Result<String> {
    let rows = connection.rows(&format!("SHOW CREATE TABLE {}", name.quoted())).await?;
    let text = rows.first().and_then(|row| row.get(1)).unwrap_or_default();
    let (before, after) = text.split_once(" AUTO_INCREMENT=").unwrap_or((text, ""));
    Ok(format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())))
}
