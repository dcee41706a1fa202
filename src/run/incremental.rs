//! What an incremental copy reads: the rows with a cursor above the position that the last one reached.
//!
//! ```text
//!            lag                          read by this run
//!  ──────┼─────────┼────────────────────────────────────────┼─────▶ cursor
//!      begin    position                                  bound, the position of the next run
//! ```
//!
//! The bound is the highest cursor at the session's point in time, found before anything is read. The target notes the
//! position in the transaction that brings the rows; where it cannot, the state log does, after it. Of several targets each
//! has a position of its own, and the lowest of them is that of the copy.
//!
//! Transactions that are still running at that point in time may bring rows below the position. Where the source can mark the point, its
//! mark is kept with the position, and with a key the next run reads those rows as well, if it has no lag that says how far they may lie.

mod late;
mod notes;
mod start;

use std::cmp::Ordering;

use arrow::array::types::IntervalMonthDayNano;
use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, is_null, lit};
use datafusion::scalar::ScalarValue;
use serde_json::{Value as Json, json};

use crate::bridge::opaque::Opaque;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::job::{Highest, Incremental, Job, NullCursor};
use crate::plan::pipeline::Chosen;
use crate::run::fingerprint;
use crate::run::targets::Goal;
use crate::sink::{Advance, Noted, Sink, WriteMode};
use crate::source::{Mark, Source, TableShape};
use crate::state::{StateLog, StateRecord};

use late::{Kept, Missed};

/// The rows that one run copies.
#[derive(Debug)]
pub(super) struct Window {
    what: Incremental,
    /// The targets that are written.
    streams: Vec<Stream>,
    /// Where the names of files begin.
    folder: Option<String>,
    /// Where the last run ended.
    position: Option<ScalarValue>,
    /// Where this one begins.
    begin: Option<Opaque<Expr>>,
    /// Rows before that which are read all the same.
    missed: Missed,
    /// What the source says of its point in time.
    mark: Option<Mark>,
    /// Rows are merged: some may be read again.
    by_key: bool,
    /// Where it ends; none when there is nothing to read.
    bound: Option<ScalarValue>,
}

/// The copy into one target, and how far it has come.
#[derive(Debug)]
struct Stream {
    sink: u32,
    /// Its name.
    name: String,
    noted: Noted,
}

