//! `transformer`: functions over columns by their place, in order.

use crate::error::{Error, ErrorKind, Result};
use crate::job::TransformStep;
use crate::job::tree::Node;

const FUNCTIONS: [&str; 5] = ["dx_substr", "dx_pad", "dx_replace", "dx_filter", "dx_digest"];

/// The steps that `content` asks for.
pub(super) fn steps(content: &Node<'_>) -> Result<Vec<TransformStep>> {
    let Some(list) = content.get("transformer") else { return Ok(Vec::new()) };
    list.one_or_more().iter().map(step).collect()
}

fn step(node: &Node<'_>) -> Result<TransformStep> {
    let name = node.need("name")?;
    let function = name.text()?;
    if function == "dx_groovy" {
        let error = name.error("dx_groovy runs a program in Groovy, which is not here").to_string();
        let hint = "say it in SQL: etl copy … --sql 'SELECT … FROM src WHERE …'";
        return Err(Error::new(ErrorKind::Unsupported, error).with_hint(hint));
    }
    if !FUNCTIONS.contains(&function.as_str()) {
        return Err(name.error(format!("there is no function {function}")).with_hint(FUNCTIONS.join(", ")));
    }
    let parameter = node.need("parameter")?;
    let index = parameter.need("columnIndex")?;
    let place = index.integer()?;
    let column_index = usize::try_from(place).map_err(|_| index.error("columns are counted from 0"))?;
    let parameters = match parameter.get("paras") {
        Some(paras) => paras.elements()?.iter().map(Node::text).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    Ok(TransformStep { function, column_index, parameters })
}
