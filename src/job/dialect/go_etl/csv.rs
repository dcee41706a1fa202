//! `csvreader` and `csvwriter`: records of RFC 4180, columns by their place.

use serde_json::{Map, Value as Json};

use super::lacks::FILES;
use super::{Context, Source, Target, flag, path, text, texts};
use crate::error::Result;
use crate::job::Place;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::object::ObjectRef;
use crate::sink::WriteMode;

/// The types of columns. Of all but times only the name counts.
const TYPES: [&str; 5] = ["bool", "bigint", "decimal", "string", "time"];

/// A column whose texts are times.
pub(super) struct Form {
    /// Its place, from 0.
    pub(super) place: usize,
    /// How they are written, in Java's letters.
    pub(super) pattern: String,
    /// What they are.
    pub(super) kind: &'static str,
}

impl Form {
    /// How the connector is told of it.
    pub(super) fn cast(&self) -> Json {
        format!("{}('{}')", self.kind, self.pattern).into()
    }
}

/// One source for each file.
pub(super) fn sources(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Source>> {
    let mut options = common(parameter)?;
    options.insert("header".to_owned(), false.into());
    // Their places, from 0, are the names of columns.
    options.insert("columnNames".to_owned(), "0".into());
    options.insert("allStrings".to_owned(), true.into());
    if let Some(sign) = text(parameter, "comment")? {
        options.insert("comment".to_owned(), sign.into());
    }
    let skipped = start_row(parameter)? - 1;
    if skipped > 0 {
        options.insert("skipRecords".to_owned(), skipped.into());
    }
    // What a file holds is seen by its first bytes.
    compression(parameter)?;
    let forms = forms(parameter, number)?;
    if !forms.is_empty() {
        let casts: Map<String, Json> = forms.iter().map(|form| (form.place.to_string(), form.cast())).collect();
        options.insert("casts".to_owned(), casts.into());
    }
    context.forms = forms.into_iter().map(|form| (form.place, form.pattern)).collect();
    let of = |node: &Node<'_>| {
        let mut options = options.clone();
        options.insert("url".to_owned(), path(node)?.into());
        Ok(Source::whole(Place::new(FILE, Json::Object(options), ObjectRef::Whole)))
    };
    parameter.need("path")?.one_or_more().iter().map(of).collect()
}

/// One target for each file, which takes the place of what is there.
pub(super) fn targets(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Target>> {
    let mut options = common(parameter)?;
    let has_header = flag(parameter, "hasHeader")?;
    options.insert("header".to_owned(), has_header.into());
    // A file is compressed only where the job says so, whatever its name.
    options.insert("compression".to_owned(), compression(parameter)?.unwrap_or_else(|| "none".to_owned()).into());
    options.insert("shortDecimals".to_owned(), true.into());
    let mut dates = Map::new();
    let own = forms(parameter, number)?.into_iter().map(|form| (form.place, form.pattern));
    for (place, pattern) in std::mem::take(&mut context.forms).into_iter().chain(own) {
        dates.insert((place + 1).to_string(), pattern.into());
    }
    if !dates.is_empty() {
        options.insert("dateFormats".to_owned(), dates.into());
    }
    let names = header(parameter, has_header)?;
    context.idle(FILES, parameter);
    let of = |node: &Node<'_>| {
        let mut options = options.clone();
        options.insert("url".to_owned(), path(node)?.into());
        Ok(replaced(Place::new(FILE, Json::Object(options), ObjectRef::Whole), names.clone()))
    };
    parameter.need("path")?.one_or_more().iter().map(of).collect()
}

/// A file that takes the place of what is there.
pub(super) fn replaced(place: Place, names: Vec<String>) -> Target {
    Target { names, ..Target::plain(place, WriteMode::Replace) }
}

/// The names of all columns in a header; none where they keep their own.
pub(super) fn header(parameter: &Node<'_>, has_header: bool) -> Result<Vec<String>> {
    let names = texts(parameter, "header")?;
    Ok(if has_header { names } else { Vec::new() })
}

/// The first row that is read, from 1.
pub(super) fn start_row(parameter: &Node<'_>) -> Result<u64> {
    let Some(node) = parameter.get("startRow") else { return Ok(1) };
    // 0 is what go-etl takes for absence.
    let row = u64::try_from(node.integer()?).map_err(|_| node.error("rows are counted from 1"))?;
    Ok(row.max(1))
}

