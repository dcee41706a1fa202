//! The sink of `null:`: counts rows and bytes, keeps nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value as Json;

use crate::attempt::{Attempt, Token};
use crate::endpoint::{Endpoint, ObjectRef, OpenRequest, Ping, Session, StepToken};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::Verify;
use crate::reject::Refusals;
use crate::sink::{
    Agreement, ColumnPlan, Form, Guarantee, Kept, Publish, Receipt, Sink, WriteRequest, Writer, Writers,
};
use crate::source::{Encoding, TableShape};

/// `null:` as endpoint and sink.
#[derive(Debug)]
pub(super) struct Null;

#[async_trait]
impl Endpoint for Null {
    fn label(&self) -> String {
        "null:".to_owned()
    }

    async fn list(&self, _pattern: &str) -> Result<Vec<ObjectRef>> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<Ping> {
        Ok(Ping { server: "null".to_owned(), facts: Vec::new(), missing: Vec::new() })
    }

    async fn open(&self, _request: &OpenRequest) -> Result<Arc<dyn Session>> {
        Err(Error::new(ErrorKind::Unsupported, "null: takes rows and gives none").with_hint("gen: makes rows"))
    }

    fn runs_sql(&self) -> bool {
        false
    }

    async fn execute(&self, _step: &StepToken, _sql: &str) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "null: is no database and runs no SQL"))
    }

    async fn finish(&self, _transfers: &[Agreement]) -> Result<()> {
        Ok(())
    }

    fn sink(&self, _object: &ObjectRef) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Self))
    }
}

#[async_trait]
impl Sink for Null {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        if request.verify == Verify::Rows {
            return Err(Error::new(ErrorKind::Usage, "null: keeps no rows that could be compared")
                .with_hint("use --verify count"));
        }
        // It looks at no value, so the form that costs least will do; beside another target it takes what that one takes.
        let native = |index: usize| incoming.native.get(index).and_then(Option::as_ref);
        let fields = incoming.schema.fields().iter().enumerate();
        let taken = fields.clone().map(|(index, field)| native(index).unwrap_or(field));
        let target = Schema::new(taken.map(Arc::clone).collect::<Vec<_>>());
        let column = |(index, field): (usize, &FieldRef)| ColumnPlan {
            form: if native(index).is_some() { Form::Native } else { Form::Arrow },
            ..ColumnPlan::exact(field.name(), &field.data_type().to_string())
        };
        Ok(Agreement {
            label: "null:".to_owned(),
            target: Arc::new(target),
            columns: fields.map(column).collect(),
            ddl: Vec::new(),
            writers: Writers::Any,
            publish: Publish::AtOnce,
            guarantee: Guarantee::ExactlyOnce,
            kept: Kept::Nothing,
            marked: false,
            refusals: Refusals::Fail,
            task_bytes: None,
            notes: vec!["rows are counted and dropped".to_owned()],
            detail: Json::Null,
        })
    }

    async fn prepare(&self, _agreement: &Agreement, _token: &Token) -> Result<()> {
        Ok(())
    }

    async fn writer(&self, _agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Counter { attempt: attempt.clone(), rows: 0, bytes: 0 }))
    }

    async fn commit(&self, _agreement: &Agreement, _token: &Token, _receipts: &[Receipt]) -> Result<()> {
        Ok(())
    }

    async fn abort(&self, _agreement: &Agreement, _token: &Token) -> Result<()> {
        Ok(())
    }

    fn takes(&self, _agreement: &Agreement, _encoding: &Encoding, verify: Verify) -> bool {
        verify < Verify::Checksum
    }
}

struct Counter {
    attempt: Attempt,
    rows: u64,
    bytes: u64,
}

#[async_trait]
impl Writer for Counter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for array in batch.columns() {
            self.bytes += array.to_data().get_slice_memory_size()? as u64;
        }
        Ok(())
    }

    async fn write_raw(&mut self, bytes: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    async fn flush(&mut self, _token: &Token) -> Result<Receipt> {
        let (rows, bytes) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.bytes));
        Ok(Receipt::of(&self.attempt, rows, bytes, Json::Null))
    }
}
