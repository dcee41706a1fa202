//! The sink: batches are staged by attempt and become rows of the table at commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Memory, Open, Store, Table, merge};
use crate::attempt::{Attempt, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::proof::{Verdict, sums, total};
use crate::reject::Refusals;
use crate::sink::{
    Advance, Agreement, ColumnFate, ColumnPlan, Form, Guarantee, Kept, Merged, Noted, Progress, Publish, Receipt,
    SchemaPolicy, Sink, WriteMode, WriteRequest, Writer, Writers, moved_meanwhile,
};
use crate::source::TableShape;

#[derive(Debug)]
pub(super) struct MemorySink {
    pub(super) memory: Memory,
    pub(super) name: String,
}

#[async_trait]
impl Sink for MemorySink {
    async fn agree(&self, incoming: &TableShape, request: &WriteRequest) -> Result<Agreement> {
        let present = self.memory.table(&self.name);
        if let (WriteMode::Create, Some(table)) = (&request.mode, &present)
            && table.rows.num_rows() > 0
        {
            return Err(Error::new(ErrorKind::AlreadyExists, "the table has rows").at("object", &self.name));
        }
        if let WriteMode::Changes { .. } = request.mode {
            return Err(Error::new(ErrorKind::Unsupported, "memory: takes no change feed"));
        }
        let columns = columns(incoming, present.as_ref(), request.schema).map_err(|e| e.at("object", &self.name))?;
        let mode = settled(&request.mode, present.as_ref(), incoming)?;
        let key = mode.merge().map_or(&[][..], |merge| &merge.key);
        let field = |plan: &ColumnPlan| {
            let name = plan.target.as_ref().filter(|_| plan.incoming.is_some())?;
            let schema = present.as_ref().map_or(&incoming.schema, |table| &table.schema);
            let field = schema.field_with_name(name).ok()?;
            Some(field.clone().with_nullable(field.is_nullable() && !key.contains(name)))
        };
        Ok(Agreement {
            label: self.name.clone(),
            target: Arc::new(Schema::new(columns.iter().filter_map(field).collect::<Vec<_>>())),
            columns,
            ddl: Vec::new(),
            writers: Writers::Any,
            publish: Publish::AtOnce,
            guarantee: Guarantee::ExactlyOnce,
            kept: Kept::Tasks,
            marked: true,
            refusals: Refusals::Fail,
            task_bytes: None,
            notes: Vec::new(),
            detail: serde_json::to_value(Detail { mode, advance: request.advance.clone() })?,
        })
    }

    async fn prepare(&self, _agreement: &Agreement, _token: &Token) -> Result<()> {
        Ok(())
    }

    async fn writer(&self, agreement: &Agreement, attempt: &Attempt) -> Result<Box<dyn Writer>> {
        Ok(Box::new(MemoryWriter {
            open: Open::writer(&self.memory),
            target: Arc::clone(&agreement.target),
            attempt: attempt.clone(),
            batches: Vec::new(),
        }))
    }

    async fn progress(&self, _agreement: &Agreement, token: &Token, logged: &[Receipt]) -> Result<Progress> {
        self.memory.store(|store| {
            if store.committed.contains(token) {
                return Ok(Progress::Committed);
            }
            let is_there = |receipt: &&Receipt| store.staged.contains_key(&(token.clone(), receipt.attempt.clone()));
            Ok(Progress::Kept(logged.iter().filter(is_there).cloned().collect()))
        })
    }

    async fn verify(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<Verdict> {
        self.memory.store(|store| {
            let staged = |receipt: &Receipt| store.staged.get(&(token.clone(), receipt.attempt.clone()));
            let batches: Vec<&RecordBatch> = receipts.iter().filter_map(staged).flatten().collect();
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            let sent: u64 = receipts.iter().map(|receipt| receipt.rows).sum();
            if rows as u64 != sent {
                return Ok(Verdict::Unequal(format!("the stage holds {rows} of {sent} rows")));
            }
            let found: Vec<_> = batches.into_iter().map(sums::of).collect();
            let Some(wanted) = total(receipts.iter().map(|receipt| receipt.columns.as_ref())) else {
                return Ok(Verdict::Equal);
            };
            let Some(found) = total(found.iter().map(Some)) else { return Ok(Verdict::Equal) };
            let fields = agreement.target.fields().iter().zip(found.iter().zip(&wanted));
            let names: Vec<&str> =
                fields.filter(|(_, (found, wanted))| found != wanted).map(|(field, _)| field.name().as_str()).collect();
            if names.is_empty() {
                return Ok(Verdict::Equal);
            }
            Ok(Verdict::Unequal(format!("the stage holds other values, in the columns {}", names.join(", "))))
        })
    }

    fn checksum(&self, _agreement: &Agreement) -> Option<String> {
        Some("the rows in memory are summed up once more".to_owned())
    }

    async fn commit(&self, agreement: &Agreement, token: &Token, receipts: &[Receipt]) -> Result<()> {
        let Detail { mode, advance } = serde_json::from_value(agreement.detail.clone())?;
        let mut receipts: Vec<&Receipt> = receipts.iter().collect();
        receipts.sort_by_key(|receipt| receipt.task);
        self.memory.store(|store| {
            if store.committed.contains(token) {
                return Ok(());
            }
            let mut batches = Vec::new();
            for receipt in receipts {
                let staged = store.staged.get(&(token.clone(), receipt.attempt.clone()));
                let lost = || Error::new(ErrorKind::Internal, "nothing was flushed for this receipt");
                batches.extend(staged.ok_or_else(|| lost().at("task", receipt.task))?.iter().cloned());
            }
            let noted = advance.as_ref().map(|advance| store.positions.get(&advance.stream).cloned());
            match (noted, advance.as_ref().map(|advance| &advance.from)) {
                (Some(noted), Some(Noted::At(from))) if noted.as_ref() != Some(from) => return Err(moved_meanwhile()),
                (Some(Some(_)), Some(Noted::Nothing)) => return Err(moved_meanwhile()),
                _ => {}
            }
            let (table, merged) = changed(store.tables.get(&self.name), &agreement.target, &mode, &batches)?;
            store.tables.insert(self.name.clone(), table);
            store.merged.extend(merged.map(|merged| (token.clone(), merged)));
            store.positions.extend(advance.map(|advance| (advance.stream, advance.to)));
            store.committed.insert(token.clone());
            store.counts.commits += 1;
            sweep(store, token);
            Ok(())
        })
    }

    async fn position(&self, stream: &str) -> Result<Noted> {
        Ok(self.memory.store(|store| match store.positions.get(stream) {
            _ if !store.tables.contains_key(&self.name) => Noted::NoTarget,
            Some(position) => Noted::At(position.clone()),
            None => Noted::Nothing,
        }))
    }

    fn merged(&self, token: &Token) -> Option<Merged> {
        self.memory.store(|store| store.merged.get(token).copied())
    }

    async fn abort(&self, _agreement: &Agreement, token: &Token) -> Result<()> {
        self.memory.store(|store| {
            store.counts.aborts += 1;
            sweep(store, token);
        });
        Ok(())
    }
}

/// What the commit needs.
#[derive(Serialize, Deserialize)]
struct Detail {
    mode: WriteMode,
    advance: Option<Advance>,
}

/// `mode` with the key that it merges by.
fn settled(mode: &WriteMode, present: Option<&Table>, incoming: &TableShape) -> Result<WriteMode> {
    let primary = present.map_or(&[][..], |table| &table.key);
    Ok(match mode {
        WriteMode::Upsert(merge) => WriteMode::Upsert(merge.settled(primary, incoming)?),
        WriteMode::Sync(merge) => WriteMode::Sync(merge.settled(primary, incoming)?),
        other => other.clone(),
    })
}

struct MemoryWriter {
    open: Open,
    target: SchemaRef,
    attempt: Attempt,
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(batch.schema_ref()) != types(&self.target) {
            return Err(Error::new(ErrorKind::Internal, "the batch is not what was agreed on"));
        }
        // Also refuses a NULL where the target has none.
        self.batches.push(RecordBatch::try_new(Arc::clone(&self.target), batch.columns().to_vec())?);
        Ok(())
    }

    async fn flush(&mut self, token: &Token) -> Result<Receipt> {
        let batches = std::mem::take(&mut self.batches);
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() as u64;
        let (Open::Read(memory) | Open::Writer(memory)) = &self.open;
        memory.store(|store| store.staged.insert((token.clone(), self.attempt.id.clone()), batches));
        Ok(Receipt::of(&self.attempt, rows, bytes, Json::Null))
    }
}

fn sweep(store: &mut Store, token: &Token) {
    store.staged.retain(|(other, _), _| other != token);
}

/// The table after `mode` was applied, and what was done by key.
fn changed(
    present: Option<&Table>,
    target: &SchemaRef,
    mode: &WriteMode,
    batches: &[RecordBatch],
) -> Result<(Table, Option<Merged>)> {
    let mut table = present.cloned().unwrap_or_else(|| Table::empty(Arc::clone(target)));
    if let (None, Some(merge)) = (present, mode.merge()) {
        table.key.clone_from(&merge.key);
    }
    let batches = batches.iter().map(|batch| widened(batch, &table.schema)).collect::<Result<Vec<_>>>()?;
    if matches!(mode, WriteMode::Truncate | WriteMode::Replace) {
        table.rows = RecordBatch::new_empty(Arc::clone(&table.schema));
    }
    let Some(merge) = mode.merge() else {
        table.add(&batches)?;
        return Ok((table, None));
    };
    let new = concat_batches(&table.schema, &batches)?;
    let (rows, merged) = merge::merged(&table.rows, &new, mode, merge)?;
    table.rows = rows;
    Ok((table, Some(merged)))
}

/// `batch` with the table's columns in the table's order; those that nothing fills are NULL.
fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let column = |field: &Arc<arrow::datatypes::Field>| -> ArrayRef {
        let empty = || arrow::array::new_null_array(field.data_type(), batch.num_rows());
        batch.column_by_name(field.name()).cloned().unwrap_or_else(empty)
    };
    Ok(RecordBatch::try_new(Arc::clone(schema), schema.fields().iter().map(column).collect())?)
}

