//! Drives ConnectorX: its parser of a query's rows, and its builders, one batch at a time.
//!
//! ConnectorX would run this loop on threads of rayon and put batches into a queue without bound. Here it runs on the thread
//! that asks, a batch is handed over as soon as it is full, and no row is fetched while nobody takes it. Each batch is a
//! destination of its own, because the size of ConnectorX's batches cannot change once rows were read.

use std::error::Error as StdError;
use std::fmt::Debug;
use std::marker::PhantomData;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow56::array::RecordBatch as TheirBatch;
use connectorx::destinations::arrowstream::ArrowDestinationError;
use connectorx::prelude::{
    ArrowStreamDestination, ArrowStreamPartitionWriter, ArrowStreamTypeSystem, CXQuery, ConnectorXError, DataOrder,
    Destination as _, DestinationPartition as _, Dispatcher, PartitionParser as _, Source, SourcePartition as _,
    Transport,
};

use super::config::Config;
use super::error::failed;
use crate::bridge::ffi::of_arrow56;
use crate::error::{Error, Result};

/// What ConnectorX says of a query's columns, in their order.
#[derive(Debug)]
pub(super) struct Described {
    /// Its own words for the database's types, in small letters: `int4`, `numeric`.
    pub(super) words: Vec<String>,
    /// Names and types of the batches.
    pub(super) schema: SchemaRef,
}

/// Who takes the rows.
pub(super) struct Taker<'a> {
    /// Rows of the first batch.
    pub(super) rows: usize,
    /// Takes a batch, and says how many rows the next one is to have; none when no more are wanted.
    pub(super) take: &'a mut dyn FnMut(RecordBatch) -> Result<Option<usize>>,
}

/// One query.
pub(super) struct Query<'a, 't> {
    pub(super) config: &'a Config,
    pub(super) sql: &'a str,
    /// None where only its columns are wanted.
    pub(super) taker: Option<Taker<'t>>,
}

impl Query<'_, '_> {
    /// Runs it on `source`, whose types become Arrow's by `TP`.
    pub(super) fn run<S, TP>(self, source: Result<S, S::Error>, _transport: PhantomData<TP>) -> Result<Described>
    where
        S: Source,
        S::TypeSystem: Debug,
        S::Error: StdError + 'static,
        TP: Transport<TSS = S::TypeSystem, TSD = ArrowStreamTypeSystem, S = S, D = ArrowStreamDestination>,
        TP::Error: StdError + 'static,
    {
        let Query { config, sql, taker } = self;
        let theirs = |error: TP::Error| failed(config, &error);
        let mut source = source.map_err(|error| failed(config, &error))?;
        let first = config.backend.first();
        if !first.is_empty() {
            source.set_pre_execution_queries(Some(&first));
        }
        let mut columns = ArrowStreamDestination::new_with_batch_size(1);
        let queries = [CXQuery::naked(sql)];
        let dispatcher = Dispatcher::<S, ArrowStreamDestination, TP>::new(source, &mut columns, &queries, None);
        let (_, partitions, _, natives, types) = dispatcher.prepare().map_err(theirs)?;
        let words = natives.iter().map(word).collect();
        let described = Described { words, schema: of_arrow56(columns.empty_batch())?.schema() };
        let Some(taker) = taker else { return Ok(described) };
        let mut batches = Batches::start(config, (columns.names(), types.as_slice()), taker)?;
        // There is one query, and so one partition.
        for mut partition in partitions {
            let steps = natives.iter().zip(&types).map(|(from, to)| TP::processor(*from, *to));
            let steps = steps.collect::<Result<Vec<_>, _>>().map_err(|error| failed(config, &error))?;
            let mut parser = partition.parser().map_err(|error| failed(config, &error))?;
            loop {
                let (count, is_last) = parser.fetch_next().map_err(|error| failed(config, &error))?;
                for _ in 0..count {
                    for step in &steps {
                        step(&mut parser, &mut batches.piece.writer).map_err(theirs)?;
                    }
                    if !batches.row()? {
                        return Ok(described);
                    }
                }
                if is_last {
                    break;
                }
            }
        }
        batches.end()?;
        Ok(described)
    }
}

/// `Numeric(true)` without whether it may be NULL.
fn word(native: &impl Debug) -> String {
    let text = format!("{native:?}");
    text.split('(').next().unwrap_or_default().to_ascii_lowercase()
}

/// Batches of one query on their way to who takes them: one at a time.
struct Batches<'a, 't> {
    config: &'a Config,
    names: &'a [String],
    types: &'a [ArrowStreamTypeSystem],
    taker: Taker<'t>,
    piece: Piece,
    rows: usize,
}

impl<'a, 't> Batches<'a, 't> {
    fn start(
        config: &'a Config,
        (names, types): (&'a [String], &'a [ArrowStreamTypeSystem]),
        taker: Taker<'t>,
    ) -> Result<Self> {
        let piece = Piece::start(names, types, taker.rows).map_err(|error| failed(config, &error))?;
        Ok(Self { config, names, types, taker, piece, rows: 0 })
    }

    /// Counts the row that was written. `false` when no more are wanted.
    fn row(&mut self) -> Result<bool> {
        self.rows += 1;
        if self.rows < self.taker.rows {
            return Ok(true);
        }
        let Some(rows) = self.hand()? else { return Ok(false) };
        self.taker.rows = rows;
        self.rows = 0;
        self.piece = Piece::start(self.names, self.types, rows).map_err(|error| failed(self.config, &error))?;
        Ok(true)
    }

    /// Hands over what is left.
    fn end(mut self) -> Result<()> {
        if self.rows > 0 {
            self.hand()?;
        }
        Ok(())
    }

    fn hand(&mut self) -> Result<Option<usize>> {
        let batch = self.piece.end().map_err(|error| failed(self.config, &error))?;
        (self.taker.take)(of_arrow56(batch)?)
    }
}

/// A batch that is being filled.
struct Piece {
    columns: ArrowStreamDestination,
    writer: ArrowStreamPartitionWriter,
}

impl Piece {
    /// An empty batch of at most `most` rows.
    fn start(names: &[String], types: &[ArrowStreamTypeSystem], most: usize) -> Result<Self, ArrowDestinationError> {
        // One more, so that it is this loop and not the writer that ends it.
        let mut columns = ArrowStreamDestination::new_with_batch_size(most.saturating_add(1));
        columns.allocate(0, names, types, DataOrder::RowMajor)?;
        let writer = columns.partition(1)?.pop().ok_or(ConnectorXError::CountError())?;
        Ok(Self { columns, writer })
    }

    /// What it holds. The queue between the two halves never has more than this one batch.
    fn end(&mut self) -> Result<TheirBatch, ArrowDestinationError> {
        self.writer.finalize()?;
        Ok(self.columns.record_batch()?.ok_or(ConnectorXError::CountError())?)
    }
}

/// The error of a URL that ConnectorX does not take.
pub(super) fn unread(config: &Config, error: &(dyn StdError + 'static)) -> Error {
    failed(config, error).with_hint("see the page of connectorx for the URLs that it takes")
}
