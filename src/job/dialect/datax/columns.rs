//! The column types of plugins that read text or make rows.

use crate::error::Result;
use crate::job::tree::Node;

/// The types of columns, whatever their case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Long,
    Double,
    Bool,
    Date,
    Bytes,
}

/// The type that `column` says; text where it says none.
pub(super) fn kind(column: &Node<'_>) -> Result<Kind> {
    let Some(node) = column.get("type") else { return Ok(Kind::Text) };
    Ok(match node.text()?.to_lowercase().as_str() {
        "string" => Kind::Text,
        "long" | "int" | "integer" => Kind::Long,
        "double" => Kind::Double,
        "bool" | "boolean" => Kind::Bool,
        "date" => Kind::Date,
        "bytes" => Kind::Bytes,
        other => {
            return Err(node
                .error(format!("there is no column type {other:?}"))
                .with_hint("the types are string, long, double, boolean, date and bytes"));
        }
    })
}
