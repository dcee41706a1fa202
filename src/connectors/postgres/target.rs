//! What a write must know of its target: rights (`schema.sql`), types that are not just built in (`types.sql`), and where it is
//! there, columns and rules (`target.sql`), and what hangs on it (`exchange.sql`). Each answers with one row of JSON, so that nothing
//! has to be prepared or looked up before.

use std::collections::HashMap;

use futures::future::try_join;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::catalog::BUILT_IN;
use super::connect::Connection;
use super::encode::Layout;
use super::name::{Name, filled, literal};
use super::typemap::{self, BuiltIn};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::columns::{Known, Unfilled};

/// The word for all columns of `pg_class c` in our queries.
pub(super) const COLUMNS: &str = "COLUMNS";

const SCHEMA: &str = include_str!("schema.sql");
const TYPES: &str = include_str!("types.sql");
const TARGET: &str = include_str!("target.sql");
const EXCHANGE: &str = include_str!("exchange.sql");

/// Whether a copy reads the target.
const READ_HERE: &str = "EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
    WHERE l.locktype = 'relation' AND l.granted AND l.relation = target.oid AND a.datname = current_database() \
    AND a.application_name ~ ' (leader|reader)$')";

/// Whether a publication sends the target on.
const PUBLISHED: &str =
    "EXISTS (SELECT FROM pg_publication_tables p WHERE p.schemaname = nspname AND p.tablename = relname)";

/// `int2vector` and `oidvector` call themselves arrays and have a text form of their own.
const VECTORS: [u32; 2] = [22, 30];

/// Identity columns, of which every write must know, came with this version.
const OLDEST: u32 = 100_000;

/// Since this version the scale of a numeric may be below zero or above its precision. An older one does not only not know such a
/// type: to ask for it is an error.
const ANY_SCALE: u32 = 150_000;

/// What of a target is looked at beside what every write must know. A server takes long over it, and few writes need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Plain,
    /// Who reads it: it may be emptied.
    Readers,
    /// What hangs on it: another table may take its place.
    Exchange,
}

/// The answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Catalog {
    there: bool,
    /// The target, when it is there.
    #[serde(skip)]
    pub(super) table: Option<Table>,
    /// Where a table without a schema is made; none when no schema of the search path exists.
    pub(super) schema: Option<String>,
    /// Whether the target's schema is there.
    pub(super) has_schema: bool,
    /// Whether tables may be created in it.
    pub(super) may_create: bool,
    /// Whether some publication sends on every table, new ones too.
    pub(super) all_published: bool,
    /// Whether there is any publication.
    publishes: bool,
    /// How many transactions the server holds prepared, at most.
    pub(super) prepared: u32,
    /// Where the marker of a commit may stand.
    pub(super) marker: MarkerRights,
    /// Whether the server hashes texts as we do, and lets this user do so.
    pub(super) hashes: bool,
    /// 150018 for 15.18.
    #[serde(skip)]
    pub(super) version: u32,
    /// OIDs of the type names that were asked for; none for a type that is not there.
    names: HashMap<String, Option<u32>>,
    /// Those that are known by more than their OID.
    #[serde(skip)]
    types: Vec<Type>,
}

/// Rights on the marker table; none for what is not there.
#[derive(Debug, Deserialize)]
pub(super) struct MarkerRights {
    /// `etl.commits` may be used.
    pub(super) table: Option<bool>,
    /// A table may be created in `etl`.
    pub(super) schema: Option<bool>,
    /// A schema may be created.
    pub(super) database: bool,
}

/// The target.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Table {
    pub(super) kind: char,
    pub(super) persistence: char,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) columns: Vec<TableColumn>,
    pub(super) uniques: Vec<Unique>,
    pub(super) published: bool,
    /// Whether anything may refuse a row beyond its types: a constraint, a trigger, a domain.
    pub(super) guarded: bool,
    pub(super) triggers: bool,
    /// Whether a foreign key of its own refers to it.
    pub(super) refers_to_itself: bool,
    pub(super) checks: Vec<Constraint>,
    /// Foreign keys of other tables that refer to it.
    pub(super) referenced: Vec<Reference>,
    /// Known with [`Look::Exchange`].
    #[serde(skip)]
    hanging: Option<Hanging>,
}

/// What hangs on a target.
#[derive(Debug, Deserialize)]
struct Hanging {
    /// Other objects that depend on it.
    dependents: Vec<String>,
    /// What a new table in its place would not have.
    odd: Vec<String>,
}

