//! `etl head`: the first rows, as a table or as JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::args::{HeadArgs, Output};
use super::interrupt::Interrupt;
use super::{place, printer, table};
use crate::error::Result;
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
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()));
    }
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Ok(table::aligned(&names, &rows, ""))
}

/// One value on one line, cut where it is long.
fn cell(column: &ArrayFormatter<'_>, row: usize) -> String {
    let value = column.value(row).to_string();
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

fn lines(batches: &[RecordBatch]) -> Result<String> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
    writer.finish()?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

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
