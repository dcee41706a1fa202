//! Errors between our [`Error`] and DataFusion's, both ways.
//!
//! An own error travels through a query as `External` and comes out as it went in. What DataFusion says by itself is
//! sorted by whose fault it is: the expression (`Usage`), a value (`Value`), memory (`Resource`), a defect (`Internal`).
//! Texts of the execution phase may quote cell values: they are never repeated, nor kept as a cause.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// Wraps `error` so that a query carries it: [`from_datafusion`] gives it back with kind and frames.
pub fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error of a query as one of ours.
///
/// An own error that DataFusion wrapped (in contexts, collections, shared or Arrow errors) is found and returned.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => {
            let none = || Error::new(ErrorKind::Internal, "the query failed without saying why");
            errors.into_iter().next().map_or_else(none, from_datafusion)
        }
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => describe(&shared),
        },
        DataFusionError::External(inner) => from_external(inner),
        DataFusionError::ArrowError(inner, backtrace) => match *inner {
            ArrowError::ExternalError(inner) => from_external(inner),
            other => describe(&DataFusionError::ArrowError(Box::new(other), backtrace)),
        },
        DataFusionError::IoError(error) => Error::from(error),
        other => describe(&other),
    }
}

fn from_external(error: Box<dyn StdError + Send + Sync>) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return *own,
        Err(error) => error,
    };
    match error.downcast::<DataFusionError>() {
        Ok(inner) => from_datafusion(*inner),
        Err(error) => match error.downcast::<io::Error>() {
            Ok(error) => Error::from(*error),
            Err(_) => Error::new(ErrorKind::Internal, "a part of the query failed in an unforeseen way"),
        },
    }
}

/// As [`from_datafusion`], for an error that others hold too.
fn describe(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => describe(inner),
        DataFusionError::Shared(inner) => describe(inner),
        DataFusionError::Collection(errors) if !errors.is_empty() => describe(&errors[0]),
        DataFusionError::External(inner) => describe_external(&**inner),
        DataFusionError::ArrowError(inner, _) => match &**inner {
            ArrowError::ExternalError(inner) => describe_external(&**inner),
            other => from_arrow(other),
        },
        DataFusionError::SchemaError(error, _) => from_schema_error(error),
        DataFusionError::IoError(error) => Error::from(io::Error::new(error.kind(), error.to_string())),
        DataFusionError::SQL(parser, _) => {
            Error::new(ErrorKind::Usage, format!("the expression does not parse: {}", one_line(&parser.to_string())))
        }
        DataFusionError::Plan(text) if unknown_table(text).is_some() => {
            let message = format!("there is no table {:?}", unknown_table(text).unwrap_or_default());
            Error::new(ErrorKind::Usage, message).with_hint("the table is src")
        }
        DataFusionError::Plan(text) | DataFusionError::Configuration(text) => {
            Error::new(ErrorKind::Usage, format!("the expression is not valid: {}", one_line(text)))
        }
        DataFusionError::NotImplemented(text) => {
            Error::new(ErrorKind::Unsupported, format!("this expression is not supported: {}", one_line(text)))
        }
        DataFusionError::Execution(text) => {
            Error::new(ErrorKind::Value, format!("an expression failed: {}", without_values(text)))
        }
        DataFusionError::ResourcesExhausted(text) => {
            Error::new(ErrorKind::Resource, format!("the query needs more memory than it may use: {}", one_line(text)))
                .with_hint("give --memory more, or lower --jobs")
        }
        other => Error::new(ErrorKind::Internal, format!("the query engine failed: {}", one_line(&other.to_string()))),
    }
}

fn describe_external(error: &(dyn StdError + Send + Sync + 'static)) -> Error {
    if let Some(own) = error.downcast_ref::<Error>() {
        copy(own)
    } else if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        describe(inner)
    } else {
        Error::new(ErrorKind::Internal, "a part of the query failed in an unforeseen way")
    }
}

