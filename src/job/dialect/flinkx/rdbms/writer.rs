//! Writers of relational databases: one table, and what becomes of rows that are there already.

use serde_json::Value as Json;

use super::super::super::driver::Way;
use super::super::super::name;
use super::super::super::product::Product;
use super::super::super::product::options;
use super::super::columns;
use super::super::lacks::WRITERS;
use super::super::plugins::Side;
use super::super::{Context, Target, flag_of, present};
use super::{connected, first, login, tables};
use crate::error::Result;
use crate::job::Place;
use crate::job::tree::Node;
use crate::merge::{Duplicates, KeyOf, Merge, Rest};
use crate::object::ObjectRef;
use crate::sink::{SchemaPolicy, WriteMode};

/// The table that `side` writes.
pub(in super::super) fn target(product: Product, side: &Side<'_>, context: &mut Context<'_>) -> Result<Target> {
    let parameter = &side.parameter;
    context.idle(WRITERS, parameter);
    let names = columns::names(parameter)?;
    if names.is_empty() {
        context.note("the writer's column is *: columns are paired by their names, and not by their places");
    }
    let connection = first(parameter, context)?;
    let logs_in = login(parameter, &connection)?;
    let options = connected((product, Way::Writing), (parameter, &connection), logs_in, context)?;
    let tables = tables(&connection)?;
    if tables.len() > 1 {
        context.note(format!("only the first of {} tables is written, as FlinkX does", tables.len()));
    }
    let connector = options::connector(product, &options);
    // Drivers quote names, so that their case counts.
    let cased = |text: &str| if connector == "odbc" { name::folded(connector, text) } else { text.to_owned() };
    let object = ObjectRef::Table(name::standard(&cased(&tables[0])));
    Ok(Target {
        mode: mode(connector, parameter, context)?,
        schema: if names.is_empty() { SchemaPolicy::Strict } else { SchemaPolicy::Partial },
        names: names.iter().map(|name| cased(name)).collect(),
        pre_sql: statements(parameter, "preSql")?,
        post_sql: statements(parameter, "postSql")?,
        place: Place::new(connector, Json::Object(options), object),
    })
}

/// SQL of the user.
fn statements(parameter: &Node<'_>, key: &str) -> Result<Vec<String>> {
    let Some(node) = present(parameter, key) else { return Ok(Vec::new()) };
    let mut statements = node.one_or_more().iter().map(Node::text).collect::<Result<Vec<_>>>()?;
    statements.retain(|sql| !sql.trim().is_empty());
    Ok(statements)
}

fn mode(connector: &str, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<WriteMode> {
    let key = key(parameter)?;
    if present(parameter, "allReplace").is_some() && !flag_of(parameter, "allReplace")? {
        context.note("allReplace: NULL takes the place of a value, too");
    }
    let named = present(parameter, "writeMode").or_else(|| present(parameter, "mode"));
    let word = named.as_ref().map_or_else(|| Ok("insert".to_owned()), Node::text)?.trim().to_lowercase();
    let rest = match word.as_str() {
        "insert" => {
            if !key.is_empty() {
                context.note("updateKey is for the modes replace and update");
            }
            return Ok(WriteMode::Append);
        }
        "update" => Rest::Kept,
        "replace" if matches!(connector, "mysql" | "postgres") => Rest::Default,
        "replace" => {
            context.note("replace keeps those columns of a row that do not come, as a MERGE does");
            Rest::Kept
        }
        _ => {
            let node = named.unwrap_or_else(|| parameter.clone());
            let error = node.error(format!("there is no write mode {word:?}"));
            return Err(error.with_hint("the modes are insert, replace and update"));
        }
    };
    if key.is_empty() {
        context.note(format!("{word} without an updateKey goes by the primary key, else by the only unique index"));
    }
    let duplicates = Duplicates::LastArrived;
    Ok(WriteMode::Upsert(Merge { key, key_of: KeyOf::Target, rest, duplicates, ..Merge::default() }))
}

/// The columns by which rows replace others: a list, or an object of one index and its columns.
fn key(parameter: &Node<'_>) -> Result<Vec<String>> {
    let Some(node) = present(parameter, "updateKey").or_else(|| present(parameter, "uniqueKey")) else {
        return Ok(Vec::new());
    };
    let columns = if node.is_object() {
        let mut entries = node.entries()?.into_iter();
        match (entries.next(), entries.next()) {
            (None, _) => return Ok(Vec::new()),
            (Some((_, columns)), None) => columns,
            _ => return Err(node.error("rows are found by one key, and this names several")),
        }
    } else {
        node
    };
    let mut key = Vec::new();
    for column in columns.one_or_more() {
        key.push(name::column(&column.text()?));
    }
    key.retain(|column| !column.is_empty());
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;
    use crate::job::tree::Tree;

    #[test]
    fn a_key_is_a_list_or_an_index_with_its_columns() {
        let key_of = |value: Json| {
            let tree = Tree::new(json!({"updateKey": value}), HashMap::new());
            key(&tree.root()).ok()
        };
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(key_of(json!({"key": ["id", "`day`"]})), names(&["id", "day"]));
        assert_eq!(key_of(json!(["id"])), names(&["id"]));
        assert_eq!(key_of(json!("id")), names(&["id"]));
        assert_eq!([key_of(json!({})), key_of(json!("")), key_of(json!(null))], [names(&[]), names(&[]), names(&[])]);
        assert_eq!(key_of(json!({"a": ["id"], "b": ["no"]})), None);
    }
}
