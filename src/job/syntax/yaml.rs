//! YAML: one document, with anchors. A key that comes twice is an error.

use std::collections::HashMap;

use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser, Span, StrInput};
use serde_json::{Map, Value as Json};

use super::{DEPTH, Parsed, error, number};
use crate::error::Result;
use crate::job::tree::{Position, joined};

/// Values that aliases may bring, so that a small file cannot become an endless one.
const ALIASED: usize = 10_000;

/// Parses the whole of `text`.
pub(super) fn parse(text: &str) -> Result<Parsed> {
    let mut builder =
        Builder { parser: Parser::new_from_str(text), positions: HashMap::new(), anchors: HashMap::new(), aliased: 0 };
    let mut root = None;
    loop {
        let (event, span) = builder.next("")?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if root.is_some() => return Err(error("a second document begins here", place(span.start), "")),
            event => root = Some(builder.value(event, span, "", 0)?),
        }
    }
    Ok(Parsed { root: root.unwrap_or_default(), positions: builder.positions, ..Parsed::default() })
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    positions: HashMap<String, Position>,
    anchors: HashMap<usize, Json>,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self, path: &str) -> Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(refused)) => {
                Err(error(format!("this is no YAML: {}", refused.info()), place(*refused.marker()), path))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`.
    fn value(&mut self, event: Event<'a>, span: Span, path: &str, depth: usize) -> Result<Json> {
        let position = place(span.start);
        if depth > DEPTH {
            return Err(error(format!("values lie more than {DEPTH} deep in each other"), position, path));
        }
        self.positions.insert(path.to_owned(), position);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = text.to_string();
                let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref());
                let value = scalar.map(|scalar| json_of(&scalar, &plain));
                (value.ok_or_else(|| error("this value is not of the type of its tag", position, path))?, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.sequence(path, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.mapping(path, depth)?, anchor),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| error("this alias lies within its own anchor", position, path))?;
                self.aliased += count(&value);
                if self.aliased > ALIASED {
                    return Err(error(format!("aliases bring more than {ALIASED} values"), position, path));
                }
                (value, 0)
            }
            _ => return Err(error("a value should be here", position, path)),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Json> {
        let mut array = Vec::new();
        loop {
            match self.next(path)? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Json::Array(array)),
                (event, span) => {
                    let path = joined(path, &array.len().to_string());
                    array.push(self.value(event, span, &path, depth + 1)?);
                }
            }
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Json> {
        let mut object = Map::new();
        loop {
            let (event, span) = self.next(path)?;
            let key = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(Json::Object(object)),
                Event::Scalar(text, ..) => text.to_string(),
                _ => return Err(error("a key is a text", place(span.start), path)),
            };
            let inner = joined(path, &key);
            let (event, span) = self.next(&inner)?;
            let value = self.value(event, span, &inner, depth + 1)?;
            if object.insert(key, value).is_some() {
                return Err(error("this key comes twice", place(span.start), &inner));
            }
        }
    }
}

/// A scalar, whose text is `plain`.
fn json_of(scalar: &Scalar<'_>, plain: &str) -> Json {
    match scalar {
        Scalar::Null => Json::Null,
        Scalar::Boolean(flag) => Json::Bool(*flag),
        Scalar::Integer(whole) => Json::from(*whole),
        Scalar::FloatingPoint(_) => number(plain),
        Scalar::String(text) => Json::from(text.as_ref()),
    }
}

/// Values within `value`, itself one of them.
fn count(value: &Json) -> usize {
    1 + match value {
        Json::Array(array) => array.iter().map(count).sum(),
        Json::Object(object) => object.values().map(count).sum(),
        _ => 0,
    }
}

fn place(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_types_of_json() {
        let parsed = parse("a: 1\nb: [1.5, 'x', ~]\nc: \"true\"\nd: false\ne: 1.0e2\n").unwrap();
        assert_eq!(parsed.root, json!({"a": 1, "b": [1.5, "x", null], "c": "true", "d": false, "e": 100.0}));
        assert_eq!(parsed.positions["b.1"], Position { line: 2, column: 10 });
        let anchors = parse("a: &x {k: 1}\nb: *x\n").unwrap();
        assert_eq!(anchors.root, json!({"a": {"k": 1}, "b": {"k": 1}}));
        assert_eq!(parse("").unwrap().root, Json::Null);
    }

    #[test]
    fn what_is_no_single_document_is_refused() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        assert!(refused("a: [1\nb: 2\n").contains("this is no YAML"));
        assert!(refused("a: 1\na: 2\n").contains("key a (line 2, column 4): this key comes twice"));
        assert!(refused("a: 1\n---\nb: 2\n").contains("a second document begins here"));
        let laughs = (1..9).fold("a0: &a0 [x]\n".to_owned(), |text, at| {
            let before = vec![format!("*a{}", at - 1); 9].join(",");
            format!("{text}a{at}: &a{at} [{before}]\n")
        });
        assert!(refused(&laughs).contains("aliases bring more than"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}:,'\"&*!|>#0-9. a-cä\n-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
