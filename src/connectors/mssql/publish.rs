//! The one transaction that brings what receipts name into the target, with the mark of its commit.

use super::agree::{Column, Detail, Numbers, has_rows};
use super::connect::Connection;
use super::ddl::staged;
use super::marker;
use super::name::Name;
use super::stage::Stage;
use super::typemap::{Kind, SqlType};
use crate::attempt::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Receipt;
use crate::sql::beside::Before;

/// Opens the transaction and does all but its COMMIT. After an error nothing of it is left.
pub(super) async fn bring(
    connection: &mut Connection,
    detail: &Detail,
    token: &Token,
    receipts: &[Receipt],
) -> Result<()> {
    let stage = Stage::of(&detail.target, token);
    let tables: Vec<(Name, u64)> =
        receipts.iter().map(|receipt| (stage.table(&receipt.attempt), receipt.rows)).collect();
    look_for_lost_letters(connection, detail, &tables).await?;
    let brought = fill(connection, detail, token, &tables).await;
    if brought.is_err() {
        // A connection that is broken has rolled back by itself.
        let _ = connection.run("IF @@TRANCOUNT > 0 ROLLBACK").await;
    }
    brought
}

async fn fill(connection: &mut Connection, detail: &Detail, token: &Token, tables: &[(Name, u64)]) -> Result<()> {
    let target = detail.target.quoted();
    connection.run("BEGIN TRANSACTION").await?;
    // First of all, so that of two commits of the same token the second waits here, and fails.
    connection.run(&marker::set(&detail.target, token)).await?;
    match (&detail.create, detail.before) {
        (Some(create), _) => connection.run(create).await?,
        (None, Before::Refuse) => {
            let sql = format!("SELECT TOP (1) 1 FROM {target} WITH (TABLOCKX, HOLDLOCK)");
            if !connection.rows(&sql).await?.is_empty() {
                return Err(has_rows());
            }
        }
        (None, Before::Empty) => connection.run(&format!("DELETE FROM {target} WITH (TABLOCKX)")).await?,
        (None, Before::Keep) => {}
    }
    if detail.numbers == Numbers::Given {
        connection.run(&format!("SET IDENTITY_INSERT {target} ON")).await?;
    }
    for (table, rows) in tables {
        let sql = format!("{}; SELECT ROWCOUNT_BIG()", detail.insert(&table.quoted()));
        let inserted = connection.number(&sql).await?.and_then(|count| u64::try_from(count).ok());
        if inserted != Some(*rows) {
            let message = format!("{} rows of a task came into the table, it wrote {rows}", inserted.unwrap_or(0));
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
    }
    if detail.numbers == Numbers::Given {
        connection.run(&format!("SET IDENTITY_INSERT {target} OFF")).await?;
    }
    Ok(())
}

/// Refuses texts with letters that the code page of their column lacks: the server would put question marks in their place, and say
/// nothing.
async fn look_for_lost_letters(connection: &mut Connection, detail: &Detail, tables: &[(Name, u64)]) -> Result<()> {
    for (place, column) in detail.columns.iter().enumerate().filter(|(_, column)| has_code_page(column)) {
        for (table, _) in tables {
            let sql = lost_letters(&staged(place), column, &table.quoted());
            if !connection.rows(&sql).await?.is_empty() {
                let message = "a text has letters that the code page of its column lacks";
                return Err(Error::new(ErrorKind::Value, message)
                    .with_hint("make the column an nvarchar, or give it a collation of UTF-8")
                    .at("column", &column.name));
            }
        }
    }
    Ok(())
}

fn has_code_page(column: &Column) -> bool {
    let kind = SqlType::declared(&column.declared).map(|sql_type| sql_type.kind);
    let is_utf8 =
        column.collation.as_deref().is_some_and(|collation| collation.to_ascii_uppercase().ends_with("_UTF8"));
    matches!(kind, Some(Kind::Text(_))) && !is_utf8
}

/// Asks for a row of `table` whose `staged` text is another one when it comes back from the code page of `column`.
fn lost_letters(staged: &str, column: &Column, table: &str) -> String {
    // Names of collations are words; what is none would be no SQL.
    let collation =
        column.collation.as_deref().filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let there = match collation {
        Some(collation) => format!("CAST({staged} COLLATE {collation} AS varchar(max))"),
        None => format!("CAST({staged} AS varchar(max))"),
    };
    let exact = "COLLATE Latin1_General_BIN2";
    format!("SELECT TOP (1) 1 FROM {table} WHERE CAST({there} AS nvarchar(max)) {exact} <> {staged} {exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_are_looked_at_where_there_are_any() {
        let column = |declared: &str, collation: Option<&str>| Column {
            name: "a".to_owned(),
            declared: declared.to_owned(),
            collation: collation.map(str::to_owned),
            not_null: false,
        };
        assert!(has_code_page(&column("varchar(20)", Some("Latin1_General_CI_AS"))));
        assert!(has_code_page(&column("char(2)", None)));
        assert!(!has_code_page(&column("varchar(max)", Some("Latin1_General_100_CI_AS_SC_UTF8"))));
        assert!(!has_code_page(&column("nvarchar(20)", Some("Latin1_General_CI_AS"))));
        assert_eq!(
            lost_letters("[c1]", &column("text", Some("Cyrillic_General_CI_AS")), "[t]"),
            "SELECT TOP (1) 1 FROM [t] WHERE CAST(CAST([c1] COLLATE Cyrillic_General_CI_AS AS varchar(max)) AS nvarchar(max)) \
             COLLATE Latin1_General_BIN2 <> [c1] COLLATE Latin1_General_BIN2"
        );
    }
}
