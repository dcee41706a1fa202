//! Rejected rows as rows of their file: the columns of the source and the reasons, or the four fields of `FlinkX`.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, StringArray, StructArray, UInt64Array,
    new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::fate::plain;
use crate::flow::align::kernel;
use crate::formats::json;
use crate::reject::{Class, REJECT, Rejects, RejectsFormat};
use crate::schema::{FORM, INFINITE, WIRE};
use crate::source::Source;

/// Frames that have a member of their own in the reasons.
const PLACES: [&str; 7] = ["column", "constraint", "line", "row", "split", "file", "target"];

/// What the rows of a rejects file are made of.
#[derive(Debug)]
pub struct Layout {
    format: RejectsFormat,
    /// The columns of the source: each as text, nested ones as they are. Values are text so that a mended one can be written in
    /// place of one that fits no type.
    told: SchemaRef,
    schema: SchemaRef,
    /// Tells what its own bytes mean.
    source: Option<Arc<dyn Source>>,
}

impl Layout {
    /// The layout for rows with the columns of `source`.
    pub fn new(source: &Schema, format: RejectsFormat) -> Self {
        let column = |field: &FieldRef| {
            let nested = plain(field.data_type()).is_nested();
            let data_type = if nested { field.data_type().clone() } else { DataType::Utf8 };
            Arc::new(Field::new(field.name(), data_type, true))
        };
        let told: Vec<FieldRef> = source.fields().iter().map(column).collect();
        let fields: Vec<FieldRef> = match format {
            RejectsFormat::JsonLines => {
                let reasons = Field::new(REJECT, DataType::Struct(reason_fields()), false);
                told.iter().cloned().chain([Arc::new(reasons)]).collect()
            }
            RejectsFormat::Flinkx => {
                let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, false));
                ["row", "class", "reason", "time"].map(text).to_vec()
            }
        };
        Self { format, told: Arc::new(Schema::new(told)), schema: Arc::new(Schema::new(fields)), source: None }
    }

    /// The same, for rows of `source`, which tells what its own bytes mean.
    #[must_use]
    pub fn told_by(self, source: Arc<dyn Source>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The columns of the file.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// `rejects` of `source` as rows of the file.
    pub(super) fn batch(&self, mut rejects: Rejects, source: &str) -> Result<RecordBatch> {
        let rows = &rejects.rows;
        let column = |field: &FieldRef| told(rows, field, self.source.as_deref());
        let columns = self.told.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        if rows.schema_ref().fields().iter().any(|field| self.told.index_of(field.name()).is_err()) {
            // A row that was computed has other columns than the source.
            rejects.records = as_records(rows)?;
        }
        match self.format {
            RejectsFormat::JsonLines => self.with_reasons(columns, rejects, source),
            RejectsFormat::Flinkx => self.as_fields(columns, rejects),
        }
    }

    fn with_reasons(&self, mut columns: Vec<ArrayRef>, rejects: Rejects, source: &str) -> Result<RecordBatch> {
        let Rejects { stage, records, errors, .. } = rejects;
        let of = |error: &Error, what: &str| {
            error.frames().iter().find(|frame| frame.what == what).map(|frame| frame.which.clone())
        };
        let text =
            |what: &str| Arc::new(errors.iter().map(|error| of(error, what)).collect::<StringArray>()) as ArrayRef;
        let number = |what: &str| {
            let numbers = errors.iter().map(|error| of(error, what)?.parse::<u64>().ok());
            Arc::new(numbers.collect::<UInt64Array>()) as ArrayRef
        };
        let same = |word: &str| Arc::new(StringArray::from(vec![word; errors.len()])) as ArrayRef;
        let source = errors.iter().map(|error| of(error, "file").unwrap_or_else(|| source.to_owned()));
        let mut reasons: Vec<ArrayRef> = vec![
            same(stage.name()),
            Arc::new(StringArray::from_iter_values(source)),
            text("split"),
            number("row"),
            number("line"),
            text("column"),
            text("constraint"),
            text("target"),
            Arc::new(StringArray::from_iter_values(errors.iter().map(|error| format!("{:?}", error.kind())))),
        ];
        let reason = |error: Error| error.map_frames(|frames| frames.retain(|frame| !PLACES.contains(&&*frame.what)));
        reasons
            .push(Arc::new(StringArray::from_iter_values(errors.into_iter().map(|error| reason(error).to_string()))));
        reasons.push(Arc::new(StringArray::from(records)));
        columns.push(Arc::new(StructArray::try_new(reason_fields(), reasons, None)?));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn as_fields(&self, columns: Vec<ArrayRef>, rejects: Rejects) -> Result<RecordBatch> {
        let Rejects { records, errors, .. } = rejects;
        let options = RecordBatchOptions::new().with_row_count(Some(errors.len()));
        let rows = as_records(&RecordBatch::try_new_with_options(Arc::clone(&self.told), columns, &options)?)?;
        let rows = records.into_iter().zip(rows).map(|(record, row)| record.or(row).unwrap_or_default());
        let reasons = errors.iter().map(|error| serde_json::Value::from(shown(error)).to_string());
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S").to_string();
        let fields: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows)),
            Arc::new(StringArray::from_iter_values(errors.iter().map(|error| Class::of(error).name()))),
            Arc::new(StringArray::from_iter_values(reasons)),
            Arc::new(StringArray::from(vec![now.as_str(); errors.len()])),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), fields)?)
    }
}

