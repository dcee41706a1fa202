use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::error::ErrorKind;
use crate::schema::{EXTENSION, EXTENSION_JSON, with_metadata};
use crate::sink::{Agreement, ColumnFate, Receipt, SchemaPolicy, Sink, Tasks, WriteMode, WriteRequest, Writer};

pub(super) fn request(mode: WriteMode) -> WriteRequest {
    WriteRequest { tasks: Tasks::One, ..WriteRequest::new(mode) }
}

pub(super) fn batch(ids: &[i64], names: &[Option<&str>]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from(names.to_vec()))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(super) fn shape(batch: &RecordBatch) -> TableShape {
    TableShape { key: vec!["id".into()], ..TableShape::of(batch.schema()) }
}

/// One sink that has agreed and prepared.
pub(super) struct Writing {
    endpoint: Arc<dyn Endpoint>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) agreement: Agreement,
    pub(super) token: Token,
}

impl Writing {
    pub(super) async fn begin(folder: &Folder, mode: WriteMode, shape: &TableShape) -> Result<Self> {
        Self::into(&folder.endpoint(), mode, shape).await
    }

    pub(super) async fn into(endpoint: &Arc<dyn Endpoint>, mode: WriteMode, shape: &TableShape) -> Result<Self> {
        let endpoint = Arc::clone(endpoint);
        let sink = endpoint.sink(&table("t"))?;
        let agreement = sink.agree(shape, &request(mode)).await?;
        let token = token(&uuid::Uuid::now_v7().to_string());
        sink.prepare(&agreement, &token).await?;
        sink.prepare(&agreement, &token).await?;
        Ok(Self { endpoint, sink, agreement, token })
    }

    pub(super) async fn writer(&self, task: u32) -> Box<dyn Writer> {
        self.sink.writer(&self.agreement, &Attempt::new(self.token.clone(), task, vec![task])).await.unwrap()
    }

    pub(super) async fn task(&self, task: u32, batch: RecordBatch) -> Result<Receipt> {
        let mut writer = self.writer(task).await;
        writer.write(batch).await?;
        writer.flush(&self.token).await
    }

    pub(super) async fn commit(&self, receipts: &[Receipt]) -> Result<()> {
        self.sink.commit(&self.agreement, &self.token, receipts).await?;
        self.endpoint.finish(std::slice::from_ref(&self.agreement)).await
    }

    pub(super) async fn abort(&self) {
        self.sink.abort(&self.agreement, &self.token).await.unwrap();
    }
}

pub(super) async fn copy(folder: &Folder, mode: WriteMode, batch: RecordBatch) -> Result<()> {
    let writing = Writing::begin(folder, mode, &shape(&batch)).await?;
    match writing.task(0, batch).await {
        Ok(receipt) => {
            let committed = writing.commit(std::slice::from_ref(&receipt)).await;
            if committed.is_err() {
                writing.abort().await;
            }
            committed
        }
        Err(error) => {
            writing.abort().await;
            Err(error)
        }
    }
}

pub(super) fn text(folder: &Folder, sql: &str) -> String {
    let connection = folder.connection();
    let mut statement = connection.prepare(sql).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| {
        let show = |place| match row.get_ref(place).unwrap() {
            rusqlite::types::ValueRef::Null => "NULL".to_owned(),
            rusqlite::types::ValueRef::Integer(value) => value.to_string(),
            rusqlite::types::ValueRef::Real(value) => format!("{value:?}"),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            rusqlite::types::ValueRef::Blob(bytes) => format!("x{bytes:02x?}"),
        };
        Ok((0..count).map(show).collect::<Vec<_>>().join("|"))
    });
    rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_new_file_appears_complete_or_not_at_all() {
    let folder = Folder::new();
    let rows = batch(&[1, 2], &[Some("a"), None]);
    let writing = Writing::begin(&folder, WriteMode::Create, &shape(&rows)).await.unwrap();
    let receipt = writing.task(0, rows.clone()).await.unwrap();
    assert!(!folder.path("shop.db").exists());
    writing.commit(std::slice::from_ref(&receipt)).await.unwrap();
    writing.commit(&[receipt]).await.unwrap();
    writing.abort().await;
    assert_eq!(text(&folder, "select * from t"), "1|a\n2|NULL");
    drop(writing);
    assert_eq!(folder.names(), ["shop.db"]);
    let sql = "CREATE TABLE \"t\" (\n  \"id\" INTEGER NOT NULL,\n  \"name\" TEXT,\n  PRIMARY KEY (\"id\")\n)";
    assert_eq!(text(&folder, "select sql from sqlite_schema"), sql);

    let folder = Folder::new();
    let writing = Writing::begin(&folder, WriteMode::Create, &shape(&rows)).await.unwrap();
    writing.task(0, rows).await.unwrap();
    writing.abort().await;
    writing.abort().await;
    drop(writing);
    assert_eq!(folder.names(), Vec::<String>::new());
}

