//! Lists as files and other databases write them, in JSON, as the literals that the server reads.
//!
//! `[1,null,"a b"]` becomes `{1,NULL,"a b"}`. A literal of the server stays; one with bounds begins with a bracket, too, and is
//! told by its colon: `[0:1]={5,6}`. Source: the manual, "Array Input and Output Syntax".

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, StringArray};
use arrow::datatypes::DataType;
use serde_json::value::RawValue;

/// The texts of an array column with their JSON turned into literals. What is neither is left for the server to refuse.
pub(super) fn literals(texts: &ArrayRef) -> ArrayRef {
    match texts.data_type() {
        DataType::Utf8 => turned(texts, texts.as_string::<i32>().iter()),
        DataType::LargeUtf8 => turned(texts, texts.as_string::<i64>().iter()),
        DataType::Utf8View => turned(texts, texts.as_string_view().iter()),
        _ => Arc::clone(texts),
    }
}

fn turned<'a>(texts: &ArrayRef, values: impl Iterator<Item = Option<&'a str>> + Clone) -> ArrayRef {
    if !values.clone().flatten().any(is_json) {
        return Arc::clone(texts);
    }
    let literal = |text: &'a str| match is_json(text).then(|| literal(text)).flatten() {
        Some(literal) => Cow::Owned(literal),
        None => Cow::Borrowed(text),
    };
    Arc::new(values.map(|text| text.map(literal)).collect::<StringArray>())
}

fn is_json(text: &str) -> bool {
    let Some(inner) = text.trim_start().strip_prefix('[') else { return false };
    let after_number = inner.trim_start_matches(|letter: char| letter.is_ascii_digit() || "+-".contains(letter));
    !after_number.starts_with(':')
}

fn literal(json: &str) -> Option<String> {
    let mut out = String::with_capacity(json.len() + 8);
    list(json, &mut out)?;
    Some(out)
}

/// Appends the list `json`; none where it is not one.
fn list(json: &str, out: &mut String) -> Option<()> {
    let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let item = item.get();
        match item.as_bytes().first()? {
            b'[' => list(item, out)?,
            b'"' => quoted(&serde_json::from_str::<String>(item).ok()?, out),
            b'{' => quoted(item, out),
            b'n' => out.push_str("NULL"),
            _ => out.push_str(item),
        }
    }
    out.push('}');
    Some(())
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_json_become_literals_and_literals_stay() {
        for (json, expected) in [
            ("[]", "{}"),
            (" [1, null,-3.50]", "{1,NULL,-3.50}"),
            (r#"["a","NULL","","b,c","q\"\\\n"]"#, "{\"a\",\"NULL\",\"\",\"b,c\",\"q\\\"\\\\\n\"}"),
            ("[[1,2],[3,4]]", "{{1,2},{3,4}}"),
            (r#"[{"a":"x"},true]"#, r#"{"{\"a\":\"x\"}",true}"#),
            ("[12345678901234567890123.10]", "{12345678901234567890123.10}"),
            ("{1,2}", "{1,2}"),
            ("[0:1]={5,6}", "[0:1]={5,6}"),
            ("[-1:0][1:1]={{5},{6}}", "[-1:0][1:1]={{5},{6}}"),
            ("[1, 2", "[1, 2"),
            ("", ""),
        ] {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(json), None]));
            let literals = literals(&texts);
            assert_eq!(literals.as_string::<i32>().value(0), expected);
            assert!(literals.is_null(1));
        }
    }
}