/// A unique index over columns alone.
#[derive(Debug, Deserialize)]
pub(super) struct Unique {
    pub(super) primary: bool,
    /// Whether ON CONFLICT may name it: it is checked at once.
    pub(super) arbiter: bool,
    /// In the order of the index.
    pub(super) columns: Vec<String>,
}

/// What this user may do with the target, and who is at it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Access {
    pub(super) insert: bool,
    /// Other writers may be kept out.
    pub(super) lock: bool,
    /// Rows may be read and updated.
    pub(super) merge: bool,
    pub(super) delete: bool,
    /// A copy is reading it now: very likely this one. Known with [`Look::Readers`].
    pub(super) read_here: bool,
}

/// A check that the target makes of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Constraint {
    pub(super) name: String,
    /// `CHECK (…)`
    pub(super) definition: String,
    /// The columns that it looks at.
    pub(super) columns: Vec<String>,
}

/// A foreign key of another table.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    /// The table that has it.
    pub(super) table: String,
    /// What happens to its rows when a row here goes: a, r, c, n, d.
    pub(super) action: char,
}

/// A column of the target.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct TableColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    type_oid: u32,
    modifier: i32,
    /// The type as the server writes it.
    pub(super) shown: String,
    pub(super) not_null: bool,
    /// Has a default, or is an identity column.
    pub(super) filled: bool,
    pub(super) generated: bool,
    /// GENERATED ALWAYS AS IDENTITY: no update may set it.
    pub(super) always: bool,
}

impl TableColumn {
    /// What of it matters when columns are matched.
    pub(super) fn known(&self) -> Known<'_> {
        let unfilled = match self {
            Self { generated: true, .. } => Unfilled::Computed,
            Self { filled: true, .. } => Unfilled::Default,
            Self { not_null: true, .. } => Unfilled::Refused,
            _ => Unfilled::Null,
        };
        Known { name: &self.name, native_type: &self.shown, unfilled }
    }
}

#[derive(Debug, Deserialize)]
struct Type {
    oid: u32,
    class: char,
    base: u32,
    modifier: i32,
    element: u32,
    array: bool,
    textual: bool,
}

/// A type with its domains resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolved {
    /// OID below all domains.
    pub(super) oid: u32,
    /// OID of the element where it is an array, domains resolved; else its own.
    pub(super) scalar: u32,
    /// Modifier, -1 for none.
    pub(super) modifier: i32,
    /// Whether the modifier is part of the type: that of a domain under an array.
    pub(super) fixed: bool,
    /// How its values are laid out.
    pub(super) layout: Layout,
}

impl Table {
    /// The table `name`, with what `look` says; none when it was dropped at this moment.
    async fn read(connection: &Connection, name: &Name, look: Look, catalog: &Catalog) -> Result<Option<Self>> {
        let since = |first: u32, condition: &'static str| if catalog.version >= first { condition } else { "false" };
        let method =
            "relam <> (SELECT m.oid FROM pg_am m WHERE m.amname = current_setting('default_table_access_method'))";
        let values = [
            ("NAME", &*literal(&name.quoted())),
            ("PUBLISHED", if catalog.publishes { PUBLISHED } else { "false" }),
            ("READ_HERE", if look == Look::Readers { READ_HERE } else { "false" }),
            ("METHOD", since(120_000, method)),
            ("GENERATED", since(120_000, "attgenerated <> ''")),
            (COLUMNS, all_columns(catalog.version)),
        ];
        let (sql, exchange) = (filled(TARGET, &values), filled(EXCHANGE, &values));
        let hanging = async {
            match look {
                Look::Exchange => answer(connection, &exchange).await,
                Look::Plain | Look::Readers => Ok(None),
            }
        };
        let (table, hanging): (Option<Self>, Option<Hanging>) = try_join(answer(connection, &sql), hanging).await?;
        Ok(table.map(|table| Self { hanging, ..table }))
    }

    /// The columns of its primary key, in the order of the index.
    pub(super) fn primary(&self) -> &[String] {
        self.uniques.iter().find(|unique| unique.primary).map_or(&[], |unique| &unique.columns)
    }

    /// The columns of its other unique indexes that are checked at once.
    pub(super) fn unique(&self) -> impl Iterator<Item = &[String]> {
        let others = self.uniques.iter().filter(|unique| !unique.primary && unique.arbiter);
        others.map(|unique| unique.columns.as_slice())
    }