#[tokio::test]
async fn modes_keep_refuse_or_replace_what_is_there() {
    for journal in ["delete", "wal"] {
        let folder = Folder::new();
        folder.run(&format!("pragma journal_mode = {journal}; create table t (id integer primary key, name text)"));
        folder.run("create index by_name on t (name); create view v as select name from t;");
        copy(&folder, WriteMode::Create, batch(&[1], &[Some("a")])).await.unwrap();
        let error = copy(&folder, WriteMode::Create, batch(&[2], &[Some("b")])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        copy(&folder, WriteMode::Append, batch(&[2], &[Some("b")])).await.unwrap();
        assert_eq!(text(&folder, "select * from t"), "1|a\n2|b");
        copy(&folder, WriteMode::Replace, batch(&[3, 4], &[Some("c"), None])).await.unwrap();
        assert_eq!(text(&folder, "select * from v"), "c\nNULL");
        assert_eq!(text(&folder, "select name from sqlite_schema where type = 'index'"), "by_name");
        assert_eq!(text(&folder, "pragma integrity_check"), "ok");
        copy(&folder, WriteMode::Truncate, batch(&[], &[])).await.unwrap();
        assert_eq!(text(&folder, "select count(*) from t"), "0");
    }
}

#[tokio::test]
async fn a_refused_row_is_named_and_leaves_the_target_alone() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, name text unique on conflict replace check (name <> 'bad'))");
    folder.run("insert into t values (100, 'old')");
    let names: Vec<String> = (0..50).map(|id| format!("n{id}")).collect();
    let ids: Vec<i64> = (0..50).collect();
    let refused = async |place: usize, name: &str, mode| {
        let mut names: Vec<Option<&str>> = names.iter().map(|name| Some(name.as_str())).collect();
        names[place] = Some(name);
        let error = copy(&folder, mode, batch(&ids, &names)).await.unwrap_err();
        assert_eq!(text(&folder, "select * from t"), "100|old");
        error.to_string().split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        refused(20, "n3", WriteMode::Append).await,
        "table t: row 21: the target refuses a row: UNIQUE constraint failed: t.name"
    );
    assert_eq!(
        refused(49, "bad", WriteMode::Replace).await,
        "table t: row 50: the target refuses a row: CHECK constraint failed: name <> 'bad'"
    );
}

#[tokio::test]
async fn exactly_the_receipts_become_visible() {
    let row = |id: i64| batch(&[id], &[Some("x")]);
    for counts in [0, 1] {
        let folder = Folder::new();
        folder.run("create table t (id integer primary key, name text)");
        let writing = Writing::begin(&folder, WriteMode::Append, &shape(&row(1))).await.unwrap();
        // Dropped without a flush.
        writing.writer(0).await.write(row(1)).await.unwrap();
        let lost = writing.task(0, row(1)).await.unwrap();
        let again = writing.task(0, row(1)).await.unwrap();
        let next = writing.task(1, row(2)).await.unwrap();
        let first = vec![lost, again].remove(counts);
        writing.commit(&[first, next]).await.unwrap();
        assert_eq!(text(&folder, "select id from t"), "1\n2");
    }
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, name text)");
    let writing = Writing::begin(&folder, WriteMode::Append, &shape(&row(1))).await.unwrap();
    writing.task(0, row(1)).await.unwrap();
    writing.commit(&[]).await.unwrap();
    assert_eq!(text(&folder, "select id from t"), "");
}

#[tokio::test]
async fn rows_that_others_refer_to_are_replaced_without_harm() {
    let folder = Folder::new();
    folder.run(
        "pragma foreign_keys = on;
         create table t (id integer primary key, name text);
         create table child (t integer references t (id) on delete cascade);
         insert into t values (1, 'a'), (2, 'b'); insert into child values (1), (2);",
    );
    copy(&folder, WriteMode::Replace, batch(&[1, 2, 3], &[Some("A"), Some("B"), None])).await.unwrap();
    assert_eq!(text(&folder, "select t.name from child join t on t.id = child.t"), "A\nB");
    let error = copy(&folder, WriteMode::Replace, batch(&[1], &[Some("A")])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Constraint);
    assert_eq!(text(&folder, "select count(*) from t"), "3");
    folder.run("alter table child rename to t2; alter table t rename to parent; alter table t2 rename to t;");
    let orphan = RecordBatch::try_from_iter([("t", Arc::new(Int64Array::from(vec![1, 9])) as ArrayRef)]).unwrap();
    let writing = Writing::begin(&folder, WriteMode::Append, &TableShape::of(orphan.schema())).await.unwrap();
    let error = match writing.task(0, orphan).await {
        Ok(receipt) => writing.commit(&[receipt]).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().ends_with("row 2: the target refuses a row: FOREIGN KEY constraint failed"), "{error}");
}

