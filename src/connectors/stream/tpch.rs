//! The eight tables of TPC-H, by the tpchgen crates: the standard's own rows, cut into its own parts.
//!
//! Texts come as views there and leave as Utf8, which every sink takes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::record_batch;

/// Rows of one part at least: a part begins by winding the random numbers forward.
const PART_ROWS: u64 = 10_000;
/// The crate counts parts in 32 bits; more of them serve nobody.
const PART_LIMIT: u64 = 100_000;

/// Batches of one part, as the crate gives them.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// The set of tables at one scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tpch {
    /// The table that the locator names; none for all.
    pub(super) table: Option<&'static Table>,
    pub(super) scale: f64,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
    /// What is cut into parts at scale factor 1: rows, for lineitem orders, for partsupp parts.
    units: u64,
    /// Rows of a unit; for lineitem on average.
    unit_rows: u64,
    /// Bytes of a row in Arrow, about.
    pub(super) width: u64,
    schema: fn() -> SchemaRef,
    batches: fn(Part, usize) -> Batches,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// One part of a table: `number` counts from 1 to `count`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) scale: f64,
    pub(super) number: i32,
    pub(super) count: i32,
}

pub(super) const TABLES: [Table; 8] = [
    Table {
        name: "region",
        key: &["r_regionkey"],
        units: 5,
        unit_rows: 1,
        width: 90,
        schema: RegionArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = RegionGenerator::new(part.scale, part.number, part.count);
            Box::new(RegionArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "nation",
        key: &["n_nationkey"],
        units: 25,
        unit_rows: 1,
        width: 110,
        schema: NationArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = NationGenerator::new(part.scale, part.number, part.count);
            Box::new(NationArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "part",
        key: &["p_partkey"],
        units: 200_000,
        unit_rows: 1,
        width: 155,
        schema: PartArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = PartGenerator::new(part.scale, part.number, part.count);
            Box::new(PartArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "supplier",
        key: &["s_suppkey"],
        units: 10_000,
        unit_rows: 1,
        width: 175,
        schema: SupplierArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = SupplierGenerator::new(part.scale, part.number, part.count);
            Box::new(SupplierArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "partsupp",
        key: &["ps_partkey", "ps_suppkey"],
        units: 200_000,
        unit_rows: 4,
        width: 165,
        schema: PartSuppArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = PartSuppGenerator::new(part.scale, part.number, part.count);
            Box::new(PartSuppArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "customer",
        key: &["c_custkey"],
        units: 150_000,
        unit_rows: 1,
        width: 195,
        schema: CustomerArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = CustomerGenerator::new(part.scale, part.number, part.count);
            Box::new(CustomerArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "orders",
        key: &["o_orderkey"],
        units: 1_500_000,
        unit_rows: 1,
        width: 140,
        schema: OrderArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = OrderGenerator::new(part.scale, part.number, part.count);
            Box::new(OrderArrow::new(rows_of).with_batch_size(rows))
        },
    },
    Table {
        name: "lineitem",
        key: &["l_orderkey", "l_linenumber"],
        units: 1_500_000,
        unit_rows: 4,
        width: 190,
        schema: LineItemArrow::schema_ref,
        batches: |part, rows| {
            let rows_of = LineItemGenerator::new(part.scale, part.number, part.count);
            Box::new(LineItemArrow::new(rows_of).with_batch_size(rows))
        },
    },
];

impl Tpch {
    pub(super) fn new(table: Option<&str>, scale: f64) -> Result<Self> {
        if !(0.001..=100_000.0).contains(&scale) {
            return Err(Error::new(ErrorKind::Usage, "the scale factor of TPC-H is a number from 0.001 to 100000"));
        }
        Ok(Self { table: table.map(find).transpose()?, scale })
    }
}

/// The table `name`.
pub(super) fn find(name: &str) -> Result<&'static Table> {
    TABLES.iter().find(|table| table.name == name).ok_or_else(|| {
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        Error::new(ErrorKind::NotFound, format!("TPC-H has no table {name:?}"))
            .with_hint(format!("use one of {}", names.join(", ")))
    })
}

impl Table {
    /// Rows at `scale`; for lineitem about.
    pub(super) fn rows(&self, scale: f64) -> u64 {
        self.units(scale) * self.unit_rows
    }

    /// How many parts of about `rows` rows there are.
    pub(super) fn parts(&self, scale: f64, rows: u64) -> u64 {
        if self.units < PART_ROWS {
            return 1;
        }
        self.rows(scale).div_ceil(rows.max(PART_ROWS)).clamp(1, PART_LIMIT).min(self.units(scale).max(1))
    }

    /// The columns, texts as Utf8.
    pub(super) fn schema(&self) -> SchemaRef {
        let plain = |field: &Arc<_>| match plain_text(field) {
            Some(data_type) => field.as_ref().clone().with_data_type(data_type),
            None => field.as_ref().clone(),
        };
        Arc::new(Schema::new((self.schema)().fields().iter().map(plain).collect::<Vec<_>>()))
    }

    /// Starts one part. The first start in a process makes 300 MB of text.
    pub(super) fn batches(&self, part: Part, rows: usize) -> Batches {
        (self.batches)(part, rows)
    }

    fn units(&self, scale: f64) -> u64 {
        // Region and nation do not grow.
        if self.units < 100 { self.units } else { (self.units as f64 * scale) as u64 }
    }
}

/// The columns `places` of `batch`, texts as Utf8.
pub(super) fn project(batch: &RecordBatch, places: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let arrays = places.iter().map(|place| {
        let array = batch.column(*place);
        // From a view to the same text: nothing can be lost.
        plain_text(batch.schema_ref().field(*place)).map_or_else(|| Ok(Arc::clone(array)), |to| cast(array, &to))
    });
    let arrays = arrays.collect::<Result<_, _>>()?;
    record_batch(schema, arrays, batch.num_rows())
}

fn plain_text(field: &arrow::datatypes::Field) -> Option<DataType> {
    (*field.data_type() == DataType::Utf8View).then_some(DataType::Utf8)
}