    /// Why another table cannot take its place. Asked of one that was read with [`Look::Exchange`].
    pub(super) fn in_the_way(&self) -> impl Iterator<Item = &str> {
        let hanging = self.hanging.iter().flat_map(|hanging| hanging.dependents.iter().chain(&hanging.odd));
        let published = self.published.then_some("its publication");
        let unknown = self.hanging.is_none().then_some("what hangs on it, which is not known");
        hanging.map(String::as_str).chain(published).chain(unknown)
    }

    /// Whether more of a column has to be known than the OID of its type.
    fn has_odd_types(&self) -> bool {
        self.columns.iter().any(|column| is_odd(&column.shown, column.type_oid))
    }
}

impl Catalog {
    /// Asks for rights where no table is: with the name of one that nobody has.
    pub(super) async fn without_table(connection: &Connection) -> Result<(Self, Name)> {
        let nothing = Name { schema: None, table: "etl_nothing".to_owned() };
        Ok((Self::read(connection, &nothing, &[], Look::Plain).await?, nothing))
    }

    /// Asks for a table that every server has. A new server process reads its own catalogs with the first question of this kind,
    /// which takes longer than the answer.
    pub(super) async fn warm(connection: &Connection) -> Result<()> {
        let known = Name { schema: Some("pg_catalog".to_owned()), table: "pg_am".to_owned() };
        Self::read(connection, &known, &[], Look::Plain).await.map(drop)
    }

    /// That of a server of today which knows of `type_names` those that are built in.
    pub(super) fn built_in(type_names: Vec<String>) -> Self {
        let array = |entry: &BuiltIn| Type {
            oid: entry.array,
            class: 'b',
            base: 0,
            modifier: -1,
            element: entry.oid,
            array: true,
            textual: false,
        };
        Self {
            there: false,
            table: None,
            schema: None,
            has_schema: true,
            may_create: true,
            all_published: false,
            publishes: false,
            prepared: 0,
            marker: MarkerRights { table: None, schema: None, database: true },
            hashes: true,
            version: 180_000,
            names: type_names.into_iter().map(|name| (name.clone(), typemap::oid_of(&name))).collect(),
            types: typemap::BUILT_IN.iter().map(array).filter(|array| array.oid != 0).collect(),
        }
    }

    /// Asks for `name`, with what `look` says, and for the types in `type_names`.
    pub(super) async fn read(connection: &Connection, name: &Name, type_names: &[String], look: Look) -> Result<Self> {
        let version = connection.server().version_number;
        if version < OLDEST {
            let message = format!("PostgreSQL {} is too old to be written into", connection.server().version);
            return Err(
                Error::new(ErrorKind::Unsupported, message).with_hint("version 10 and later can be; it can be read")
            );
        }
        let types = type_names.iter().filter(|name| version >= ANY_SCALE || has_usual_scale(name));
        let types: Vec<String> = types.map(|name| literal(name)).collect();
        let schema = name.schema.as_deref().map_or_else(
            || "quote_ident(current_schema())".to_owned(),
            |schema| format!("quote_ident({})", literal(schema)),
        );
        let values = [
            ("TYPES", &*format!("ARRAY[{}]", types.join(", "))),
            ("NAME", &literal(&name.quoted())),
            ("SCHEMA", &schema),
        ];
        let sql = filled(SCHEMA, &values);
        let mut catalog: Self = answer(connection, &sql).await?.ok_or_else(|| not_understood(None))?;
        catalog.version = version;
        // Hashed are the bytes in the encoding of the database.
        catalog.hashes &= connection.server().encoding == "UTF8";
        (catalog.table, catalog.types) = catalog.more(connection, name, look).await?;
        Ok(catalog)
    }

    /// The table `name`, where it is there, and the types that are odd.
    async fn more(&self, connection: &Connection, name: &Name, look: Look) -> Result<(Option<Table>, Vec<Type>)> {
        let odd = self.names.iter().filter_map(|(name, oid)| oid.filter(|oid| is_odd(name, *oid)));
        let odd: Vec<u32> = odd.collect();
        let sql = types_sql(name, &odd);
        let table = async { if self.there { Table::read(connection, name, look, self).await } else { Ok(None) } };
        // Those of the columns of `name` are among them.
        let types = async { if odd.is_empty() { Ok(None) } else { answer(connection, &sql).await } };
        let (table, mut types): (Option<Table>, Option<Vec<Type>>) = try_join(table, types).await?;
        if types.is_none() && table.as_ref().is_some_and(Table::has_odd_types) {
            types = answer(connection, &sql).await?;
        }
        Ok((table, types.unwrap_or_default()))
    }

