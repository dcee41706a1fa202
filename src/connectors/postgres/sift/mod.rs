//! Rows of a stage that its target would refuse: found before they are published, and taken out.
//!
//! All within the transaction that commits, so that nothing that was found to be right can become wrong before it. Checks,
//! foreign keys and unique indexes are looked at rule by rule, each by one query over the stage. Then the rows are published
//! behind a savepoint. Where the server still refuses one, somebody else was faster, or it is for a reason that no query
//! finds (a trigger, an exclusion constraint): the rules are looked at again, and then halves of the stage are published,
//! down to the rows that are refused.

mod rows;
mod rules;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};

use self::rows::{Form, HEAD, Rows};
use self::rules::{Law, Order, Rule, Tables};
use super::agree::{Detail, Emptying};
use super::connect::Connection;
use super::errors;
use super::merge::Merging;
use super::name::{filled, identifier, literal};
use super::patience::{self, affected};
use super::stage::{self, PART, ROW, Stage};
use crate::bridge::cpu;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::{Refuse, Refused};
use crate::sink::{Merged, Receipt};

const RULES: &str = include_str!("rules.sql");

/// How often the rules are looked at before halves are tried.
const ROUNDS: usize = 3;

/// Places that one page may have, and more than any has.
const PAGE_PLACES: u64 = 4096;

/// Rows that are tried once more at the end, because they may refer to one that came after them.
const AGAIN: usize = 10_000;

/// How rows get from the stage into the target.
#[derive(Clone, Copy, Debug)]
pub(super) enum Landing<'a> {
    Insert(Emptying),
    Merge(&'a Merging),
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Landed {
    /// Rows that the server inserted; of a merge none are counted.
    pub(super) rows: u64,
    /// Rows that were taken out.
    pub(super) refused: u64,
    pub(super) merged: Merged,
}

/// Takes rows out of one stage, in the open transaction of a connection.
pub(super) struct Sieve<'a> {
    connection: &'a Connection,
    detail: &'a Detail,
    /// Quoted.
    stage: String,
    order: Order,
    form: Arc<Form>,
    /// Ids of attempts by the part that they wrote.
    attempts: HashMap<i32, &'a str>,
    refuse: &'a dyn Refuse,
}

impl<'a> Sieve<'a> {
    /// A sieve of `stage`, of which `receipts` tell, for `refuse`.
    pub(super) async fn new(
        (connection, detail): (&'a Connection, &'a Detail),
        stage: &Stage,
        receipts: &'a [Receipt],
        refuse: &'a dyn Refuse,
    ) -> Result<Self> {
        let stage = stage.table.quoted();
        let select = format!("SELECT {} FROM {stage}", detail.column_list());
        let form = Arc::new(Form::of(connection, &select).await?);
        let part = |receipt: &'a Receipt| (stage::part(&receipt.splits, receipt.task), receipt.attempt.as_str());
        let order = if detail.is_placed() { Order::Source } else { Order::Stored };
        // How rows are looked up is decided by their number.
        patience::run(connection, &format!("ANALYZE {stage}")).await?;
        Ok(Self { connection, detail, stage, order, form, attempts: receipts.iter().map(part).collect(), refuse })
    }

    /// Leaves rows in the stage of a new table that differ by `key`, and gives the number of the others.
    pub(super) async fn settle_key(&self, key: &[String]) -> Result<u64> {
        let rule = rules::primary("primary key".to_owned(), key);
        let find = rules::among(&[(0, &rule)], self.tables(None, &[]));
        match find {
            Some(find) if !key.is_empty() => self.take_out(&find, |_| broken(&rule)).await,
            _ => Ok(0),
        }
    }

