//! How a session begins: locks first, then the snapshot, then sizes inside it.
//!
//! TRUNCATE and rewriting ALTERs are not undone by a snapshot, so what is read is locked before there is one. A lock that
//! somebody else is in the way of is waited for in short slices: others queue behind a wait, and a stop must get through.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;

use super::super::catalog::{self, Found, Relation};
use super::super::connect::Connection;
use super::super::name::literal;
use super::super::{errors, read};
use crate::endpoint::{ObjectRef, OpenRequest, SnapshotId};
use crate::error::{Context as _, Error, ErrorKind, Result};

/// The longest that one wait for a lock lasts.
const SLICE: Duration = Duration::from_secs(3);

/// SQLSTATE of a lock that did not come in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What the leader's first statements gave.
pub(super) struct Opened {
    pub(super) relations: Vec<Relation>,
    /// The LOCK list of the tables that are locked; empty when none is.
    pub(super) locked: String,
    pub(super) shared: Option<String>,
    /// What every transaction of the session begins with.
    pub(super) settings: String,
    pub(super) notes: Vec<String>,
}

/// What the leader is to do in one attempt.
struct Wish<'a> {
    found: &'a [Found],
    join: Option<&'a SnapshotId>,
    settings: &'a str,
    locked: &'a str,
    lock_limit: Duration,
    export: bool,
}

/// What one attempt gave.
struct Answer {
    relations: Vec<Relation>,
    shared: Option<String>,
    /// Process that answered.
    pid: Option<i32>,
}

/// Begins the leader's transaction. What the server refuses is left out, and said.
pub(super) async fn begin(leader: &Connection, found: &[Found], request: &OpenRequest) -> Result<Opened> {
    let patience = Patience::of(leader.server().lock_timeout);
    let queried = queried(leader, request, &patience).await?;
    let settings = settings(leader, found, request);
    let mut notes = Vec::new();
    let all = found.len() + queried.len();
    let mut lockable: Vec<&Found> = found.iter().chain(&queried).filter(|found| found.can_be_locked()).collect();
    let mut export = true;
    loop {
        let locked = lockable.iter().map(|found| found.sql.as_str()).collect::<Vec<_>>().join(", ");
        let join = request.join.as_ref();
        let wish = Wish { found, join, settings: &settings, locked: &locked, lock_limit: patience.slice(), export };
        let error = match attempt(leader, &wish).await {
            Ok(answer) if answer.relations.len() != found.len() => {
                return Err(Error::new(ErrorKind::NotFound, "a table was dropped or renamed at this moment"));
            }
            Ok(answer) => {
                notes.extend(unlocked(all - lockable.len(), all));
                notes.extend(surroundings(leader, answer.pid));
                let Answer { relations, shared, .. } = answer;
                return Ok(Opened { relations, locked, shared, settings, notes });
            }
            Err(error) => error,
        };
        leader.run("ROLLBACK").await?;
        if request.join.is_none() && errors::state(&error) == Some(LOCK_NOT_AVAILABLE) && !patience.is_over() {
            continue;
        }
        let refused = matches!(error.kind(), ErrorKind::Permission | ErrorKind::Unsupported | ErrorKind::Usage);
        if refused && lockable.iter().any(|found| found.kind == b'v') {
            lockable.retain(|found| found.kind != b'v');
        } else if refused && export && request.join.is_none() {
            export = false;
            notes.push("the server exports no snapshot: one connection reads everything".to_owned());
        } else {
            return Err(error);
        }
    }
}

/// How long the user waits for locks in all.
struct Patience {
    until: Option<Instant>,
}

impl Patience {
    /// `limit` is what the user set for the server; zero is no limit.
    fn of(limit: Duration) -> Self {
        Self { until: (!limit.is_zero()).then(|| Instant::now() + limit) }
    }

