//! Readers and writers of relational databases.

pub(super) mod reader;
pub(super) mod writer;

use super::super::driver::Way;
use super::super::jdbc;
use super::super::product::Product;
use super::super::product::options::{self, Login, Options};
use super::{Context, text_of};
use crate::error::Result;
use crate::job::tree::Node;

/// The options of the database that `connection` names, for who may log in there.
fn connected(
    (product, way): (Product, Way),
    (parameter, connection): (&Node<'_>, &Node<'_>),
    login: Login,
    context: &mut Context<'_>,
) -> Result<Options> {
    let node = connection.need("jdbcUrl")?;
    let urls = node.one_or_more();
    let first = urls.first().ok_or_else(|| node.error("no URL is named"))?;
    if urls.len() > 1 {
        urls.iter().skip(1).for_each(|other| _ = other.json());
        context.note("of several URLs the first is used, as FlinkX does");
    }
    let told = (&mut context.notes, &mut context.parameters);
    options::of((product, way), &[jdbc::read(product, first)?], (parameter, first), login, told)
}

/// Who logs in to the database of `connection`: what it says itself, else what holds for all.
fn login(parameter: &Node<'_>, connection: &Node<'_>) -> Result<Login> {
    let (user, password) = options::login(connection)?;
    let (all_user, all_password) = options::login(parameter)?;
    Ok((user.or(all_user), password.or(all_password)))
}

/// The tables that `connection` names.
fn tables(connection: &Node<'_>) -> Result<Vec<String>> {
    let schema = text_of(connection, "schema")?;
    let node = connection.need("table")?;
    let mut tables = Vec::new();
    for element in node.one_or_more() {
        let name = element.text()?.trim().to_owned();
        tables.push(match &schema {
            Some(schema) if !name.contains('.') => format!("{schema}.{name}"),
            _ => name,
        });
    }
    tables.retain(|name| !name.is_empty());
    if tables.is_empty() {
        return Err(node.error("no table is named"));
    }
    Ok(tables)
}

/// The first connection, and a note where there are others.
fn first<'a>(parameter: &Node<'a>, context: &mut Context<'_>) -> Result<Node<'a>> {
    let node = parameter.need("connection")?;
    let connections = node.one_or_more();
    connections.iter().skip(1).for_each(|other| _ = other.json());
    if connections.len() > 1 {
        context.note(format!("only the first of {} connections is used, as FlinkX does", connections.len()));
    }
    connections.into_iter().next().ok_or_else(|| node.error("no connection is named"))
}
