//! What the information schema says of one table or view.

use super::connect::Connection;
use super::name::{Name, literal};
use super::typemap::{Kind, MyType};
use super::wire::Row;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::columns::{Known, Names, Unfilled};

/// A table or view.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: Name,
    pub(super) is_view: bool,
    /// `InnoDB`; none for a view.
    pub(super) engine: Option<String>,
    /// Estimates.
    pub(super) rows: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) comment: Option<String>,
    pub(super) columns: Vec<Column>,
    /// The primary key first, where there is one.
    pub(super) unique: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the catalog, none excludes another")]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) declared: String,
    /// None for a type that is not known.
    pub(super) my_type: Option<MyType>,
    pub(super) nullable: bool,
    pub(super) has_default: bool,
    pub(super) auto_increment: bool,
    /// Computed by the table itself.
    pub(super) generated: bool,
    pub(super) charset: Option<String>,
    pub(super) collation: Option<String>,
    pub(super) comment: Option<String>,
}

impl Column {
    /// What of it matters when columns are matched.
    pub(super) fn known(&self) -> Known<'_> {
        let unfilled = match self {
            Self { generated: true, .. } => Unfilled::Computed,
            Self { has_default: true, .. } | Self { auto_increment: true, .. } => Unfilled::Default,
            Self { nullable: false, .. } => Unfilled::Refused,
            _ => Unfilled::Null,
        };
        Known { name: &self.name, native_type: &self.declared, unfilled }
    }
}

/// A unique index over whole columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
}

impl Index {
    pub(super) fn is_primary(&self) -> bool {
        self.name == "PRIMARY"
    }
}

impl Table {
    /// The column called `name`; without regard to case where no other matches.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        Names::AnyCase.find(names, name).map(|place| &self.columns[place])
    }

    /// The columns of the primary key, in its order.
    pub(super) fn primary(&self) -> &[String] {
        self.unique.iter().find(|index| index.is_primary()).map_or(&[], |index| &index.columns)
    }

    /// Whether what a transaction wrote into it can be rolled back.
    pub(super) fn is_transactional(&self) -> bool {
        let known = ["InnoDB", "NDB", "ndbcluster", "RocksDB", "ROCKSDB", "TokuDB"];
        self.engine.as_deref().is_none_or(|engine| known.contains(&engine))
    }
}

/// The table or view `name`; none where there is no such.
pub(super) async fn find(connection: &mut Connection, name: &Name) -> Result<Option<Table>> {
    let Some((exact, row)) = relation(connection, name).await? else { return Ok(None) };
    let is_view = row.get(1).is_some_and(|kind| kind.contains("VIEW"));
    let comment = row.get(5).filter(|comment| !comment.is_empty() && !is_view).map(str::to_owned);
    let mut table = Table {
        columns: columns(connection, &exact).await?,
        unique: unique(connection, &exact).await?,
        name: exact,
        is_view,
        engine: row.get(2).map(str::to_owned),
        rows: row.number(3),
        bytes: row.number(4),
        comment,
    };
    if connection.server().is_mariadb {
        mark_json(connection, &mut table).await?;
    }
    Ok(Some(table))
}

/// The table that `name` means, which must be there.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) naming what there is instead.
pub(super) async fn expect(connection: &mut Connection, name: &Name) -> Result<Table> {
    if let Some(table) = find(connection, name).await? {
        return Ok(table);
    }
    let error = Error::new(ErrorKind::NotFound, format!("there is no table {}", name.quoted()));
    let there = list(connection, &name.database).await?;
    let shown: Vec<&str> = there.iter().take(20).map(String::as_str).collect();
    Err(match (shown.len(), there.len()) {
        (0, _) => error.with_hint(format!("the database {} has no tables that this user sees", name.database)),
        (few, all) if few < all => error.with_hint(format!("it has {}, …", shown.join(", "))),
        _ => error.with_hint(format!("it has {}", shown.join(", "))),
    })
}

/// All tables and views of a database, by name.
pub(super) async fn list(connection: &mut Connection, database: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
        literal(database)
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
}

/// The exact name of `name`, and its facts. Whether case counts is a matter of the server's file system.
async fn relation(connection: &mut Connection, name: &Name) -> Result<Option<(Name, Row)>> {
    let sql = format!(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT, TABLE_SCHEMA \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(&name.database),
        literal(&name.table)
    );
    let rows = connection.rows(&sql).await?;
    let is_exact = |row: &&Row| row.get(0) == Some(&name.table);
    let any_case = connection.server().folds_names;
    let found = rows.iter().find(is_exact).or_else(|| rows.first().filter(|_| any_case));
    Ok(found
        .and_then(|row| Some((Name { database: row.get(6)?.to_owned(), table: row.get(0)?.to_owned() }, row.clone()))))
}

async fn columns(connection: &mut Connection, name: &Name) -> Result<Vec<Column>> {
    let sql = format!(
        "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT IS NOT NULL, EXTRA, CHARACTER_SET_NAME, \
         COLLATION_NAME, COLUMN_COMMENT FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        literal(&name.database),
        literal(&name.table)
    );
    let column = |row: &Row| {
        let extra = row.get(4).unwrap_or_default().to_lowercase();
        let declared = row.get(1)?.to_owned();
        Some(Column {
            name: row.get(0)?.to_owned(),
            my_type: MyType::declared(&declared),
            declared,
            nullable: row.get(2) == Some("YES"),
            has_default: row.get(3) == Some("1"),
            auto_increment: extra.contains("auto_increment"),
            // `DEFAULT_GENERATED` is a default.
            generated: extra.contains("virtual") || extra.contains("stored") || extra.contains("persistent"),
            charset: row.get(5).map(str::to_owned),
            collation: row.get(6).map(str::to_owned),
            comment: row.get(7).filter(|comment| !comment.is_empty()).map(str::to_owned),
        })
    };
    Ok(connection.rows(&sql).await?.iter().filter_map(column).collect())
}

