//! The texts by which values are compared: what the server gives of a column, and the same of what is sent to it.

use std::borrow::Cow;

use arrow::datatypes::{DataType, Field};

use super::super::decode::numeric_text;
use super::super::encode::{Column, Layout};
use super::super::name::identifier;
use super::super::typemap::PRODUCT;
use super::json::Writer;
use crate::schema::native_of;

/// Bytes before the value in the wire form of a row of one column: how many columns, its type, its length.
const ROW_HEADER: usize = 12;

/// Bytes of a jsonb before its text.
pub(super) const JSONB_VERSION: usize = 1;

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let (digits, mut pairs, mut byte) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// What a text says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is the value.
    Text,
    /// It is the value without blanks at its end, which the type may add.
    Trimmed,
    /// Its wire bytes in hexadecimal.
    Wire,
    /// A number with all digits that count.
    Number,
    /// JSON, of which the server keeps what it means, as the server writes that. Its own `jsonb_hash_extended` takes -5 for 5,
    /// `[1]` for 1, `[[1], 2]` for `[[1, 2]]` and `{}` for `[]`: a text that is made for the hash alone is the price of a proof.
    Json,
}

/// The expression that gives the text of `column`, and its form; none where the server's text is not ours.
pub(super) fn text_of(column: &Column, field: &Field, target_type: &str) -> Option<(String, Form)> {
    let name = identifier(&column.name);
    let text = format!("{name}::text");
    // What comes as text of this very type is what the server would write.
    let own = native_of(field, PRODUCT) == Some(target_type);
    let list = matches!(field.data_type(), DataType::List(_));
    Some(match &column.layout {
        Layout::Numeric => (text, Form::Number),
        _ if column.wire => (wire(&column.layout, target_type, &name), Form::Wire),
        Layout::Text if target_type == "xml" => return None,
        Layout::Text if is_kept(target_type) => (text, Form::Text),
        Layout::Text => (format!("rtrim({text})"), Form::Trimmed),
        Layout::Jsonb if !own => (text, Form::Json),
        Layout::Array { element, .. } if list && is_kept_in_arrays(element, field.data_type(), target_type) => {
            (wire(&column.layout, target_type, &name), Form::Wire)
        }
        Layout::Array { .. } if list => return None,
        Layout::Jsonb | Layout::Array { .. } if own => (text, Form::Text),
        // By the output function of the type: a cast of `inet` to text shows `::1` as `::1/128`.
        Layout::Other if own => (format!("CASE WHEN {name} IS NOT NULL THEN format('%s', {name}) END"), Form::Text),
        Layout::Array { .. } | Layout::Other => return None,
        layout => (wire(layout, target_type, &name), Form::Wire),
    })
}

/// Whether a text comes back from a column of this type as it was sent.
fn is_kept(target_type: &str) -> bool {
    matches!(target_type, "text" | "json" | "name") || target_type.starts_with("character varying")
}

/// Whether elements come back as they were sent: not padded, not rewritten, no zeros taken off.
fn is_kept_in_arrays(element: &Layout, list: &DataType, target_type: &str) -> bool {
    let mut item = list;
    while let DataType::List(field) = item {
        item = field.data_type();
    }
    match element {
        Layout::Numeric => matches!(item, DataType::Decimal128(..)),
        Layout::Text => is_kept(target_type.trim_end_matches("[]")),
        Layout::Jsonb | Layout::Other | Layout::Array { .. } => false,
        _ => true,
    }
}

/// The wire bytes of a column in hexadecimal. Any value has them as a part of a row; by its own function it is faster.
fn wire(layout: &Layout, target_type: &str, name: &str) -> String {
    let send = match layout {
        Layout::Bytea => return format!("encode({name}, 'hex')"),
        Layout::Float4 => "float4send",
        Layout::Float8 => "float8send",
        Layout::Date => "date_send",
        Layout::Interval => "interval_send",
        Layout::Uuid => "uuid_send",
        Layout::Timestamp if target_type.ends_with("without time zone") => "timestamp_send",
        Layout::Timestamp if target_type.ends_with("with time zone") => "timestamptz_send",
        // A row of NULL is not NULL itself.
        _ => {
            let value = format!("encode(substr(record_send(ROW({name})), {}), 'hex')", ROW_HEADER + 1);
            return format!("CASE WHEN {name} IS NOT NULL THEN {value} END");
        }
    };
    format!("encode({send}({name}), 'hex')")
}

/// Appends the bytes `wire` in hexadecimal.
pub(super) fn put_hex(wire: &[u8], out: &mut Vec<u8>) {
    for byte in wire {
        out.extend_from_slice(&HEX[usize::from(*byte)]);
    }
}

impl Form {
    /// Appends what it says of a value of which these are the wire bytes; none where they do not tell.
    pub(super) fn put(self, layout: &Layout, wire: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match (self, layout) {
            (Self::Wire, _) => put_hex(wire, out),
            (Self::Number, _) => {
                let mut digits = Vec::new();
                numeric_text(wire, &mut digits).then_some(())?;
                out.extend_from_slice(self.canonical(std::str::from_utf8(&digits).ok()?).as_bytes());
            }
            (Self::Trimmed, _) => {
                out.extend_from_slice(self.canonical(std::str::from_utf8(wire).ok()?).as_bytes());
            }
            (Self::Json, Layout::Jsonb) => {
                let text = std::str::from_utf8(wire.get(JSONB_VERSION..)?).ok()?;
                out.extend_from_slice(self.canonical(text).as_bytes());
            }
            // A text that is the value is hashed where it lies.
            (Self::Json | Self::Text, _) => return None,
        }
        Some(())
    }

    /// `text` in the one spelling of what it means.
    pub(super) fn canonical(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Text | Self::Wire => text.into(),
            Self::Trimmed => text.trim_end_matches(' ').into(),
            Self::Number if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').into(),
            Self::Number => text.into(),
            Self::Json => String::from_utf8_lossy(Writer::default().written(text)).into_owned().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_makes_of_a_text_has_the_same_spelling() {
        let same =
            |form: Form, sent: &str, stored: &str| assert_eq!(form.canonical(sent), form.canonical(stored), "{sent}");
        // To the left JSON, to the right what jsonb makes of it.
        same(Form::Json, r#"{"b":1, "a":[1.0,true,null],"b":2}"#, r#"{"a": [1.0, true, null], "b": 2}"#);
        same(Form::Json, r#" "é\/\n" "#, r#""é/\n""#);
        same(
            Form::Json,
            "[1e2,-0,1.50,12345678901234567890123,1E-7]",
            "[100,0,1.50,12345678901234567890123,0.0000001]",
        );
        same(Form::Number, "1.500", "1.5");
        same(Form::Number, "100", "100");
        same(Form::Number, "0.00", "0");
        same(Form::Trimmed, "ab", "ab   ");
        for (one, other) in
            [("1", "2"), ("[1,2]", "[2,1]"), ("\"a\"", "\"b\""), ("{\"a\":1}", "{\"b\":1}"), ("0.1", "0.2")]
        {
            assert_ne!(Form::Json.canonical(one), Form::Json.canonical(other));
        }
        assert_ne!(Form::Number.canonical("100"), Form::Number.canonical("1"));
        assert_ne!(Form::Trimmed.canonical(" a"), Form::Trimmed.canonical("a"));
    }
}
