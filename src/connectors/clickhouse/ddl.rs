//! Statements that make tables.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::agree::{self, Target};
use super::name::{Name, identifier, identifiers, literal};
use super::typemap::{Kind, Mark, Type};
use crate::error::Result;
use crate::sink::{WriteMode, WriteRequest};
use crate::source::TableShape;

/// Field metadata: the place of a column in the sorting key of the table that it was read from. No other product has such a key,
/// which may hold the same values twice.
pub(super) const ORDER: &str = "etl.clickhouse.order";

/// A table that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewTable {
    pub(super) columns: Vec<NewColumn>,
    /// Columns of the sorting key, which is the primary key, too.
    pub(super) order: Vec<String>,
}

/// A column of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewColumn {
    pub(super) name: String,
    /// The type in ClickHouse's words.
    pub(super) declared: String,
    /// What the type does not say.
    pub(super) mark: Option<String>,
}

impl NewColumn {
    pub(super) fn of(name: &str, declared: &Type) -> Self {
        let mark = declared.mark().map(|mark| mark.comment().to_owned());
        Self { name: name.to_owned(), declared: declared.sql(), mark }
    }

    /// The type with its mark; none for one that is not known.
    pub(super) fn declared_as(&self) -> Option<Type> {
        Some(Type::parse(&self.declared)?.marked(self.mark.as_deref().and_then(Mark::of)))
    }
}

impl NewTable {
    /// The statement that makes it as `quoted`, with `comment` and `settings`.
    pub(super) fn create(&self, quoted: &str, comment: &str, settings: &[(&str, u64)]) -> String {
        let column = |column: &NewColumn| {
            let mark = column.mark.as_deref().map(|mark| format!(" COMMENT {}", literal(mark))).unwrap_or_default();
            format!("  {} {}{mark}", identifier(&column.name), column.declared)
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        let order = identifiers(self.order.iter().map(String::as_str));
        let order = match self.order.len() {
            0 => "tuple()".to_owned(),
            1 => order,
            _ => format!("({order})"),
        };
        let mut sql =
            format!("CREATE TABLE {quoted} (\n{}\n) ENGINE = MergeTree ORDER BY {order}", columns.join(",\n"));
        if !settings.is_empty() {
            let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let _ = write!(sql, " SETTINGS {}", settings.join(", "));
        }
        if !comment.is_empty() {
            let _ = write!(sql, " COMMENT {}", literal(comment));
        }
        sql
    }
}

/// The columns by which a new table for `incoming` is sorted: the key of the source, where all of it arrives, else the order that it
/// had in another ClickHouse.
pub(super) fn order_for(incoming: &TableShape) -> Vec<String> {
    let fields = incoming.schema.fields();
    if !incoming.whole_key().is_empty() {
        return incoming.key.clone();
    }
    let place = |field: &arrow::datatypes::FieldRef| {
        let place = field.metadata().get(ORDER)?.parse::<usize>().ok()?;
        (!field.is_nullable()).then(|| (place, field.name().clone()))
    };
    let mut order: Vec<(usize, String)> = fields.iter().filter_map(place).collect();
    order.sort();
    // One that lacks a column sorts in another way.
    let whole = order.iter().enumerate().all(|(expected, (place, _))| *place == expected);
    if whole { order.into_iter().map(|(_, name)| name).collect() } else { Vec::new() }
}

/// Whether values of `kind` can be in a sorting key.
pub(super) fn sorts(kind: &Kind) -> bool {
    !matches!(kind, Kind::Map(_) | Kind::Json)
}

/// The statements that would make `table` for the rows of `shape`.
pub(super) fn of_shape(shape: &TableShape, table: &str) -> Result<Vec<String>> {
    let name = Name::typed(table, "default")?;
    let shown = if table.contains('.') { name.quoted() } else { identifier(&name.table) };
    let agreement = agree::agree(shape, &WriteRequest::new(WriteMode::Create), &Target::Missing(name.clone()))?;
    Ok(agreement.ddl.iter().map(|statement| statement.replace(&name.quoted(), &shown)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::super::typemap::PRODUCT;
    use super::*;
    use crate::schema::{with_metadata, with_native};

    fn shape(fields: Vec<Field>, key: &[&str]) -> TableShape {
        TableShape {
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            ..TableShape::of(Arc::new(Schema::new(fields)))
        }
    }

    #[test]
    fn tables_have_types_marks_and_order() {
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("a`b", DataType::Binary, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        ];
        assert_eq!(
            of_shape(&shape(fields, &["id"]), "t").unwrap(),
            ["CREATE TABLE `t` (\n  `id` Int64,\n  `a\\`b` Nullable(String) COMMENT 'etl: bytes',\n  \
              `at` DateTime64(6, 'UTC') COMMENT 'etl: without time zone'\n) ENGINE = MergeTree ORDER BY `id`"]
        );
        let none = shape(vec![Field::new("x", DataType::Utf8, true)], &[]);
        assert!(of_shape(&none, "d.t").unwrap()[0].ends_with("ENGINE = MergeTree ORDER BY tuple()"));
    }

    #[test]
    fn the_order_of_another_clickhouse_is_kept_where_it_is_whole() {
        let of = |name: &str, place: &str, nullable| {
            let field = with_native(Field::new(name, DataType::Int64, nullable), &format!("{PRODUCT}:Int64"));
            with_metadata(field, ORDER, place)
        };
        assert_eq!(order_for(&shape(vec![of("b", "1", false), of("a", "0", false)], &[])), ["a", "b"]);
        assert!(order_for(&shape(vec![of("b", "1", false)], &[])).is_empty());
        assert!(order_for(&shape(vec![of("a", "0", true)], &[])).is_empty());
    }
}
