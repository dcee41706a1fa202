//! How a session begins: transactions of all readers at one point in time, with the definitions of the tables held still.
//!
//! First without a lock: the server is found at rest before and after. `MariaDB` tells for each snapshot where in the log it
//! stands. Else `LOCK TABLES … READ` on the tables that are copied, for no longer than the transactions take to begin; the lock on
//! all tables only where the user allows it. Where nothing of it can be had, one connection reads all.

use std::time::Duration;

use super::super::catalog::Table;
use super::super::config::{Config, LockAll};
use super::super::connect::{Connection, connect};
use super::super::errors::{code, code_of};
use crate::error::{Error, Result};

/// How often a moment at rest is looked for.
const ATTEMPTS: usize = 5;

/// How long the server has to be at rest before: a transaction that is in the log already becomes visible within it.
const REST: Duration = Duration::from_millis(20);

/// Longest wait for a lock on tables, in seconds: others queue behind it.
const LOCK_WAIT: u32 = 3;

/// Waits for a table that is to be read, after the first one.
const MORE_WAITS: usize = 2;

/// Between two waits, those who queue behind us have their turn.
const PAUSE: Duration = Duration::from_millis(200);

const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// What the beginning of a session gave.
pub(super) struct Begun {
    pub(super) readers: Vec<Connection>,
    /// What the plan should say about it.
    pub(super) notes: Vec<String>,
    /// Whether every table has points in time.
    pub(super) is_one_point_in_time: bool,
}

/// Opens `readers` connections, of which `first` is one, at one point in time. `all_known` says that only `tables` are read.
pub(super) async fn begin(
    config: &Config,
    first: Connection,
    (tables, all_known): (&[&Table], bool),
    readers: usize,
) -> Result<Begun> {
    let more = futures::future::join_all((1..readers).map(|_| connect(config))).await;
    let mut notes = Vec::new();
    let mut connections = vec![first];
    for connection in more {
        match connection {
            Ok(connection) => connections.push(connection),
            Err(error) => {
                notes.push(format!("fewer readers than wanted: {}", error.message()));
                break;
            }
        }
    }
    // A server left to itself waits for a day, or a year.
    let level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    for connection in &mut connections {
        connection.run(&format!("{level}; SET lock_wait_timeout = {LOCK_WAIT}")).await?;
    }
    if connections.len() == 1 {
        start(&mut connections).await?;
    } else if at_rest(&mut connections).await? {
        let count = connections.len();
        notes.push(format!("{count} readers began at one point in time, without a lock: the server was at rest"));
    } else {
        locked(config, &mut connections, (tables, all_known), &mut notes).await?;
    }
    hold_definitions(&mut connections, tables).await?;
    if !tables.is_empty() {
        notes.push(
            "ALTER TABLE, TRUNCATE, RENAME and DROP of what is read wait until the end of the reading".to_owned(),
        );
    }
    let moving: Vec<&str> =
        tables.iter().filter(|table| !table.is_transactional()).map(|table| table.name.table.as_str()).collect();
    if !moving.is_empty() {
        notes.push(format!(
            "the storage engine of {} has no points in time: what others write during the copy may show",
            moving.join(", ")
        ));
    }
    Ok(Begun { readers: connections, notes, is_one_point_in_time: moving.is_empty() })
}

/// Begins the transactions of all.
async fn start(connections: &mut [Connection]) -> Result<()> {
    for started in futures::future::join_all(connections.iter_mut().map(|reader| reader.run(START))).await {
        started?;
    }
    Ok(())
}

async fn give_up(connections: &mut [Connection]) -> Result<()> {
    for ended in futures::future::join_all(connections.iter_mut().map(|reader| reader.run("ROLLBACK"))).await {
        ended?;
    }
    Ok(())
}

/// Begins all transactions while nothing is committed. `false` where that was not to be seen; none is open then.
async fn at_rest(connections: &mut [Connection]) -> Result<bool> {
    if follows_in_silence(&mut connections[0]).await? {
        return Ok(false);
    }
    for _ in 0..ATTEMPTS {
        if connections[0].server().is_mariadb {
            start(connections).await?;
            if let Some(same) = same_place(connections).await?
                && same
            {
                return Ok(true);
            }
            give_up(connections).await?;
            continue;
        }
        let Some(before) = place(&mut connections[0]).await else { return Ok(false) };
        tokio::time::sleep(REST).await;
        if place(&mut connections[0]).await.as_ref() != Some(&before) {
            continue;
        }
        start(connections).await?;
        if place(&mut connections[0]).await.as_ref() == Some(&before) {
            return Ok(true);
        }
        give_up(connections).await?;
    }
    Ok(false)
}

