//! Types of new columns, and the statements that make tables.

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::connect::Server;
use super::name::{Name, identifier, identifiers, quoted_text};
use super::typemap::{COLLATION, DECIMAL_DIGITS, Kind, MyType, PRODUCT};
use crate::error::{Error, ErrorKind, Result};
use crate::fate::{is_text, max_chars};
use crate::schema::{self, COMMENT};
use crate::source::TableShape;

/// Letters of a text that a row may hold beside others: all columns of a row share 65,535 bytes.
const VARCHAR_CHARS: usize = 1024;
/// Bytes of a row that are given to columns of limited length; what is beyond gets a type that lies elsewhere.
const ROW_BYTES: usize = 48_000;
/// Bytes of the longest key of `InnoDB`; a letter may take four.
const KEY_BYTES: usize = 3072;

/// A table that is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewTable {
    pub(super) columns: Vec<NewColumn>,
    /// Columns of the primary key, in key order.
    pub(super) key: Vec<String>,
    pub(super) comment: Option<String>,
}

/// A column of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewColumn {
    pub(super) name: String,
    /// The type as SQL has it.
    pub(super) sql_type: String,
    pub(super) not_null: bool,
    /// What it holds where nothing is given.
    #[serde(default)]
    pub(super) default: Option<String>,
    pub(super) comment: Option<String>,
}

impl NewTable {
    /// The statement that makes it as `quoted`, with `comment` in place of its own.
    pub(super) fn create(&self, quoted: &str, comment: &str) -> String {
        let column = |column: &NewColumn| {
            // A timestamp is NOT NULL unless told otherwise.
            let null = if column.not_null || self.key.contains(&column.name) { " NOT NULL" } else { " NULL" };
            let default = column.default.as_ref().map(|sql| format!(" DEFAULT {sql}")).unwrap_or_default();
            let comment =
                column.comment.as_ref().map(|text| format!(" COMMENT {}", quoted_text(text))).unwrap_or_default();
            format!("{} {}{null}{default}{comment}", identifier(&column.name), column.sql_type)
        };
        let mut lines: Vec<String> = self.columns.iter().map(column).collect();
        if !self.key.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", identifiers(self.key.iter().map(String::as_str))));
        }
        format!(
            "CREATE TABLE {quoted} ({}) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COMMENT = {}",
            lines.join(", "),
            quoted_text(comment)
        )
    }

    /// The statement as the plan shows it.
    pub(super) fn shown(&self, target: &Name) -> String {
        self.create(&target.quoted(), self.comment.as_deref().unwrap_or_default())
    }
}

/// What would make `table` for the rows of `shape` in a MySQL of today, without a look at a server.
pub(super) fn of_shape(shape: &TableShape, table: &str) -> Result<Vec<String>> {
    // The database is the one of the session that runs the statement.
    let name = Name::typed(table, Some(""))?;
    let quoted = if name.database.is_empty() { identifier(&name.table) } else { name.quoted() };
    let columns = new_columns(shape.schema.fields().iter().map(AsRef::as_ref), &shape.key, &server_of_today())?;
    let new = NewTable { columns, key: shape.key.clone(), comment: shape.comment.clone() };
    Ok(vec![new.create(&quoted, shape.comment.as_deref().unwrap_or_default())])
}

/// What is known of a MySQL that is not asked.
pub(super) fn server_of_today() -> Server {
    Server { version_number: 80_036, ..Server::default() }
}

/// The columns of a new table for `fields`, of which those of `key` are its primary key.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a type that no column has.
pub(super) fn new_columns<'a>(
    fields: impl Iterator<Item = &'a Field>,
    key: &[String],
    server: &Server,
) -> Result<Vec<NewColumn>> {
    let mut room = ROW_BYTES;
    let column = |field: &Field| {
        let in_key = key.contains(field.name());
        let sql_type = new_type(field, (in_key, key.len()), server).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("MySQL has no way to hold {}", field.data_type()))
                .with_hint("leave it out with --drop, or convert it with --cast or --set")
                .at("column", field.name())
        })?;
        let bytes = row_bytes(&sql_type);
        let sql_type = match room.checked_sub(bytes) {
            Some(left) => {
                room = left;
                sql_type
            }
            None if in_key => sql_type,
            None => beside_the_row(sql_type),
        };
        let not_null = !field.is_nullable() || in_key;
        Ok(NewColumn {
            name: field.name().clone(),
            default: if not_null && server.stamps_rows { stamp(&sql_type) } else { None },
            sql_type,
            not_null,
            comment: field.metadata().get(COMMENT).cloned(),
        })
    };
    fields.map(column).collect()
}

/// The default of a timestamp that is not to change with its row: any does. None for other types.
fn stamp(sql_type: &str) -> Option<String> {
    let digits = sql_type.strip_prefix("timestamp")?;
    Some(format!("CURRENT_TIMESTAMP{digits}"))
}

