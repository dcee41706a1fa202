//! What stands beside a target while a token is written, who holds it, and the sweep of what nobody holds any more.
//!
//! The stage is a table with the token in its comment. Locks of the server with names of ours (`GET_LOCK`) tell who is alive: the
//! connection of a run holds that of its stage, each writer that of its attempt, each commit that of its token. The server gives
//! them back when the process is gone, however it ended. Who goes on with a run holds its stage from the first look on. The first
//! statement of a writer's transaction notes which splits it has: of two attempts at one split the second waits, and ends the first
//! if that one hangs.

use super::agree::{Detail, Path, refuse_rows};
use super::connect::Connection;
use super::errors::{self, code};
use super::merge::Merging;
use super::name::{Name, identifier, literal, quoted_text};
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;
use crate::sql::beside::digest;
use crate::sql::tasks;

/// Statements that wait for a lock give up after so many seconds.
const LOCK_WAIT: u32 = 3;

/// So many seconds another commit of the same token is waited for.
const COMMIT_WAIT: u32 = 20;

/// Names that carry the token, so that no run meets another's.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// The hidden table.
    pub(super) table: Name,
    /// Which splits are in it.
    pub(super) done: Name,
    /// Under what the old table goes when the stage takes its place, and one that must be empty: a process that is killed before it
    /// has looked must not leave rows of others to be removed.
    pub(super) old: Name,
    pub(super) unseen: Name,
    /// The lock that is held while the run lives.
    lease: String,
    /// The lock that is held from the commit's first statement to its end.
    commit: String,
}

impl Stage {
    /// The stage of `token` for `target`.
    pub(super) fn of(target: &Name, token: &Token) -> Self {
        let run = digest(&format!("{token} {}", target.quoted()));
        let table = format!("{}{run:016x}", prefix(target));
        Self {
            done: target.beside(&format!("{table}_done")),
            old: target.beside(&format!("{table}_old")),
            unseen: target.beside(&format!("{table}_unseen")),
            commit: format!("{table}_commit"),
            lease: table.clone(),
            table: target.beside(&table),
        }
    }