/// A copy of `own`, whose causes are kept as text.
fn copy(own: &Error) -> Error {
    let mut error = Error::new(own.kind(), own.message());
    for frame in own.frames() {
        error = error.at(frame.what.clone(), &frame.which);
    }
    if let Some(hint) = own.hint() {
        error = error.with_hint(hint);
    }
    match own.source() {
        Some(source) => error.with_source(Cause::of(source)),
        None => error,
    }
}

/// The text of a cause that somebody else owns.
#[derive(Debug)]
struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    fn of(error: &dyn StdError) -> Self {
        Self { text: error.to_string(), source: error.source().map(|source| Box::new(Self::of(source))) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

fn from_arrow(error: &ArrowError) -> Error {
    let (kind, message) = match error {
        ArrowError::DivideByZero => (ErrorKind::Value, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => (ErrorKind::Value, "the result of a calculation does not fit its type"),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            (ErrorKind::Value, "a value cannot be converted to the wanted type")
        }
        ArrowError::InvalidArgumentError(text) if text.contains("UTF-8") => {
            (ErrorKind::Value, "the bytes of a value are no text in UTF-8")
        }
        ArrowError::ComputeError(_) | ArrowError::InvalidArgumentError(_) => {
            (ErrorKind::Value, "an expression cannot be computed for a value")
        }
        ArrowError::OffsetOverflowError(_) => (ErrorKind::Resource, "the texts of a batch are too long"),
        ArrowError::MemoryError(_) => (ErrorKind::Resource, "memory is exhausted"),
        ArrowError::NotYetImplemented(text) => {
            return Error::new(ErrorKind::Unsupported, format!("this expression is not supported: {}", one_line(text)));
        }
        ArrowError::SchemaError(text) => {
            return Error::new(ErrorKind::Schema, format!("the columns do not fit: {}", one_line(text)));
        }
        _ => (ErrorKind::Internal, "a column operation failed"),
    };
    Error::new(kind, message)
}

fn from_schema_error(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => unknown_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            let message = format!("the column {:?} is ambiguous", field.name());
            Error::new(ErrorKind::Usage, message).with_hint("name its table: table.column")
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("two columns are named {name:?}");
            Error::new(ErrorKind::Schema, message).with_hint("rename one of them")
        }
    }
}

/// The name in `table 'datafusion.public.orders' not found`.
fn unknown_table(text: &str) -> Option<&str> {
    let name = text.strip_prefix("table '")?.split_once("' not found")?.0;
    Some(name.strip_prefix("datafusion.public.").unwrap_or(name))
}

fn unknown_column(field: &Column, valid: &[Column]) -> Error {
    let error = Error::new(ErrorKind::Usage, format!("there is no column {:?}", field.name()));
    if valid.is_empty() {
        return error;
    }
    let folded = valid.iter().find(|known| known.name().to_lowercase() == field.name().to_lowercase());
    let names: Vec<&str> = valid.iter().map(Column::name).collect();
    match folded {
        // SQL folds names to lower case unless they are quoted.
        Some(known) => error.with_hint(format!("write \"{}\", in double quotes", known.name())),
        None => error.with_hint(format!("the columns are {}", names.join(", "))),
    }
}

