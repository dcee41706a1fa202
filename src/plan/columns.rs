//! The columns of the source as a job describes them: found by name, with a value where there is none, texts read as what they mean.

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::functions::datetime::expr_fn::to_timestamp_micros;
use datafusion::functions::string::expr_fn::btrim;
use datafusion::logical_expr::{Expr, cast, lit, when};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fate::is_text;
use crate::job::{SourceColumn, TextKind};
use crate::plan::error::from_datafusion;
use crate::schema::FORM;

/// `frame` with these `columns` alone, in their order.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for a column that is not there and has no value, or that comes twice.
pub(super) fn described(frame: DataFrame, columns: &[SourceColumn]) -> Result<DataFrame> {
    let twice = |(at, column): &(usize, &SourceColumn)| columns[..*at].iter().any(|other| other.name == column.name);
    if let Some((_, column)) = columns.iter().enumerate().find(twice) {
        return Err(Error::new(ErrorKind::Usage, "this column is named twice").at("column", &column.name));
    }
    let chosen = columns.iter().map(|column| expression(&frame, column).at("column", || &column.name));
    let chosen = chosen.collect::<Result<Vec<_>>>()?;
    frame.select(chosen).map_err(from_datafusion)
}

fn expression(frame: &DataFrame, column: &SourceColumn) -> Result<Expr> {
    let SourceColumn { name, kind, format, value } = column;
    let found = find(frame, name);
    let (expr, textual) = match (found, value) {
        (Some((expr, field)), None) => (expr, holds_text(field)),
        (Some((expr, field)), Some(value)) => {
            // A value that is none of the column's type is an error, also where no row needs it.
            let instead = cast(lit(value.as_str()), field.data_type().clone());
            let filled = when(expr.clone().is_not_null(), expr).otherwise(instead).map_err(from_datafusion)?;
            (filled, holds_text(field))
        }
        (None, Some(value)) => (lit(value.as_str()), true),
        (None, None) => {
            let names: Vec<&str> = frame.schema().iter().map(|(_, field)| field.name().as_str()).collect();
            let error = Error::new(ErrorKind::Usage, "the source has no such column");
            return Err(error.with_hint(format!("the columns are {}", names.join(", "))));
        }
    };
    let expr = match kind {
        Some(kind) if textual => read(expr, *kind, format.as_deref()),
        _ => expr,
    };
    Ok(match &expr {
        Expr::Column(column) if column.name == *name => expr,
        _ => expr.alias(name),
    })
}

/// Whether it holds texts, and not the native form of something else.
fn holds_text(field: &FieldRef) -> bool {
    is_text(field.data_type()) && !field.metadata().contains_key(FORM)
}

/// The column `name`, as it is written; else the only one that differs from it in case alone.
fn find<'a>(frame: &'a DataFrame, name: &str) -> Option<(Expr, &'a FieldRef)> {
    let all = || frame.schema().iter();
    let mut alike = all().filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
    let exact = all().find(|(_, field)| field.name() == name);
    let found = match (exact, alike.next(), alike.next()) {
        (Some(exact), ..) => exact,
        (None, Some(alike), None) => alike,
        _ => return None,
    };
    Some((Expr::Column(Column::from(found)), found.1))
}

/// A text as what it means.
fn read(text: Expr, kind: TextKind, format: Option<&str>) -> Expr {
    let text = btrim(vec![text]);
    match (kind, format) {
        (TextKind::Whole, _) => cast(text, DataType::Int64),
        (TextKind::Double, _) => cast(text, DataType::Float64),
        (TextKind::Truth, _) => cast(text, DataType::Boolean),
        (TextKind::Moment, None) => cast(text, DataType::Timestamp(TimeUnit::Microsecond, None)),
        (TextKind::Moment, Some(format)) => to_timestamp_micros(vec![text, lit(format)]),
    }
}