    /// Statements that make it. Doing them again changes nothing.
    pub(super) fn create(&self, detail: &Detail, token: &Token) -> Vec<String> {
        let comment = marked(token, &detail.comment);
        let table = format!("IF NOT EXISTS {}", self.table.quoted());
        let mut statements = match (&detail.create, detail.path) {
            (_, Path::PerTask) => Vec::new(),
            (Some(new), Path::NewStaged) => vec![new.create(&table, &comment)],
            (Some(_), _) => vec![Self::create_beside(&table, detail, &comment)],
            (None, Path::Swap) => vec![
                format!("CREATE TABLE {table} LIKE {}", detail.target.quoted()),
                format!("ALTER TABLE {} COMMENT = {}", self.table.quoted(), quoted_text(&comment)),
            ],
            (None, _) => vec![Self::create_beside(&table, detail, &comment)],
        };
        statements.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (part varchar(40) CHARACTER SET ascii PRIMARY KEY, \
             attempt varchar(40) CHARACTER SET ascii NOT NULL, `rows` bigint unsigned NOT NULL) ENGINE = InnoDB COMMENT = {}",
            self.done.quoted(),
            quoted_text(&format!("which rows of the unfinished etl run {token} are there"))
        ));
        statements
    }

    /// The statement for a table of the columns that are written alone.
    fn create_beside(table: &str, detail: &Detail, comment: &str) -> String {
        let is_numbered = detail.merging.is_some() || detail.is_sifted() || detail.requires_keys;
        let number = is_numbered.then(Merging::row_column).into_iter();
        let columns: Vec<String> = number.chain(detail.definitions.iter().cloned()).collect();
        format!("CREATE TABLE {table} ({}) ENGINE = InnoDB COMMENT = {}", columns.join(", "), quoted_text(comment))
    }

    /// Whether all of it is there.
    pub(super) async fn is_there(&self, connection: &mut Connection, path: Path) -> Result<bool> {
        for table in [(path != Path::PerTask).then_some(&self.table), Some(&self.done)].into_iter().flatten() {
            if !exists(connection, table).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the lock that says that the run lives, on a connection that stays open; says whether it was free. What is left of a
    /// process that was killed may hold it for a moment still.
    pub(super) async fn hold(&self, connection: &mut Connection) -> Result<bool> {
        Ok(connection.number(&format!("SELECT GET_LOCK({}, {LOCK_WAIT})", literal(&self.lease))).await? == Some(1))
    }

    /// Ends the connection `id` of this process that held the run, if the server has not noticed yet that it is broken.
    pub(super) async fn end_broken(&self, connection: &mut Connection, id: u32) -> Result<()> {
        let holder = connection.number(&format!("SELECT IS_USED_LOCK({})", literal(&self.lease))).await?;
        if holder == Some(u64::from(id)) { end_holder(connection, &self.lease).await } else { Ok(()) }
    }

    /// Waits for another commit of the same token, and makes others wait for this one, to the end of the connection.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) where that takes long.
    pub(super) async fn lock_commit(&self, connection: &mut Connection) -> Result<()> {
        let lock = format!("SELECT GET_LOCK({}, {COMMIT_WAIT})", literal(&self.commit));
        if connection.number(&lock).await? == Some(1) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Busy, "another process commits the rows of this run at this moment")
            .with_hint("wait for its end"))
    }

    /// Lets others commit, from a connection that goes on.
    pub(super) async fn unlock_commit(&self, connection: &mut Connection) -> Result<()> {
        connection.run(&format!("DO RELEASE_LOCK({})", literal(&self.commit))).await
    }

    /// Removes it.
    pub(super) async fn drop(&self, connection: &mut Connection) -> Result<()> {
        let tables = [&self.table, &self.done, &self.old].map(Name::quoted).join(", ");
        connection.run(&format!("SET lock_wait_timeout = {LOCK_WAIT}; DROP TABLE IF EXISTS {tables}")).await?;
        drop_if_empty(connection, &self.unseen).await
    }

    /// Ends the connections of those who write into it.
    pub(super) async fn dismiss(&self, connection: &mut Connection) -> Result<()> {
        if !exists(connection, &self.done).await? {
            return Ok(());
        }
        // What is not committed yet is seen, too.
        let sql = format!(
            "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; SELECT DISTINCT attempt FROM {}",
            self.done.quoted()
        );
        for row in connection.rows(&sql).await? {
            if let Some(attempt) = row.get(0) {
                end_holder(connection, &writer_lock(attempt)).await?;
            }
        }
        Ok(())
    }

    /// Begins the transaction of `attempt` by noting its parts. Where an earlier attempt at the same ones stands, no transaction is
    /// open, and its rows come back.
    pub(super) async fn begin(&self, connection: &mut Connection, attempt: &Attempt) -> Result<Option<u64>> {
        let note: Vec<String> = tasks::keys(&attempt.splits, attempt.task)
            .iter()
            .map(|part| format!("({}, {}, 0)", literal(part), literal(&attempt.id)))
            .collect();
        let lock = format!("DO GET_LOCK({}, 0)", literal(&writer_lock(&attempt.id)));
        let waits = format!("SET innodb_lock_wait_timeout = {LOCK_WAIT}, lock_wait_timeout = 3600");
        connection.run(&format!("{waits}; {lock}")).await?;
        let insert = format!("INSERT INTO {} (part, attempt, `rows`) VALUES {}", self.done.quoted(), note.join(", "));
        let mut standing = None;
        for wait in 0.. {
            connection.run("START TRANSACTION").await?;
            let Err(error) = connection.run(&insert).await else { break };
            connection.run("ROLLBACK").await?;
            match errors::code_of(&error) {
                Some(code::DUPLICATE) => {
                    Self::end(connection, attempt).await?;
                    standing = Some(self.standing(connection, attempt).await?);
                    break;
                }
                // Somebody has them and says nothing: an attempt that hangs.
                Some(code::LOCK_WAIT_TIMEOUT) if wait <= 3 => self.dismiss(connection).await?,
                _ => return Err(error),
            }
        }
        connection.run("SET innodb_lock_wait_timeout = 3600").await.map(|()| standing)
    }

    /// The rows of an earlier attempt at the parts of `attempt`: its answer was lost, or that to its commit.
    async fn standing(&self, connection: &mut Connection, attempt: &Attempt) -> Result<u64> {
        let keys = tasks::keys(&attempt.splits, attempt.task);
        let parts: Vec<String> = keys.iter().map(|part| literal(part)).collect();
        let sql = format!(
            "SELECT COUNT(*), COALESCE(SUM(`rows`), 0) FROM {} WHERE part IN ({})",
            self.done.quoted(),
            parts.join(", ")
        );
        let found = connection.rows(&sql).await?;
        let number = |index| found.first().and_then(|row| row.number::<u64>(index)).unwrap_or(0);
        if number(0) == keys.len() as u64 {
            return Ok(number(1));
        }
        Err(Error::new(ErrorKind::Internal, "another task wrote a part of these splits before"))
    }

    /// Gives back what `begin` took beside the transaction, which has ended.
    pub(super) async fn end(connection: &mut Connection, attempt: &Attempt) -> Result<()> {
        connection.run(&format!("DO RELEASE_LOCK({})", literal(&writer_lock(&attempt.id)))).await
    }

    /// Notes how many rows `attempt` wrote, as the last statement of its transaction.
    pub(super) fn note(&self, attempt: &Attempt, rows: u64) -> String {
        // All of them with the first part.
        let first = tasks::keys(&attempt.splits, attempt.task).swap_remove(0);
        format!("UPDATE {} SET `rows` = {rows} WHERE part = {}", self.done.quoted(), literal(&first))
    }

    /// Whether `attempt` is committed. Waits until a transaction of it that may still be open has ended.
    pub(super) async fn has(&self, connection: &mut Connection, attempt: &str) -> Result<bool> {
        let sql =
            format!("SELECT COUNT(*) FROM {} WHERE attempt = {} FOR UPDATE", self.done.quoted(), literal(attempt));
        Ok(connection.number(&sql).await?.unwrap_or(0) > 0)
    }

    /// The stage must hold what the receipts say, no more and no less.
    pub(super) async fn check(&self, connection: &mut Connection, receipts: &[Receipt]) -> Result<()> {
        let sql = format!("SELECT COUNT(*), COALESCE(SUM(`rows`), 0) FROM {}", self.done.quoted());
        let found = connection.rows(&sql).await.map_err(|error| match errors::code_of(&error) {
            Some(code::NO_SUCH_TABLE) => {
                Error::new(ErrorKind::NotFound, "the table that held the rows before the commit is gone")
                    .with_hint("run the copy again")
            }
            _ => error,
        })?;
        let number = |index| found.first().and_then(|row| row.number::<u64>(index)).unwrap_or(0);
        let wanted: usize = receipts.iter().map(|receipt| tasks::keys(&receipt.splits, receipt.task).len()).sum();
        let rows: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
        if (number(0), number(1)) == (wanted as u64, rows) {
            return Ok(());
        }
        let message =
            format!("the stage holds {} rows of {} splits, the receipts say {rows} of {wanted}", number(1), number(0));
        Err(Error::new(ErrorKind::Mismatch, message))
    }

    /// What is there of the tasks: for each attempt its parts and its rows.
    pub(super) async fn tasks(&self, connection: &mut Connection) -> Result<Vec<(String, Vec<String>, u64)>> {
        let sql = format!("SELECT attempt, part, `rows` FROM {} ORDER BY attempt, part", self.done.quoted());
        let mut tasks: Vec<(String, Vec<String>, u64)> = Vec::new();
        for row in connection.rows(&sql).await? {
            let (Some(attempt), Some(part)) = (row.get(0), row.get(1)) else { continue };
            let rows = row.number(2).unwrap_or(0);
            match tasks.last_mut().filter(|last| last.0 == attempt) {
                Some(last) => {
                    last.1.push(part.to_owned());
                    last.2 += rows;
                }
                None => tasks.push((attempt.to_owned(), vec![part.to_owned()], rows)),
            }
        }
        Ok(tasks)
    }
}