#[tokio::test]
async fn a_copy_within_one_file_commits() {
    for journal in ["delete", "wal"] {
        let folder = Folder::new();
        folder.run(&format!("pragma journal_mode = {journal}; create table s (id integer primary key, name text)"));
        folder.run("insert into s values (1, 'a'), (2, null)");
        let endpoint = folder.endpoint();
        let reading = Reading::of(&endpoint, table("s"), 2).await.unwrap();
        let writing = Writing::begin(&folder, WriteMode::Create, &reading.shape).await.unwrap();
        let mut writer = writing.writer(0).await;
        for batch in reading.all(&reading.scan()).await.unwrap() {
            writer.write(batch).await.unwrap();
        }
        let receipt = writer.flush(&writing.token).await.unwrap();
        assert_eq!(receipt.rows, 2);
        reading.session.close().await.unwrap();
        writing.commit(&[receipt]).await.unwrap();
        assert_eq!(text(&folder, "select * from t"), "1|a\n2|NULL");
    }
}

/// One row of every type, as a writer gets it.
fn every_type() -> RecordBatch {
    let json = with_metadata(Field::new("j", DataType::Utf8, true), EXTENSION, EXTENSION_JSON);
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("b", DataType::Boolean, true), Arc::new(BooleanArray::from(vec![Some(true), None]))),
        (Field::new("i", DataType::Int32, true), Arc::new(Int32Array::from(vec![Some(-5), None]))),
        (Field::new("f", DataType::Float64, true), Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        (
            Field::new("n", DataType::Decimal128(10, 2), true),
            Arc::new(Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            Field::new("m", DataType::Decimal128(38, 3), true),
            Arc::new(Decimal128Array::from(vec![Some(i128::MAX / 10), None]).with_precision_and_scale(38, 3).unwrap()),
        ),
        (Field::new("d", DataType::Date32, true), Arc::new(Date32Array::from(vec![Some(-1_000_000), None]))),
        (
            Field::new("ti", DataType::Time64(arrow::datatypes::TimeUnit::Microsecond), true),
            Arc::new(Time64MicrosecondArray::from(vec![Some(1), None])),
        ),
        (
            Field::new("ts", DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None), true),
            Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None])),
        ),
        (
            Field::new("tz", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())), true),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC")),
        ),
        (json, Arc::new(StringArray::from(vec![Some("1.10"), None]))),
        (Field::new("s", DataType::Utf8, true), Arc::new(StringArray::from(vec![Some("nul\0 it's"), None]))),
        (Field::new("x", DataType::Binary, true), Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
    ];
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[tokio::test]
async fn every_type_comes_back_as_it_went() {
    let folder = Folder::new();
    let batch = every_type();
    let writing = Writing::begin(&folder, WriteMode::Create, &TableShape::of(batch.schema())).await.unwrap();
    assert!(writing.agreement.columns.iter().all(|column| column.fate == ColumnFate::Exact));
    let receipt = writing.task(0, batch.clone()).await.unwrap();
    writing.commit(&[receipt]).await.unwrap();
    assert_eq!(
        text(&folder, "select * from t limit 1").replace('\0', "0"),
        "1|-5|0.1|12.5|17014118346046923173168730371588410.572|-0768-02-04|00:00:00.000001|\
         1969-12-31 23:59:59.999999999|1970-01-01 00:00:01.5+00:00|1.10|nul0 it's|x[00, ff]"
    );
    let reading = Reading::of(&folder.endpoint(), table("t"), 1).await.unwrap();
    let back = reading.all(&reading.scan()).await.unwrap();
    assert_eq!(back[0].columns(), batch.columns());
}

