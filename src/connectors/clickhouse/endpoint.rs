//! One server: what is in it, its sessions and its sinks.

use std::sync::Arc;

use async_trait::async_trait;

use super::catalog;
use super::config::Config;
use super::connect::Server;
use super::name::identifier;
use super::session::ChSession;
use super::write::ChSink;
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Agreement, Sink};

/// The endpoint.
#[derive(Debug)]
pub(super) struct ChEndpoint {
    server: Arc<Server>,
}

impl ChEndpoint {
    /// Opens nothing.
    pub(super) fn new(config: Config) -> Self {
        Self { server: Arc::new(Server::new(config)) }
    }
}

#[async_trait]
impl Endpoint for ChEndpoint {
    fn label(&self) -> String {
        self.server.config().label()
    }

    async fn list(&self, pattern: &str) -> Result<Vec<ObjectRef>> {
        let own = &self.server.config().database;
        let (database, pattern) = pattern.split_once('.').unwrap_or((own, pattern));
        let wanted = glob::Pattern::new(pattern)
            .map_err(|source| Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern")).with_source(source))?;
        let names = catalog::list(&self.server, database).await.map_err(|error| self.server.place(error))?;
        let object = |name: &String| {
            let table = identifier(name);
            ObjectRef::Table(if database == own { table } else { format!("{}.{table}", identifier(database)) })
        };
        Ok(names.iter().filter(|name| wanted.matches(name)).map(object).collect())
    }

    async fn ping(&self) -> Result<Ping> {
        let asked = async {
            let sql = "SELECT version(), currentUser(), timezone(), \
                       (SELECT value FROM system.settings WHERE name = 'readonly')";
            let row = self.server.rows(sql).await?.into_iter().next().unwrap_or_default();
            let text = |place: usize| row.get(place).cloned().flatten().unwrap_or_default();
            let facts = vec![
                format!("user {}", text(1)),
                format!("database {}", self.server.config().database),
                format!("time zone {}", text(2)),
            ];
            let missing = match text(3).as_str() {
                "" | "0" => Vec::new(),
                _ => vec!["the user may only read".to_owned()],
            };
            Ok(Ping { server: format!("ClickHouse {}", text(0)), facts, missing })
        };
        asked.await.map_err(|error| self.server.place(error))
    }

    async fn open(&self, request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Ok(Arc::new(ChSession::open(Arc::clone(&self.server), request).await?))
    }

    async fn execute(&self, _step: &StepToken, sql: &str) -> Result<()> {
        // There is no transaction: what fails leaves what was done before it.
        for statement in statements(sql) {
            self.server.run(statement).await.map_err(|error| self.server.place(error))?;
        }
        Ok(())
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        self.server.close();
        Ok(())
    }

    fn sink(&self, object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(ChSink::new(Arc::clone(&self.server), object)?))
    }
}

/// `sql` cut at the semicolons that stand in no quotes and no comments: a request takes one statement.
fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b';' => {
                found.push(&sql[start..at]);
                start = at + 1;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'-' if bytes[at..].starts_with(b"--") => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
            }
            b'/' if bytes[at..].starts_with(b"/*") => {
                let end = memchr::memmem::find(&bytes[at..], b"*/");
                at += end.map_or(bytes.len() - at, |end| end + 1);
            }
            _ => {}
        }
        at += 1;
    }
    found.push(&sql[start..]);
    found.into_iter().map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        assert_eq!(
            statements("a; b 'x;\\'y' ;\n`;`; -- c;\n d; /* ; */ e;"),
            ["a", "b 'x;\\'y'", "`;`", "-- c;\n d", "/* ; */ e"]
        );
        assert_eq!(statements(" ; '"), ["'"]);
        assert!(statements("").is_empty());
    }
}
