//! A DataFusion filter as SQL text, with what the database's answer is worth.
//!
//! Arrow's answer is the law. `Exact` means that the text keeps the same rows, and is NULL where the filter is NULL;
//! `Superset` that it keeps those and perhaps more. What could keep fewer rows is mended or not translated.
//! Arrow orders floats totally (-0.0 is less than 0.0, a NaN equals itself, -NaN is the least); no database does.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, expr::InList};
use datafusion::scalar::ScalarValue;

use super::dialect::{Clock, Dialect};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Pushdown;

/// Longer chains of AND, OR and longer lists stay with Arrow: parsers of databases have limits of their own.
const MAX_TERMS: usize = 500;
/// So do deeper expressions.
const MAX_DEPTH: usize = 64;

/// What is known of the columns that a filter names.
pub trait Columns {
    /// The column called `name`; none when it is not the source's.
    fn column(&self, name: &str) -> Option<Column<'_>>;
}

/// One column, as a filter sees it.
#[derive(Clone, Debug)]
pub struct Column<'a> {
    /// How SQL names it, quoted.
    pub sql: Cow<'a, str>,
    /// Its Arrow type.
    pub data_type: &'a DataType,
    /// How far the database's comparisons are Arrow's.
    pub compares: Compares,
}

/// How far a database compares the values of a column as Arrow compares what is read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compares {
    /// In some other way: only NULL tests are safe.
    No,
    /// Equal in one is equal in the other: text under a deterministic, case-sensitive collation.
    Equality,
    /// Equality and order too: numbers, dates, text in byte order.
    Order,
    /// Equality and order too, but for values that are NULL in Arrow alone: a comparison may keep those, and no NULL test is safe.
    OrderOrNull,
}

impl Compares {
    /// What a comparison is worth.
    fn exactness(self) -> Pushdown {
        exactness(self != Self::OrderOrNull)
    }
}

/// The SQL of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// A condition that can stand between AND without parentheses.
    pub sql: String,
    /// [`Pushdown::Exact`] or [`Pushdown::Superset`].
    pub exactness: Pushdown,
}

/// Writes `filter` as SQL; none when nothing of it can be.
pub fn to_sql(filter: &Expr, columns: &dyn Columns, dialect: &dyn Dialect) -> Option<Translated> {
    Translator { columns, dialect }.condition(filter, 0)
}

/// How much of `filter` its SQL keeps.
pub fn pushdown(filter: &Expr, columns: &dyn Columns, dialect: &dyn Dialect) -> Pushdown {
    to_sql(filter, columns, dialect).map_or(Pushdown::None, |translated| translated.exactness)
}

/// `filters` as conditions, and whether together they keep exactly the rows that the filters keep.
///
/// # Errors
/// [`Internal`](ErrorKind::Internal) for one of which [`pushdown`] says that nothing is kept.
pub fn conditions(filters: &[Expr], columns: &dyn Columns, dialect: &dyn Dialect) -> Result<(Vec<String>, bool)> {
    let not_taken = || Error::new(ErrorKind::Internal, "a source was given a filter that it had not taken");
    let translated = |filter| to_sql(filter, columns, dialect).ok_or_else(not_taken);
    let all = filters.iter().map(translated).collect::<Result<Vec<_>>>()?;
    let exact = all.iter().all(|translated| translated.exactness == Pushdown::Exact);
    Ok((all.into_iter().map(|translated| translated.sql).collect(), exact))
}

struct Translator<'a> {
    columns: &'a dyn Columns,
    dialect: &'a dyn Dialect,
}

/// Values of one kind compare with each other in the database as in Arrow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Decimal,
    Date,
    Timestamp(Clock),
    Text,
    Float,
}