impl Window {
    /// The window of `job` over a `source` of this `shape`, still without its end. Its `goals` are asked for the position,
    /// then the log.
    pub(super) async fn begin(
        job: &Job,
        (source, shape): (&dyn Source, &TableShape),
        goals: &[Goal<'_>],
        state: Option<&dyn StateLog>,
    ) -> Result<Option<Self>> {
        let Some(mut what) = job.incremental.clone() else { return Ok(None) };
        let by_key = job.mode.merge().is_some();
        check(job, &what, by_key)?;
        let (name, data_type) = cursor(shape, &what.cursor).at("column", || &what.cursor)?;
        name.clone_into(&mut what.cursor);
        let folder = fingerprint::folder(job);
        let (mut streams, mut positions, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        for Goal { sink, endpoint, place } in goals {
            let log = (state, folder.as_deref());
            let name = fingerprint::stream(job, place, (&what.cursor, what.highest));
            let target = endpoint.sink(&place.object)?;
            let (noted, kept) = reached(&*target, &name, log).await?;
            if kept.is_none() && !by_key {
                let other = fingerprint::stream(job, place, (&what.cursor, what.highest.other()));
                if reached(&*target, &other, log).await?.1.is_some() {
                    return Err(changed(what.highest).at("column", &what.cursor));
                }
            }
            let (position, mark) = kept.map_or((None, None), |kept| (Some(kept.position), kept.mark));
            let position = position.map(|text| parsed(&text, data_type)).transpose().at("column", || &what.cursor)?;
            marks.push(mark);
            streams.push(Stream { sink: *sink, name, noted });
            positions.push((endpoint.label(), position));
        }
        let position = lowest(&positions, by_key)?;
        let start = what.start.as_deref().map(|text| start::parsed(text, data_type)).transpose();
        let start = start.at("column", || &what.cursor)?;
        // What lies before the start is not wanted, whenever it comes.
        let wanted = begin(&what, by_key, start.as_ref())?.map(Opaque::from);
        let begin = begin(&what, by_key, position.as_ref().or(start.as_ref()))?.map(Opaque::from);
        let mark = source.mark().await?;
        // A source that marks nothing any more says why what it had marked is not found.
        let is_told = mark.is_some() || marks.iter().flatten().any(|mark| mark.running);
        let looks_back = by_key && position.is_some() && is_told && what.lag.is_none();
        let mut missed = if looks_back { Missed::since(&marks, source).await? } else { Missed::default() };
        if let Some(wanted) = wanted {
            missed.keep(&wanted);
        }
        Ok(Some(Self { what, streams, folder, position, begin, missed, mark, by_key, bound: None }))
    }

    /// The column that grows.
    pub(super) fn cursor(&self) -> &str {
        &self.what.cursor
    }

    fn column(&self) -> Expr {
        Expr::Column(Column::from_name(self.cursor()))
    }

    /// The rows among which the bound is looked for; none for all.
    pub(super) fn probe(&self) -> Option<Chosen> {
        let begin = self.begin.as_deref().cloned()?;
        let nulls = self.what.null_cursor == NullCursor::Refuse;
        let filter = if nulls { begin.or(is_null(self.column())) } else { begin };
        Some(Chosen { filter: filter.into(), beyond: None })
    }

    /// Sets the end: `highest` is the highest cursor of the probe, in which `nulls` rows had none.
    ///
    /// # Errors
    /// [`Constraint`](ErrorKind::Constraint) for rows without a cursor, where they are refused.
    pub(super) fn end(&mut self, highest: ScalarValue, nulls: u64) -> Result<()> {
        if nulls > 0 && self.what.null_cursor == NullCursor::Refuse {
            let (rows, they) = if nulls == 1 { ("row", "it") } else { ("rows", "they") };
            let message = format!("the cursor of {nulls} {rows} is NULL: {they} would never be copied");
            return Err(Error::new(ErrorKind::Constraint, message)
                .with_hint("use --null-cursor skip or always, or another column")
                .at("column", self.cursor()));
        }
        let highest = Some(highest).filter(|highest| !highest.is_null());
        // Rows may have gone: the position never moves back.
        let higher =
            |highest: &ScalarValue, position: &ScalarValue| highest.partial_cmp(position) == Some(Ordering::Greater);
        self.bound = match (highest, self.position.clone()) {
            (Some(highest), Some(position)) if !higher(&highest, &position) => Some(position),
            (highest, position) => highest.or(position),
        };
        Ok(())
    }

    /// The rows that are read.
    pub(super) fn rows(&self) -> Chosen {
        Chosen { filter: self.filter().into(), beyond: self.missed.column.clone() }
    }

    fn filter(&self) -> Expr {
        let ended = match (&self.bound, self.what.highest) {
            (Some(bound), Highest::Copied) => self.column().lt_eq(lit(bound.clone())),
            (Some(bound), Highest::Left) => self.column().lt(lit(bound.clone())),
            // No row has a cursor yet.
            (None, _) => self.column().is_not_null(),
        };
        let begin = self.begin.as_deref().cloned().map(|begin| match self.missed.filter.as_deref() {
            Some(missed) => begin.or(missed.clone()),
            None => begin,
        });
        let within = begin.into_iter().fold(ended, |ended, begin| begin.and(ended));
        match self.what.null_cursor {
            NullCursor::Always => within.or(is_null(self.column())),
            NullCursor::First if self.begin.is_none() => within.or(is_null(self.column())),
            NullCursor::Refuse | NullCursor::Skip | NullCursor::First => within,
        }
    }

    /// The mode in which the rows are written: without a key the first copy must find no rows, unless it is said where it begins.
    pub(super) fn mode(&self, mode: &WriteMode) -> WriteMode {
        match mode {
            WriteMode::Append if self.position.is_none() && self.what.start.is_none() => WriteMode::Create,
            mode => mode.clone(),
        }
    }

    fn stream(&self, sink: u32) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.sink == sink)
    }

    /// What the target of `sink` notes with the commit.
    pub(super) fn advance(&self, sink: u32) -> Result<Option<Advance>> {
        let Some(Stream { name, noted, .. }) = self.stream(sink) else { return Ok(None) };
        let kept = self.kept().at("column", || self.cursor())?.filter(|_| *noted != Noted::Nowhere);
        let to = kept.map(|kept| kept.noted()).transpose()?;
        Ok(to.map(|to| Advance { stream: name.clone(), from: noted.clone(), to }))
    }

