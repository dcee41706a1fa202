//! `etl schema`: the columns of a place, in its own types and in Arrow's.

use arrow::datatypes::Field;
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::json;

use super::args::{Output, SchemaArgs};
use super::interrupt::Interrupt;
use super::place::{Machine, Side};
use super::{amount, place, printer, table, types};
use crate::connector::Connector;
use crate::connectors;
use crate::error::Result;
use crate::job::locator;
use crate::run;
use crate::schema::{COMMENT, NATIVE};
use crate::source::TableShape;

/// The dialect of `--as` that is no database.
const ARROW: &str = "arrow";

/// What `--as` takes: the databases of this build, and [`ARROW`].
pub(super) fn dialects() -> PossibleValuesParser {
    let database =
        |connector: &dyn Connector| PossibleValue::new(connector.name()).aliases(connector.aliases().iter().copied());
    types::databases().map(database).chain([PossibleValue::new(ARROW)]).into()
}

pub(super) async fn run(args: &SchemaArgs) -> Result<()> {
    let side = place::source(&args.source, &args.from)?;
    let place = place::read_place(&side, &args.files, &args.cast.cast)?;
    let shape = Interrupt::listen()?.or_stop(run::describe(&place)).await?;
    match (args.dialect.as_deref(), args.output.output) {
        (None, Output::Text) => printer::data(&text(&shape)),
        (None | Some(ARROW), Output::Json) => printer::json(&described(&shape)),
        (Some(ARROW), Output::Text) => printer::data(&arrow(&shape)),
        (Some(connector), form) => statements(connector, &shape, &side, form),
    }
}

/// Prints what would make the table in another product. It takes the name that a copy would give it.
fn statements(connector: &str, shape: &TableShape, side: &Side, form: Output) -> Result<()> {
    let table =
        locator::default_table(&side.locator, &side.object, &Machine).unwrap_or_else(|_| "new_table".to_owned());
    let statements = connectors::find(connector)?.create_table(shape, &table)?;
    match form {
        Output::Text => printer::data(&format!("{};\n", statements.join(";\n"))),
        Output::Json => printer::json(&json!({ "statements": statements })),
    }
}

fn native(field: &Field) -> &str {
    let native = field.metadata().get(NATIVE).map_or("", String::as_str);
    native.split_once(':').map_or(native, |(_, name)| name)
}

fn comment(field: &Field) -> &str {
    field.metadata().get(COMMENT).map_or("", String::as_str)
}

fn key_place(shape: &TableShape, field: &Field) -> Option<usize> {
    shape.key.iter().position(|name| name == field.name()).map(|at| at + 1)
}

fn text(shape: &TableShape) -> String {
    let rows: Vec<Vec<String>> = shape
        .schema
        .fields()
        .iter()
        .map(|field| {
            vec![
                field.name().clone(),
                native(field).to_owned(),
                field.data_type().to_string(),
                if field.is_nullable() { "" } else { "not null" }.to_owned(),
                key_place(shape, field).map_or(String::new(), |at| format!("key {at}")),
                comment(field).to_owned(),
            ]
        })
        .collect();
    let mut out = table::aligned(&["column", "own type", "arrow type", "null", "key", "comment"], &rows, "");
    let rows = shape.rows.map(|rows| format!("about {}", amount::counted(rows, "row")));
    let bytes = shape.bytes.map(|bytes| amount::bytes(bytes as f64));
    let size: Vec<String> = rows.into_iter().chain(bytes).collect();
    if !size.is_empty() {
        out.extend(["\n", &size.join(", "), "\n"]);
    }
    out
}

fn arrow(shape: &TableShape) -> String {
    let field = |field: &Field| {
        let null = if field.is_nullable() { "" } else { " not null" };
        format!("{}: {}{null}\n", field.name(), field.data_type())
    };
    shape.schema.fields().iter().map(|each| field(each)).collect()
}

fn described(shape: &TableShape) -> serde_json::Value {
    let columns: Vec<_> = shape
        .schema
        .fields()
        .iter()
        .map(|field| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            json!({
                "name": field.name(),
                "nativeType": text(native(field)),
                "arrowType": field.data_type().to_string(),
                "nullable": field.is_nullable(),
                "key": key_place(shape, field),
                "comment": text(comment(field)),
            })
        })
        .collect();
    json!({ "columns": columns, "key": shape.key, "comment": shape.comment, "rows": shape.rows, "bytes": shape.bytes })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Schema};

    use super::*;
    use crate::schema::with_native;

    #[test]
    fn columns_show_both_types_and_the_key() {
        let fields = vec![
            with_native(Field::new("id", DataType::Int64, false), "postgres:bigint"),
            Field::new("note", DataType::Utf8, true),
        ];
        let shape =
            TableShape { key: vec!["id".to_owned()], rows: Some(1), ..TableShape::of(Arc::new(Schema::new(fields))) };
        let expected = "\
column  own type  arrow type  null      key    comment
id      bigint    Int64       not null  key 1
note              Utf8

about 1 row
";
        assert_eq!(text(&shape), expected);
        assert_eq!(arrow(&shape), "id: Int64 not null\nnote: Utf8\n");
        assert_eq!(described(&shape)["columns"][0]["nativeType"], "bigint");
    }
}