fn columns(incoming: &TableShape, present: Option<&Table>, policy: SchemaPolicy) -> Result<Vec<ColumnPlan>> {
    let differs = |name: &str, side: &str| {
        Err(Error::new(ErrorKind::Schema, format!("only the {side} has this column"))
            .with_hint("use --schema ignore to copy what both have")
            .at("column", name))
    };
    let mut plans = Vec::new();
    for field in incoming.schema.fields() {
        let target = match present {
            None => Some(field.as_ref()),
            Some(table) => table.schema.field_with_name(field.name()).ok(),
        };
        if target.is_none() && policy == SchemaPolicy::Strict {
            return differs(field.name(), "source");
        }
        let fate = match target {
            None => ColumnFate::Dropped,
            Some(target) if target.data_type() == field.data_type() => ColumnFate::Exact,
            // What the engine casts to; it refuses a value that would change.
            Some(_) => ColumnFate::Lossy,
        };
        plans.push(ColumnPlan {
            incoming: Some(field.name().clone()),
            target: target.map(|target| target.name().clone()),
            target_type: target.map_or_else(String::new, |target| target.data_type().to_string()),
            form: Form::Arrow,
            fate,
            note: None,
        });
    }
    let fields = present.map(|table| table.schema.fields().iter()).into_iter().flatten();
    for field in fields.filter(|field| incoming.schema.field_with_name(field.name()).is_err()) {
        if policy == SchemaPolicy::Strict || !field.is_nullable() {
            return differs(field.name(), "target");
        }
        plans.push(ColumnPlan::added(field.name(), &field.data_type().to_string(), None));
    }
    Ok(plans)
}