    /// The position of the copy into `sink`, for the log.
    pub(super) fn record(&self, sink: u32) -> Option<Json> {
        let (stream, Kept { position, mark }) = (&self.stream(sink)?.name, self.kept().ok()??);
        let (folder, cursor) = (&self.folder, self.cursor());
        Some(json!({"stream": stream, "folder": folder, "cursor": cursor, "value": position, "mark": mark}))
    }

    /// The position that the run reaches, with what is kept beside it.
    fn kept(&self) -> Result<Option<Kept>> {
        let position = self.bound.as_ref().map(printed).transpose()?;
        // Without a key no row is read again.
        let mark = self.mark.clone().filter(|_| self.by_key);
        Ok(position.map(|position| Kept { position, mark }))
    }

    /// The position that the run reaches, as text.
    pub(super) fn reached(&self) -> Option<String> {
        self.kept().ok().flatten().map(|kept| kept.position)
    }
}

/// The position of `stream`: what the target notes of it, else the `state` log of runs from this folder.
async fn reached(
    sink: &dyn Sink,
    stream: &str,
    (state, folder): (Option<&dyn StateLog>, Option<&str>),
) -> Result<(Noted, Option<Kept>)> {
    let noted = sink.position(stream).await?;
    let kept = match (&noted, state) {
        (Noted::At(noted), _) => Some(Kept::parse(noted)),
        (Noted::Nowhere, Some(state)) => logged(state, stream, folder).await?,
        // The target would know it.
        _ => None,
    };
    Ok((noted, kept))
}

/// The last copy did the other thing with rows of the highest cursor, which are those at its position.
fn changed(highest: Highest) -> Error {
    let message = match highest {
        Highest::Copied => {
            "the last copy left the rows with its highest value to the next one, and this one does not begin with them"
        }
        Highest::Left => "the last copy took the rows with its highest value, and this one would begin with them again",
    };
    Error::new(ErrorKind::Usage, message)
        .with_hint("leave the setting for the highest value as it was, or name another start, from which rows are read")
}

/// The rows that are read when `from` is where the last copy ended, or where this one is to begin; none for all.
fn begin(what: &Incremental, by_key: bool, from: Option<&ScalarValue>) -> Result<Option<Expr>> {
    let column = || Expr::Column(Column::from_name(&what.cursor));
    Ok(match from {
        None => None,
        // Rows with the cursor of the position may come later: with a key they are read again.
        Some(from) if by_key => lowered(from, what.lag.as_deref())?.map(|from| column().gt_eq(lit(from))),
        // They were left to this copy.
        Some(from) if what.highest == Highest::Left => Some(column().gt_eq(lit(from.clone()))),
        Some(from) => Some(column().gt(lit(from.clone()))),
    })
}

/// The position that all of `positions` have reached; none where one has not begun.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where they differ and rows cannot be merged: some of them would be doubled.
fn lowest(positions: &[(String, Option<ScalarValue>)], by_key: bool) -> Result<Option<ScalarValue>> {
    let mut all = positions.iter();
    let Some((first, mut lowest)) = all.next().cloned() else { return Ok(None) };
    for (label, position) in all {
        if !by_key && *position != lowest {
            let message = format!("{first} and {label} are at different positions, and rows would be there twice");
            let hint = "copy into the one that is behind alone, then into all of them; or name a --key";
            return Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
        }
        lowest = match (lowest, position) {
            (Some(one), Some(other)) if other.partial_cmp(&one) == Some(Ordering::Less) => Some(other.clone()),
            (Some(one), Some(_)) => Some(one),
            _ => None,
        };
    }
    Ok(lowest)
}

