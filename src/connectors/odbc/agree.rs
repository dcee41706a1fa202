//! How rows land: the pure part of the sink. What it decides the plan shows, and writers and commit do.

use arrow::datatypes::Field;

use super::columns::Column;
use super::config::Config;
use super::driver::Product;
use super::typemap::{carrier, into_column};
use crate::driven::agree::{Before, Target, Terms};
use crate::driven::name::Quote;
use crate::error::Result;
use crate::sink::{Agreement, ColumnPlan, SchemaPolicy, WriteRequest};
use crate::source::TableShape;
use crate::sql::columns::{self, Known, Names, Unfilled};

/// The database of a target.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    pub(super) product: Product,
    pub(super) quote: Quote,
}

/// How `incoming` lands in `target`, a table of `dialect`, through the driver of `config`.
pub(super) fn agree(
    (config, dialect): (&Config, Dialect),
    incoming: &TableShape,
    request: &WriteRequest,
    target: &Target<Vec<Column>>,
) -> Result<Agreement> {
    let before = Before::of("ODBC", incoming, &request.mode, target)?;
    let draft = match &target.table {
        None => new_table(config, dialect.product, incoming)?,
        Some(table) => matched(dialect.product, incoming, request.schema, &table.columns)?,
    };
    let table = target.name.quoted(dialect.quote);
    let first = match before {
        Before::Make => {
            let columns = draft.plans.iter().zip(&draft.fields);
            let column = |(plan, field): (&ColumnPlan, &Field)| {
                format!("{} {}", dialect.quote.around(field.name()), plan.target_type)
            };
            format!("CREATE TABLE {table} ({})", columns.map(column).collect::<Vec<_>>().join(", "))
        }
        Before::Empty => format!("DELETE FROM {table}"),
        Before::Refuse | Before::Keep => String::new(),
    };
    let mut notes = Vec::new();
    if dialect.product == Product::Sqlite {
        let note = "dates, times and decimals go to the driver of SQLite as text: 'sqlite:' writes them as such";
        notes.push(note.to_owned());
    }
    // The driver is given the rows of a batch in blocks.
    let (name, transactions) = (target.name.clone(), target.transactions);
    Terms { name, before, transactions, first, memory_bytes: 0 }.agreement(draft, notes, request.visible)
}

/// The columns of an agreement while it grows.
type Draft = columns::Draft<()>;

fn new_table(config: &Config, product: Product, incoming: &TableShape) -> Result<Draft> {
    let mut draft = Draft::default();
    for field in incoming.schema.fields() {
        let (to, sql) = carrier(product, config, field)?;
        draft.fill(field, to, (&sql, ()))?;
    }
    Ok(draft)
}

fn matched(product: Product, incoming: &TableShape, policy: SchemaPolicy, table: &[Column]) -> Result<Draft> {
    let types: Vec<String> = table.iter().map(|column| column.field.data_type().to_string()).collect();
    // A driver says nothing of defaults.
    let known: Vec<Known<'_>> = table
        .iter()
        .zip(&types)
        .map(|(column, native_type)| Known { name: column.field.name(), native_type, unfilled: Unfilled::Null })
        .collect();
    Draft::matched(incoming, (&known, Names::Exact), policy, |draft, field, place| {
        draft.fill(field, into_column(product, &table[place]), (&types[place], ())).map(|_| ())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Schema};
    use serde_json::json;

    use super::super::columns::Form as Fetched;
    use super::*;
    use crate::driven::agree::{Table, Transactions};
    use crate::driven::name::Name;
    use crate::error::ErrorKind;
    use crate::sink::{Guarantee, Publish, WriteMode};

    const MARIADB: Dialect = Dialect { product: Product::MariaDb, quote: Quote::Sign('`') };

    fn config() -> Config {
        Config::parse(&json!({"url": "odbc:SHOP"})).unwrap()
    }

    fn incoming(columns: &[(&str, DataType)]) -> TableShape {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        TableShape::of(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
    }

    fn target(filled: Option<bool>, transactions: Transactions) -> Target<Vec<Column>> {
        let column =
            |name: &str, data_type: DataType, form: Fetched| Column { field: Field::new(name, data_type, true), form };
        let columns =
            || vec![column("id", DataType::Int64, Fetched::Whole), column("note", DataType::Utf8, Fetched::Text(100))];
        let table = filled.map(|filled| Table { columns: columns(), filled });
        let name = Name::parse("S.t").unwrap();
        Target { name, table, transactions }
    }

    #[test]
    fn the_plan_says_what_is_promised() {
        let rows = incoming(&[("id", DataType::UInt64), ("note", DataType::Utf8)]);
        let request = WriteRequest::new(WriteMode::Create);
        let agreement = agree((&config(), MARIADB), &rows, &request, &target(None, Transactions::Had)).unwrap();
        assert_eq!((agreement.publish, agreement.guarantee), (Publish::Held, Guarantee::AtLeastOnce));
        assert_eq!(agreement.label, r#""S"."t""#);
        assert_eq!(agreement.ddl, ["CREATE TABLE `S`.`t` (`id` DECIMAL(20,0), `note` LONGTEXT)"]);
        assert_eq!(*agreement.target.field(0).data_type(), DataType::Decimal128(20, 0));
        let agreement = agree((&config(), MARIADB), &rows, &request, &target(None, Transactions::Missing)).unwrap();
        assert_eq!(agreement.publish, Publish::PerTask);
        let notes = &agreement.notes;
        assert!(notes.iter().any(|note| note.contains("seen while they are loaded")), "{notes:?}");
        let replace = WriteRequest::new(WriteMode::Replace);
        let agreement = agree((&config(), MARIADB), &rows, &replace, &target(Some(true), Transactions::Had)).unwrap();
        assert_eq!(agreement.ddl, ["DELETE FROM `S`.`t`"]);
    }

    #[test]
    fn what_cannot_be_done_is_refused_before() {
        let rows = incoming(&[("id", DataType::Int64), ("note", DataType::Utf8)]);
        let refused = |mode: WriteMode, target: &Target<Vec<Column>>| {
            agree((&config(), MARIADB), &rows, &WriteRequest::new(mode), target).unwrap_err().kind()
        };
        let filled = target(Some(true), Transactions::Had);
        assert_eq!(refused(WriteMode::Create, &filled), ErrorKind::AlreadyExists);
        assert_eq!(refused(WriteMode::Upsert(crate::sink::Merge::default()), &filled), ErrorKind::Unsupported);
        let visible = target(Some(true), Transactions::Missing);
        assert_eq!(refused(WriteMode::Replace, &visible), ErrorKind::Unsupported);
        let other = incoming(&[("id", DataType::Int64), ("more", DataType::Utf8)]);
        let append = WriteRequest::new(WriteMode::Append);
        let error = agree((&config(), MARIADB), &other, &append, &filled).unwrap_err();
        assert_eq!(error.to_string(), "the columns differ: the target lacks more; the source lacks note");
        let ignoring = WriteRequest { schema: SchemaPolicy::Ignore, ..append };
        assert_eq!(agree((&config(), MARIADB), &other, &ignoring, &filled).unwrap().target.fields().len(), 1);
    }
}
