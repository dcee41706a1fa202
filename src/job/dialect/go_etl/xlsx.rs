//! `xlsxreader` and `xlsxwriter`: sheets of workbooks.

use serde_json::{Map, Value as Json};

use super::csv::{forms, header, replaced, start_row};
use super::lacks::FILES;
use super::{Context, Source, Target, flag, path, text, texts};
use crate::error::Result;
use crate::job::Place;
use crate::job::locator::FILE;
use crate::job::tree::Node;
use crate::object::ObjectRef;

/// One source for each workbook: its sheets one behind the other.
pub(super) fn sources(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Source>> {
    let mut options = common(parameter)?;
    // A text without a letter is NULL, as a blank cell is, unless another one is.
    options.entry("null").or_insert_with(|| "".into());
    options.insert("header".to_owned(), false.into());
    options.insert("allStrings".to_owned(), true.into());
    // From the first column on, also where it is blank.
    options.insert("range".to_owned(), format!("A{}:XFD", start_row(parameter)?).into());
    let forms = forms(parameter, place)?;
    if !forms.is_empty() {
        let casts: Map<String, Json> = forms.iter().map(|form| (letters(form.place), form.cast())).collect();
        options.insert("casts".to_owned(), casts.into());
    }
    context.forms = forms.into_iter().map(|form| (form.place, form.pattern)).collect();
    let note = "cells are read as the values that they hold, and not as Excel shows them; real dates need no format";
    context.notes.push(note.to_owned());
    let mut sources = Vec::new();
    for book in parameter.need("xlsxs")?.one_or_more() {
        let url = path(&book.need("path")?)?;
        let mut places = Vec::new();
        for sheet in sheets(&book)? {
            let mut options = options.clone();
            options.insert("url".to_owned(), url.as_str().into());
            options.insert("sheet".to_owned(), sheet.into());
            places.push(Place::new(FILE, Json::Object(options), ObjectRef::Whole));
        }
        sources.push(Source { places, select: Vec::new(), width: None });
    }
    Ok(sources)
}

/// One target for each workbook, which takes the place of what is there.
pub(super) fn targets(parameter: &Node<'_>, context: &mut Context<'_>) -> Result<Vec<Target>> {
    let mut options = common(parameter)?;
    let has_header = flag(parameter, "hasHeader")?;
    options.insert("header".to_owned(), has_header.into());
    if let Some(rows) = parameter.get("sheetRow").map(|node| node.integer()).transpose()?.filter(|rows| *rows != 0) {
        options.insert("sheetRows".to_owned(), rows.into());
    }
    if !forms(parameter, place)?.is_empty() {
        let note = "column: dates are written as dates, and shown as 2024-01-02; a format is for text";
        context.notes.push(note.to_owned());
    }
    context.notes.push("numbers, dates and booleans are such cells, and not texts as in go-etl".to_owned());
    context.idle(FILES, parameter);
    let names = header(parameter, has_header)?;
    let mut targets = Vec::new();
    for book in parameter.need("xlsxs")?.one_or_more() {
        let mut options = options.clone();
        options.insert("url".to_owned(), path(&book.need("path")?)?.into());
        let mut sheets = sheets(&book)?.into_iter();
        options.insert("sheet".to_owned(), sheets.next().into());
        let further: Vec<String> = sheets.collect();
        if !further.is_empty() {
            options.insert("sheets".to_owned(), further.into());
        }
        targets.push(replaced(Place::new(FILE, Json::Object(options), ObjectRef::Whole), names.clone()));
    }
    Ok(targets)
}

/// What is common to reading and writing.
fn common(parameter: &Node<'_>) -> Result<Map<String, Json>> {
    let mut options = Map::new();
    options.insert("format".to_owned(), "xlsx".into());
    if let Some(null) = text(parameter, "nullFormat")? {
        options.insert("null".to_owned(), null.into());
    }
    Ok(options)
}

fn sheets(book: &Node<'_>) -> Result<Vec<String>> {
    let sheets = texts(book, "sheets")?;
    if sheets.iter().any(String::is_empty) || sheets.is_empty() {
        return Err(book.error("a workbook needs the names of its sheets").with_hint("write \"sheets\": [\"Sheet1\"]"));
    }
    Ok(sheets)
}

/// The place of the column that letters name: A is the first.
fn place(index: &Node<'_>) -> Result<usize> {
    let text = index.text()?.to_uppercase();
    let wrong = || index.error(format!("{text:?} is no column of a sheet")).with_hint("columns are A to XFD");
    if text.is_empty() || text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong());
    }
    let number = text.bytes().fold(0, |sum, byte| sum * 26 + usize::from(byte - b'A') + 1);
    if number > 16_384 { Err(wrong()) } else { Ok(number - 1) }
}

/// The letters of the column at `place`, from 0.
fn letters(place: usize) -> String {
    let mut letters = String::new();
    let mut rest = place + 1;
    while rest > 0 {
        letters.insert(0, char::from(b'A' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    letters
}