impl Translator<'_> {
    fn condition(&self, expr: &Expr, depth: usize) -> Option<Translated> {
        if depth > MAX_DEPTH {
            return None;
        }
        match expr {
            Expr::Alias(alias) => self.condition(&alias.expr, depth + 1),
            Expr::BinaryExpr(binary) => match binary.op {
                Operator::And => self.all(expr, depth),
                Operator::Or => self.any(expr, depth),
                _ => self.comparison(binary),
            },
            Expr::Not(inner) => negated(self.condition(inner, depth + 1)),
            Expr::IsNull(inner) | Expr::IsUnknown(inner) => self.null_test(inner, "IS NULL"),
            Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) => self.null_test(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => self.truth_test(inner, "IS TRUE"),
            Expr::IsNotTrue(inner) => self.truth_test(inner, "IS NOT TRUE"),
            Expr::IsFalse(inner) => self.truth_test(inner, "IS FALSE"),
            Expr::IsNotFalse(inner) => self.truth_test(inner, "IS NOT FALSE"),
            Expr::Column(_) | Expr::Cast(_) => {
                let column = self.column(expr)?;
                let usable = kind(column.data_type)? == Kind::Boolean && column.compares >= Compares::Equality;
                usable.then(|| exact(column.sql.into_owned()))
            }
            Expr::InList(list) => self.in_list(list),
            Expr::Between(between) => self.between(between),
            _ => None,
        }
    }

    /// What can be said of a conjunction is the conjunction of what can be said.
    fn all(&self, expr: &Expr, depth: usize) -> Option<Translated> {
        let terms = chain(expr, Operator::And)?;
        let count = terms.len();
        let known: Vec<Translated> = terms.into_iter().filter_map(|term| self.condition(term, depth + 1)).collect();
        let whole = known.len() == count && known.iter().all(|term| term.exactness == Pushdown::Exact);
        let mut sql: Vec<String> = known.into_iter().map(|term| term.sql).collect();
        match sql.len() {
            0 => None,
            1 => Some(Translated { sql: sql.remove(0), exactness: exactness(whole) }),
            _ => Some(Translated { sql: format!("({})", sql.join(" AND ")), exactness: exactness(whole) }),
        }
    }

    fn any(&self, expr: &Expr, depth: usize) -> Option<Translated> {
        let known: Option<Vec<Translated>> =
            chain(expr, Operator::Or)?.into_iter().map(|term| self.condition(term, depth + 1)).collect();
        let known = known?;
        let whole = known.iter().all(|term| term.exactness == Pushdown::Exact);
        let sql: Vec<String> = known.into_iter().map(|term| term.sql).collect();
        Some(Translated { sql: format!("({})", sql.join(" OR ")), exactness: exactness(whole) })
    }

    fn null_test(&self, inner: &Expr, test: &str) -> Option<Translated> {
        let column = self.column(inner).filter(|column| column.compares != Compares::OrderOrNull)?;
        Some(exact(format!("{} {test}", column.sql)))
    }

    fn truth_test(&self, inner: &Expr, test: &str) -> Option<Translated> {
        let column = self.column(inner)?;
        let usable = kind(column.data_type)? == Kind::Boolean && column.compares >= Compares::Equality;
        usable.then(|| exact(format!("{} {test}", column.sql)))
    }

    fn comparison(&self, binary: &BinaryExpr) -> Option<Translated> {
        if let Some(value) = literal(&binary.right) {
            return self.compare(&self.column(&binary.left)?, binary.op, value);
        }
        if let Some(value) = literal(&binary.left) {
            return self.compare(&self.column(&binary.right)?, binary.op.swap()?, value);
        }
        let (left, right) = (self.column(&binary.left)?, self.column(&binary.right)?);
        let operator = symbol(binary.op)?;
        let kinds = (kind(left.data_type)?, kind(right.data_type)?);
        let usable = kinds.0 == kinds.1
            && !matches!(kinds.0, Kind::Float | Kind::Text)
            && left.compares >= needed(binary.op)
            && right.compares >= needed(binary.op);
        let exactness = left.compares.max(right.compares).exactness();
        usable.then(|| Translated { sql: format!("{} {operator} {}", left.sql, right.sql), exactness })
    }

    fn compare(&self, column: &Column<'_>, op: Operator, value: &ScalarValue) -> Option<Translated> {
        let operator = symbol(op)?;
        if column.compares < needed(op) {
            return None;
        }
        match kind(column.data_type)? {
            Kind::Float => self.compare_float(column, op, value),
            kind => {
                let literal = self.literal(kind, value)?;
                let sql = format!("{} {operator} {literal}", column.sql);
                Some(Translated { sql, exactness: column.compares.exactness() })
            }
        }
    }

    /// Floats: databases see one zero and, if any, one NaN that is greater than all.
    fn compare_float(&self, column: &Column<'_>, op: Operator, value: &ScalarValue) -> Option<Translated> {
        let (zero, literal) = match (column.data_type, value) {
            (DataType::Float64, ScalarValue::Float64(Some(value))) if value.is_finite() => {
                (*value == 0.0, self.dialect.double(*value)?)
            }
            (DataType::Float32, ScalarValue::Float32(Some(value))) if value.is_finite() => {
                (*value == 0.0, self.dialect.real(*value)?)
            }
            _ => return None,
        };
        // `x < 0.0` keeps -0.0 and `x > -0.0` keeps 0.0 in Arrow.
        let op = match op {
            Operator::Lt if zero => Operator::LtEq,
            Operator::Gt if zero => Operator::GtEq,
            Operator::NotEq if zero => return None,
            op => op,
        };
        let sql = format!("{} {} {literal}", column.sql, symbol(op)?);
        let ordered = !matches!(op, Operator::Eq | Operator::NotEq);
        let sql = match self.dialect.is_nan(&column.sql).filter(|_| ordered) {
            Some(is_nan) => format!("({sql} OR {is_nan})"),
            None => sql,
        };
        Some(Translated { sql, exactness: Pushdown::Superset })
    }

    fn in_list(&self, list: &InList) -> Option<Translated> {
        let column = self.column(&list.expr)?;
        let kind = kind(column.data_type)?;
        if list.list.is_empty() || list.list.len() > MAX_TERMS || column.compares < Compares::Equality {
            return None;
        }
        if kind == Kind::Float {
            let op = if list.negated { Operator::NotEq } else { Operator::Eq };
            let terms: Option<Vec<Translated>> =
                list.list.iter().map(|item| self.compare_float(&column, op, literal(item)?)).collect();
            let sql: Vec<String> = terms?.into_iter().map(|term| term.sql).collect();
            let sql = format!("({})", sql.join(if list.negated { " AND " } else { " OR " }));
            return Some(Translated { sql, exactness: Pushdown::Superset });
        }
        let items: Option<Vec<String>> = list.list.iter().map(|item| self.literal(kind, literal(item)?)).collect();
        let not = if list.negated { "NOT " } else { "" };
        let sql = format!("{} {not}IN ({})", column.sql, items?.join(", "));
        Some(Translated { sql, exactness: column.compares.exactness() })
    }

    fn between(&self, between: &Between) -> Option<Translated> {
        let column = self.column(&between.expr)?;
        let low = self.compare(&column, Operator::GtEq, literal(&between.low)?)?;
        let high = self.compare(&column, Operator::LtEq, literal(&between.high)?)?;
        let whole = low.exactness == Pushdown::Exact && high.exactness == Pushdown::Exact;
        let both = Translated { sql: format!("({} AND {})", low.sql, high.sql), exactness: exactness(whole) };
        if between.negated { negated(Some(both)) } else { Some(both) }
    }

    /// The column that `expr` is, also behind casts that change no value and no order.
    fn column(&self, expr: &Expr) -> Option<Column<'_>> {
        match expr {
            Expr::Column(column) => self.columns.column(&column.name),
            Expr::Alias(alias) => self.column(&alias.expr),
            Expr::Cast(cast) => {
                let column = self.column(&cast.expr)?;
                harmless(column.data_type, cast.field.data_type()).then_some(column)
            }
            _ => None,
        }
    }

    /// `value` as a literal of `kind`; NULL is none, for it compares with nothing.
    fn literal(&self, kind: Kind, value: &ScalarValue) -> Option<String> {
        if value.is_null() {
            return None;
        }
        match (kind, value) {
            (Kind::Boolean, ScalarValue::Boolean(Some(value))) => Some(self.dialect.boolean(*value).to_owned()),
            (Kind::Integer, value) => self.dialect.integer(integer(value)?),
            (Kind::Decimal, value) => self.dialect.decimal(&decimal(value)?),
            (Kind::Date, value) => self.dialect.date(&date(value)?),
            (Kind::Timestamp(clock), value) => self.dialect.timestamp(&timestamp(value, clock)?, clock),
            (Kind::Text, value) => self.dialect.text(value.try_as_str()??),
            _ => None,
        }
    }
}