    /// The next wait; never zero, which would be no limit for the server.
    fn slice(&self) -> Duration {
        let left = self.until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
        left.clamp(Duration::from_millis(1), SLICE)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What every transaction of the session begins with.
fn settings(leader: &Connection, found: &[Found], request: &OpenRequest) -> String {
    let mut settings = leader.server().settings();
    let scans_only = request.objects.iter().all(|object| matches!(object, ObjectRef::Table(_)));
    if scans_only && found.iter().all(|found| found.kind != b'v') {
        // The readers are what runs in parallel; processes below each of them would only take the cores of others.
        settings.push_str("SET LOCAL max_parallel_workers_per_gather=0; ");
    }
    settings
}

fn unlocked(count: usize, all: usize) -> Option<String> {
    (count > 0).then(|| {
        format!(
            "{count} of {all} tables cannot be locked by this user or are of a kind without locks: \
             a TRUNCATE during the copy would show"
        )
    })
}

/// What stands between us and a primary server.
fn surroundings(leader: &Connection, pid: Option<i32>) -> Vec<String> {
    let server = leader.server();
    let mut notes = Vec::new();
    if server.standby {
        notes.push("the server is a standby: what it replays may cancel a long read".to_owned());
    }
    if server.is_pooled || pid.is_some_and(|pid| pid != server.pid) {
        notes.push("a connection pooler stands between: a direct connection is faster and surer".to_owned());
    }
    notes
}

/// The tables and views that the queries of the request read. They are looked up in a transaction that is thrown away,
/// because preparing a query takes the snapshot before the locks.
async fn queried(leader: &Connection, request: &OpenRequest, patience: &Patience) -> Result<Vec<Found>> {
    let mut tables: Vec<Found> = Vec::new();
    for object in &request.objects {
        let ObjectRef::Query(query) = object else { continue };
        let query = read::one_statement(query)?;
        for table in looked_up(leader, query, patience).await.at("query", || "of the source")? {
            if tables.iter().all(|known| known.sql != table.sql) {
                tables.push(table);
            }
        }
    }
    Ok(tables)
}

async fn looked_up(leader: &Connection, query: &str, patience: &Patience) -> Result<Vec<Found>> {
    loop {
        let limit = patience.slice().as_millis();
        leader.run(&format!("BEGIN READ ONLY; SET LOCAL lock_timeout={limit}")).await?;
        let tables = catalog::query_tables(leader, query).await;
        leader.run("ROLLBACK").await?;
        match tables {
            Err(error) if errors::state(&error) == Some(LOCK_NOT_AVAILABLE) && !patience.is_over() => {}
            tables => return tables,
        }
    }
}

async fn attempt(leader: &Connection, wish: &Wish<'_>) -> Result<Answer> {
    let mut sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ".to_owned();
    if let Some(SnapshotId(id)) = wish.join {
        let _ = write!(sql, "SET TRANSACTION SNAPSHOT {}; ", literal(id));
    }
    sql.push_str(wish.settings);
    if !wish.locked.is_empty() {
        let nowait = if wish.join.is_some() { " NOWAIT" } else { "" };
        let (limit, locked) = (wish.lock_limit.as_millis(), wish.locked);
        let _ = write!(
            sql,
            "SET LOCAL lock_timeout={limit}; LOCK TABLE {locked} IN ACCESS SHARE MODE{nowait}; SET LOCAL lock_timeout=0; "
        );
    }
    let shared = match wish.join {
        Some(SnapshotId(id)) => literal(id),
        None if wish.export => "pg_export_snapshot()".to_owned(),
        None => "NULL".to_owned(),
    };
    let _ = write!(sql, "SELECT {shared}, pg_backend_pid(); ");
    let names: Vec<&str> = wish.found.iter().map(|found| found.sql.as_str()).collect();
    sql.push_str(&catalog::sizes_sql(&names, leader.server().version_number));
    let mut sets = Vec::new();
    for message in leader.simple_query(&sql).await.map_err(|source| not_held(leader.error(source), wish.join))? {
        match message {
            SimpleQueryMessage::RowDescription(_) => sets.push(Vec::new()),
            SimpleQueryMessage::Row(row) => sets.last_mut().map(|set| set.push(row)).unwrap_or_default(),
            _ => {}
        }
    }
    let first = sets.first().and_then(|set| set.first());
    let shared = first.and_then(|row| row.get(0)).map(str::to_owned);
    let pid = first.and_then(|row| row.get(1)?.parse().ok());
    let relations = sets.get(1).map(|set| catalog::relations(set)).unwrap_or_default();
    Ok(Answer { relations, shared, pid })
}

/// `error` of the statements that were to join a point in time: servers have several codes where nobody holds it.
fn not_held(error: Error, join: Option<&SnapshotId>) -> Error {
    match join {
        Some(SnapshotId(id)) if matches!(errors::state(&error), Some("22023" | "42704")) => {
            Error::new(ErrorKind::NotFound, format!("nobody holds the point in time {id:?}"))
                .with_source(error)
                .with_hint("'etl snapshot hold' prints the id of one, which is there as long as it runs")
        }
        _ => error,
    }
}

/// First statements of a worker.
pub(super) fn join_sql(settings: &str, id: &str, locked: &str) -> String {
    let id = literal(id);
    let mut sql = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {id}; {settings}");
    if !locked.is_empty() {
        let _ = write!(sql, "LOCK TABLE {locked} IN ACCESS SHARE MODE NOWAIT; ");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_short_and_end_when_the_user_says() {
        let patience = Patience::of(Duration::ZERO);
        assert_eq!(patience.slice(), SLICE);
        assert!(!patience.is_over());
        let patience = Patience::of(Duration::from_secs(100));
        assert_eq!(patience.slice(), SLICE);
        let patience = Patience { until: Some(Instant::now()) };
        assert!(patience.is_over());
        assert_eq!(patience.slice(), Duration::from_millis(1));
    }
}
