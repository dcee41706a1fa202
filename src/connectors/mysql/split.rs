//! Cuts a table into ranges of its key, in the server's own order of it.
//!
//! Numbers are halved where the server expects most rows, by its own estimate, which costs it two looks into the index. Keys of
//! any other type are walked: every so many rows the key there becomes a border, as a literal in its own character set and
//! collation. What compares equal lies in one range, whatever the collation. Ranges of a key that may be NULL have it in the first.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::catalog::{Column, Table};
use super::config::Timestamps;
use super::connect::Connection;
use super::name::{identifier, literal};
use super::typemap::Kind;
use crate::error::Result;
use crate::shape::counted;
use crate::source::{Cut, ReadPlan, Scan, SplitGoal};
use crate::sql::keyset::KeyRange;

/// A split has at least so many rows, and a table at most so many splits.
const LEAST_SPLIT_ROWS: u64 = 4096;
const MOST_SPLITS: u64 = 2_000;
/// Smaller tables are not walked: that would take longer than it saves.
const LEAST_WALK_BYTES: u64 = 32 << 20;
/// The first year but 0. What is below 100 would be taken for the last two digits of one.
const FIRST_YEAR: i128 = 1901;

/// One split: a range of a column; all rows without one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    keys: Option<Keys>,
}

/// A range of a column.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    /// As SQL names it.
    column: String,
    range: KeyRange<String>,
    /// Whether rows without a key are in it.
    nulls: bool,
}

impl Part {
    /// The rows of the part as a condition; none for all rows.
    pub(super) fn condition(&self) -> Option<String> {
        let Keys { column, range, nulls } = self.keys.as_ref()?;
        let condition = range.condition(column)?;
        Some(if *nulls { format!("({condition} OR {column} IS NULL)") } else { condition })
    }

    fn place(&self) -> Option<String> {
        let Keys { column, range, .. } = self.keys.as_ref()?;
        // Borders of texts may be values of somebody: numbers say where, others how many.
        let number = |border: &Option<String>| border.as_ref().filter(|text| text.parse::<i128>().is_ok()).cloned();
        match (number(&range.low), number(&range.high)) {
            (Some(low), Some(high)) => Some(format!("{column} from {low} below {high}")),
            (Some(low), None) => Some(format!("{column} from {low}")),
            (None, Some(high)) => Some(format!("{column} below {high}")),
            (None, None) => None,
        }
    }
}

/// All rows in one split.
pub(super) fn whole(table: Option<&Table>) -> Result<ReadPlan> {
    let sizes = table.map_or((None, None), |table| (table.rows, table.bytes));
    ReadPlan::by_key(&[Part::default()], Part::place, sizes, Vec::new())
}

/// Cuts `table`, whose instants are read by `timestamps`, for `goal`.
pub(super) async fn plan(
    connection: &mut Connection,
    (table, timestamps): (&Table, Timestamps),
    scan: &Scan,
    goal: &SplitGoal,
) -> Result<ReadPlan> {
    let bytes = table.bytes.unwrap_or(0);
    let rows = table.rows.unwrap_or(0);
    let wanted = (bytes / goal.split_bytes.max(1)).min(rows / LEAST_SPLIT_ROWS).clamp(1, MOST_SPLITS);
    let wanted = wanted.max((goal.channels as u64).min(rows / LEAST_SPLIT_ROWS));
    if goal.channels < 2 && goal.cut == Cut::Fastest || wanted < 2 || scan.limit.is_some() {
        return whole(Some(table));
    }
    let Some((column, nulls)) = key(table, timestamps) else {
        let mut plan = whole(Some(table))?;
        plan.notes.push("one split: the table has no unique key of a type to cut by".to_owned());
        return Ok(plan);
    };
    let name = identifier(&column.name);
    let kind = column.my_type.as_ref().map(|my_type| my_type.kind);
    let is_integer = kind.is_some_and(is_integer);
    if !is_integer && bytes < LEAST_WALK_BYTES {
        return whole(Some(table));
    }
    let borders = if is_integer {
        halved(connection, (table, column), &name, wanted).await?
    } else {
        walked(connection, (table, column), &name, rows.div_ceil(wanted)).await?
    };
    let way = if is_integer { "estimates of the server" } else { "a walk over the index" };
    let notes = vec![format!("{} of {name}, by {way}", counted(borders.len() + 1, "range"))];
    let ranges = KeyRange::between(&borders);
    let part = |(index, range): (usize, KeyRange<String>)| Part {
        keys: Some(Keys { column: name.clone(), range, nulls: nulls && index == 0 }),
    };
    let parts: Vec<Part> = ranges.into_iter().enumerate().map(part).collect();
    ReadPlan::by_key(&parts, Part::place, (table.rows, table.bytes), notes)
}

