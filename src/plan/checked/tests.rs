//! Queries through DataFusion, checked: what does not fit is an error with its row, everything else as DataFusion has it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;

use super::{check_plan, register};
use crate::error::{Error, ErrorKind};
use crate::plan::error::from_datafusion;
use crate::plan::rowwise::RowwiseExec;
use crate::schema::{FORM, WIRE, with_metadata, with_native};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Ten rows in two batches: values of all kinds, with the odd ones in the last row.
fn batches() -> Vec<RecordBatch> {
    let wide = |value: i128| Decimal128Array::from(vec![1, 2, 3, 4, value]).with_precision_and_scale(38, 0).unwrap();
    let batch = |last: bool| {
        let odd = |plain: i64, odd: i64| if last { odd } else { plain };
        let float = if last { 1.9 } else { 5.0 };
        let native: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![b"x" as &[u8]; 5]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int32Array::from(vec![1, 2, 3, 4, odd(5, 10) as i32]))),
            ("big", Arc::new(Int64Array::from(vec![1, 2, 3, 4, odd(5, i64::MAX)]))),
            ("low", Arc::new(Int64Array::from(vec![1, 2, 3, 4, odd(5, i64::MIN)]))),
            ("unsigned", Arc::new(UInt64Array::from(vec![1, 2, 3, 4, if last { u64::MAX } else { 5 }]))),
            (
                "price",
                Arc::new(
                    Decimal128Array::from(vec![100, 200, 300, 400, 12_345]).with_precision_and_scale(10, 3).unwrap(),
                ),
            ),
            ("wide", Arc::new(wide(if last { 10i128.pow(38) - 1 } else { 5 }))),
            ("real", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0, float]))),
            ("nanos", Arc::new(TimestampNanosecondArray::from(vec![1000, 2000, 3000, 4000, odd(5000, 5001)]))),
            ("moment", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2, 3, odd(4, i64::MAX)]))),
            ("word", Arc::new(StringArray::from(vec!["1", "2", "3", "4", if last { "five" } else { "5" }]))),
            ("native", native),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| {
                let field = Field::new(*name, array.data_type().clone(), true);
                if *name == "native" {
                    with_metadata(with_native(field, "postgres:numeric"), FORM, WIRE)
                } else {
                    field
                }
            })
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    };
    vec![batch(false), batch(true)]
}

fn context() -> SessionContext {
    // One partition, so that rows have their order.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let batches = batches();
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

async fn plan(sql: &str) -> datafusion::error::Result<(Arc<dyn ExecutionPlan>, SessionContext)> {
    let context = context();
    register(&context);
    let plan = context.sql(sql).await?.create_physical_plan().await?;
    Ok((check_plan(plan)?, context))
}

fn run(sql: &str) -> Result<String, Error> {
    runtime().block_on(async {
        let (plan, context) = plan(sql).await.map_err(from_datafusion)?;
        let batches = collect(plan, context.task_ctx()).await.map_err(from_datafusion)?;
        Ok(pretty_format_batches(&batches).unwrap().to_string())
    })
}

/// The same without any of our checks.
fn unchecked(sql: &str) -> String {
    runtime().block_on(async {
        let batches = context().sql(sql).await.unwrap().collect().await.unwrap();
        pretty_format_batches(&batches).unwrap().to_string()
    })
}

#[test]
fn what_does_not_fit_is_an_error_of_its_row() {
    // The tenth row is the odd one.
    let cases = [
        "SELECT big + 1 FROM t",
        "SELECT big * 2 FROM t",
        "SELECT low - 1 FROM t",
        "SELECT -low FROM t",
        "SELECT id FROM t WHERE -low < 0",
        "SELECT CAST(real AS INT) FROM t",
        "SELECT CAST(big AS INT) FROM t",
        "SELECT CAST(low AS BIGINT UNSIGNED) FROM t",
        "SELECT CAST(unsigned AS BIGINT) FROM t",
        "SELECT CAST(big AS DOUBLE) FROM t",
        "SELECT CAST(word AS INT) FROM t",
        "SELECT wide * 10 FROM t",
        "SELECT wide + 1 FROM t",
        "SELECT arrow_cast(nanos, 'Timestamp(Microsecond, None)') FROM t",
        "SELECT CAST(moment AS TIMESTAMP) FROM t",
        "SELECT CASE WHEN id < 10 THEN 0 ELSE big + 1 END FROM t",
        "SELECT id FROM t WHERE CAST(real AS INT) > 0",
    ];
    for sql in cases {
        let error = run(sql).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Value, "{sql}: {error:?}");
        let row = error.frames().iter().find(|frame| frame.what == "row").map(|frame| frame.which.clone());
        assert_eq!(row.as_deref(), Some("10"), "{sql}: {error:?}");
        assert!(error.frames().iter().any(|frame| frame.what == "expression"), "{sql}: {error:?}");
        let text = format!("{error:?}");
        assert!(!text.contains("9223372036854775807") && !text.contains("five"), "{text}");
    }
}