/// The type of a new column for `field`.
fn new_type(field: &Field, (in_key, key_columns): (bool, usize), server: &Server) -> Option<String> {
    use DataType as T;
    if let Some(native) = schema::native_of(field, PRODUCT)
        && let Some(known) = MyType::declared(native)
        && (known.name != "uuid" || has_uuid(server))
        && (!known.name.starts_with("inet") || server.is_mariadb)
    {
        let collation = match known.kind {
            Kind::Text if is_lettered(&known.name) => collation(field, in_key, server),
            _ => String::new(),
        };
        return Some(known.name + &collation);
    }
    let text = || match max_chars(field) {
        Some(chars) if in_key || chars <= VARCHAR_CHARS => format!("varchar({})", chars.max(1)),
        _ if in_key => format!("varchar({})", KEY_BYTES / 4 / key_columns.max(1)),
        _ => "longtext".to_owned(),
    };
    let fixed = |name: &str| Some(name.to_owned());
    match field.data_type() {
        T::Null => fixed("varchar(1)"),
        T::Boolean => fixed("tinyint(1)"),
        T::Int8 => fixed("tinyint"),
        T::Int16 => fixed("smallint"),
        T::Int32 => fixed("int"),
        T::Int64 => fixed("bigint"),
        T::UInt8 => fixed("tinyint unsigned"),
        T::UInt16 => fixed("smallint unsigned"),
        T::UInt32 => fixed("int unsigned"),
        T::UInt64 => fixed("bigint unsigned"),
        T::Float16 | T::Float32 => fixed("float"),
        T::Float64 => fixed("double"),
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale)
        | T::Decimal256(precision, scale) => decimal(*precision, *scale).or_else(|| fixed("longtext")),
        T::Date32 | T::Date64 => fixed("date"),
        T::Timestamp(_, None) => fixed("datetime(6)"),
        T::Timestamp(_, Some(_)) => fixed("timestamp(6)"),
        T::Time32(_) | T::Time64(_) | T::Duration(_) => fixed("time(6)"),
        T::Interval(_) => fixed("varchar(255)"),
        T::FixedSizeBinary(16) if schema::is_uuid(field) => {
            fixed(if has_uuid(server) { "uuid" } else { "char(36) CHARACTER SET ascii" })
        }
        T::FixedSizeBinary(width @ 1..=255) => Some(format!("binary({width})")),
        T::Binary | T::LargeBinary | T::BinaryView if in_key => {
            Some(format!("varbinary({})", KEY_BYTES / key_columns.max(1)))
        }
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => fixed("longblob"),
        other if is_text(other) && schema::is_json(field) && !in_key => fixed("json"),
        other if is_text(other) => Some(text() + &collation(field, in_key, server)),
        // JSON of MySQL would round numbers.
        T::List(_) | T::LargeList(_) | T::FixedSizeList(..) | T::Struct(_) | T::Map(..) if !in_key => fixed("longtext"),
        T::Dictionary(_, values) => {
            let values = field.clone().with_data_type(values.as_ref().clone());
            new_type(&values, (in_key, key_columns), server)
        }
        _ => None,
    }
}

/// Whether a type has a character set and a collation of its own.
fn is_lettered(name: &str) -> bool {
    !name.starts_with("inet")
}

/// The collation of a new text column: that of its source, where the target is of the same product; letter by letter for a key
/// else.
fn collation(field: &Field, in_key: bool, server: &Server) -> String {
    let source =
        field.metadata().get(COLLATION).and_then(|text| text.strip_prefix(server.product())?.strip_prefix(':'));
    match source.and_then(|source| source.split_once(':')) {
        Some((charset, collation)) => format!(" CHARACTER SET {charset} COLLATE {collation}"),
        None if in_key => letter_by_letter(server).to_owned(),
        None => String::new(),
    }
}

/// A collation under which two texts are the same only if all their letters are: other products tell more keys apart than the
/// default collation does.
fn letter_by_letter(server: &Server) -> &'static str {
    match server.is_mariadb {
        true => " COLLATE utf8mb4_nopad_bin",
        false if server.is_mysql_from(80_017) => " COLLATE utf8mb4_0900_bin",
        false => " COLLATE utf8mb4_bin",
    }
}

fn has_uuid(server: &Server) -> bool {
    server.is_mariadb_from(100_700)
}

/// The decimal type; none for one that MySQL has not.
fn decimal(precision: u8, scale: i8) -> Option<String> {
    let (precision, scale) = match scale {
        0.. => (precision, scale),
        negative => (precision.checked_add(negative.unsigned_abs())?, 0),
    };
    let fits = precision <= DECIMAL_DIGITS.0 && scale <= DECIMAL_DIGITS.1 && scale as u8 <= precision;
    fits.then(|| format!("decimal({precision},{scale})"))
}

