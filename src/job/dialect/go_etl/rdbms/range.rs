//! `split`: tables are cut here by what is fastest, so its key is not needed. A range that is preset chooses rows.

use chrono::{NaiveDate, NaiveDateTime};

use super::super::{Context, text};
use super::Product;
use crate::error::{Error, ErrorKind, Result};
use crate::job::tree::Node;

/// The condition that a preset range is, in the SQL of `product`; none without one.
pub(super) fn condition(product: Product, parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Option<String>> {
    let Some(split) = parameter.get("split") else { return Ok(None) };
    let key = text(&split, "key")?;
    let range = split.get("range");
    let Some(key) = key else { return Ok(None) };
    let kind = range.as_ref().map(|range| text(range, "type")).transpose()?.flatten();
    let (Some(range), Some(kind)) = (range, kind) else {
        context.notes.push(format!(
            "split.key {key:?} is not needed: a table is cut so that each row comes once, with a key or without"
        ));
        return Ok(None);
    };
    let literal: fn(Product, &Node<'_>) -> Result<String> = match kind.to_lowercase().as_str() {
        "bigint" => number,
        "string" => string,
        "time" => time,
        other => {
            let error = range.need("type")?.error(format!("there is no range of {other:?}"));
            return Err(error.with_hint("the types are bigInt, string and time"));
        }
    };
    let (left, right) = (range.need("left")?, range.need("right")?);
    context.notes.push(format!(
        "split.range: rows whose {key:?} is outside of {:?} to {:?} are not read, as in go-etl",
        left.text()?,
        right.text()?
    ));
    let key = product.quoted(&key);
    Ok(Some(format!("{key} >= {} and {key} <= {}", literal(product, &left)?, literal(product, &right)?)))
}

fn number(_: Product, node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    let number = text.trim().parse::<i128>().map_err(|_| node.error("the bound is no whole number"))?;
    Ok(number.to_string())
}

fn string(product: Product, node: &Node<'_>) -> Result<String> {
    let text = node.text()?.replace('\'', "''");
    Ok(format!("'{}'", if product == Product::Mysql { text.replace('\\', "\\\\") } else { text }))
}

fn time(product: Product, node: &Node<'_>) -> Result<String> {
    let text = node.text()?;
    let text = text.trim();
    let untyped = matches!(product, Product::SqlServer | Product::Sqlite);
    if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
        return Ok(if untyped { format!("'{text}'") } else { format!("date '{text}'") });
    }
    if NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").is_ok() {
        return Ok(match product {
            // Whatever the language of the session.
            Product::SqlServer => format!("'{}'", text.replacen(' ', "T", 1)),
            _ if untyped => format!("'{text}'"),
            _ => format!("timestamp '{text}'"),
        });
    }
    let error = node.error("the bound is no time that is understood here");
    Err(Error::new(ErrorKind::Unsupported, error.to_string())
        .with_hint("write it like 2024-01-02 or 2024-01-02 03:04:05"))
}
