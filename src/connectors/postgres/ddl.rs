//! Statements that make tables: the target when it is missing, and the hidden stage beside it.

use serde::{Deserialize, Serialize};

use super::agree::{Detail, Emptying, Path};
use super::name::{Name, identifier, identifiers, literal};
use super::typemap;
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::source::TableShape;
use crate::sql::ddl;
use crate::sql::dialect::Postgres;

/// Bytes of a name that the server keeps; the rest it would cut with no more than a notice.
const NAME_BYTES: usize = 63;

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
    let types = fields.iter().map(|field| typemap::type_name(field)).collect::<Result<Vec<_>>>()?;
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

/// What stands beside a target while a token is written: names that carry the token, so that no run meets another's.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// The hidden table.
    pub(super) table: Name,
    /// Which splits are in it.
    pub(super) done: Name,
    /// `application_name` of those who write into it.
    pub(super) writer: String,
}

impl Stage {
    /// The stage of `token` for `target`.
    pub(super) fn of(target: &Name, token: &Token) -> Self {
        let hash = hash(&format!("{token} {}", target.quoted()));
        Self {
            table: target.beside(&format!("etl_stage_{hash:016x}")),
            done: target.beside(&format!("etl_stage_{hash:016x}_done")),
            writer: format!("etl_write_{hash:016x}"),
        }
    }

    /// The table that attempt `id` makes for itself inside its own transaction.
    pub(super) fn own(target: &Name, id: &str) -> Name {
        target.beside(&format!("etl_own_{:016x}", hash(&format!("{id} {}", target.quoted()))))
    }

    /// Statements that make the stage. Doing them again changes nothing.
    pub(super) fn create(&self, detail: &Detail, token: &Token) -> String {
        let table = self.table.quoted();
        let target = detail.target.quoted();
        let kind = if detail.unlogged { "UNLOGGED TABLE" } else { "TABLE" };
        let create = match (&detail.create, detail.path) {
            (Some(new), _) => new.create(&format!("IF NOT EXISTS {table}")),
            (None, Path::Swap) => {
                format!("CREATE {kind} IF NOT EXISTS {table} (LIKE {target} INCLUDING ALL EXCLUDING INDEXES)")
            }
            (None, _) => {
                let columns = detail.column_list();
                format!("CREATE {kind} IF NOT EXISTS {table} AS SELECT {columns} FROM {target} WITH NO DATA")
            }
        };
        format!(
            "{create}; COMMENT ON TABLE {table} IS {}; CREATE {kind} IF NOT EXISTS {} \
             (part text PRIMARY KEY, attempt text NOT NULL, rows bigint NOT NULL)",
            literal(&format!("rows of the unfinished etl run {token}")),
            self.done.quoted()
        )
    }

    /// The statement that removes it.
    pub(super) fn drop(&self) -> String {
        format!("DROP TABLE IF EXISTS {}, {}", self.table.quoted(), self.done.quoted())
    }
}

/// FNV-1a: the same in every build and process, which the standard hasher does not promise.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Detail {
    /// The columns that are written, quoted.
    pub(super) fn column_list(&self) -> String {
        identifiers(self.columns.iter().map(|column| column.name.as_str()))
    }

    /// Empties the target and inserts the rows of `stage`, as one or two statements.
    pub(super) fn refill(&self, emptying: Emptying, stage: &Name) -> String {
        let (target, columns, stage) = (self.target.quoted(), self.column_list(), stage.quoted());
        let insert = format!("INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {stage}");
        match emptying {
            Emptying::Keep => insert,
            Emptying::Truncate => format!("TRUNCATE {target}; {insert}"),
            // One statement: foreign keys that refer to old rows are checked at its end, against the new ones. The count
            // makes the rows go before the first one comes.
            Emptying::Delete => format!(
                "SET CONSTRAINTS ALL DEFERRED; WITH gone AS (DELETE FROM {target} RETURNING 1) {insert} \
                 WHERE (SELECT count(*) FROM gone) >= 0"
            ),
        }
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
        (None, Path::Held(Emptying::Truncate)) => statements.push(format!("TRUNCATE {target}")),
        (None, Path::Refill(emptying)) => {
            let columns = detail.column_list();
            statements.push(format!("CREATE TABLE {} AS SELECT {columns} FROM {target} WITH NO DATA", stage.quoted()));
            statements.push(detail.refill(emptying, &stage));
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
    fn names_fit_the_server() {
        let target = Name { schema: Some("s".into()), table: "t".repeat(63) };
        let token = Token { run: "r".repeat(99), transfer: 1, sink: 2, epoch: 3 };
        let stage = Stage::of(&target, &token);
        assert!(stage.done.table.len() <= NAME_BYTES);
        assert_eq!(stage.table, Stage::of(&target, &token).table);
        assert_ne!(stage.table, Stage::of(&target, &Token { epoch: 4, ..token }).table);
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