#[tokio::test]
async fn what_sqlite_would_change_is_refused() {
    let folder = Folder::new();
    let refused = async |ddl: &str, array: ArrayRef| {
        folder.run(&format!("drop table if exists t; create table t (a {ddl})"));
        let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
        let writing = Writing::begin(&folder, WriteMode::Append, &TableShape::of(batch.schema())).await.unwrap();
        let error = writing.task(0, batch).await.unwrap_err();
        writing.abort().await;
        assert_eq!(error.kind(), ErrorKind::Value);
        error.to_string().split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        refused("real", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))).await,
        "table t: row 2: column a: SQLite has no NaN and would store NULL"
    );
    let error = refused("string", Arc::new(StringArray::from(vec!["abc", "007"]))).await;
    assert_eq!(error, "table t: row 2: column a: the column would turn this text into another number");
    let long = Decimal128Array::from(vec![12_345_678_901_234_567_891]).with_precision_and_scale(20, 2).unwrap();
    let error = refused("decimal(20,2)", Arc::new(long)).await;
    assert_eq!(error, "table t: row 1: column a: the decimal has more digits than a number of this column keeps");
}

#[tokio::test]
async fn columns_that_differ_are_refused_or_ignored() {
    let folder = Folder::new();
    folder.run("create table t (ID integer primary key, extra text default 'x', made as (extra || '!'))");
    let rows = batch(&[1], &[Some("a")]);
    let error = Writing::begin(&folder, WriteMode::Append, &shape(&rows)).await.map(|_| ()).unwrap_err();
    assert!(
        error.to_string().ends_with("the columns differ: the target lacks name; the source lacks extra"),
        "{error}"
    );
    let sink = folder.endpoint().sink(&table("T")).unwrap();
    let request = WriteRequest { schema: SchemaPolicy::Ignore, ..request(WriteMode::Append) };
    let agreement = sink.agree(&shape(&rows), &request).await.unwrap();
    let fates: Vec<_> = agreement.columns.iter().map(|column| column.fate).collect();
    assert_eq!(fates, [ColumnFate::Exact, ColumnFate::Dropped, ColumnFate::Added]);
    assert_eq!(agreement.target.field(0).name(), "ID");
}

#[tokio::test]
async fn existing_columns_say_what_they_take() {
    let folder = Folder::new();
    folder.run(
        "create table t (a varchar(5), b boolean, c datetime, d int2, e, f numeric, g date);
         insert into t (g) values (1700000000);",
    );
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let zoned = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, Some("Europe/Berlin".into()));
    let agree = async |fields: Vec<Field>| {
        let request = WriteRequest { schema: SchemaPolicy::Ignore, ..request(WriteMode::Append) };
        let sink = folder.endpoint().sink(&table("t")).unwrap();
        sink.agree(&TableShape::of(Arc::new(Schema::new(fields))), &request).await
    };
    let agreement = agree(vec![
        field("a", DataType::Int64),
        field("b", DataType::Int64),
        field("c", zoned),
        field("d", DataType::UInt64),
        field("e", DataType::LargeUtf8),
        field("f", DataType::Decimal128(20, 2)),
    ])
    .await
    .unwrap();
    let types: Vec<String> = agreement.target.fields().iter().map(|field| field.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Boolean", "Timestamp(ns, \"UTC\")", "Int64", "Utf8", "Decimal128(20, 2)"]);
    let error = agree(vec![field("g", DataType::Date32)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    let by_key = request(WriteMode::Changes { key: vec!["a".into()] });
    let sink = folder.endpoint().sink(&table("t")).unwrap();
    let shape = TableShape::of(Arc::new(Schema::new(vec![field("a", DataType::Utf8)])));
    assert_eq!(sink.agree(&shape, &by_key).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_locked_database_is_told_and_a_missing_folder_too() {
    let folder = Folder::new();
    folder.run("create table t (id integer primary key, name text)");
    let other = folder.connection();
    other.execute_batch("begin immediate").unwrap();
    let error = copy(&folder, WriteMode::Append, batch(&[1], &[None])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let sink = endpoint(&folder.path("no/shop.db")).sink(&table("t")).unwrap();
    let error = sink.agree(&shape(&batch(&[], &[])), &request(WriteMode::Create)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn sql_of_the_user_is_all_or_nothing() {
    use crate::endpoint::{Step, StepToken};
    let step = |step| StepToken { run: "r".to_owned(), step, index: 0 };
    let folder = Folder::new();
    let endpoint = folder.endpoint();
    endpoint.execute(&step(Step::PreSql), "create table t (a); insert into t values (1)").await.unwrap();
    let error = endpoint.execute(&step(Step::PostSql), "delete from t; select * from missing").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(text(&folder, "select * from t"), "1");
}
