//! The endpoint: lists, pings, opens sessions, runs SQL of the user.

use std::sync::Arc;

use async_trait::async_trait;

use super::config::Config;
use super::connect::{Connection, connect};
use super::connections::Connections;
use super::name::literal;
use super::session::PgSession;
use super::state::PgStateLog;
use super::steps;
use super::target::Catalog;
use super::write::PostgresSink;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, Step, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};
use crate::state::StateLog;

/// Targets below this many bytes need no fresh statistics at once.
const ANALYZE_BYTES: u64 = 1 << 20;

/// One database.
#[derive(Debug)]
pub(super) struct PgEndpoint {
    config: Config,
    /// For writing.
    connections: Arc<Connections>,
}

impl PgEndpoint {
    /// Opens nothing.
    pub(super) fn new(config: Config) -> Self {
        Self { connections: Arc::new(Connections::new(config.clone())), config }
    }
}

#[async_trait]
impl Endpoint for PgEndpoint {
    fn label(&self) -> String {
        self.config.label()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let (schema, table) = match pattern.split_once('.') {
            Some((schema, table)) => (Some(glob(schema)?), glob(table)?),
            None => (None, glob(if pattern.is_empty() { "*" } else { pattern })?),
        };
        let connection = connect(&self.config, "list").await?;
        let rows = connection
            .rows(
                "SELECT n.nspname, c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
                 pg_catalog.pg_table_is_visible(c.oid) \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
                 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2",
            )
            .await?;
        connection.close().await;
        let matching = rows.iter().filter(|row| {
            let in_schema = match &schema {
                Some(schema) => row.get(0).is_some_and(|name| schema.matches(name)),
                None => row.get(3) == Some("t"),
            };
            in_schema && row.get(1).is_some_and(|name| table.matches(name))
        });
        Ok(matching.filter_map(|row| row.get(2)).map(|name| ObjectRef::Table(name.to_owned())).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let connection = connect(&self.config, "ping").await?;
        let ping = facts(&connection).await;
        connection.close().await;
        ping
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(PgSession::open(&self.config, request).await?))
    }

    async fn reach(&self) -> Result<()> {
        let connection = self.connections.take().await?;
        // Here it costs nobody's time.
        if Catalog::warm(&connection).await.is_ok() {
            self.connections.put_back(connection);
        }
        Ok(())
    }

    async fn execute(&self, step: &StepToken, sql: &str) -> Result<()> {
        let connection = self.connections.take().await?;
        let result = steps::execute(&connection, step, sql).await;
        // Rows come after pre-SQL, and nothing after the other.
        if result.is_ok() && step.step == Step::PreSql && steps::forget(&connection).await {
            self.connections.put_back(connection);
        } else {
            connection.close().await;
        }
        result.map_err(|error| error.at("sql", step_name(step.step)))
    }

    async fn executed(&self, step: &StepToken) -> Result<Option<bool>> {
        let connection = connect(&self.config, "sql").await?;
        let result = steps::executed(&connection, step).await;
        connection.close().await;
        result.map_err(|error| error.at("sql", step_name(step.step)))
    }

    async fn finish(&self, transfers: &[Agreement]) -> Result<()> {
        if transfers.is_empty() {
            return Ok(());
        }
        let connection = self.connections.take().await?;
        let result = analyze(&connection, transfers).await;
        self.connections.put_back(connection);
        self.connections.close().await;
        result
    }

    async fn state_log(&self, object: &ObjectRef) -> Result<Arc<dyn StateLog>> {
        Ok(Arc::new(PgStateLog::open(self.config.clone(), object).await?))
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        PostgresSink::of(Arc::clone(&self.connections), object)
    }
}

fn glob(pattern: &str) -> Result<glob::Pattern> {
    let pattern = pattern.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(pattern);
    glob::Pattern::new(pattern).map_err(|error| {
        Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern for names")).with_source(error)
    })
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::PreSql => "before the copy",
        Step::Publish => "of publishing",
        Step::PostSql => "after the copy",
    }
}

async fn facts(connection: &Connection) -> Result<Ping> {
    let server = connection.server();
    let mut facts = vec![
        format!("user {}", server.user),
        format!("database {}, encoding {}", server.database, server.encoding),
        format!("role {}", if server.standby { "standby" } else { "primary" }),
    ];
    let rows = connection
        .rows(
            "SELECT pg_backend_pid(), has_database_privilege(current_database(), 'CREATE'), \
             current_setting('max_connections'), has_schema_privilege(current_schema(), 'CREATE'), current_schema()",
        )
        .await?;
    let fact = |at: usize| rows.first().and_then(|row| row.get(at)).unwrap_or_default();
    facts.push(format!("at most {} connections", fact(2)));
    let mut missing = Vec::new();
    if server.version_number < 140_000 {
        missing.push("no reading by page ranges before PostgreSQL 14: key ranges or one stream".to_owned());
    }
    if server.standby {
        missing.push("a standby takes no writes, and may cancel long reads".to_owned());
    } else if server.read_only {
        missing.push("transactions are read-only by default".to_owned());
    }
    if server.is_pooled || fact(0) != server.pid.to_string() {
        missing.push("a connection pooler stands between: a direct connection is faster and surer".to_owned());
    }
    if fact(1) != "t" && fact(3) != "t" {
        missing.push(format!("user {} may create neither schemas nor tables in {:?}", server.user, fact(4)));
    }
    if server.encoding == "SQL_ASCII" {
        missing.push("the database does not check its text: what is not UTF-8 fails on the way".to_owned());
    }
    Ok(Ping { server: format!("PostgreSQL {}", server.version), facts, missing })
}

/// Whether the table $NAME waits in vain for autovacuum, which gathers statistics when a tenth of the rows has changed.
const LEFT_ALONE: &str = "SELECT current_setting('autovacuum') = 'off' OR current_setting('track_counts') = 'off' \
    OR EXISTS (SELECT FROM pg_class c, pg_options_to_table(c.reloptions) o WHERE c.oid = to_regclass($NAME) \
    AND o.option_name = 'autovacuum_enabled' AND NOT o.option_value::bool), pg_table_size(to_regclass($NAME))";

/// Fresh statistics for the targets that have grown to some size, where nobody else gathers them.
async fn analyze(connection: &Connection, transfers: &[Agreement]) -> Result<()> {
    for agreement in transfers {
        let label = &super::agree::target(agreement)?;
        let question = LEFT_ALONE.replace("$NAME", &literal(label));
        // Old marks do no harm; this user may not even have the right to remove them.
        let (_, rows) = futures::join!(super::agree::tidy(connection, agreement), connection.rows(&question));
        let rows = rows?;
        let fact = |at| rows.first().and_then(|row| row.get(at)).unwrap_or_default();
        if fact(0) == "t" && fact(1).parse().is_ok_and(|bytes: u64| bytes >= ANALYZE_BYTES) {
            connection.run(&format!("ANALYZE {label}")).await.map_err(|error| error.at("table", label))?;
        }
    }
    Ok(())
}
