//! SQL of the user: in one transaction with a mark of its step, where it can run in one.
//!
//! ```text
//! marked STEP        in the transaction of the SQL: it was executed
//! marked STEP?       before SQL that runs statement by statement: nobody can tell how far it came
//! ```

use tokio_postgres::SimpleQueryRow;

use super::connect::Connection;
use super::marker::Marker;
use super::patience;
use super::statements::{self, Control};
use super::target::Catalog;
use crate::endpoint::StepToken;
use crate::error::{Error, ErrorKind, Result};

/// "VACUUM cannot run inside a transaction block" and its kin; a COMMIT within a procedure.
const NEED_OWN_TRANSACTION: [&str; 2] = ["25001", "2D000"];

/// Runs `sql` in one transaction; what has transactions of its own or refuses to run in one runs statement by
/// statement.
pub(super) async fn execute(connection: &Connection, step: &StepToken, sql: &str) -> Result<()> {
    let statements = statements::split(sql);
    let controls: Vec<Control> = statements.iter().filter_map(|statement| statements::control(statement)).collect();
    if controls.last() == Some(&Control::Begins) {
        return Err(Error::new(ErrorKind::Usage, "the last transaction that it begins does not end")
            .with_hint("add COMMIT, or leave BEGIN out: all of it runs in one transaction then"));
    }
    let marker = marker(connection).await?;
    // With a COMMIT in the middle of it, a second run would repeat what is done.
    if controls.is_empty() {
        // Before the SQL, which may change role and search path.
        marker.begin(connection, step).await?;
        let Err(error) = patience::awaited(connection, connection.batch_execute(sql)).await else {
            return connection.run("COMMIT").await;
        };
        connection.run("ROLLBACK").await?;
        if error.code().is_none_or(|code| !NEED_OWN_TRANSACTION.contains(&code.code())) {
            return Err(connection.error(error));
        }
    }
    marker.begin(connection, &begun(step)).await?;
    connection.run("COMMIT").await?;
    for statement in statements {
        patience::awaited(connection, connection.run(statement)).await.map_err(|error| {
            error.with_hint("these statements cannot run in one transaction: those before the failing one are done")
        })?;
    }
    Ok(())
}

/// Takes out of the session what SQL of the user has left in it, and tells whether nothing is left: its settings, role, locks and
/// temporary tables would change what comes after it.
///
/// A server may forget the role that the session began with, too, and behind a pooler it may be another session that forgets.
pub(super) async fn forget(connection: &Connection) -> bool {
    let server = connection.server();
    if server.is_pooled {
        return false;
    }
    let who = connection.rows("SELECT current_user, pg_backend_pid()");
    let (discarded, rows) = futures::join!(connection.run("DISCARD ALL"), who);
    let pid = server.pid.to_string();
    let is_same = |row: &SimpleQueryRow| row.get(0) == Some(server.user.as_str()) && row.get(1) == Some(pid.as_str());
    discarded.is_ok() && rows.is_ok_and(|rows| rows.first().is_some_and(is_same))
}

/// Whether `step` was executed; none where it cannot be told.
pub(super) async fn executed(connection: &Connection, step: &StepToken) -> Result<Option<bool>> {
    let marker = marker(connection).await?;
    if !marker.is_kept() || marker.stands(connection, &begun(step)).await? {
        return Ok(None);
    }
    marker.stands(connection, step).await.map(Some)
}

/// Where the marks of steps stand.
async fn marker(connection: &Connection) -> Result<Marker> {
    let (catalog, nothing) = Catalog::without_table(connection).await?;
    Ok(Marker::choose(&catalog.marker, catalog.may_create, &nothing))
}

/// The mark of SQL that runs statement by statement.
fn begun(step: &StepToken) -> String {
    format!("{step}?")
}
