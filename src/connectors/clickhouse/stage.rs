//! The stage of one commit: tables beside the target, one for each attempt of a task, and one that becomes the target or goes into it.
//!
//! ```text
//! prepare   CREATE TABLE etl_stage_TOKEN, with the comment "etl: staging TOKEN"
//! task      CREATE TABLE etl_stage_TOKEN_ATTEMPT · INSERT block, each with a token of its own, so that one sent twice counts once
//! commit    RENAME etl_stage_TOKEN TO etl_stage_TOKEN_by_N · fill another like it · comment "etl: publishing TOKEN" · publish
//!           (publish.rs) · mark · DROP
//! ```
//!
//! ClickHouse has no locks that would tell who is alive. So who goes on with a run, or commits it, gives the stage a name of its own:
//! what another process that was taken for dead still does with it fails, since the name that this one knows is gone.
//!
//! Attempts that no receipt names are never looked at and go with the stage. What a dead process has staged is there for the next one.

use serde::{Deserialize, Serialize};

use super::catalog::{self, STAGE};
use super::connect::Server;
use super::ddl::{NewColumn, NewTable};
use super::errors::{code, code_of};
use super::name::{Name, literal};
use super::typemap::Type;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sql::beside::Before;

/// How often a stage is looked for that others give other names at the same moment.
const TRIES: u32 = 5;

/// What stands between the name of a stage and that of who has taken it.
const BY: &str = "_by_";

/// Blocks that a table of an attempt remembers: more than are under way at once.
const WINDOW: u64 = 100;

/// What is to be done to the target: the sink's own part of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    pub(super) name: Name,
    pub(super) action: Action,
    /// What becomes of rows that are there when rows are added.
    pub(super) before: Before,
    /// Columns that are filled, in the order of the agreement's target.
    pub(super) columns: Vec<NewColumn>,
    /// The comment of the table when all is done.
    pub(super) comment: String,
    pub(super) refusals: Refusals,
    /// Bytes that one writer may hold.
    pub(super) memory_bytes: u64,
}

/// How rows get into the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Action {
    /// The stage gets the name of the target, which is new.
    Rename(NewTable),
    /// The stage and the target exchange their names.
    Exchange(Swap),
    /// The parts of the stage move into the target.
    Move,
    /// The parts of the stage are inserted one by one, each under a token.
    Insert,
}

/// How an exchange is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Swap {
    /// In one step; parts of the attempts become parts of the new table.
    Attached,
    /// In one step; rows are inserted into the new table, whose engine does something with them.
    Inserted,
    /// By two names that change in one statement, which the database does not do at once.
    Renamed,
}

/// How far a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// There is no stage.
    None,
    Staging,
    Publishing,
}

impl Detail {
    /// The types of the columns.
    pub(super) fn types(&self) -> Result<Vec<Type>> {
        let lost = || Error::new(ErrorKind::Internal, "the agreement names a type that is not known");
        self.columns.iter().map(|column| column.declared_as().ok_or_else(lost)).collect()
    }

    /// What becomes the target or goes into it, as it is made.
    pub(super) fn stage(&self, token: &Token) -> Name {
        let token = token.to_string().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        self.name.beside(format!("{STAGE}{token}"))
    }

    /// A name for the stage that nobody else knows. No attempt has one like it.
    fn own(&self, token: &Token) -> Name {
        let stage = self.stage(token);
        let id = uuid::Uuid::now_v7().simple().to_string();
        // The end of a time-ordered id is its random part.
        stage.beside(format!("{}{BY}{}", stage.table, &id[24..]))
    }

    /// Where the rows of an attempt are.
    pub(super) fn attempt(&self, token: &Token, attempt: &str) -> Name {
        let stage = self.stage(token);
        stage.beside(format!("{}_{attempt}", stage.table))
    }

    /// Whether tables of attempts are made like the target.
    fn is_like_target(&self) -> bool {
        matches!(self.action, Action::Move | Action::Exchange(Swap::Attached | Swap::Renamed))
    }

    /// The columns alone, for rows that are inserted from there.
    fn heap(&self) -> NewTable {
        NewTable { columns: self.columns.clone(), order: Vec::new() }
    }
}

/// The comment of a stage that is being filled.
pub(super) fn staging(token: &Token) -> String {
    format!("etl: staging {token}")
}

/// The comment of a stage that is whole, and of a target that was one a moment ago.
pub(super) fn publishing(token: &Token) -> String {
    format!("etl: publishing {token}")
}

/// How far the commit of `token` is.
pub(super) async fn state(server: &Server, detail: &Detail, token: &Token) -> Result<State> {
    Ok(find(server, detail, token).await?.map_or(State::None, |(_, state)| state))
}

fn state_of(comment: &str, token: &Token) -> State {
    if comment == publishing(token) {
        State::Publishing
    } else if comment == staging(token) {
        State::Staging
    } else {
        State::None
    }
}