/// The complement of a superset is a subset: only an exact condition can be negated.
fn negated(inner: Option<Translated>) -> Option<Translated> {
    let inner = inner.filter(|inner| inner.exactness == Pushdown::Exact)?;
    Some(exact(format!("(NOT {})", inner.sql)))
}

fn exact(sql: String) -> Translated {
    Translated { sql, exactness: Pushdown::Exact }
}

fn exactness(whole: bool) -> Pushdown {
    if whole { Pushdown::Exact } else { Pushdown::Superset }
}

/// The terms of a chain of one operator, left to right, without recursion; none when they are too many.
fn chain(expr: &Expr, op: Operator) -> Option<Vec<&Expr>> {
    let mut terms = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match expr {
            Expr::BinaryExpr(binary) if binary.op == op => open.extend([&*binary.right, &*binary.left]),
            term => terms.push(term),
        }
        if terms.len() + open.len() > MAX_TERMS {
            return None;
        }
    }
    Some(terms)
}

fn symbol(op: Operator) -> Option<&'static str> {
    Some(match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    })
}

fn needed(op: Operator) -> Compares {
    if matches!(op, Operator::Eq | Operator::NotEq) { Compares::Equality } else { Compares::Order }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

fn kind(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Boolean => Kind::Boolean,
        data_type if data_type.is_integer() => Kind::Integer,
        data_type if data_type.is_decimal() => Kind::Decimal,
        DataType::Date32 => Kind::Date,
        DataType::Timestamp(_, None) => Kind::Timestamp(Clock::Wall),
        DataType::Timestamp(_, Some(_)) => Kind::Timestamp(Clock::Utc),
        data_type if data_type.is_string() => Kind::Text,
        DataType::Float64 | DataType::Float32 => Kind::Float,
        _ => return None,
    })
}