    /// Publishes all rows of the stage that the target takes, and takes the others out.
    pub(super) async fn land(&self, landing: Landing<'_>) -> Result<Landed> {
        let rules = self.rules().await?;
        let mut refused = 0;
        let mut reason = None;
        for round in 0..ROUNDS {
            let found = self.settle_rules(&rules, landing).await?;
            refused += found;
            if found == 0 && round > 0 {
                break;
            }
            match self.publish(landing, &self.stage).await? {
                Ok(landed) => return Ok(Landed { refused, ..landed }),
                Err(error) => reason = Some(error),
            }
        }
        let reason = reason.unwrap_or_else(|| Error::new(ErrorKind::Internal, "the stage was not published"));
        let landed = self.halve(landing, reason).await?;
        Ok(Landed { refused: refused + landed.refused, ..landed })
    }

    /// The rules that look at columns alone which are written.
    async fn rules(&self) -> Result<Vec<Rule>> {
        let sql = filled(RULES, &[("NAME", &literal(&self.detail.target.quoted()))]);
        let answer = patience::rows(self.connection, &sql).await?;
        let text = answer.first().and_then(|row| row.get(0)).unwrap_or("[]");
        let rules: Vec<Rule> = serde_json::from_str(text).map_err(|source| {
            Error::new(ErrorKind::Internal, "the catalog of the server is not as expected").with_source(source)
        })?;
        let written = |name: &String| self.detail.columns.iter().any(|column| column.name == *name);
        Ok(rules.into_iter().filter(|rule| rule.columns.iter().all(written)).collect())
    }