    /// The type that the server knows as `name`, with modifier `modifier`.
    pub(super) fn named(&self, name: &str, modifier: i32) -> Option<Resolved> {
        self.names.get(name).copied().flatten().map(|oid| self.resolve(oid, modifier))
    }

    /// The type of `column`.
    pub(super) fn type_of(&self, column: &TableColumn) -> Resolved {
        self.resolve(column.type_oid, column.modifier)
    }

    fn resolve(&self, oid: u32, modifier: i32) -> Resolved {
        let found = |oid: u32| self.types.iter().find(|entry| entry.oid == oid);
        let (mut oid, mut modifier) = (oid, modifier);
        let mut entry = found(oid);
        // A domain over a domain ends at a type of another class.
        while let Some(domain) = entry.filter(|entry| entry.class == 'd') {
            (oid, modifier) = (domain.base, domain.modifier);
            entry = found(oid);
        }
        let Some(entry) = entry else {
            return Resolved { oid, scalar: oid, modifier, fixed: false, layout: layout(oid, 'b') };
        };
        if entry.array && entry.element != 0 && !VECTORS.contains(&oid) {
            let element = self.resolve(entry.element, modifier);
            // The array carries the OID of its element as declared, a domain included; the modifier is the domain's.
            let layout = Layout::Array { oid: entry.element, element: Box::new(element.layout) };
            let fixed = element.oid != entry.element;
            return Resolved { oid, scalar: element.scalar, modifier: element.modifier, fixed, layout };
        }
        let layout = if entry.textual { Layout::Text } else { layout(oid, entry.class) };
        Resolved { oid, scalar: oid, modifier, fixed: false, layout }
    }
}

/// Whether the type `name` has no scale that only newer servers take.
fn has_usual_scale(name: &str) -> bool {
    let bounds = name.strip_prefix("numeric(").and_then(|rest| rest.split_once(')')?.0.split_once(','));
    let number = |text: &str| text.trim().parse::<i32>().ok();
    bounds.and_then(|(precision, scale)| Some((0..=number(precision)?).contains(&number(scale)?))).unwrap_or(true)
}

/// Whether more of a type has to be known than its OID: those of users, and arrays.
fn is_odd(name: &str, oid: u32) -> bool {
    oid >= BUILT_IN || name.ends_with(']')
}

/// Asks for the types `oids` and those of the columns of `name`.
fn types_sql(name: &Name, oids: &[u32]) -> String {
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    filled(TYPES, &[("NAME", &literal(&name.quoted())), ("OIDS", &format!("ARRAY[{}]", oids.join(", ")))])
}

/// The columns of `pg_class c` with the OID, which before PostgreSQL 12 was no column like others.
pub(super) fn all_columns(version: u32) -> &'static str {
    if version < 120_000 { "c.oid, c.*" } else { "c.*" }
}

/// The one row of JSON that `sql` gives; none where there is no row.
async fn answer<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Option<T>> {
    let rows = connection.rows(sql).await?;
    let text = rows.first().and_then(|row| row.get(0));
    text.map(|text| serde_json::from_str(text).map_err(|source| not_understood(Some(source)))).transpose()
}

fn not_understood(source: Option<serde_json::Error>) -> Error {
    let error = Error::new(ErrorKind::Internal, "the catalog of the server is not as expected");
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// The layout of a scalar type by its OID, which is fixed for built-in types.
pub(super) fn layout(oid: u32, class: char) -> Layout {
    match oid {
        16 => Layout::Bool,
        21 => Layout::Int2,
        23 => Layout::Int4,
        20 => Layout::Int8,
        26 => Layout::Oid,
        700 => Layout::Float4,
        701 => Layout::Float8,
        1700 => Layout::Numeric,
        19 | 25 | 114 | 142 | 1042 | 1043 | 1790 => Layout::Text,
        3802 => Layout::Jsonb,
        17 => Layout::Bytea,
        1082 => Layout::Date,
        1083 => Layout::Time,
        1114 | 1184 => Layout::Timestamp,
        1186 => Layout::Interval,
        2950 => Layout::Uuid,
        _ if class == 'e' => Layout::Text,
        _ => Layout::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 13 says to `select to_regtype(...)`.
    #[test]
    fn scales_that_older_servers_refuse() {
        for name in ["numeric(5,-2)", "numeric(3,5)[]"] {
            assert!(!has_usual_scale(name), "{name}");
        }
        for name in ["numeric", "numeric(5,0)", "numeric(5,5)", "numeric(18,4)[]", "interval(3)", "\"numeric(1,2\""] {
            assert!(has_usual_scale(name), "{name}");
        }
    }
}