/// The stage of `token` as it is called now, and how far it is.
async fn find(server: &Server, detail: &Detail, token: &Token) -> Result<Option<(Name, State)>> {
    let stage = detail.stage(token);
    // A table that is made like the stage has its comment, too. Of two stages the one that is published counts.
    let sql = format!(
        "SELECT name, comment FROM system.tables WHERE database = {} AND (name = {} OR startsWith(name, {})) \
         AND comment IN ({}, {}) ORDER BY comment LIMIT 1",
        literal(&stage.database),
        literal(&stage.table),
        literal(&format!("{}{BY}", stage.table)),
        literal(&publishing(token)),
        literal(&staging(token))
    );
    let found = server.rows(&sql).await?.into_iter().next();
    Ok(found.and_then(|row| match row.as_slice() {
        [Some(name), Some(comment)] => Some((stage.beside(name.clone()), state_of(comment, token))),
        _ => None,
    }))
}

/// Gives the stage of `token` a name of its own, and says how far it is; none where there is none.
///
/// # Errors
/// [`Transient`](ErrorKind::Transient) while others do the same.
pub(super) async fn take(server: &Server, detail: &Detail, token: &Token) -> Result<Option<(Name, State)>> {
    for _ in 0..TRIES {
        let Some((name, _)) = find(server, detail, token).await? else { return Ok(None) };
        let own = detail.own(token);
        let renamed = server.run(&format!("RENAME TABLE {} TO {}", name.quoted(), own.quoted())).await;
        if renamed.as_ref().is_err_and(|error| code_of(error) == Some(code::UNKNOWN_TABLE)) {
            // Another process was faster.
            continue;
        }
        renamed?;
        // It may have been published, or have become the old table, a moment before.
        let state = catalog::comment(server, &own).await?.map_or(State::None, |comment| state_of(&comment, token));
        if state != State::None {
            return Ok(Some((own, state)));
        }
    }
    Err(Error::new(ErrorKind::Transient, "another process goes on with this run at this moment"))
}

/// Puts an empty table into the place of the stage `taken`: what a statement of another process still brings into that one does not
/// count.
pub(super) async fn renew(server: &Server, detail: &Detail, token: &Token, taken: &Name) -> Result<Name> {
    let new = detail.own(token);
    make(server, detail, token, (&new, taken)).await?;
    server.run(&format!("DROP TABLE {}", taken.quoted())).await?;
    Ok(new)
}

/// Makes the stage of `token`, unless it is there.
pub(super) async fn prepare(server: &Server, detail: &Detail, token: &Token) -> Result<()> {
    if state(server, detail, token).await? != State::None {
        return Ok(());
    }
    make(server, detail, token, (&detail.stage(token), &detail.name)).await
}

/// Makes `stage`, as it is or as `like` is.
async fn make(server: &Server, detail: &Detail, token: &Token, (stage, like): (&Name, &Name)) -> Result<()> {
    let (quoted, comment) = (stage.quoted(), staging(token));
    match &detail.action {
        Action::Rename(new) => server.run(&new.create(&quoted, &comment, &[])).await,
        Action::Insert => server.run(&detail.heap().create(&quoted, &comment, &[])).await,
        Action::Move | Action::Exchange(_) => {
            // It gets the comment in a second step, before which an earlier try may have died.
            server.run(&format!("CREATE TABLE IF NOT EXISTS {quoted} AS {}", like.quoted())).await?;
            set_comment(server, stage, &comment).await
        }
    }
}

/// Makes the table of an attempt.
///
/// # Errors
/// [`Internal`](ErrorKind::Internal) where the run is over.
pub(super) async fn begin(server: &Server, detail: &Detail, token: &Token, attempt: &str) -> Result<Name> {
    let Some((stage, State::Staging)) = find(server, detail, token).await? else {
        return Err(Error::new(ErrorKind::Internal, "the stage of this run is not there"));
    };
    let table = detail.attempt(token, attempt);
    // Without merges its parts are the blocks that were sent.
    let settings = [("non_replicated_deduplication_window", WINDOW), ("max_bytes_to_merge_at_max_space_in_pool", 1)];
    if detail.is_like_target() {
        let (stage, quoted) = (stage.quoted(), table.quoted());
        server.run(&format!("CREATE TABLE {quoted} AS {stage}")).await?;
        let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        server.run(&format!("ALTER TABLE {quoted} MODIFY SETTING {}", settings.join(", "))).await?;
    } else {
        let heap = match &detail.action {
            Action::Rename(new) => new.create(&table.quoted(), "", &settings),
            _ => detail.heap().create(&table.quoted(), "", &settings),
        };
        server.run(&heap).await?;
    }
    Ok(table)
}

pub(super) async fn set_comment(server: &Server, name: &Name, comment: &str) -> Result<()> {
    server.run(&format!("ALTER TABLE {} MODIFY COMMENT {}", name.quoted(), literal(comment))).await
}

/// Drops all tables of `token`, the stage last: as long as it is there, the others are looked for.
pub(super) async fn drop_all(server: &Server, detail: &Detail, token: &Token) -> Result<()> {
    let stage = detail.stage(token);
    let sql = format!(
        "SELECT name FROM system.tables WHERE database = {} AND startsWith(name, {}) ORDER BY length(name) DESC",
        literal(&stage.database),
        literal(&stage.table)
    );
    for table in server.rows(&sql).await?.into_iter().flatten().flatten() {
        server.run(&format!("DROP TABLE IF EXISTS {} SYNC", stage.beside(table).quoted())).await?;
    }
    Ok(())
}