#[test]
fn the_row_is_that_of_the_source_also_behind_a_filter() {
    let error = run("SELECT big + 1 FROM t WHERE id IN (3, 10)").unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 10: expression t.big + 1: the result of a calculation does not fit its type".replace("t.", "")
    );
    let error = run("SELECT CAST(price AS decimal(5,2)) FROM t").unwrap_err();
    assert!(error.to_string().starts_with("row 5: "), "{error}");
}

#[test]
fn constants_are_checked_before_they_are_folded() {
    for sql in [
        "SELECT CAST(1.9 AS INT) FROM t",
        "SELECT 9223372036854775807 + 1 FROM t",
        "SELECT id FROM t WHERE id = CAST(1.5 AS INT)",
        "SELECT 1 / 0 FROM t",
    ] {
        assert_eq!(run(sql).expect_err(sql).kind(), ErrorKind::Value, "{sql}");
    }
    assert_eq!(
        run("SELECT CAST(2.0 AS INT) AS two, 1 + 1 AS sum").unwrap(),
        unchecked("SELECT CAST(2.0 AS INT) AS two, 1 + 1 AS sum")
    );
}

#[test]
fn sums_are_checked() {
    for sql in [
        "SELECT sum(big) FROM t",
        "SELECT sum(low) FROM (SELECT -big - 1 AS low FROM t)",
        "SELECT sum(unsigned) FROM t",
        "SELECT sum(wide) FROM t",
        "SELECT sum(big + 1) FROM t",
        "SELECT big > 3 AS many, sum(big) FROM t GROUP BY many",
        "SELECT max(big * 2) FROM t",
        "SELECT count(*) FROM t GROUP BY big + 1",
        "SELECT sum(big) FILTER (WHERE id <> 1) FROM t",
        "SELECT count(*) FILTER (WHERE -low > 0) FROM t",
    ] {
        assert_eq!(run(sql).expect_err(sql).kind(), ErrorKind::Value, "{sql}");
    }
}

#[test]
fn means_are_checked() {
    let huge = format!("arrow_cast('{}', 'Decimal256(76, 0)')", "9".repeat(76));
    let table = format!("(SELECT id, CASE WHEN id > 0 THEN {huge} END AS huge FROM t) AS wide");
    for sql in
        [format!("SELECT avg(huge) FROM {table}"), format!("SELECT id % 2 AS odd, avg(huge) FROM {table} GROUP BY odd")]
    {
        assert_eq!(run(&sql).expect_err(&sql).kind(), ErrorKind::Value, "{sql}");
    }
    // The sum of equal durations may be too large for one; their mean is not.
    let long = "SELECT id, arrow_cast(big, 'Duration(Second)') AS d FROM t WHERE id > 9";
    for group in ["", " GROUP BY id"] {
        let found = run(&format!("SELECT arrow_cast(avg(d), 'Int64') AS m FROM ({long} UNION ALL {long}){group}"));
        assert!(found.unwrap().contains("9223372036854775807"));
    }
}

