//! The stage of one commit: tables beside the target, one for each attempt of a task, and one that becomes the target or goes into it.
//!
//! ```text
//! prepare   CREATE TABLE etl_stage_TOKEN, with the comment "etl: staging TOKEN"
//! task      CREATE TABLE etl_stage_TOKEN_ATTEMPT · INSERT block, each with a token of its own, so that one sent twice counts once
//! commit    fill etl_stage_TOKEN · comment "etl: publishing TOKEN" · publish (publish.rs) · mark · DROP
//! ```
//!
//! Attempts that no receipt names are never looked at and go with the stage. What a dead process has staged is there for the next one.

use serde::{Deserialize, Serialize};

use super::catalog::{self, STAGE};
use super::connect::Server;
use super::ddl::{NewColumn, NewTable};
use super::name::{Name, literal};
use super::typemap::Type;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::Refusals;
use crate::sql::beside::Before;

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

    /// What becomes the target or goes into it.
    pub(super) fn stage(&self, token: &Token) -> Name {
        let token = token.to_string().replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        self.name.beside(format!("{STAGE}{token}"))
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
    let comment = catalog::comment(server, &detail.stage(token)).await?;
    Ok(match comment {
        Some(comment) if comment == staging(token) => State::Staging,
        Some(comment) if comment == publishing(token) => State::Publishing,
        _ => State::None,
    })
}

/// Makes the stage of `token`, unless it is there.
pub(super) async fn prepare(server: &Server, detail: &Detail, token: &Token) -> Result<()> {
    if state(server, detail, token).await? != State::None {
        return Ok(());
    }
    let stage = detail.stage(token);
    let (quoted, comment) = (stage.quoted(), staging(token));
    match &detail.action {
        Action::Rename(new) => server.run(&new.create(&quoted, &comment, &[])).await,
        Action::Insert => server.run(&detail.heap().create(&quoted, &comment, &[])).await,
        Action::Move | Action::Exchange(_) => {
            // It gets the comment in a second step, before which an earlier try may have died.
            server.run(&format!("CREATE TABLE IF NOT EXISTS {quoted} AS {}", detail.name.quoted())).await?;
            set_comment(server, &stage, &comment).await
        }
    }
}

/// Makes the table of an attempt.
///
/// # Errors
/// [`Internal`](ErrorKind::Internal) where the run is over.
pub(super) async fn begin(server: &Server, detail: &Detail, token: &Token, attempt: &str) -> Result<Name> {
    if state(server, detail, token).await? != State::Staging {
        return Err(Error::new(ErrorKind::Internal, "the stage of this run is not there"));
    }
    let table = detail.attempt(token, attempt);
    // Without merges its parts are the blocks that were sent.
    let settings = [("non_replicated_deduplication_window", WINDOW), ("max_bytes_to_merge_at_max_space_in_pool", 1)];
    if detail.is_like_target() {
        let (stage, quoted) = (detail.stage(token).quoted(), table.quoted());
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