/// Refuses what would leave rows out or double them.
fn check(job: &Job, what: &Incremental, by_key: bool) -> Result<()> {
    let wrong = |message: &str, hint: &str| Err(Error::new(ErrorKind::Usage, message).with_hint(hint));
    let name_key = "name the columns that tell rows apart with --key";
    match &job.mode {
        WriteMode::Append | WriteMode::Upsert(_) => {}
        _ => return wrong("an incremental copy adds rows, or merges them by key", "use --mode incremental"),
    }
    if what.lag.is_some() && !by_key {
        return wrong("with --lag some rows are read again, which without a key would be there twice", name_key);
    }
    if what.null_cursor == NullCursor::Always && !by_key {
        return wrong("rows that are copied each time would be there twice without a key", name_key);
    }
    if !job.transform.steps.is_empty() {
        return wrong(
            "an incremental copy compares the cursor as it is, and runs no transformers",
            "use --set and --where",
        );
    }
    if job.transform.limit.is_some() || job.transform.sql.is_some() {
        return wrong(
            "an incremental copy takes all rows above its position, and no --limit or --sql",
            "use --where to leave rows out",
        );
    }
    Ok(())
}

/// The cursor as the source calls it, which is the only column that differs in case alone where none is called so, and its type,
/// whose order must be the same wherever it is compared.
fn cursor<'a>(shape: &'a TableShape, cursor: &str) -> Result<(&'a str, &'a DataType)> {
    let fields = shape.schema.fields();
    let mut alike = fields.iter().filter(|field| field.name().eq_ignore_ascii_case(cursor));
    let found = match (fields.iter().find(|field| field.name() == cursor), alike.next(), alike.next()) {
        (Some(exact), ..) => exact,
        (None, Some(alike), None) => alike,
        _ => return Err(Error::new(ErrorKind::Usage, "the source has no such column").with_hint("check --cursor")),
    };
    match found.data_type() {
        known @ (DataType::Decimal128(..)
        | DataType::Decimal256(..)
        | DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Utf8
        | DataType::LargeUtf8) => Ok((found.name(), known)),
        known if known.is_integer() => Ok((found.name(), known)),
        other => {
            let message = format!("values of the type {other} cannot be a cursor");
            Err(Error::new(ErrorKind::Usage, message).with_hint("use a number, a date, a time stamp or a text"))
        }
    }
}

/// `position` less the lag; none where nothing lies below.
fn lowered(position: &ScalarValue, lag: Option<&str>) -> Result<Option<ScalarValue>> {
    let Some(lag) = lag else { return Ok(Some(position.clone())) };
    let wrong = |hint: &str| {
        let message = format!("'{lag}' is no lag for a cursor of the type {}", position.data_type());
        Error::new(ErrorKind::Usage, message).with_hint(hint)
    };
    let lag = match position.data_type() {
        DataType::Timestamp(..) => interval(lag, 0).ok_or_else(|| wrong("write 30s, 10m, 2h or 1d"))?,
        DataType::Date32 => interval(lag, DAY).ok_or_else(|| wrong("write 1d"))?,
        number if number.is_integer() || matches!(number, DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            let found = ScalarValue::try_from_string(lag.trim().to_owned(), &number).ok();
            // Below zero the rows next to the position would never be read.
            let is_lag = |lag: &ScalarValue| ScalarValue::new_zero(&number).is_ok_and(|zero| *lag >= zero);
            found.filter(is_lag).ok_or_else(|| wrong("write a number that is not below zero"))?
        }
        _ => return Err(wrong("a text has no distance: leave --lag out")),
    };
    // Below the lowest value of its type there is nothing.
    Ok(position.sub_checked(&lag).ok().map(|from| from.cast_to(&position.data_type())).transpose().unwrap_or(None))
}

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// `10m` as an interval that is a multiple of `step` milliseconds.
fn interval(text: &str, step: i64) -> Option<ScalarValue> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", DAY)];
    let milliseconds = units.into_iter().find_map(|(unit, factor)| {
        let number: i64 = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(factor).filter(|time| *time >= 0)
    })?;
    if step > 0 && milliseconds % step != 0 {
        return None;
    }
    let days = i32::try_from(milliseconds / DAY).ok()?;
    let nanoseconds = (milliseconds % DAY) * 1_000_000;
    Some(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, days, nanoseconds))))
}

/// A position as text: what [`parsed`] reads.
///
/// # Errors
/// [`Value`](ErrorKind::Value) for one that would not be read again, such as a time stamp after the year 9999.
fn printed(position: &ScalarValue) -> Result<String> {
    match position.cast_to(&DataType::Utf8) {
        Ok(ScalarValue::Utf8(Some(text)))
            if parsed(&text, &position.data_type()).is_ok_and(|read| read == *position) =>
        {
            Ok(text)
        }
        _ => Err(Error::new(ErrorKind::Value, "the highest value cannot be kept as a position")
            .with_hint("leave rows whose cursor is that far away out with --where")),
    }
}

