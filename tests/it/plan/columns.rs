//! Columns of the source as a job describes them: by name, with values, texts read as what they mean.

use arrow::array::Float64Array;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use arrow_etl::job::{SourceColumn, TextKind};

use super::*;

fn source() -> Memory {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let whole: ArrayRef = Arc::new(StringArray::from(vec![" 7 ", "-8"]));
    let truth: ArrayRef = Arc::new(StringArray::from(vec![Some("TRUE"), None]));
    let days: ArrayRef = Arc::new(StringArray::from(vec!["03.02.2024", "04.02.2024"]));
    let rates: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5]));
    let columns =
        [("id", ids, true), ("N", whole, true), ("truth", truth, true), ("day", days, true), ("rate", rates, true)];
    let memory = Memory::new();
    memory.insert("src", RecordBatch::try_from_iter_with_nullable(columns).unwrap(), 1);
    memory
}

fn described(columns: Vec<SourceColumn>) -> Transform {
    Transform { columns, ..Transform::default() }
}

fn of_kind(name: &str, kind: TextKind) -> SourceColumn {
    SourceColumn { kind: Some(kind), ..SourceColumn::named(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_taken_read_and_filled() {
    let day = SourceColumn { format: Some("%d.%m.%Y".to_owned()), ..of_kind("day", TextKind::Moment) };
    let constant = SourceColumn { value: Some("42".to_owned()), ..of_kind("tenant", TextKind::Whole) };
    let id = SourceColumn { value: Some("9".to_owned()), ..SourceColumn::named("id") };
    // What is no text stays what it is.
    let rate = of_kind("rate", TextKind::Whole);
    let columns = vec![constant, of_kind("n", TextKind::Whole), of_kind("truth", TextKind::Truth), day, id, rate];
    let target = Memory::new();
    run(&job(described(columns)), &source(), &target).await.unwrap();
    let rows = target.table("dst").unwrap().rows;
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["tenant", "n", "truth", "day", "id", "rate"]);
    let whole = |at: usize| rows.column(at).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(whole(0), [Some(42), Some(42)]);
    assert_eq!(whole(1), [Some(7), Some(-8)]);
    assert_eq!(rows.column(2).as_boolean().iter().collect::<Vec<_>>(), [Some(true), None]);
    // date -u -d 2024-02-03 +%s
    let days = rows.column(3).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(days.values(), &[1_706_918_400_000_000, 1_707_004_800_000_000]);
    assert_eq!(whole(4), [Some(1), Some(9)]);
    assert_eq!(rows.column(5).as_primitive::<Float64Type>().values(), &[0.5, 1.5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_select_over_them_calls_the_table_as_the_job_does() {
    let mut transform = described(vec![SourceColumn::named("id"), of_kind("n", TextKind::Whole)]);
    transform.table = Some("orders".to_owned());
    transform.sql = Some("select n * 2 as doubled from orders where id is not null".to_owned());
    let target = Memory::new();
    run(&job(transform), &source(), &target).await.unwrap();
    let rows = target.table("dst").unwrap().rows;
    assert_eq!(rows.column_by_name("doubled").unwrap().as_primitive::<Int64Type>().values(), &[14]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_must_be_there_once_and_its_text_must_fit() {
    let refused = [
        (vec![SourceColumn::named("nope")], ErrorKind::Usage),
        (vec![SourceColumn::named("id"), SourceColumn::named("id")], ErrorKind::Usage),
        (vec![of_kind("day", TextKind::Whole)], ErrorKind::Value),
    ];
    for (columns, kind) in refused {
        let error = run(&job(described(columns.clone())), &source(), &Memory::new()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{columns:?}: {error}");
    }
}
