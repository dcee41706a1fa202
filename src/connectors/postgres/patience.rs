//! Statements that may take long: cancelled on the server when nobody awaits them any more; and locks, waited for in
//! slices, so that whoever comes behind us does not wait for the whole of our wait.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::connect::{Canceller, Connection, last_rows};
use super::errors;
use super::name::{Name, literal};
use crate::bridge::farewell;
use crate::error::{Error, ErrorKind, Result};

/// One wait for a lock.
const SLICE: &str = "3s";

/// Between two waits, those who queue behind us have their turn.
const PAUSE: Duration = Duration::from_millis(200);

/// Begins a transaction that only looks, and waits for a lock for one slice at most.
pub(super) const LOOK: &str = "BEGIN READ ONLY; SET LOCAL lock_timeout = '3s'";

/// Waits before anything is written: little is lost by giving up.
pub(super) const BEFORE_WRITING: usize = 3;

/// Waits when all rows are there and only have to be published.
pub(super) const BEFORE_COMMIT: usize = 40;

/// Runs statements in one round trip.
pub(super) async fn run(connection: &Connection, sql: &str) -> Result<()> {
    messages(connection, sql).await.map(drop)
}

/// Runs statements and gives the count of the last.
pub(super) async fn affected(connection: &Connection, sql: &str) -> Result<u64> {
    let messages = messages(connection, sql).await?;
    let count = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::CommandComplete(count) => Some(*count),
        _ => None,
    };
    Ok(messages.iter().rev().find_map(count).unwrap_or(0))
}

/// Runs statements and gives the rows of the last that had any.
pub(super) async fn rows(connection: &Connection, sql: &str) -> Result<Vec<SimpleQueryRow>> {
    messages(connection, sql).await.map(last_rows)
}

async fn messages(connection: &Connection, sql: &str) -> Result<Vec<SimpleQueryMessage>> {
    answered(connection, sql).await.map_err(|source| connection.error(source))
}

async fn answered(connection: &Connection, sql: &str) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
    awaited(connection, connection.simple_query(sql)).await
}

/// Awaits the `answer` to a statement on `connection`, which is cancelled when nobody awaits this any more.
pub(super) async fn awaited<T>(connection: &Connection, answer: impl Future<Output = T>) -> T {
    let mut running = Running(Some(connection.canceller()));
    let answer = answer.await;
    running.0 = None;
    answer
}

/// A statement under way. A server that works on notices much later that nobody listens.
struct Running(Option<Canceller>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(canceller) = self.0.take() {
            farewell::say(canceller.cancel());
        }
    }
}

/// Runs `sql`, which locks `table`, in the open transaction; after `waits` waits it gives up.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) naming who holds the lock. The transaction is as it was before.
pub(super) async fn lock(connection: &Connection, sql: &str, table: &Name, waits: usize) -> Result<()> {
    let attempt = format!(
        "SAVEPOINT etl_lock; SET LOCAL lock_timeout = '{SLICE}'; {sql}; \
         SET LOCAL lock_timeout = 0; RELEASE SAVEPOINT etl_lock"
    );
    for wait in 1..=waits {
        let Err(error) = answered(connection, &attempt).await else { return Ok(()) };
        if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return Err(connection.error(error));
        }
        connection.run("ROLLBACK TO SAVEPOINT etl_lock").await?;
        if wait < waits {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let holders = holders(connection, table).await?;
    let message = format!("the table could not be locked, because it is in use by {holders}");
    Err(Error::new(ErrorKind::Timeout, message).with_hint("try again when that session is done, or end it"))
}

/// The same in a transaction of its own, which it commits. After an error the connection is of no more use.
pub(super) async fn commit(connection: &Connection, sql: &str, table: &Name, waits: usize) -> Result<()> {
    run(connection, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    lock(connection, sql, table, waits).await?;
    run(connection, "COMMIT").await
}

/// Whether `error` says that a slice is over.
pub(super) fn is_over(error: &Error) -> bool {
    errors::state(error) == Some(SqlState::LOCK_NOT_AVAILABLE.code())
}

/// Who has a lock on `table`.
async fn holders(connection: &Connection, table: &Name) -> Result<String> {
    let sql = format!(
        "SELECT string_agg(DISTINCT format('%s (process %s)', coalesce(nullif(a.application_name, ''), 'a session'), \
         a.pid), ', ') FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'relation' AND l.granted AND l.relation = to_regclass({}) \
         AND a.datname = current_database() AND a.pid <> pg_backend_pid()",
        literal(&table.quoted())
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows.first().and_then(|row| row.get(0)).unwrap_or("another session").to_owned())
}
