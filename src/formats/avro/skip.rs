//! Reading over values that nobody wants, as carefully as over others.

use super::cursor::Cursor;
use super::damaged;
use super::schema::{Layout, Type};
use crate::error::Result;

/// Reads over one value.
pub(super) fn skip(of: &Type, cursor: &mut Cursor<'_>) -> Result<()> {
    match of {
        Type::Value(layout, ..) => match layout {
            Layout::Null => {}
            Layout::Boolean => drop(cursor.take(1)?),
            Layout::Int | Layout::Long => drop(cursor.long()?),
            Layout::Float => drop(cursor.take(4)?),
            Layout::Double => drop(cursor.take(8)?),
            Layout::Bytes | Layout::Text | Layout::UuidText => drop(cursor.bytes()?),
            Layout::Fixed(bytes) => drop(cursor.take(*bytes)?),
        },
        Type::Symbols(_) => drop(cursor.long()?),
        Type::List(item) => skip_items(item, cursor, false)?,
        Type::Map(value) => skip_items(value, cursor, true)?,
        Type::Record(members) => members.iter().try_for_each(|member| skip(&member.of, cursor))?,
        Type::Union(branches) => skip(branches.get(cursor.length()?).ok_or_else(damaged)?, cursor)?,
    }
    Ok(())
}

fn skip_items(of: &Type, cursor: &mut Cursor<'_>, keys: bool) -> Result<()> {
    while let Some(items) = cursor.items()? {
        if !keys && of.is_empty() {
            continue;
        }
        for _ in 0..items {
            if keys {
                cursor.bytes()?;
            }
            skip(of, cursor)?;
        }
    }
    Ok(())
}