    fn tables<'t>(&'t self, target: Option<&'t str>, replaces: &'t [String]) -> Tables<'t> {
        Tables { stage: &self.stage, target, replaces, order: self.order }
    }

    /// Takes out all rows that break one of `rules`. Each counts as if the rows before it were in the target by then.
    async fn settle_rules(&self, rules: &[Rule], landing: Landing<'_>) -> Result<u64> {
        let target = self.detail.alone();
        let (stays, replaces) = match landing {
            // What is there goes in the very statement that inserts.
            Landing::Insert(Emptying::Delete) => (None, &[][..]),
            Landing::Insert(_) => (Some(target.as_str()), &[][..]),
            Landing::Merge(merging) => (Some(target.as_str()), merging.key.as_slice()),
        };
        let tables = self.tables(stays, replaces);
        let numbered: Vec<(usize, &Rule)> = rules.iter().enumerate().collect();
        let why = |number: usize| rules.get(number).map_or_else(unknown, broken);
        let mut all = 0;
        for (number, rule) in numbered.iter().filter(|(_, rule)| !rule.is_of_itself()) {
            if let Some(find) = rules::alone(rule, *number, tables) {
                all += self.take_out(&find, why).await?;
            }
        }
        all += self.settle_references(&numbered, tables, &why).await?;
        let uniques: Vec<(usize, &Rule)> = numbered.iter().copied().filter(|(_, rule)| rule.is_unique()).collect();
        let mut doubles = 0;
        while let Some(find) = rules::among(&uniques, tables) {
            let found = self.take_out(&find, why).await?;
            doubles += found;
            if found == 0 || uniques.len() == 1 {
                break;
            }
        }
        if doubles > 0 {
            all += self.settle_references(&numbered, tables, &why).await?;
        }
        Ok(all + doubles)
    }

    /// Takes out rows that refer to a row of the same table which is not there, until there is none.
    async fn settle_references(
        &self,
        rules: &[(usize, &Rule)],
        tables: Tables<'_>,
        why: &(dyn Fn(usize) -> Error + Sync),
    ) -> Result<u64> {
        let mut all = 0;
        loop {
            let before = all;
            for (number, rule) in rules.iter().filter(|(_, rule)| rule.is_of_itself()) {
                if let Some(find) = rules::alone(rule, *number, tables) {
                    all += self.take_out(&find, why).await?;
                }
            }
            if all == before {
                return Ok(all);
            }
        }
    }

    /// Takes the rows out that `find` finds, for the reason of their rule. A query that the server cannot answer finds none:
    /// what it was to find shows when the rows are published.
    async fn take_out(&self, find: &str, why: impl Fn(usize) -> Error) -> Result<u64> {
        let (part, row) = (identifier(PART), identifier(ROW));
        let place = match self.order {
            Order::Source => [part.as_str(), row.as_str()],
            Order::Stored => ["0::int4", "0::int8"],
        };
        let statement = self.form.statement(&self.stage, find, place);
        patience::run(self.connection, "SAVEPOINT etl_sift").await?;
        let started = async {
            let mut rows = Rows::start(self.connection, &statement).await?;
            let first = rows.next().await?;
            Ok((rows, first))
        };
        let (mut rows, mut next) = match started.await {
            Ok(started) => started,
            Err(error) if is_of_query(&error) => {
                patience::run(self.connection, "ROLLBACK TO SAVEPOINT etl_sift; RELEASE SAVEPOINT etl_sift").await?;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let mut count = 0;
        while let Some(chunk) = next {
            let form = Arc::clone(&self.form);
            let batch = cpu::run(move || form.decode(&chunk)).await??;
            count += batch.num_rows() as u64;
            self.refuse.refuse(self.refused(&batch, &why)?).await?;
            next = rows.next().await?;
        }
        patience::run(self.connection, "RELEASE SAVEPOINT etl_sift").await?;
        Ok(count)
    }

    fn refused(&self, batch: &RecordBatch, why: &impl Fn(usize) -> Error) -> Result<Refused> {
        let rules = batch.column(0).as_primitive::<Int32Type>();
        let (parts, rows) = (batch.column(1).as_primitive::<Int32Type>(), batch.column(2).as_primitive::<Int64Type>());
        let place = |at: usize| {
            let attempt = self.attempts.get(&parts.value(at)).filter(|_| self.order == Order::Source)?;
            Some(((*attempt).to_owned(), rows.value(at) as u64))
        };
        Ok(Refused {
            places: (0..batch.num_rows()).map(place).collect(),
            errors: (0..rules.len()).map(|at| why(rules.value(at) as usize)).collect(),
            rows: batch.project(&(HEAD..batch.num_columns()).collect::<Vec<_>>())?,
        })
    }

    /// Publishes the rows of `from`, the stage or a part of it. Where the server refuses one, nothing is done, and the error is
    /// the inner one.
    async fn publish(&self, landing: Landing<'_>, from: &str) -> Result<Result<Landed>> {
        patience::run(self.connection, "SAVEPOINT etl_land").await?;
        let published = async {
            let landed = match landing {
                Landing::Insert(emptying) => {
                    let rows = affected(self.connection, &self.detail.refill(emptying, from)).await?;
                    Landed { rows, ..Landed::default() }
                }
                Landing::Merge(merging) => {
                    let merged = merging.run(self.connection, self.detail, from).await?;
                    Landed { merged, ..Landed::default() }
                }
            };
            // What is only checked at the COMMIT would fail all of them.
            let end = "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT etl_land";
            patience::run(self.connection, end).await.map(|()| landed)
        };
        match published.await {
            Err(error) if is_of_row(&error) => {
                patience::run(self.connection, "ROLLBACK TO SAVEPOINT etl_land; RELEASE SAVEPOINT etl_land").await?;
                Ok(Err(error))
            }
            other => other.map(Ok),
        }
    }

    /// Publishes halves of the stage, down to single rows, which are refused for their `reason`.
    async fn halve(&self, landing: Landing<'_>, reason: Error) -> Result<Landed> {
        if matches!(landing, Landing::Insert(Emptying::Delete)) {
            // The old rows go at once, and all of the new ones must be there for those that refer to them.
            return Err(reason);
        }
        // What fails without any row is no matter of one.
        self.publish(landing, &format!("(SELECT * FROM {} WHERE false)", self.stage)).await??;
        let mut all = Landed::default();
        let mut again: Vec<(u64, Error)> = Vec::new();
        let whole = 0..self.pages().await? * PAGE_PLACES;
        let mut ranges = vec![whole];
        while let Some(range) = ranges.pop() {
            match self.publish(landing, &self.piece(&range)).await? {
                Ok(landed) => all.add(landed),
                Err(error) if range.end - range.start > 1 => {
                    drop(error);
                    let middle = range.start + (range.end - range.start) / 2;
                    ranges.extend([middle..range.end, range.start..middle]);
                }
                Err(error) if is_reference(&error) && again.len() < AGAIN => again.push((range.start, error)),
                Err(error) => all.refused += self.refuse_at(range.start, error).await?,
            }
        }
        loop {
            let mut left = Vec::new();
            let before = again.len();
            for (place, _) in again {
                match self.publish(landing, &self.piece(&(place..place + 1))).await? {
                    Ok(landed) => all.add(landed),
                    Err(error) => left.push((place, error)),
                }
            }
            again = left;
            if again.len() == before {
                break;
            }
        }
        for (place, error) in again {
            all.refused += self.refuse_at(place, error).await?;
        }
        Ok(all)
    }

    async fn refuse_at(&self, place: u64, error: Error) -> Result<u64> {
        let constraint = errors::constraint(&error).map(str::to_owned);
        let (kind, message, frames) = (error.kind(), error.message().to_owned(), error.frames().to_vec());
        let why = |_| {
            let error = Error::new(kind, message.clone()).map_frames(|own| own.extend(frames.iter().cloned()));
            constraint.iter().fold(error, |error, name| error.at("constraint", name))
        };
        self.take_out(&format!("SELECT {} AS etl_place, 0 AS etl_rule", tid(place)), why).await
    }

    /// Pages of the stage.
    async fn pages(&self) -> Result<u64> {
        let size = format!("pg_relation_size({}::regclass)", literal(&self.stage));
        let sql = format!("SELECT {size} / current_setting('block_size')::int8");
        let rows = patience::rows(self.connection, &sql).await?;
        let pages = rows.first().and_then(|row| row.get(0)?.parse().ok());
        pages.ok_or_else(|| Error::new(ErrorKind::Internal, "the server did not tell how large the stage is"))
    }

    /// The rows in the places of `range`.
    fn piece(&self, range: &Range<u64>) -> String {
        let (start, end) = (tid(range.start), tid(range.end));
        format!("(SELECT * FROM {} WHERE ctid >= {start} AND ctid < {end})", self.stage)
    }
}

impl Landed {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.merged.inserted += more.merged.inserted;
        self.merged.updated += more.merged.updated;
        self.merged.deleted += more.merged.deleted;
    }
}