/// DataFusion's text without backtrace, in one line and without a full stop.
fn one_line(text: &str) -> String {
    let text = text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

/// `text` without anything that may be a cell value: what is quoted, and every digit.
fn without_values(text: &str) -> String {
    let line = one_line(text);
    let quote = |c: char| matches!(c, '\'' | '"' | '`');
    let line = match (line.find(quote), line.rfind(quote)) {
        (Some(first), Some(last)) if first < last => format!("{}…{}", &line[..first], &line[last + 1..]),
        _ => line,
    };
    line.split(' ')
        .map(|word| if word.contains(|c: char| c.is_ascii_digit()) { "…" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Error {
        Error::new(ErrorKind::Constraint, "the target refuses a row").at("row", 7).at("object", "orders")
    }

    #[test]
    fn an_own_error_survives_every_wrapping() {
        let wrapped: Vec<DataFusionError> = vec![
            to_datafusion(own()),
            to_datafusion(own()).context("while sorting"),
            DataFusionError::Collection(vec![to_datafusion(own())]),
            DataFusionError::Shared(Arc::new(to_datafusion(own()))),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(own()))), None),
            DataFusionError::External(Box::new(to_datafusion(own()))),
            ArrowError::ExternalError(Box::new(to_datafusion(own()).context("x"))).into(),
        ];
        for error in wrapped {
            let text = error.to_string();
            let found = from_datafusion(error);
            assert_eq!((found.kind(), found.to_string()), (own().kind(), own().to_string()), "{text}");
        }
    }

    #[test]
    fn a_shared_own_error_is_copied_with_its_causes() {
        let cause = io::Error::other("the cause");
        let shared = Arc::new(to_datafusion(own().with_source(cause).with_hint("mend the row")));
        let copied = from_datafusion(DataFusionError::Shared(Arc::clone(&shared)));
        assert_eq!(copied.to_string(), own().to_string());
        assert_eq!(copied.hint(), Some("mend the row"));
        assert_eq!(copied.source().map(ToString::to_string), Some("the cause".to_owned()));
    }

    #[test]
    fn unknown_columns_name_the_known_ones() {
        let field = |name: &str| Column::from_name(name);
        let missing = |name: &str| SchemaError::FieldNotFound {
            field: Box::new(field(name)),
            valid_fields: vec![field("id"), field("Amount")],
        };
        let error = from_datafusion(DataFusionError::SchemaError(Box::new(missing("nope")), Box::new(None)));
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "there is no column \"nope\""));
        assert_eq!(error.hint(), Some("the columns are id, Amount"));
        let error = from_datafusion(DataFusionError::SchemaError(Box::new(missing("amount")), Box::new(None)));
        assert_eq!(error.hint(), Some("write \"Amount\", in double quotes"));
    }

    #[test]
    fn a_query_without_memory_is_not_told_to_take_less() {
        let error = from_datafusion(DataFusionError::ResourcesExhausted("Failed to allocate".into()));
        assert_eq!(error.hint(), Some("give --memory more, or lower --jobs"));
    }

    #[test]
    fn kinds_follow_the_fault_and_no_value_is_repeated() {
        let secret = "Cannot cast string 'hunter2' to value of Int32 type";
        let cases: Vec<(DataFusionError, ErrorKind)> = vec![
            (DataFusionError::Plan("Invalid function 'x'.\nDid you mean 'y'?".into()), ErrorKind::Usage),
            (DataFusionError::Execution(secret.into()), ErrorKind::Value),
            (DataFusionError::Execution("Cannot parse hunter2 42".into()), ErrorKind::Value),
            (ArrowError::CastError(secret.into()).into(), ErrorKind::Value),
            (ArrowError::ArithmeticOverflow("Overflow happened on: 42 + 1".into()).into(), ErrorKind::Value),
            (DataFusionError::ResourcesExhausted("Failed to allocate".into()), ErrorKind::Resource),
            (DataFusionError::NotImplemented("x".into()), ErrorKind::Unsupported),
            (DataFusionError::Internal("x".into()), ErrorKind::Internal),
            (DataFusionError::IoError(io::Error::from(io::ErrorKind::StorageFull)), ErrorKind::Resource),
        ];
        for (error, kind) in cases {
            let found = from_datafusion(error);
            assert_eq!(found.kind(), kind, "{found:?}");
            assert!(!found.message().contains("42"), "{found:?}");
            assert!(!found.message().contains("'hunter2'") && !found.message().contains('\n'), "{found:?}");
        }
    }
}
