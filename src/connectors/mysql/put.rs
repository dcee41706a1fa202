//! Rows into one table, within the transaction that is open: `LOAD DATA LOCAL`, or `INSERT` where the server allows no files.
//!
//! `LOCAL` makes warnings of errors, whatever the `sql_mode`: a value that does not fit is cut, a row whose key is there is left out.
//! So the server's count of rows and of warnings is looked at after each statement, and where it differs, all of it is taken back and
//! the rows are found: those that a warning names, else by halves.

use bytes::Bytes;

use super::agree::Detail;
use super::connect::Connection;
use super::encode::{Rows, Style, Taking, taking};
use super::errors::{code_of, is_reply, named_row, of_server};
use super::name::identifier;
use super::wire::Done;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of an INSERT: of what the server takes, with room for the rest of the statement.
const INSERT_BYTES: u64 = 4 << 20;
const STATEMENT_BYTES: u64 = 64 << 10;

/// Where rows go, and how.
#[derive(Clone, Debug)]
pub(super) struct Put {
    style: Style,
    /// What stands before the rows of an INSERT, or the whole LOAD.
    statement: String,
    most_bytes: u64,
    /// The server takes no larger INSERT: it would end the connection.
    packet_bytes: u64,
}

/// A row that is refused: its place among those that were put, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) row: usize,
    pub(super) error: Error,
}

/// Why rows were not put; none of them is there.
#[derive(Debug)]
struct Problem {
    /// What the server said of rows by their number among those that were sent, from 0.
    named: Vec<Refused>,
    /// What it said without a number.
    other: Option<Error>,
}

impl Put {
    /// Rows for the table `into`, which is quoted.
    pub(super) fn new(detail: &Detail, into: &str) -> Self {
        let packet_bytes = detail.max_packet_bytes;
        if detail.local_infile {
            return Self { style: Style::Load, statement: load(detail, into), most_bytes: u64::MAX, packet_bytes };
        }
        let statement = format!("INSERT INTO {into} ({}) VALUES ", detail.column_list());
        let most_bytes = packet_bytes.saturating_sub(STATEMENT_BYTES).clamp(1, INSERT_BYTES);
        Self { style: Style::Insert, statement, most_bytes, packet_bytes }
    }

    /// In which form rows are wanted.
    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Puts all of `rows`, before which `before` rows of the same task came.
    ///
    /// # Errors
    /// [`Value`](ErrorKind::Value) or [`Constraint`](ErrorKind::Constraint) naming the first row that is refused.
    pub(super) async fn all(&self, connection: &mut Connection, rows: &Rows, before: u64) -> Result<()> {
        let mut part: Vec<usize> = (0..rows.count()).collect();
        loop {
            let Some(problem) = self.attempt(connection, rows, &part).await? else { return Ok(()) };
            let first = problem.named.into_iter().min_by_key(|refused| refused.row);
            let found = match (first, problem.other) {
                (Some(Refused { row, error }), _) => Some((row, error)),
                (None, Some(error)) if part.len() == 1 => Some((part[0], error)),
                (None, _) => None,
            };
            if let Some((row, error)) = found {
                return Err(error.at("row", before + row as u64 + 1));
            }
            // The first half that is refused has the row.
            let half = part.split_off(part.len() / 2);
            if self.attempt(connection, rows, &part).await?.is_none() {
                part = half;
            }
        }
    }