/// A place as the server writes it.
fn tid(place: u64) -> String {
    format!("'({},{})'::tid", place / PAGE_PLACES, place % PAGE_PLACES)
}

/// The error of a row that breaks `rule`.
fn broken(rule: &Rule) -> Error {
    let error = Error::new(ErrorKind::Constraint, rule.message()).at("column", rule.columns.join(", "));
    match &rule.law {
        Law::Foreign { refers, .. } => error.at("table", refers).at("constraint", &rule.name),
        _ => error.at("constraint", &rule.name),
    }
}

fn unknown() -> Error {
    Error::new(ErrorKind::Constraint, "the target refuses the row")
}

/// Whether the server refused a row, and not the statement.
pub(super) fn is_of_row(error: &Error) -> bool {
    errors::state(error).is_some() && matches!(error.kind(), ErrorKind::Value | ErrorKind::Constraint)
}

fn is_reference(error: &Error) -> bool {
    errors::state(error) == Some("23503")
}

/// Whether the server lives and would not answer a query: for want of a right, or because an expression fails.
fn is_of_query(error: &Error) -> bool {
    use ErrorKind::{Constraint, NotFound, Permission, Unsupported, Usage, Value};
    errors::state(error).is_some()
        && matches!(error.kind(), Value | Constraint | Permission | Usage | NotFound | Unsupported)
}