/// The members of the reasons.
fn reason_fields() -> Fields {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let number = |name| Field::new(name, DataType::UInt64, true);
    let fields = [text("stage"), text("source"), text("split"), number("row"), number("line"), text("column")];
    let members = [text("constraint"), text("target"), text("kind"), text("reason"), text("record")];
    fields.into_iter().chain(members).collect()
}

/// Each of `rows` as the text of a record.
pub fn as_records(rows: &RecordBatch) -> Result<Vec<Option<String>>> {
    let mut text = Vec::new();
    json::encode(rows, &mut text)?;
    Ok(String::from_utf8_lossy(&text).lines().map(|line| Some(line.to_owned())).collect())
}

/// `error` for people. Beside a line of a file a split says nothing.
pub(super) fn shown(error: &Error) -> String {
    let has_line = error.frames().iter().any(|frame| frame.what == "line");
    let frames = error.frames().iter().rev().filter(|frame| !has_line || frame.what != "split");
    let places = frames.map(|frame| format!("{} {}", frame.what, frame.which));
    places.chain([error.message().to_owned()]).collect::<Vec<_>>().join(": ")
}

/// The column `wanted` of `rows`, as a rejects file has it; NULL where there is none.
fn told(rows: &RecordBatch, wanted: &Field, source: Option<&dyn Source>) -> Result<ArrayRef> {
    let none = || new_null_array(wanted.data_type(), rows.num_rows());
    let Some((index, field)) = rows.schema_ref().column_with_name(wanted.name()) else { return Ok(none()) };
    if field.metadata().get(FORM).is_some_and(|form| form == WIRE)
        && let Some(plain) = source.and_then(|source| source.plain(field, rows.column(index)))
    {
        let field = Field::new(field.name(), plain.data_type().clone(), true);
        let Some(kernel) = kernel(&field, wanted) else { return Ok(none()) };
        return Ok(kernel.run(&plain)?.array);
    }
    // Any other native form of a value is told as the bytes or the text that it is, and infinity by its name.
    let mut field = field.clone();
    let mut metadata = field.metadata().clone();
    let form = metadata.remove(FORM);
    if form.is_some() {
        field = field.with_metadata(metadata);
    }
    let Some(kernel) = kernel(&field, wanted) else { return Ok(none()) };
    let told = kernel.run(rows.column(index))?.array;
    if form.as_deref() == Some(INFINITE) { endless(rows.column(index), &told) } else { Ok(told) }
}

/// `texts` of dates or moments with the names of those that are infinite.
fn endless(values: &ArrayRef, texts: &ArrayRef) -> Result<ArrayRef> {
    let most = if *values.data_type() == DataType::Date32 { i64::from(i32::MAX) } else { i64::MAX };
    let (counted, texts) = (cast(values, &DataType::Int64)?, texts.as_string::<i32>());
    let text = |(value, text): (Option<i64>, _)| match value {
        Some(value) if value == most => Some("infinity"),
        Some(value) if value == -most => Some("-infinity"),
        _ => text,
    };
    Ok(Arc::new(counted.as_primitive::<Int64Type>().iter().zip(texts).map(text).collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;
    use crate::error::ErrorKind;
    use crate::reject::Stage;

    /// Four fields with U+0001 between them, of which the sink of files makes a line: the row as JSON, the class, the text as a JSON string,
    /// the time.
    #[test]
    fn flinkx_has_four_fields() {
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![7, 8])), Arc::new(StringArray::from(vec![Some("a\"\u{1}"), None]))];
        let rows = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
        let errors = vec![
            Error::new(ErrorKind::Constraint, "another row has the same key").at("column", "id"),
            Error::new(ErrorKind::Value, "NULL in a column that takes none").at("column", "name"),
        ];
        let layout = Layout::new(&schema, RejectsFormat::Flinkx);
        let batch = layout.batch(Rejects::new(Stage::Write, rows, errors), "src").unwrap();
        let fields = |row: usize| -> Vec<String> {
            let text = |array: &ArrayRef| array.as_any().downcast_ref::<StringArray>().unwrap().value(row).to_owned();
            batch.columns().iter().map(text).collect()
        };
        let first = fields(0);
        assert_eq!(
            first[..3],
            [r#"{"id":"7","name":"a\"\u0001"}"#, "duplicate", "\"column id: another row has the same key\""]
        );
        assert!(chrono::NaiveDateTime::parse_from_str(&first[3], "%Y-%m-%d %H:%M:%S").is_ok(), "{}", first[3]);
        assert_eq!(fields(1)[..2], [r#"{"id":"8","name":null}"#, "npe"]);
    }
}
