//! How each column of what comes lands in a file: its type there, and what happens to its values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fate;
use crate::formats::csv::{Csv, CsvOptions};
use crate::formats::extension::Format;
use crate::formats::parquet::{self, Fit};
use crate::formats::workbook::{self, Held};
use crate::formats::{RecordFormat, avro, plain};
use crate::sink::{ColumnFate, ColumnPlan, SchemaPolicy};

/// The columns that a target has already.
pub(super) struct Existing {
    pub(super) schema: SchemaRef,
    /// Whether its types are stored in it; text has none.
    pub(super) typed: bool,
}

/// How columns land.
pub(super) struct Forms {
    pub(super) format: Format,
    pub(super) records: Option<Arc<dyn RecordFormat>>,
    pub(super) existing: Option<Existing>,
    pub(super) policy: SchemaPolicy,
}

impl Forms {
    /// The plan of every column, what the writer gets, and what a file has.
    pub(super) fn match_columns(&self, incoming: &Schema) -> Result<(Vec<ColumnPlan>, SchemaRef, SchemaRef)> {
        let incoming = plain::schema(incoming)?;
        let landed: Vec<(FieldRef, ColumnFate)> =
            incoming.fields().iter().map(|field| self.land(field)).collect::<Result<_>>()?;
        let Some(existing) = &self.existing else {
            let columns = landed.iter().map(|(field, fate)| self.plan(field, *fate)).collect();
            let fields: Vec<FieldRef> = landed.into_iter().map(|(field, _)| field).collect();
            let schema = Arc::new(Schema::new_with_metadata(fields, incoming.metadata().clone()));
            return Ok((columns, Arc::clone(&schema), schema));
        };
        self.refuse_differences(&incoming, &existing.schema)?;
        let mut columns = Vec::new();
        for (field, fate) in &landed {
            columns.push(match existing.schema.field_with_name(field.name()) {
                Ok(old) if existing.typed => self.plan(old, fate_between(field.data_type(), old.data_type())),
                Ok(_) => self.plan(field, *fate),
                Err(_) => ColumnPlan { target: None, fate: ColumnFate::Dropped, ..self.plan(field, *fate) },
            });
        }
        // The order is that of the file. Columns of text take the type that comes.
        let landed_by_name: HashMap<&str, &FieldRef> =
            landed.iter().map(|(field, _)| (field.name().as_str(), field)).collect();
        let mut target = Vec::new();
        let mut all = Vec::new();
        for old in existing.schema.fields() {
            if let Some(field) = landed_by_name.get(old.name().as_str()) {
                let field = if existing.typed { old } else { field };
                target.push(Arc::clone(field));
                all.push(Arc::clone(field));
                continue;
            }
            if !old.is_nullable() {
                let message = "nothing fills this column, and it may not be NULL";
                return Err(Error::new(ErrorKind::Schema, message).at("column", old.name()));
            }
            all.push(Arc::clone(old));
            let note = Some("NULL".to_owned());
            columns.push(ColumnPlan { incoming: None, note, ..self.plan(old, ColumnFate::Added) });
        }
        let metadata = existing.schema.metadata();
        let schema = |fields: Vec<FieldRef>| Arc::new(Schema::new_with_metadata(fields, metadata.clone()));
        Ok((columns, schema(target), schema(all)))
    }

    fn refuse_differences(&self, incoming: &Schema, existing: &Schema) -> Result<()> {
        let lacking = |left: &Schema, right: &Schema| -> Vec<String> {
            let lacks = left.fields().iter().filter(|field| right.index_of(field.name()).is_err());
            lacks.map(|field| field.name().clone()).collect()
        };
        let (new, old) = (lacking(incoming, existing), lacking(existing, incoming));
        let agree = match self.policy {
            SchemaPolicy::Strict | SchemaPolicy::ByPlace => new.is_empty() && old.is_empty(),
            SchemaPolicy::Partial => new.is_empty(),
            SchemaPolicy::Ignore => true,
        };
        if agree {
            return Ok(());
        }
        let mut differences = Vec::new();
        if !new.is_empty() {
            differences.push(format!("the target has no {}", new.join(", ")));
        }
        if !old.is_empty() {
            differences.push(format!("nothing comes for {}", old.join(", ")));
        }
        Err(Error::new(ErrorKind::Schema, format!("the columns differ: {}", differences.join("; "))).with_hint(
            "choose and rename columns with --select and --rename, or copy what both have with --schema ignore",
        ))
    }