/// Letters of a comment that a table keeps.
const COMMENT_CHARS: usize = 2048;

/// The mark of a table that holds the rows of `token`: the first line of its comment.
fn mark(token: &Token) -> String {
    format!("rows of the etl run {token}")
}

/// The comment of a table with that mark, before its own `comment` where there is room for both: should nobody take the mark away,
/// the comment is not lost.
fn marked(token: &Token, comment: &str) -> String {
    let both = format!("{}\n{comment}", mark(token));
    if comment.is_empty() || both.chars().count() > COMMENT_CHARS { mark(token) } else { both }
}

/// Whether `comment` has the mark of `token`.
pub(super) fn has_mark(comment: &str, token: &Token) -> bool {
    comment.lines().next() == Some(&mark(token))
}

/// The token that `comment` names, if it is one of ours.
pub(super) fn marked_token(comment: &str) -> Option<&str> {
    comment.lines().next()?.strip_prefix("rows of the etl run ")
}

/// `comment` without a mark of ours.
pub(super) fn own_comment(comment: &str) -> &str {
    match (marked_token(comment), comment.split_once('\n')) {
        (None, _) => comment,
        (Some(_), Some((_, own))) => own,
        (Some(_), None) => "",
    }
}

/// Whether there is such a table.
pub(super) async fn exists(connection: &mut Connection, table: &Name) -> Result<bool> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(&table.database),
        literal(&table.table)
    );
    Ok(connection.number(&sql).await?.unwrap_or(0) > 0)
}

/// Removes a table that may have rows of others, if it has none.
async fn drop_if_empty(connection: &mut Connection, table: &Name) -> Result<()> {
    if exists(connection, table).await? && refuse_rows(connection, table).await.is_ok() {
        return connection.run(&format!("DROP TABLE IF EXISTS {}", table.quoted())).await;
    }
    Ok(())
}