fn parsed(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let value = ScalarValue::try_from_string(text.to_owned(), data_type).ok().filter(|value| !value.is_null());
    value.ok_or_else(|| {
        let message = format!("the position that was kept is no value of the type {data_type}");
        Error::new(ErrorKind::Schema, message).with_hint("the column has another type now: copy all rows again")
    })
}

/// The newest position of `stream` in the log, as it was reached from this `folder`.
async fn logged(state: &dyn StateLog, stream: &str, folder: Option<&str>) -> Result<Option<Kept>> {
    for entry in state.runs().await?.iter().rev() {
        for record in state.read(&entry.run).await?.iter().rev() {
            if let StateRecord::Committed { position: Some(position), .. } = record
                && position["stream"] == stream
                && position["folder"].as_str() == folder
            {
                let mark = serde_json::from_value(position["mark"].clone()).unwrap_or_default();
                return Ok(position["value"].as_str().map(|value| Kept { position: value.to_owned(), mark }));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(text: &str) -> ScalarValue {
        parsed(text, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))).unwrap()
    }

    #[test]
    fn a_position_survives_as_text() {
        let types = [
            ("42", DataType::Int64),
            ("-0.50", DataType::Decimal128(9, 2)),
            ("2024-02-29", DataType::Date32),
            ("2024-02-29T12:00:00.000001", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)),
            ("2024-02-29T12:00:00.000001Z", stamp("2024-01-01T00:00:00Z").data_type()),
            ("O'Hara\n", DataType::Utf8),
        ];
        for (text, data_type) in types {
            let value = parsed(text, &data_type).unwrap();
            assert_eq!((value.data_type(), printed(&value).unwrap().as_str()), (data_type, text));
        }
        assert_eq!(parsed("soon", &DataType::Int64).unwrap_err().kind(), ErrorKind::Schema);
        let year_12000 = ScalarValue::TimestampMicrosecond(Some(316_516_809_600_000_000), None);
        assert_eq!(printed(&year_12000).unwrap_err().kind(), ErrorKind::Value);
    }

    #[test]
    fn the_lowest_position_counts_and_without_a_key_there_is_but_one() {
        let at = |positions: &[Option<i64>], by_key| {
            let named =
                positions.iter().map(|position| ("t".to_owned(), position.map(|at| ScalarValue::Int64(Some(at)))));
            lowest(&named.collect::<Vec<_>>(), by_key).map(|found| found.map(|found| printed(&found).unwrap()))
        };
        assert_eq!(at(&[Some(7), Some(5), Some(9)], true).unwrap().unwrap(), "5");
        assert_eq!(at(&[Some(7), None, Some(9)], true).unwrap(), None);
        assert_eq!(at(&[Some(7), Some(7)], false).unwrap().unwrap(), "7");
        assert_eq!(at(&[Some(7), Some(5)], false).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(at(&[None, Some(5)], false).unwrap_err().kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_lag_lowers_the_position() {
        let from = |position: ScalarValue, lag: &str| {
            lowered(&position, Some(lag)).map(|from| from.map(|from| printed(&from).unwrap()))
        };
        assert_eq!(from(stamp("2024-03-01T00:05:00Z"), "10m").unwrap().unwrap(), "2024-02-29T23:55:00Z");
        assert_eq!(from(ScalarValue::Date32(Some(19_782)), "2d").unwrap().unwrap(), "2024-02-27");
        assert_eq!(from(ScalarValue::Int64(Some(10)), "25").unwrap().unwrap(), "-15");
        assert_eq!(from(ScalarValue::Int32(Some(i32::MIN)), "1").unwrap(), None);
        for (position, lag) in [
            (stamp("2024-03-01T00:05:00Z"), "10"),
            (ScalarValue::Date32(Some(0)), "10m"),
            (ScalarValue::Int64(Some(10)), "10m"),
            (ScalarValue::Int64(Some(10)), "-1"),
            (ScalarValue::Decimal128(Some(10), 9, 2), "-0.01"),
            (ScalarValue::Utf8(Some("a".to_owned())), "1"),
        ] {
            assert_eq!(from(position, lag).unwrap_err().kind(), ErrorKind::Usage, "{lag}");
        }
    }
}