    /// The column of a new file for `field`.
    fn land(&self, field: &FieldRef) -> Result<(FieldRef, ColumnFate)> {
        let typed = |data_type: DataType| {
            Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
        };
        match (&self.records, self.format) {
            (Some(records), _) => {
                let alone = Arc::new(Schema::new(vec![Arc::clone(field)]));
                records
                    .encode(&arrow::array::RecordBatch::new_empty(alone), &mut Vec::new())
                    .at("column", || field.name())?;
                let held = match field.data_type() {
                    DataType::Utf8 => true,
                    _ if self.format != Format::Jsonl => false,
                    other => {
                        other.is_integer()
                            || matches!(
                                other,
                                DataType::Boolean | DataType::Float64 | DataType::Float32 | DataType::Null
                            )
                            || other.is_nested()
                    }
                };
                let fate = match records.lost(field) {
                    Some(_) => ColumnFate::Lossy,
                    None if held => ColumnFate::Exact,
                    None => ColumnFate::Stringified,
                };
                Ok((Arc::clone(field), fate))
            }
            (None, Format::Parquet) => Ok(match parquet::fit(field.data_type()) {
                Fit::Exact => (Arc::clone(field), ColumnFate::Exact),
                Fit::Widened(wider) => (typed(wider), ColumnFate::Widened),
                Fit::Text => (typed(DataType::Utf8), ColumnFate::Stringified),
            }),
            (None, Format::Avro) => {
                let held = avro::held(field.data_type()).ok_or_else(|| {
                    let message = format!("Avro cannot hold a column of type {}", field.data_type());
                    let error = Error::new(ErrorKind::Unsupported, message).at("column", field.name());
                    error.with_hint("cast the column, or leave it out")
                })?;
                if held == *field.data_type() {
                    return Ok((Arc::clone(field), ColumnFate::Exact));
                }
                let held = typed(held);
                let fate = fate::fate(field, &held);
                Ok((held, fate))
            }
            (None, format) if format.is_workbook() => Ok((Arc::clone(field), in_cells(field)?)),
            (None, _) => Ok((Arc::clone(field), ColumnFate::Exact)),
        }
    }

    fn plan(&self, field: &Field, fate: ColumnFate) -> ColumnPlan {
        let target_type = match self.format {
            Format::Csv | Format::Tsv => "text".to_owned(),
            Format::Xlsx => workbook::cell_type(field).to_owned(),
            Format::Jsonl if fate == ColumnFate::Stringified => "string".to_owned(),
            _ => field.data_type().to_string(),
        };
        let note = self.records.as_ref().filter(|_| fate == ColumnFate::Lossy).and_then(|records| records.lost(field));
        ColumnPlan { fate, note, ..ColumnPlan::exact(field.name(), &target_type) }
    }
}

/// What cells make of a column.
fn in_cells(field: &FieldRef) -> Result<ColumnFate> {
    match workbook::held(field).filter(|held| *held != Held::Text || has_text(field)) {
        Some(Held::Exact) => Ok(ColumnFate::Exact),
        Some(Held::Widened) => Ok(ColumnFate::Widened),
        Some(Held::Fewer) => Ok(ColumnFate::Lossy),
        Some(Held::Text) => Ok(ColumnFate::Stringified),
        None => {
            let message = format!("a workbook cannot hold a column of type {}", field.data_type());
            let error = Error::new(ErrorKind::Unsupported, message).at("column", field.name());
            Err(error.with_hint("leave the column out with --drop, or make a text of it with --set"))
        }
    }
}

/// Whether values of a column have the text that a cell gets.
fn has_text(field: &FieldRef) -> bool {
    let alone = Arc::new(Schema::new(vec![Arc::clone(field)]));
    Csv::new(CsvOptions::default())
        .and_then(|csv| csv.encode(&arrow::array::RecordBatch::new_empty(alone), &mut Vec::new()))
        .is_ok()
}

/// What happens to values of one type in a column of another.
fn fate_between(from: &DataType, to: &DataType) -> ColumnFate {
    use DataType::{
        Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, Utf8,
    };
    match (from, to) {
        (from, to) if from == to => ColumnFate::Exact,
        (Utf8, _) => ColumnFate::Lossy,
        (_, Utf8) => ColumnFate::Stringified,
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (UInt8, UInt16 | UInt32 | DataType::UInt64 | Int16 | Int32 | Int64 | Float32 | Float64)
        | (UInt16, UInt32 | DataType::UInt64 | Int32 | Int64 | Float32 | Float64)
        | (UInt32, DataType::UInt64 | Int64 | Float64)
        | (Float32, Float64)
        | (Date32, DataType::Date64) => ColumnFate::Widened,
        (Decimal128(p, s), Decimal128(q, t) | Decimal256(q, t)) | (Decimal256(p, s), Decimal256(q, t))
            if t >= s && i32::from(*q) - i32::from(*t) >= i32::from(*p) - i32::from(*s) =>
        {
            ColumnFate::Widened
        }
        _ => ColumnFate::Lossy,
    }
}
