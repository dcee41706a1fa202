//! SQL of the user before and after the copy: each piece once in a run, also where the run is gone on with.

use super::Surroundings;
use super::life::{Log, begun};
use super::resume::{Past, Unfinished};
use crate::endpoint::{Endpoint, Step, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::state::StateRecord;

/// Runs the steps of one run on one endpoint.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub(super) endpoint: &'a dyn Endpoint,
    pub(super) surroundings: &'a Surroundings,
    pub(super) log: &'a Log<'a>,
    pub(super) resumed: Option<&'a Unfinished>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It was executed now.
    Now,
    /// An earlier process of this run had done so.
    Before,
}

impl Steps<'_> {
    /// Executes `sql`, unless this run has done so before.
    ///
    /// # Errors
    /// Those of the SQL, and [`Step`](ErrorKind::Step) where an earlier process began it and nobody knows its end.
    pub(super) async fn run(&self, run: &str, (step, index): (Step, u32), sql: &str) -> Result<Ran> {
        let token = StepToken { run: run.to_owned(), step, index };
        match self.resumed.map_or(Past::NotBegun, |resumed| resumed.past(step, index)) {
            Past::NotBegun => {}
            Past::Done => return Ok(Ran::Before),
            Past::Begun => match self.surroundings.or_stop(self.endpoint.executed(&token)).await? {
                Some(true) => {
                    self.log.append(&StateRecord::Step { step, index }).await?;
                    return Ok(Ran::Before);
                }
                Some(false) => {}
                None => return Err(unknown(step)),
            },
        }
        self.surroundings.or_stop(self.log.append(&StateRecord::StepBegun { step, index })).await?;
        self.surroundings.or_stop(self.endpoint.execute(&token, sql)).await.map_err(begun)?;
        Ok(Ran::Now)
    }
}

/// Words that begin SQL which changes rows of a table, and leaves it its columns.
const OF_ROWS: [&str; 5] = ["delete", "insert", "replace", "truncate", "update"];
/// Words of SQL that may make a table or give it other columns.
const OF_TABLES: [&str; 8] = ["alter", "begin", "call", "create", "drop", "exec", "execute", "rename"];

/// Whether `sql` changes rows alone, as far as its words tell.
pub(super) fn keeps_columns(sql: &str) -> bool {
    let mut words = sql.split(|sign: char| !sign.is_alphanumeric() && sign != '_').filter(|word| !word.is_empty());
    let is_one_of = |word: &str, of: &[&str]| of.iter().any(|other| word.eq_ignore_ascii_case(other));
    words.next().is_some_and(|word| is_one_of(word, &OF_ROWS)) && !words.any(|word| is_one_of(word, &OF_TABLES))
}

fn unknown(step: Step) -> Error {
    let message = "an earlier process began it, and nobody can tell whether it was executed";
    let hint = match step {
        Step::PreSql | Step::Publish => {
            "look whether it was; then begin anew without --resume, with or without this SQL"
        }
        Step::PostSql => "look whether it was, and do by hand what is left; 'etl jobs clean' gives the run up",
    };
    Error::new(ErrorKind::Step, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_that_changes_rows_alone_is_known_by_its_words() {
        for sql in ["DELETE FROM t WHERE a = 'x'", " truncate table \"drops\";", "update t set a=1; delete from u"] {
            assert!(keeps_columns(sql), "{sql}");
        }
        for sql in [
            "",
            "select f()",
            "delete from t; drop table u",
            "/* all */ delete from t",
            "call p",
            "create table t (a int)",
        ] {
            assert!(!keeps_columns(sql), "{sql}");
        }
    }
}