/// Unique indexes whose parts are whole columns.
async fn unique(connection: &mut Connection, name: &Name) -> Result<Vec<Index>> {
    let sql = format!(
        "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND NON_UNIQUE = 0 \
         ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX",
        literal(&name.database),
        literal(&name.table)
    );
    let mut found: Vec<Index> = Vec::new();
    let mut partial = Vec::new();
    for row in connection.rows(&sql).await? {
        let index = row.get(0).unwrap_or_default();
        // A prefix of a column, or an expression, is no whole column.
        let Some(column) = row.get(1).filter(|_| row.get(2).is_none()) else {
            partial.push(index.to_owned());
            continue;
        };
        match found.last_mut().filter(|last| last.name == index) {
            Some(last) => last.columns.push(column.to_owned()),
            None => found.push(Index { name: index.to_owned(), columns: vec![column.to_owned()] }),
        }
    }
    found.retain(|index| !partial.contains(&index.name));
    Ok(found)
}

/// `JSON` is `longtext` in MariaDB, with a check that tells it apart.
async fn mark_json(connection: &mut Connection, table: &mut Table) -> Result<()> {
    if !table.columns.iter().any(|column| column.declared == "longtext") {
        return Ok(());
    }
    let sql = format!(
        "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {}",
        literal(&table.name.database),
        literal(&table.name.table)
    );
    // Older versions know no such table, and no such check.
    let Ok(rows) = connection.rows(&sql).await else { return Ok(()) };
    for column in table.columns.iter_mut().filter(|column| column.declared == "longtext") {
        let check = format!("json_valid(`{}`)", column.name.replace('`', "``"));
        if rows.iter().any(|row| row.get(0).is_some_and(|clause| clause.eq_ignore_ascii_case(&check))) {
            column.my_type = Some(MyType { name: "json".to_owned(), kind: Kind::Json });
        }
    }
    Ok(())
}

/// What stands in the way of exchanging a table for another one, or may refuse its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ties {
    /// Tables whose foreign keys refer to it, and what those do when a row goes: `CASCADE`, `SET NULL`, `RESTRICT`, `NO ACTION`.
    pub(super) referenced_by: Vec<(String, String)>,
    /// Foreign keys of its own.
    pub(super) refers: usize,
    pub(super) triggers: usize,
    pub(super) checks: usize,
    /// Whether it keeps rows that were deleted or changed, as system-versioned tables of `MariaDB` do.
    pub(super) has_history: bool,
}

impl Ties {
    pub(super) async fn find(connection: &mut Connection, name: &Name) -> Result<Self> {
        let (database, table) = (literal(&name.database), literal(&name.table));
        let sql = format!(
            "SELECT TABLE_NAME, DELETE_RULE, REFERENCED_TABLE_NAME = {table} AND UNIQUE_CONSTRAINT_SCHEMA = {database}, \
             TABLE_NAME = {table} AND CONSTRAINT_SCHEMA = {database} \
             FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE (UNIQUE_CONSTRAINT_SCHEMA = {database} AND REFERENCED_TABLE_NAME = {table}) \
             OR (CONSTRAINT_SCHEMA = {database} AND TABLE_NAME = {table})"
        );
        let mut ties = Self::default();
        for row in connection.rows(&sql).await? {
            let other = row.get(0).unwrap_or_default().to_owned();
            if row.get(2) == Some("1") {
                ties.referenced_by.push((other, row.get(1).unwrap_or_default().to_owned()));
            }
            ties.refers += usize::from(row.get(3) == Some("1"));
        }
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.TRIGGERS \
             WHERE EVENT_OBJECT_SCHEMA = {database} AND EVENT_OBJECT_TABLE = {table}"
        );
        ties.triggers = connection.number(&sql).await?.unwrap_or(0) as usize;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS \
             WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {table} AND CONSTRAINT_TYPE = 'CHECK'"
        );
        ties.checks = connection.number(&sql).await?.unwrap_or(0) as usize;
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {table} AND TABLE_TYPE = 'SYSTEM VERSIONED'"
        );
        ties.has_history = connection.number(&sql).await?.unwrap_or(0) > 0;
        Ok(ties)
    }

    /// Whether the table has rules beyond types and keys.
    pub(super) fn refuse_rows(&self) -> bool {
        self.refers > 0 || self.triggers > 0 || self.checks > 0
    }

    /// What would be lost, or would go with the old table, in an exchange.
    pub(super) fn in_the_way(&self) -> Vec<&'static str> {
        let reasons = [
            (!self.referenced_by.is_empty(), "foreign keys of other tables"),
            (self.refers > 0, "its own foreign keys"),
            (self.triggers > 0, "its triggers"),
            (self.has_history, "its history"),
        ];
        reasons.into_iter().filter(|(is, _)| *is).map(|(_, reason)| reason).collect()
    }
}