/// The first column of the primary key, else of a unique index, and whether it may be NULL.
fn key(table: &Table, timestamps: Timestamps) -> Option<(&Column, bool)> {
    let column = |name: &String| table.columns.iter().find(|column| column.name == *name);
    let firsts = table.unique.iter().filter_map(|index| column(index.columns.first()?));
    let usable = firsts.filter(|column| {
        let kind = column.my_type.as_ref().map(|my_type| my_type.kind);
        // A clock that was put back shows two instants alike, which an index tells apart.
        let is_shown = timestamps == Timestamps::Clock && matches!(kind, Some(Kind::Timestamp(_)));
        // Their literals do not compare as the columns do.
        !is_shown
            && !matches!(
                kind,
                None | Some(Kind::Float | Kind::Double | Kind::Bit(_) | Kind::Geometry | Kind::Json | Kind::Uuid)
            )
            && !["enum", "set", "inet"].iter().any(|word| column.declared.starts_with(word))
    });
    let mut usable: Vec<&Column> = usable.collect();
    // Numbers are cut without a walk; the primary key comes first among equals.
    usable.sort_by_key(|column| !column.my_type.as_ref().is_some_and(|my_type| is_integer(my_type.kind)));
    let primary = table.primary().first();
    let best = usable.iter().find(|column| Some(&column.name) == primary).or(usable.first())?;
    Some((best, best.nullable))
}

/// Whether it holds whole numbers.
pub(super) fn is_integer(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Int8
            | Kind::Int16
            | Kind::Int32
            | Kind::Int64
            | Kind::UInt8
            | Kind::UInt16
            | Kind::UInt32
            | Kind::UInt64
            | Kind::Year
    )
}

/// A range of numbers, both ends in it, and about how many rows are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    low: i128,
    high: i128,
    rows: u64,
}

/// Borders of about `wanted` ranges of a column of whole numbers: the piece with most rows is halved, again and again.
async fn halved(
    connection: &mut Connection,
    (table, key): (&Table, &Column),
    column: &str,
    wanted: u64,
) -> Result<Vec<String>> {
    let from = table.name.quoted();
    let sql = format!("SELECT MIN({column}), MAX({column}) FROM {from}");
    let ends = connection.rows(&sql).await?;
    let end = |index: usize| ends.first().and_then(|row| row.number::<i128>(index));
    let (Some(low), Some(high)) = (end(0), end(1)) else { return Ok(Vec::new()) };
    let is_year = key.my_type.as_ref().is_some_and(|my_type| my_type.kind == Kind::Year);
    // The first range has no lower end, and so the year 0.
    let low = if is_year { low.max(FIRST_YEAR).min(high) } else { low };
    let mut pieces = even(low, high, wanted);
    let each = table.rows.unwrap_or(0) / wanted.max(1);
    if pieces.len() > 1 {
        for piece in &mut pieces {
            piece.rows = estimate(connection, &from, column, piece).await?;
        }
        // Where keys lie close together, an even range holds many.
        for _ in 0..wanted {
            let Some(most) = pieces.iter().position(|piece| piece.rows > 2 * each.max(1) && piece.low < piece.high)
            else {
                break;
            };
            let Piece { low, high, .. } = pieces[most];
            let middle = low + (high - low) / 2;
            let mut halves = [Piece { low, high: middle, rows: 0 }, Piece { low: middle + 1, high, rows: 0 }];
            for half in &mut halves {
                half.rows = estimate(connection, &from, column, half).await?;
            }
            pieces.splice(most..=most, halves);
        }
        pieces = joined(&pieces, each);
    }
    Ok(pieces.iter().skip(1).map(|piece| piece.low.to_string()).collect())
}

/// Ranges at even distances.
fn even(low: i128, high: i128, wanted: u64) -> Vec<Piece> {
    let span = high - low + 1;
    let count = i128::from(wanted).clamp(1, span.max(1));
    let border = |index: i128| low + span * index / count;
    (0..count).map(|index| Piece { low: border(index), high: border(index + 1) - 1, rows: 0 }).collect()
}

/// The same with neighbours joined that together have no more than about `each` rows: gaps cost no splits.
fn joined(pieces: &[Piece], each: u64) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if last.rows + piece.rows <= each + each / 2 => {
                last.high = piece.high;
                last.rows += piece.rows;
            }
            _ => joined.push(*piece),
        }
    }
    joined
}