/// What is common to reading and writing.
fn common(parameter: &Node<'_>) -> Result<Map<String, Json>> {
    let mut options = Map::new();
    options.insert("format".to_owned(), "csv".into());
    options.insert("null".to_owned(), text(parameter, "nullFormat")?.unwrap_or_default().into());
    options.insert("delimiter".to_owned(), text(parameter, "delimiter")?.unwrap_or_else(|| ",".to_owned()).into());
    if let Some(node) = parameter.get("encoding") {
        match node.text()?.to_lowercase().as_str() {
            "" | "utf-8" => {}
            "gbk" => drop(options.insert("encoding".to_owned(), "gbk".into())),
            other => {
                return Err(node.error(format!("there is no encoding {other:?}")).with_hint("use utf-8 or gbk"));
            }
        }
    }
    Ok(options)
}

fn compression(parameter: &Node<'_>) -> Result<Option<String>> {
    let Some(codec) = text(parameter, "compress")? else { return Ok(None) };
    match codec.as_str() {
        "gz" | "zip" => Ok(Some(codec)),
        _ => Err(parameter
            .need("compress")?
            .error(format!("there is no compression {codec:?}"))
            .with_hint("use gz or zip")),
    }
}

/// The columns of times; `place` reads where a column stands.
pub(super) fn forms(parameter: &Node<'_>, place: fn(&Node<'_>) -> Result<usize>) -> Result<Vec<Form>> {
    let Some(list) = parameter.get("column") else { return Ok(Vec::new()) };
    let mut forms = Vec::new();
    for column in list.elements()? {
        if !column.is_object() {
            return Err(column.error("a column is an object with index, type and format").with_hint("leave * out"));
        }
        let place = place(&column.need("index")?)?;
        let kind = column.need("type")?;
        let word = kind.text()?.to_lowercase();
        if !TYPES.contains(&word.as_str()) {
            let error = kind.error(format!("there is no column type {word:?}"));
            return Err(error.with_hint("the types are bool, bigInt, decimal, string and time"));
        }
        let format = column.get("format");
        if word == "time" {
            let format = format.ok_or_else(|| column.error("a time needs its format"))?.text()?;
            let (pattern, kind) = java(&format);
            forms.push(Form { place, pattern, kind });
        }
    }
    Ok(forms)
}

/// The place of a column that is counted from 1.
fn number(index: &Node<'_>) -> Result<usize> {
    let place = usize::try_from(index.integer()?).ok().and_then(|number| number.checked_sub(1));
    place.ok_or_else(|| index.error("columns are counted from 1"))
}

/// A format in Joda's letters, as go-etl takes them, in Java's; and what is written so.
fn java(format: &str) -> (String, &'static str) {
    let (mut pattern, mut letters, mut quoted) = (String::new(), String::new(), false);
    for sign in format.chars() {
        quoted ^= sign == '\'';
        let sign = match sign {
            // The year of the era, and that of the week.
            'Y' | 'x' if !quoted => 'y',
            sign => sign,
        };
        if !quoted && sign.is_ascii_alphabetic() {
            letters.push(sign);
        }
        pattern.push(sign);
    }
    let has = |wanted: &str| letters.contains(|letter: char| wanted.contains(letter));
    let kind = match (has("yMd"), has("HhmsSa"), has("Z")) {
        (true, _, true) => "timestamptz",
        (true, true, false) => "timestamp",
        (true, false, false) => "date",
        _ => "time",
    };
    // A zone with a colon.
    (pattern.replace("ZZ", "xxx"), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_joda_are_those_of_java() {
        for (format, pattern, kind) in [
            ("yyyy-MM-dd", "yyyy-MM-dd", "date"),
            ("YYYY/MM/dd HH:mm:ss.SSS", "yyyy/MM/dd HH:mm:ss.SSS", "timestamp"),
            ("yyyy-MM-dd'T'HH:mm:ssZZ", "yyyy-MM-dd'T'HH:mm:ssxxx", "timestamptz"),
            ("yyyyMMdd'Yes'", "yyyyMMdd'Yes'", "date"),
            ("HH:mm", "HH:mm", "time"),
        ] {
            assert_eq!(java(format), (pattern.to_owned(), kind), "{format}");
        }
    }
}