/// Whether the server takes over changes of others that its own log does not tell of, as a replica or a node of a cluster may.
async fn follows_in_silence(connection: &mut Connection) -> Result<bool> {
    let logs = "SHOW VARIABLES WHERE Variable_name IN ('log_slave_updates', 'log_replica_updates') AND Value = 'ON'";
    if !connection.rows(logs).await?.is_empty() {
        return Ok(false);
    }
    if connection.server().is_mariadb {
        let follows = "SHOW STATUS WHERE Variable_name = 'Slaves_running' AND Value <> '0'";
        let shares = "SHOW VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'";
        return Ok(!connection.rows(follows).await?.is_empty() || !connection.rows(shares).await?.is_empty());
    }
    let sql = if connection.server().is_mysql_from(80_022) { "SHOW REPLICA STATUS" } else { "SHOW SLAVE STATUS" };
    // Who may not ask this may not ask for the place in the log either.
    Ok(!connection.rows(sql).await.is_ok_and(|rows| rows.is_empty()))
}

/// Whether the snapshots of `MariaDB` stand at the same place of its log; none where there is no log.
async fn same_place(connections: &mut [Connection]) -> Result<Option<bool>> {
    let mut places = Vec::new();
    for connection in connections {
        let rows = connection.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
        let values: Vec<String> = rows.iter().filter_map(|row| row.get(1).map(str::to_owned)).collect();
        if values.iter().all(|value| value.is_empty() || value == "0") {
            return Ok(None);
        }
        places.push(values);
    }
    Ok(Some(places.windows(2).all(|pair| pair[0] == pair[1])))
}

/// How far the server's log is; none where it keeps none, or does not tell this user.
async fn place(connection: &mut Connection) -> Option<Vec<Option<String>>> {
    let sql = if connection.server().is_mysql_from(80_200) { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let rows = connection.rows(sql).await.ok()?;
    let row = rows.first()?;
    Some((0..5).map(|index| row.get(index).map(str::to_owned)).collect())
}

/// Begins all transactions under a lock; where none is to be had, one connection is left.
async fn locked(
    config: &Config,
    connections: &mut Vec<Connection>,
    (tables, all_known): (&[&Table], bool),
    notes: &mut Vec<String>,
) -> Result<()> {
    let names: Vec<String> = tables.iter().map(|table| format!("{} READ", table.name.quoted())).collect();
    let tables = (all_known && !names.is_empty()).then(|| format!("LOCK TABLES {}", names.join(", ")));
    let all = (config.lock_all == LockAll::Yes).then(|| "FLUSH TABLES WITH READ LOCK".to_owned());
    let mut locker = connect(config).await?;
    locker.run(&format!("SET lock_wait_timeout = {LOCK_WAIT}")).await?;
    let mut why = "which tables the query reads is not known".to_owned();
    for lock in tables.into_iter().chain(all) {
        match locker.run(&lock).await {
            Ok(()) => {
                let started = start(connections).await;
                locker.run("UNLOCK TABLES").await?;
                locker.close().await;
                let what = if lock.starts_with("LOCK") { "the tables" } else { "all tables" };
                let count = connections.len();
                notes.push(format!("{count} readers began at one point in time, while {what} were locked"));
                return started;
            }
            Err(error) => error.message().clone_into(&mut why),
        }
    }
    locker.close().await;
    connections.truncate(1);
    notes.push(format!("one reader only: the server was not at rest, and there was no lock to be had: {why}"));
    if config.lock_all == LockAll::No {
        notes.push("?lockAll=true in the URL allows a lock on all tables, for a moment".to_owned());
    }
    start(connections).await
}

/// Looks at each table in each transaction: from then on its definition stays as it is, and a `TRUNCATE` waits.
async fn hold_definitions(connections: &mut [Connection], tables: &[&Table]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let holds = connections.iter_mut().map(|reader| hold(reader, tables));
    for held in futures::future::join_all(holds).await {
        held?;
    }
    Ok(())
}

/// Looks at all `tables`. One that another session has locked is waited for a few times, as others queue behind us meanwhile.
async fn hold(reader: &mut Connection, tables: &[&Table]) -> Result<()> {
    let looks: Vec<String> =
        tables.iter().map(|table| format!("SELECT 1 FROM {} LIMIT 0", table.name.quoted())).collect();
    match reader.run(&looks.join("; ")).await {
        Err(error) if is_over(&error) => {}
        done => return done,
    }
    for (table, look) in tables.iter().zip(&looks) {
        let mut waits = MORE_WAITS;
        while let Err(error) = reader.run(look).await {
            waits -= 1;
            if waits == 0 || !is_over(&error) {
                return Err(error.at("table", table.name.quoted()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Whether `error` says that a wait for a lock is over.
fn is_over(error: &Error) -> bool {
    code_of(error) == Some(code::LOCK_WAIT_TIMEOUT)
}
