//! `transformer`: functions over columns by their place, in order.

use crate::error::{Error, ErrorKind, Result};
use crate::job::TransformStep;
use crate::job::tree::Node;

const FUNCTIONS: [&str; 5] = ["dx_substr", "dx_pad", "dx_replace", "dx_filter", "dx_digest"];

/// The steps that `content` asks for. What one of them does and does not say is noted.
pub(super) fn steps(content: &Node<'_>, notes: &mut Vec<String>) -> Result<Vec<TransformStep>> {
    let Some(list) = content.get("transformer") else { return Ok(Vec::new()) };
    let steps: Vec<TransformStep> = list.one_or_more().iter().map(step).collect::<Result<_>>()?;
    steps.iter().filter(|step| step.function == "dx_digest").for_each(|step| digest_notes(step, notes));
    Ok(steps)
}

/// `DataX` knows `md5` and `toUpperCase` in these letters alone, and takes the other digest and case for all others.
fn digest_notes(step: &TransformStep, notes: &mut Vec<String>) {
    let [hash, letters] = step.parameters.as_slice() else { return };
    let other = |text: &str, word: &str| text != word && text.eq_ignore_ascii_case(word);
    if other(hash, "md5") {
        notes.push(format!("dx_digest with {hash:?} gives SHA-1, as in DataX: write md5 for MD5"));
    }
    if other(letters, "toUpperCase") {
        notes.push(format!("dx_digest with {letters:?} gives small letters, as in DataX: write toUpperCase"));
    }
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