/// Bytes of a row that a column of this type takes at most.
fn row_bytes(sql_type: &str) -> usize {
    let number = || sql_type.split_once('(')?.1.split_once([')', ','])?.0.parse::<usize>().ok();
    match sql_type.split_once('(').map_or(sql_type, |(word, _)| word) {
        "varchar" | "char" => number().unwrap_or(1) * 4 + 2,
        "varbinary" | "binary" => number().unwrap_or(1) + 2,
        "decimal" => 32,
        _ => 12,
    }
}

/// The type for values that do not lie in the row.
fn beside_the_row(sql_type: String) -> String {
    match sql_type.split_once('(').map_or(&*sql_type, |(word, _)| word) {
        "varchar" | "char" => "longtext".to_owned(),
        "varbinary" | "binary" => "longblob".to_owned(),
        _ => sql_type,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;
    use crate::schema::{MAX_CHARS, with_metadata, with_native};

    fn types(fields: &[Field], key: &[&str]) -> Vec<String> {
        let key: Vec<String> = key.iter().map(|&name| name.to_owned()).collect();
        let server = Server { version_number: 80_036, ..Server::default() };
        new_columns(fields.iter(), &key, &server).unwrap().into_iter().map(|column| column.sql_type).collect()
    }

    fn text(name: &str, chars: usize) -> Field {
        with_metadata(Field::new(name, DataType::Utf8, true), MAX_CHARS, &chars.to_string())
    }

    #[test]
    fn texts_find_room_in_the_row_or_beside_it() {
        let wide: Vec<Field> = (0..30).map(|number| text(&number.to_string(), 1000)).collect();
        let types = types(&wide, &[]);
        assert_eq!((types[0].as_str(), types[29].as_str()), ("varchar(1000)", "longtext"));
        assert!(types.iter().map(|sql_type| row_bytes(sql_type)).sum::<usize>() < 65_535);
    }

    #[test]
    fn keys_have_types_that_can_be_indexed() {
        let fields = [Field::new("a", DataType::Utf8, false), Field::new("b", DataType::Binary, false)];
        assert_eq!(types(&fields, &["a", "b"]), ["varchar(384) COLLATE utf8mb4_0900_bin", "varbinary(1536)"]);
    }

    #[test]
    fn decimals_as_far_as_there_are() {
        let decimal = |precision, scale| types(&[Field::new("a", DataType::Decimal256(precision, scale), true)], &[]);
        assert_eq!(decimal(65, 30), ["decimal(65,30)"]);
        assert_eq!(decimal(5, -2), ["decimal(7,0)"]);
        assert_eq!(decimal(66, 0), ["longtext"]);
        assert_eq!(decimal(40, 31), ["longtext"]);
    }

    #[test]
    fn a_column_of_mysql_keeps_its_type() {
        let of = |native: &str| types(&[with_native(Field::new("a", DataType::Int32, true), native)], &[]);
        assert_eq!(of("mysql:mediumint unsigned"), ["mediumint unsigned"]);
        assert_eq!(of("mysql:uuid"), ["int"]);
        assert_eq!(of("postgres:int4"), ["int"]);
    }

    #[test]
    fn a_timestamp_does_not_change_with_its_row() {
        let instant = |name: &str, nullable| {
            Field::new(name, DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())), nullable)
        };
        let fields = [instant("a", false), instant("b", true)];
        let made = |stamps_rows| {
            let server = Server { version_number: 50_744, stamps_rows, ..Server::default() };
            let columns = new_columns(fields.iter(), &[], &server).unwrap();
            NewTable { columns, key: Vec::new(), comment: None }.create("`t`", "")
        };
        let old = "(`a` timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), `b` timestamp(6) NULL)";
        assert!(made(true).contains(old), "{}", made(true));
        assert!(made(false).contains("(`a` timestamp(6) NOT NULL, `b` timestamp(6) NULL)"), "{}", made(false));
    }

    #[test]
    fn a_table_for_a_shape() {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("at", DataType::Date32, true)];
        let shape = TableShape { key: vec!["id".to_owned()], ..TableShape::of(Arc::new(Schema::new(fields))) };
        let made = of_shape(&shape, "orders").unwrap();
        assert_eq!(
            made,
            ["CREATE TABLE `orders` (`id` bigint NOT NULL, `at` date NULL, PRIMARY KEY (`id`)) \
              ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COMMENT = ''"]
        );
        assert!(of_shape(&shape, "shop.orders").unwrap()[0].starts_with("CREATE TABLE `shop`.`orders`"));
    }

    #[test]
    fn the_statement() {
        let column = |name: &str, not_null| NewColumn {
            name: name.to_owned(),
            sql_type: "int".to_owned(),
            not_null,
            default: None,
            comment: None,
        };
        let table = NewTable {
            columns: vec![column("a", false), column("b", false)],
            key: vec!["a".to_owned()],
            comment: None,
        };
        assert_eq!(
            table.create("`t`", "it's"),
            "CREATE TABLE `t` (`a` int NOT NULL, `b` int NULL, PRIMARY KEY (`a`)) \
             ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COMMENT = 'it''s'"
        );
    }
}