#[test]
fn everything_else_is_as_it_was() {
    for sql in [
        "SELECT id + 1, big - 1, -big, price * 2, real / 3, id % 2, 7 / 2 FROM t ORDER BY 1",
        "SELECT CAST(id AS BIGINT) AS a, CAST(id AS DOUBLE) AS b, CAST(id AS VARCHAR) AS c FROM t",
        "SELECT CAST(moment AS VARCHAR) FROM t WHERE id < 10",
        "SELECT TRY_CAST(word AS INT), TRY_CAST('x' AS INT) FROM t",
        "SELECT sum(id), sum(price), sum(real), avg(id), avg(price), min(word), count(*) FROM t",
        "SELECT id % 2 AS odd, sum(id), sum(price), avg(price) FROM t GROUP BY odd ORDER BY odd",
        "SELECT id, sum(id) FILTER (WHERE id > 2) FROM t GROUP BY id ORDER BY id",
        "SELECT sum(id) FROM t WHERE id > 100",
        "SELECT id, sum(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t WHERE id < 4 ORDER BY id, s",
        "SELECT upper(word) FROM t WHERE real > 1.5 AND word LIKE '%f%'",
        "SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.big WHERE a.id < 3 ORDER BY a.id, b.id",
        "SELECT a.id FROM t a JOIN t b ON a.id + 1 = b.id AND a.real < b.real ORDER BY a.id",
        "SELECT id FROM t LIMIT 3",
        "SELECT native FROM t WHERE native IS NOT NULL",
        "SELECT coalesce(NULL, id), CASE WHEN id > 2 THEN 'a' ELSE 'b' END FROM t",
        "SELECT count(*) FROM t",
        "SELECT DISTINCT id FROM t ORDER BY id DESC",
        "SELECT sum(DISTINCT id) FROM t",
        "SELECT avg(DISTINCT price), avg(real), abs(low), abs(price) FROM t WHERE id < 5 GROUP BY low, price",
        "SELECT avg(arrow_cast(price, 'Decimal256(50, 3)')), avg(arrow_cast(id, 'Duration(Second)')) FROM t",
        "SELECT id % 3 AS k, avg(arrow_cast(price, 'Decimal256(50, 3)')) FILTER (WHERE id <> 2) FROM t GROUP BY k ORDER BY k",
        "SELECT avg(arrow_cast(price, 'Decimal256(50, 3)')) FROM t WHERE id > 100",
        "SELECT id, avg(arrow_cast(price, 'Decimal256(50, 3)')) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t WHERE id < 4 ORDER BY id, s",
    ] {
        assert_eq!(run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")), unchecked(sql), "{sql}");
    }
}

#[test]
fn a_failed_try_cast_is_null_and_no_changed_value() {
    let found = run("SELECT TRY_CAST(real AS INT) AS n FROM t WHERE id >= 5").unwrap();
    assert!(found.contains("| 5 |") && !found.contains("| 1 |"), "{found}");
}

#[test]
fn a_timestamp_takes_the_zone_of_an_explicit_cast() {
    let found =
        run("SELECT arrow_cast(moment, 'Timestamp(Microsecond, Some(\"+02:00\"))') AS m FROM t WHERE id = 1").unwrap();
    assert!(found.contains("1970-01-01T00:00:00+02:00"), "{found}");
    let text = run("SELECT arrow_cast('2024-01-02 03:04:05', 'Timestamp(Microsecond, Some(\"UTC\"))') AS m").unwrap();
    assert!(text.contains("2024-01-02T03:04:05Z"), "{text}");
}

#[test]
fn native_forms_are_passed_on_and_not_computed_with() {
    for sql in [
        "SELECT upper(arrow_cast(native, 'Utf8')) FROM t",
        "SELECT id FROM t WHERE native = arrow_cast('x', 'Binary')",
        "SELECT id FROM t ORDER BY native",
        "SELECT count(*) FROM t GROUP BY arrow_cast(native, 'Utf8')",
    ] {
        let error = run(sql).expect_err(sql);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error:?}");
    }
}

#[test]
fn unknown_columns_are_named_with_those_there_are() {
    let error = run("SELECT nope FROM t").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "there is no column \"nope\""));
    assert!(error.hint().unwrap().contains("big"));
    assert_eq!(run("SELECT frobnicate(id) FROM t").unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(run("SELEC id").unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_filter_and_its_projection_are_one_operator_that_travels() {
    runtime().block_on(async {
        let (plan, context) = plan("SELECT id + 1 AS next, word FROM t WHERE big > 2").await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(shown.matches("Exec").count(), 2, "{shown}");
        let rowwise = plan.downcast_ref::<RowwiseExec>().unwrap();
        // The filter copies the columns that are still needed, not the one that it looks at itself.
        assert!(format!("{rowwise:?}").contains("kept: Some([0, 2])"), "{rowwise:?}");
        let codec = DefaultPhysicalExtensionCodec {};
        let bytes = rowwise.to_bytes(&codec).unwrap();
        let input = Arc::clone(plan.children()[0]);
        let back = RowwiseExec::from_bytes(&bytes, input, &context.task_ctx(), &codec).unwrap();
        assert_eq!(displayable(&back).indent(false).to_string(), shown);
        let (one, other) =
            (collect(Arc::clone(&plan), context.task_ctx()).await, collect(Arc::new(back), context.task_ctx()).await);
        assert_eq!(one.unwrap(), other.unwrap());
        // Checked again it stays as it is.
        let again = check_plan(Arc::clone(&plan)).unwrap();
        assert_eq!(displayable(again.as_ref()).indent(false).to_string(), shown);
    });
}

#[test]
fn a_schema_keeps_its_types() {
    runtime().block_on(async {
        let (plan, _) = plan("SELECT CAST(id AS BIGINT) AS id, moment FROM t").await.unwrap();
        let moment = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert_eq!(plan.schema().field(0).data_type(), &DataType::Int64);
        assert_eq!(plan.schema().field(1).data_type(), &moment);
    });
}
