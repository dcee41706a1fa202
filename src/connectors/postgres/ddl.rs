//! Statements that make and fill the target; those of the hidden table beside it are in `stage.rs`.

use serde::{Deserialize, Serialize};

use super::agree::{Detail, Emptying, Path};
use super::name::{Name, identifier, identifiers, literal};
use super::typename::type_name;
use crate::error::{Error, ErrorKind, Result};
use crate::source::TableShape;
use crate::sql::ddl;
use crate::sql::dialect::Postgres;

/// Bytes of a name that the server keeps; the rest it would cut with no more than a notice.
pub(super) const NAME_BYTES: usize = 63;

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
    pub(super) comment: Option<String>,
}

/// Refuses a name that the server would cut or that it cannot hold.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) naming what it is.
pub(super) fn check_name(name: &str, what: &'static str) -> Result<()> {
    let why = match name.len() {
        0 => "is empty",
        _ if name.contains('\0') => "holds a NUL",
        1..=NAME_BYTES => return Ok(()),
        _ => "has more than the 63 bytes that PostgreSQL keeps",
    };
    let error = Error::new(ErrorKind::Usage, format!("the name of the {what} {why}")).at(what, format!("{name:?}"));
    Err(error.with_hint("use --rename, or another name for the target"))
}

/// What would make `table` for the rows of `shape`, without a look at a server: columns of PostgreSQL keep their own
/// types, whether or not another server has them.
pub(super) fn of_shape(shape: &TableShape, table: &Name) -> Result<Vec<String>> {
    let fields = shape.schema.fields();
    let types = fields.iter().map(|field| type_name(field)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<ddl::Column<'_>> = fields
        .iter()
        .zip(&types)
        .map(|(field, sql_type)| ddl::Column {
            name: field.name(),
            native_type: sql_type,
            not_null: !field.is_nullable(),
        })
        .collect();
    Ok(vec![ddl::create_table(&Postgres, &table.quoted(), &columns, &shape.key)])
}

impl NewTable {
    /// `CREATE TABLE` without its key, which is cheaper to build over the rows than row by row.
    pub(super) fn create(&self, quoted: &str) -> String {
        let lines: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let not_null = if column.not_null || self.key.contains(&column.name) { " NOT NULL" } else { "" };
                format!("{} {}{not_null}", identifier(&column.name), column.sql_type)
            })
            .collect();
        format!("CREATE TABLE {quoted} ({})", lines.join(", "))
    }

    /// Key and comments, once the rows are there.
    pub(super) fn finish(&self, quoted: &str) -> Vec<String> {
        let mut statements = Vec::new();
        if !self.key.is_empty() {
            let key = identifiers(self.key.iter().map(String::as_str));
            statements.push(format!("ALTER TABLE {quoted} ADD PRIMARY KEY ({key})"));
        }
        if let Some(comment) = &self.comment {
            statements.push(format!("COMMENT ON TABLE {quoted} IS {}", literal(comment)));
        }
        for column in &self.columns {
            if let Some(comment) = &column.comment {
                let name = identifier(&column.name);
                statements.push(format!("COMMENT ON COLUMN {quoted}.{name} IS {}", literal(comment)));
            }
        }
        statements
    }
}

impl Detail {
    /// The columns that are written, quoted.
    pub(super) fn column_list(&self) -> String {
        identifiers(self.columns.iter().map(|column| column.name.as_str()))
    }

    /// The target where only its own rows are meant, not those of tables that inherit from it.
    pub(super) fn alone(&self) -> String {
        format!("{}{}", if self.only { "ONLY " } else { "" }, self.target.quoted())
    }

    /// Empties the target by TRUNCATE.
    pub(super) fn truncate(&self) -> String {
        format!("TRUNCATE {}", self.alone())
    }

    /// Inserts the rows of `stage`, a table or a part of it in parentheses; unless the target is empty already, it is emptied by the same statement.
    pub(super) fn refill(&self, emptying: Emptying, stage: &str) -> String {
        let (target, columns) = (self.target.quoted(), self.column_list());
        let insert =
            format!("INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {stage} AS s");
        if emptying != Emptying::Delete {
            return insert;
        }
        // One statement: foreign keys that refer to old rows are checked at its end, against the new ones. The count
        // makes the rows go before the first one comes.
        format!(
            "SET CONSTRAINTS ALL DEFERRED; WITH gone AS (DELETE FROM {} RETURNING 1) {insert} \
             WHERE (SELECT count(*) FROM gone) >= 0",
            self.alone()
        )
    }
}

/// The statements as the plan shows them, with the stage under a name without token.
pub(super) fn shown(detail: &Detail) -> Vec<String> {
    let target = detail.target.quoted();
    let stage = detail.target.beside("etl_stage_…");
    let mut statements = Vec::new();
    match (&detail.create, detail.path) {
        (Some(new), path) => {
            statements.push(new.create(&target));
            if path == Path::NewStaged {
                statements[0] = new.create(&stage.quoted());
                statements.push(format!(
                    "ALTER TABLE {} RENAME TO {}",
                    stage.quoted(),
                    identifier(&detail.target.table)
                ));
            }
            statements.extend(new.finish(&target));
        }
        (None, Path::Held(Emptying::Truncate)) => statements.push(detail.truncate()),
        (None, Path::Refill(emptying)) => {
            let columns = detail.column_list();
            statements.push(format!("CREATE TABLE {} AS SELECT {columns} FROM {target} WITH NO DATA", stage.quoted()));
            if emptying == Emptying::Truncate {
                statements.push(detail.truncate());
            }
            statements.push(detail.refill(emptying, &stage.quoted()));
            statements.push(format!("DROP TABLE {}", stage.quoted()));
        }
        (None, Path::Prepared) => {
            let waiting = literal("etl_stage_…");
            statements.push(format!("PREPARE TRANSACTION {waiting}"));
            statements.push(format!("COMMIT PREPARED {waiting}"));
        }
        (None, Path::Merge) => {
            let columns = detail.column_list();
            statements.push(format!("CREATE TABLE {} AS SELECT {columns} FROM {target} WITH NO DATA", stage.quoted()));
            statements.extend(detail.merging.iter().map(|merging| merging.statement(detail, &stage.quoted())));
            statements.push(format!("DROP TABLE {}", stage.quoted()));
        }
        (None, Path::Swap) => {
            statements.push(format!("CREATE TABLE {} (LIKE {target} INCLUDING ALL)", stage.quoted()));
            statements.push(format!("DROP TABLE {target}"));
            statements.push(format!("ALTER TABLE {} RENAME TO {}", stage.quoted(), identifier(&detail.target.table)));
        }
        _ => {}
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_server_would_cut_are_refused() {
        assert!(check_name(&"ü".repeat(32), "table").is_err());
        assert!(check_name(&"ü".repeat(31), "table").is_ok());
    }

    #[test]
    fn a_new_table() {
        let column =
            |name: &str, not_null| NewColumn { name: name.into(), sql_type: "text".into(), not_null, comment: None };
        let new =
            NewTable { columns: vec![column("a", false), column("b\"", true)], key: vec!["a".into()], comment: None };
        assert_eq!(new.create("\"t\""), "CREATE TABLE \"t\" (\"a\" text NOT NULL, \"b\"\"\" text NOT NULL)");
        assert_eq!(new.finish("\"t\""), ["ALTER TABLE \"t\" ADD PRIMARY KEY (\"a\")"]);
    }
}
