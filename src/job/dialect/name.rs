//! Names of tables and columns: lists with commas, ranges in brackets, quotes of each product.

use crate::error::Result;
use crate::job::tree::Node;

/// The tables that `node` names: `a, b`, `t_[00-31]`. Commas within quotes separate nothing.
pub(super) fn tables(node: &Node<'_>) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for element in node.one_or_more() {
        for name in separated(&element.text()?) {
            tables.extend(ranged(&name, &element)?);
        }
    }
    if tables.is_empty() {
        return Err(node.error("no table is named"));
    }
    Ok(tables)
}

/// The parts of `text`, which has commas between them. Those within quotes separate nothing.
pub(super) fn separated(text: &str) -> Vec<String> {
    let (mut quote, mut names) = (None, vec![String::new()]);
    for sign in text.chars() {
        match (quote, sign) {
            (None, ',') => {
                names.push(String::new());
                continue;
            }
            (None, '"' | '`' | '\'') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            _ => {}
        }
        if let Some(name) = names.last_mut() {
            name.push(sign);
        }
    }
    names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// `t_[00-02]` is `t_00`, `t_01`, `t_02`: zeros in front stay.
fn ranged(name: &str, node: &Node<'_>) -> Result<Vec<String>> {
    let bounds = name.split_once('[').and_then(|(before, rest)| {
        let (range, behind) = rest.split_once(']')?;
        let (low, high) = range.split_once('-')?;
        let (low, high) = (low.trim(), high.trim());
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(low) && digits(high)).then_some((before, low, high, behind))
    });
    let Some((before, low, high, behind)) = bounds else { return Ok(vec![name.to_owned()]) };
    let range = low.parse::<u32>().ok().zip(high.parse::<u32>().ok()).filter(|(low, high)| high >= low);
    let (first, last) = range
        .filter(|(first, last)| last - first < 100_000)
        .ok_or_else(|| node.error(format!("the range of tables in {name:?} is none")))?;
    let width = if low.starts_with('0') { low.len() } else { 0 };
    Ok((first..=last).map(|number| format!("{before}{number:0width$}{behind}")).collect())
}

/// Whether `text` is a name that means the same whether it is quoted or not.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !["null", "true", "false", "user", "current_date", "current_time", "current_timestamp"].contains(&text)
}

/// A name as this program writes it: backticks and square brackets are double quotes here.
pub(super) fn standard(name: &str) -> String {
    name.replace(['`', '[', ']'], "\"")
}

/// The column that `text` names in a writer, without the quotes of any product.
pub(super) fn column(text: &str) -> String {
    let text = text.trim();
    for (open, close) in [('`', '`'), ('"', '"'), ('[', ']')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return inner.replace(&format!("{close}{close}"), &close.to_string());
        }
    }
    text.to_owned()
}

/// Whether all columns are meant.
pub(super) fn is_star(column: &Node<'_>) -> bool {
    matches!(column.one_or_more().as_slice(), [one] if one.text().is_ok_and(|text| text.trim() == "*"))
}

/// `name` as the database behind `connector` takes it: what stands in no double quotes gets its case.
pub(super) fn folded(connector: &str, name: &str) -> String {
    let fold: fn(&str) -> String = match connector {
        "postgres" => str::to_ascii_lowercase,
        // Oracle, DB2 and DM.
        "connectorx" | "odbc" => str::to_uppercase,
        _ => str::to_owned,
    };
    let parts = name.split('"').enumerate();
    let parts = parts.map(|(place, part)| if place.is_multiple_of(2) { fold(part) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("\"")
}
