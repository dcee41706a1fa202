//! Serde forms of Arrow schemas, so that the contract's data can cross processes: Arrow's flatbuffers in base64.

/// Serde of a [`SchemaRef`](arrow::datatypes::SchemaRef).
pub mod schema {
    use std::sync::Arc;

    use arrow::datatypes::{Schema, SchemaRef};
    use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
    use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::bridge::guard::guarded;

    /// Writes `schema`.
    pub fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(schema))
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
        // It panics where a type is none that it knows.
        let schema = guarded(|| try_schema_from_flatbuffer_bytes(&bytes)).map_err(de::Error::custom)?;
        schema.map(Arc::new).map_err(de::Error::custom)
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
