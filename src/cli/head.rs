//! `etl head`: the first rows, as a table or as JSON lines.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::args::{HeadArgs, Output};
use super::interrupt::Interrupt;
use super::{place, printer, table};
use crate::error::Result;
use crate::formats::json;
use crate::formats::value::print;
use crate::run;

pub(super) async fn run(args: &HeadArgs) -> Result<()> {
    let place = place::read_place(&place::source(&args.source, &args.from)?, &args.files, &args.cast.cast)?;
    let (shape, batches) = Interrupt::listen()?.or_stop(run::head(&place, args.rows)).await?;
    match args.output.output {
        Output::Text => printer::data(&text(&shape.schema, &batches)?),
        Output::Json => printer::data(&lines(&batches)?),
    }
}

/// Characters of a cell that are shown; JSON shows them all.
const CELL_WIDTH: usize = 40;

fn text(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.schema_ref().fields().iter().zip(batch.columns());
        let columns = columns.map(|(field, column)| printed(column, field)).collect::<Result<Vec<_>>>()?;
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(&column(row))).collect()));
    }
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Ok(table::aligned(&names, &rows, ""))
}

/// The values of a column in the form in which text files hold them; nested ones as Arrow shows them.
fn printed<'a>(column: &'a dyn Array, field: &Field) -> Result<Box<dyn Fn(usize) -> String + 'a>> {
    let null = || "NULL".to_owned();
    if let Some(values) = print::column(column, field) {
        return Ok(Box::new(move |row| {
            let mut text = Vec::new();
            if values.is_null(row) {
                return null();
            }
            (values.print)(row, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }));
    }
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let values = ArrayFormatter::try_new(column, &options)?;
    Ok(Box::new(move |row| values.value(row).to_string()))
}

/// One value on one line, cut where it is long.
pub(super) fn cell(value: &str) -> String {
    let mut letters = value.chars().flat_map(|c| {
        let shown = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        shown.chars().collect::<Vec<_>>()
    });
    let mut cell: String = letters.by_ref().take(CELL_WIDTH).collect();
    if letters.next().is_some() {
        cell.pop();
        cell.push('…');
    }
    cell
}

/// JSON lines as a copy writes them.
fn lines(batches: &[RecordBatch]) -> Result<String> {
    let mut out = Vec::new();
    batches.iter().try_for_each(|batch| json::encode(batch, &mut out))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let name: ArrayRef = Arc::new(StringArray::from(vec![Some("ada"), None]));
        RecordBatch::try_from_iter_with_nullable([("id", id, false), ("name", name, true)]).unwrap()
    }

    #[test]
    fn rows_are_a_table_or_json_lines() {
        assert_eq!(text(&batch().schema(), &[batch()]).unwrap(), "id  name\n1   ada\n2   NULL\n");
        assert_eq!(lines(&[batch()]).unwrap(), "{\"id\":1,\"name\":\"ada\"}\n{\"id\":2,\"name\":null}\n");
    }

    #[test]
    fn values_are_those_of_a_copy() {
        let double: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 1.5]));
        let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&[0_u8, 255][..], &[]]));
        let batch = RecordBatch::try_from_iter([("d", double), ("b", bytes)]).unwrap();
        assert_eq!(text(&batch.schema(), std::slice::from_ref(&batch)).unwrap(), "d    b\nNaN  \\x00ff\n1.5  \\x\n");
        let json = "{\"d\":\"NaN\",\"b\":\"\\\\x00ff\"}\n{\"d\":1.5,\"b\":\"\\\\x\"}\n";
        assert_eq!(lines(&[batch]).unwrap(), json);
    }

    #[test]
    fn a_cell_stays_on_its_line_and_is_not_endless() {
        let long: ArrayRef = Arc::new(StringArray::from(vec!["a\nb".to_owned(), "ä".repeat(41)]));
        let batch = RecordBatch::try_from_iter([("x", long)]).unwrap();
        assert_eq!(text(&batch.schema(), &[batch]).unwrap(), format!("x\na\\nb\n{}…\n", "ä".repeat(39)));
    }

    #[test]
    fn no_rows_still_show_the_columns() {
        assert_eq!(text(&batch().schema(), &[]).unwrap(), "id  name\n");
        assert_eq!(lines(&[]).unwrap(), "");
    }
}
