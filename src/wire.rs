//! Serde forms of Arrow schemas and DataFusion expressions, so that the contract's data can cross processes.
//!
//! Schemas travel as Arrow's flatbuffers, expressions as DataFusion's protobuf, both in base64.

/// Serde of a [`SchemaRef`](arrow::datatypes::SchemaRef).
pub mod schema {
    use std::sync::Arc;

    use arrow::datatypes::{Schema, SchemaRef};
    use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
    use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// Writes `schema`.
    pub fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(schema))
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
        try_schema_from_flatbuffer_bytes(&bytes).map(Arc::new).map_err(de::Error::custom)
    }

    fn encode(schema: &Schema) -> String {
        // A message, not a bare schema: the reader above wants one.
        let (mut tracker, options) = (DictionaryTracker::new(false), IpcWriteOptions::default());
        let encoded =
            IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
        BASE64_STANDARD.encode(encoded.ipc_message)
    }
}

/// Serde of a list of optional fields.
pub mod optional_fields {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, FieldRef, Schema};
    use serde::{Deserializer, Serializer, de};

    const ABSENT: &str = "etl.absent";

    /// Writes the fields as a schema in which absent ones are marked.
    pub fn serialize<S: Serializer>(fields: &[Option<FieldRef>], serializer: S) -> Result<S::Ok, S::Error> {
        let absent = || {
            let field = Field::new("", DataType::Null, true);
            Arc::new(crate::schema::with_metadata(field, ABSENT, "1"))
        };
        let fields: Vec<FieldRef> = fields.iter().map(|field| field.clone().unwrap_or_else(absent)).collect();
        super::schema::serialize(&Arc::new(Schema::new(fields)), serializer)
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<FieldRef>>, D::Error> {
        let schema = super::schema::deserialize(deserializer).map_err(de::Error::custom)?;
        let present = |field: &FieldRef| (!field.metadata().contains_key(ABSENT)).then(|| Arc::clone(field));
        Ok(schema.fields().iter().map(present).collect())
    }
}

/// Serde of a list of DataFusion expressions.
pub mod exprs {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use datafusion::logical_expr::Expr;
    use datafusion_proto::bytes::Serializeable as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};

    /// Writes `exprs`.
    pub fn serialize<S: Serializer>(exprs: &[Expr], serializer: S) -> Result<S::Ok, S::Error> {
        let encoded: Result<Vec<String>, _> =
            exprs.iter().map(|expr| expr.to_bytes().map(|bytes| BASE64_STANDARD.encode(bytes))).collect();
        encoded.map_err(ser::Error::custom)?.serialize(serializer)
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Expr>, D::Error> {
        let decode = |text: String| {
            let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
            Expr::from_bytes(&bytes).map_err(de::Error::custom)
        };
        Vec::<String>::deserialize(deserializer)?.into_iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::{col, lit};

    use crate::schema::with_native;
    use crate::source::{Scan, TableShape};

    #[test]
    fn shapes_and_scans_survive_as_text() {
        let amount = with_native(Field::new("amount", DataType::Decimal256(76, 38), true), "postgres:numeric");
        let at = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![amount.clone(), Field::new("at", at, false)]));
        let mut shape = TableShape::of(Arc::clone(&schema));
        shape.native[0] = Some(Arc::new(amount));
        let again: TableShape = serde_json::from_str(&serde_json::to_string(&shape).unwrap()).unwrap();
        assert_eq!((&again.schema, &again.native), (&shape.schema, &shape.native));

        let filters = vec![col("amount").gt(lit(1)).and(col("at").is_not_null())];
        let scan = Scan { schema, filters, limit: Some(5), batch_rows: 10, batch_bytes: 20 };
        let again: Scan = serde_json::from_str(&serde_json::to_string(&scan).unwrap()).unwrap();
        assert_eq!((again.schema, again.filters, again.limit), (scan.schema, scan.filters, scan.limit));
    }
}