    /// Puts those of `rows` that the table takes, and gives the others.
    pub(super) async fn sparing(&self, connection: &mut Connection, rows: &Rows) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        let mut parts = vec![(0..rows.count()).collect::<Vec<usize>>()];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let Some(problem) = self.attempt(connection, rows, &part).await? else { continue };
            if !problem.named.is_empty() {
                part.retain(|row| problem.named.iter().all(|refused| refused.row != *row));
                refused.extend(problem.named);
                parts.push(part);
            } else if let ([row], Some(error)) = (&*part, problem.other) {
                refused.push(Refused { row: *row, error });
            } else {
                let half = part.split_off(part.len() / 2);
                parts.extend([half, part]);
            }
        }
        refused.sort_by_key(|refused| refused.row);
        Ok(refused)
    }

    /// Puts the rows of `part`, all or none of them.
    async fn attempt(&self, connection: &mut Connection, rows: &Rows, part: &[usize]) -> Result<Option<Problem>> {
        if part.is_empty() {
            return Ok(None);
        }
        connection.run("SAVEPOINT etl_rows").await?;
        let sent = match self.style {
            Style::Load => self.load(connection, rows, part).await,
            Style::Insert => self.insert(connection, rows, part).await,
        };
        let problem = match sent {
            Ok(None) => return connection.run("RELEASE SAVEPOINT etl_rows").await.map(|()| None),
            Ok(Some(problem)) => problem,
            Err(error) if is_refusal(&error) => Problem { named: Vec::new(), other: Some(error) },
            Err(error) => return Err(error),
        };
        connection.run("ROLLBACK TO SAVEPOINT etl_rows").await?;
        Ok(Some(problem))
    }

    async fn load(&self, connection: &mut Connection, rows: &Rows, part: &[usize]) -> Result<Option<Problem>> {
        let data: Vec<Bytes> = runs(part).map(|(from, to)| rows.slice(from, to)).collect();
        let done = connection.load(&self.statement, &data).await?;
        if done.warnings == 0 && done.affected == part.len() as u64 {
            return Ok(None);
        }
        self.explain(connection, &done, part).await.map(Some)
    }

    async fn insert(&self, connection: &mut Connection, rows: &Rows, part: &[usize]) -> Result<Option<Problem>> {
        let mut next = 0;
        while next < part.len() {
            let mut sql = self.statement.clone().into_bytes();
            let first = next;
            while next < part.len() {
                let row = rows.slice(part[next], part[next] + 1);
                if (self.statement.len() + row.len()) as u64 >= self.packet_bytes {
                    let named = vec![Refused { row: part[next], error: too_large() }];
                    return Ok(Some(Problem { named, other: None }));
                }
                if next > first && (sql.len() + row.len()) as u64 > self.most_bytes {
                    break;
                }
                sql.extend_from_slice(&row);
                next += 1;
            }
            sql.pop();
            let sql = String::from_utf8(sql).map_err(|_| Error::new(ErrorKind::Internal, "a row is no text"))?;
            let done = connection.query(&sql).await?.done;
            if done.warnings > 0 || done.affected != (next - first) as u64 {
                return self.explain(connection, &done, &part[first..next]).await.map(Some);
            }
        }
        Ok(None)
    }

    /// Why a statement with the rows of `part` did something else than was asked.
    async fn explain(&self, connection: &mut Connection, done: &Done, part: &[usize]) -> Result<Problem> {
        let mut problem = Problem { named: Vec::new(), other: None };
        for row in connection.rows("SHOW WARNINGS").await? {
            let message = row.get(2).unwrap_or_default();
            let error = of_server(row.number(1).unwrap_or(0), "", message);
            // A mere note cuts, too.
            let error = if error.kind() == ErrorKind::Usage { error.as_kind(ErrorKind::Value) } else { error };
            let place = named_row(message).and_then(|row| part.get((row as usize).checked_sub(1)?));
            match place {
                Some(row) if problem.named.iter().all(|known| known.row != *row) => {
                    problem.named.push(Refused { row: *row, error });
                }
                Some(_) => {}
                None => problem.other = problem.other.or(Some(error)),
            }
        }
        if problem.named.is_empty() && problem.other.is_none() {
            let message = format!("the server took {} of {} rows, and does not say why", done.affected, part.len());
            problem.other = Some(Error::new(ErrorKind::Constraint, message));
        }
        Ok(problem)
    }
}

/// Why a row does not go by INSERT.
fn too_large() -> Error {
    Error::new(ErrorKind::Value, "the row is larger than the server's max_allowed_packet")
        .with_hint("raise max_allowed_packet of the server, or leave such rows out with --where")
}

/// The statement that loads rows as [`Style::Load`] writes them.
fn load(detail: &Detail, into: &str) -> String {
    let mut names = Vec::new();
    let mut sets = Vec::new();
    for (index, column) in detail.columns.iter().enumerate() {
        let name = identifier(&column.name);
        let variable = format!("@etl_{index}");
        let set = match taking(column) {
            Taking::AsText => {
                names.push(name);
                continue;
            }
            Taking::Unhex => format!("{name} = UNHEX({variable})"),
            Taking::Number => format!("{name} = CAST({variable} AS UNSIGNED)"),
        };
        names.push(variable);
        sets.push(set);
    }
    let sets = if sets.is_empty() { String::new() } else { format!(" SET {}", sets.join(", ")) };
    format!(
        "LOAD DATA LOCAL INFILE 'etl' INTO TABLE {into} CHARACTER SET utf8mb4 \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){sets}",
        names.join(", ")
    )
}

/// Whether the server refused rows, and the transaction around goes on.
fn is_refusal(error: &Error) -> bool {
    is_reply(error)
        && code_of(error).is_some()
        && matches!(error.kind(), ErrorKind::Value | ErrorKind::Constraint | ErrorKind::Schema)
}

/// The runs of neighbours in `part`, each from a row up to, but without, another.
fn runs(part: &[usize]) -> impl Iterator<Item = (usize, usize)> + '_ {
    part.chunk_by(|one, next| one + 1 == *next).map(|run| (run[0], run[run.len() - 1] + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_sent_together() {
        assert_eq!(runs(&[0, 1, 2, 5, 7, 8]).collect::<Vec<_>>(), [(0, 3), (5, 6), (7, 9)]);
        assert_eq!(runs(&[]).count(), 0);
    }
}