/// How many rows the server expects in a piece.
async fn estimate(connection: &mut Connection, from: &str, column: &str, piece: &Piece) -> Result<u64> {
    let Piece { low, high, .. } = piece;
    let sql = format!("EXPLAIN FORMAT=TRADITIONAL SELECT {column} FROM {from} WHERE {column} BETWEEN {low} AND {high}");
    let rows = connection.rows(&sql).await?;
    // `rows` is the last number of the plan but for the share that a filter leaves.
    let column = if connection.server().is_mariadb { 8 } else { 9 };
    Ok(rows.first().and_then(|row| row.number(column)).unwrap_or(0))
}

/// Every so many rows, the key there: borders as literals.
async fn walked(
    connection: &mut Connection,
    (table, column): (&Table, &Column),
    name: &str,
    rows_each: u64,
) -> Result<Vec<String>> {
    let from = table.name.quoted();
    let kind = column.my_type.as_ref().map(|my_type| my_type.kind);
    let is_text = column.charset.is_some() || matches!(kind, Some(Kind::Binary));
    let key = if is_text { format!("HEX({name})") } else { format!("CAST({name} AS CHAR)") };
    let mut borders: Vec<String> = Vec::new();
    while borders.len() < MOST_SPLITS as usize {
        let behind = match borders.last() {
            Some(last) => format!("{name} >= {last}"),
            None => format!("{name} IS NOT NULL"),
        };
        let offset = rows_each.max(1);
        let sql = format!("SELECT {key} FROM {from} WHERE {behind} ORDER BY {name} LIMIT 1 OFFSET {offset}");
        let Some(found) = connection.text(&sql).await? else { break };
        let mut border = written(column, &found);
        // So many rows with one key: the next border is the next key.
        if borders.last() == Some(&border) {
            let sql = format!("SELECT {key} FROM {from} WHERE {name} > {border} ORDER BY {name} LIMIT 1");
            let Some(next) = connection.text(&sql).await? else { break };
            border = written(column, &next);
        }
        borders.push(border);
    }
    Ok(borders)
}

/// A key, as it was found, as a literal that compares as the column does.
fn written(column: &Column, found: &str) -> String {
    match (&column.charset, column.my_type.as_ref().map(|my_type| my_type.kind)) {
        (Some(charset), _) => {
            let collation = column.collation.as_deref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            format!("_{charset} x'{found}'{collation}")
        }
        (None, Some(Kind::Binary)) => format!("x'{found}'"),
        (None, Some(Kind::Decimal(..))) => found.to_owned(),
        (None, Some(Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_))) if is_no_date(found) => {
            found.replace(['-', ' ', ':'], "")
        }
        (None, _) => literal(found),
    }
}

/// Whether `found` is a date that no calendar has, such as `0000-00-00`: MySQL refuses it as a literal, and takes it as a number.
fn is_no_date(found: &str) -> bool {
    found.get(..10).is_none_or(|date| NaiveDate::parse_from_str(date, "%Y-%m-%d").is_err())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions() {
        let part = |low: Option<&str>, high: Option<&str>, nulls| Part {
            keys: Some(Keys {
                column: "`a`".to_owned(),
                range: KeyRange { low: low.map(str::to_owned), high: high.map(str::to_owned) },
                nulls,
            }),
        };
        assert_eq!(part(None, Some("7"), true).condition().unwrap(), "(`a` < 7 OR `a` IS NULL)");
        assert_eq!(part(Some("7"), Some("9"), false).condition().unwrap(), "`a` >= 7 AND `a` < 9");
        assert_eq!(part(None, None, true).condition(), None);
        assert_eq!(part(Some("7"), Some("9"), false).place().unwrap(), "`a` from 7 below 9");
        assert_eq!(part(Some("_utf8mb4 x'41'"), None, false).place(), None);
        assert_eq!(Part::default().condition(), None);
    }

    #[test]
    fn dates_that_no_calendar_has() {
        let no_dates = ["0000-00-00", "2024-02-00 01:02:03.500000", "2024-02-31"];
        assert!(no_dates.iter().all(|date| is_no_date(date)));
        assert!(!is_no_date("2024-02-29 23:59:59"));
        assert!(!is_no_date("9999-12-31"));
    }

    proptest! {
        #[test]
        fn ranges_touch_and_end_where_the_keys_do(low: i64, span in 0_u64..=u64::MAX, wanted in 1_u64..50) {
            let (low, high) = (i128::from(low), i128::from(low) + i128::from(span));
            let pieces = even(low, high, wanted);
            prop_assert!(pieces.len() as u64 <= wanted);
            prop_assert_eq!((pieces[0].low, pieces[pieces.len() - 1].high), (low, high));
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].high + 1, pair[1].low);
            }
            let joined = joined(&pieces, 0);
            prop_assert_eq!((joined[0].low, joined[joined.len() - 1].high), (low, high));
        }
    }
}