/// Takes the lock of `job` on `target`, on a connection that stays open.
///
/// # Errors
/// [`Busy`](ErrorKind::Busy) while another run of the same job writes into the target.
pub(super) async fn hold_job(connection: &mut Connection, detail: &Detail) -> Result<()> {
    let Some(job) = &detail.job else { return Ok(()) };
    let lock = format!("etl_job_{:016x}", digest(&format!("{job} {}", detail.target.quoted())));
    if connection.number(&format!("SELECT GET_LOCK({}, {LOCK_WAIT})", literal(&lock))).await? == Some(1) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Busy, "another run of the same job writes into the table")
        .with_hint("it may have been started on another machine, or with another state log: wait for its end"))
}

/// Removes stages of earlier runs on `target` whose process is gone. What cannot be removed stays for the next run.
pub(super) async fn sweep_orphans(connection: &mut Connection, target: &Name) -> Result<()> {
    let prefix = prefix(target);
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME LIKE {}",
        literal(&target.database),
        literal(&format!("{}%", prefix.replace('_', "\\_")))
    );
    let rows = connection.rows(&sql).await?;
    let names = rows.iter().filter_map(|row| row.get(0));
    let mut tables: Vec<&str> = names.filter_map(|name| name.get(..prefix.len() + 16)).collect();
    tables.dedup();
    for table in tables {
        // The lock of a run has the name of its stage.
        let lock = literal(table);
        if connection.number(&format!("SELECT GET_LOCK({lock}, 0)")).await? != Some(1) {
            continue;
        }
        let beside = |end: &str| target.beside(&format!("{table}{end}")).quoted();
        // What an exchange has put aside is removed; a table whose rows are nowhere else never has that name, but the last one.
        let sql = format!(
            "SET lock_wait_timeout = {LOCK_WAIT}; DROP TABLE IF EXISTS {}, {}, {}",
            beside(""),
            beside("_done"),
            beside("_old")
        );
        let _ = connection.run(&sql).await;
        let _ = drop_if_empty(connection, &target.beside(&format!("{table}_unseen"))).await;
        connection.run(&format!("DO RELEASE_LOCK({lock})")).await?;
    }
    Ok(())
}

/// Ends the connection that holds `lock`, and waits a moment until it is gone.
async fn end_holder(connection: &mut Connection, lock: &str) -> Result<()> {
    let asked = format!("SELECT IS_USED_LOCK({})", literal(lock));
    let Some(holder) = connection.number(&asked).await? else { return Ok(()) };
    if holder == u64::from(connection.id()) {
        return Ok(());
    }
    let killed = connection.run(&format!("KILL {holder}")).await;
    if let Err(error) = killed
        && errors::code_of(&error) != Some(code::NO_SUCH_THREAD)
    {
        return Err(error);
    }
    for _ in 0..100 {
        if connection.number(&asked).await? != Some(holder) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The lock of the writer of an attempt.
fn writer_lock(attempt: &str) -> String {
    format!("etl_write_{:016x}", digest(attempt))
}

/// How the names of all stages for `target` begin.
fn prefix(target: &Name) -> String {
    format!("etl_stage_{:08x}_", digest(&target.quoted()) as u32)
}

/// A column of a stage, which is like that of the target.
pub(super) fn definition(column: &super::catalog::Column) -> String {
    let text = match (&column.charset, &column.collation) {
        // National and binary types say it themselves.
        (Some(charset), Some(collation)) => format!(" CHARACTER SET {charset} COLLATE {collation}"),
        _ => String::new(),
    };
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    format!("{} {}{text} {null}", identifier(&column.name), column.declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_server() {
        let target = Name { database: "d".into(), table: "t".repeat(64) };
        let token = Token { run: "r".repeat(99), transfer: 1, sink: 2, epoch: 3 };
        let stage = Stage::of(&target, &token);
        assert!(stage.done.table.len() <= 64 && stage.lease.len() <= 64 && stage.commit.len() <= 64);
        assert!(stage.table.table.starts_with(&prefix(&target)));
        assert_eq!(stage.table, Stage::of(&target, &token).table);
        assert_ne!(stage.table, Stage::of(&target, &Token { epoch: 4, ..token.clone() }).table);
        let comment = marked(&token, "Orders\nof all");
        assert_eq!(marked_token(&comment), Some(token.to_string().as_str()));
        assert!(has_mark(&comment, &token) && !has_mark("Orders", &token));
        assert_eq!(
            (own_comment(&comment), own_comment("Orders"), own_comment(&marked(&token, ""))),
            ("Orders\nof all", "Orders", "")
        );
        assert!(marked(&token, &"x".repeat(2048)).len() < 2048);
    }
}