/// Whether a cast keeps every value and their order, so that the database may compare without it.
fn harmless(from: &DataType, to: &DataType) -> bool {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32};
    if from == to || (from.is_string() && to.is_string()) {
        return true;
    }
    let signed = matches!((from, to), (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64));
    signed || matches!((from, to), (UInt8, Int16 | Int32 | Int64) | (UInt16, Int32 | Int64) | (UInt32, Int64))
}

fn integer(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(value)) => i128::from(*value),
        ScalarValue::Int16(Some(value)) => i128::from(*value),
        ScalarValue::Int32(Some(value)) => i128::from(*value),
        ScalarValue::Int64(Some(value)) => i128::from(*value),
        ScalarValue::UInt8(Some(value)) => i128::from(*value),
        ScalarValue::UInt16(Some(value)) => i128::from(*value),
        ScalarValue::UInt32(Some(value)) => i128::from(*value),
        ScalarValue::UInt64(Some(value)) => i128::from(*value),
        _ => return None,
    })
}

/// The digits of a decimal, or of an integer.
fn decimal(value: &ScalarValue) -> Option<String> {
    let (digits, scale) = match value {
        ScalarValue::Decimal32(Some(value), _, scale) => (value.to_string(), *scale),
        ScalarValue::Decimal64(Some(value), _, scale) => (value.to_string(), *scale),
        ScalarValue::Decimal128(Some(value), _, scale) => (value.to_string(), *scale),
        ScalarValue::Decimal256(Some(value), _, scale) => (value.to_string(), *scale),
        _ => return None,
    };
    let scale = usize::try_from(scale).ok()?;
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    if scale == 0 {
        return Some(format!("{sign}{digits}"));
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    Some(format!("{sign}{whole}.{fraction}"))
}

fn date(value: &ScalarValue) -> Option<String> {
    let ScalarValue::Date32(Some(days)) = value else { return None };
    let date = chrono::DateTime::from_timestamp(i64::from(*days) * 86_400, 0)?.date_naive();
    usual_year(date).then(|| date.format("%Y-%m-%d").to_string())
}

/// The text of a timestamp in microseconds or coarser; a zone must be where the column has one.
fn timestamp(value: &ScalarValue, clock: Clock) -> Option<String> {
    let (micros, zone) = match value {
        ScalarValue::TimestampSecond(Some(value), zone) => (value.checked_mul(1_000_000)?, zone),
        ScalarValue::TimestampMillisecond(Some(value), zone) => (value.checked_mul(1_000)?, zone),
        ScalarValue::TimestampMicrosecond(Some(value), zone) => (*value, zone),
        ScalarValue::TimestampNanosecond(Some(value), zone) if value % 1_000 == 0 => (value / 1_000, zone),
        _ => return None,
    };
    if zone.is_some() != (clock == Clock::Utc) {
        return None;
    }
    let instant = chrono::DateTime::from_timestamp_micros(micros)?.naive_utc();
    usual_year(instant.date()).then(|| instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string())
}

/// Years that every database writes alike.
fn usual_year(date: chrono::NaiveDate) -> bool {
    use chrono::Datelike as _;
    (1..=9999).contains(&date.year())
}

#[cfg(test)]
mod tests;
