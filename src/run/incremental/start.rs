//! Where an incremental copy begins that has no position yet, as the user says it.

use arrow::datatypes::DataType;
use chrono::{DateTime, Local, Utc};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, ErrorKind, Result};

/// A start as a value of `data_type`: a value of it as text; of a time also the time since 1970 in digits, by whose number it is known
/// whether they are seconds (10), milliseconds (13), microseconds (16) or nanoseconds (19), as `FlinkX` has it. A time without a zone
/// is that of the clock of this machine.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage).
pub(super) fn parsed(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let text = text.trim();
    let moment = match data_type {
        DataType::Timestamp(..) | DataType::Date32 => since_1970(text),
        _ => None,
    };
    let written = match (moment, data_type) {
        (Some(moment), DataType::Timestamp(_, Some(_))) => moment.to_rfc3339(),
        (Some(moment), DataType::Timestamp(_, None)) => local(moment).format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        (Some(moment), _) => local(moment).format("%Y-%m-%d").to_string(),
        (None, _) => text.to_owned(),
    };
    let value = ScalarValue::try_from_string(written, data_type).ok().filter(|value| !value.is_null());
    value.ok_or_else(|| {
        let message = format!("the start is no value of the type {data_type}");
        Error::new(ErrorKind::Usage, message).with_hint("write it as a value of the column; a time may be 1704067200")
    })
}

/// The moment that so many digits name.
fn since_1970(text: &str) -> Option<DateTime<Utc>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    match text.len() {
        10 => DateTime::from_timestamp_secs(number),
        13 => DateTime::from_timestamp_millis(number),
        16 => DateTime::from_timestamp_micros(number),
        19 => Some(DateTime::from_timestamp_nanos(number)),
        _ => None,
    }
}

fn local(moment: DateTime<Utc>) -> DateTime<Local> {
    moment.with_timezone(&Local)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn a_start_is_a_value_or_a_time_in_digits() {
        let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let text = |start: &str, data_type: &DataType| parsed(start, data_type).map(|value| value.to_string()).ok();
        assert_eq!(
            parsed("9007199254740993", &DataType::Int64).unwrap(),
            ScalarValue::Int64(Some(9_007_199_254_740_993))
        );
        assert_eq!(parsed(" 7 ", &DataType::Int32).unwrap(), ScalarValue::Int32(Some(7)));
        let moment = |start: &str| match parsed(start, &micros(Some("UTC"))) {
            Ok(ScalarValue::TimestampMicrosecond(micros, _)) => micros,
            _ => None,
        };
        let new_year = 1_704_067_200_000_000;
        for digits in ["1704067200", "1704067200000", "1704067200000000", "1704067200000000000"] {
            assert_eq!(moment(digits), Some(new_year), "{digits}");
        }
        assert_eq!(moment("1704067200000001"), Some(new_year + 1));
        assert_eq!(moment("2024-01-01T00:00:00Z"), Some(new_year));
        assert_eq!(text("2024-01-02 03:04:05.5", &micros(None)), text("2024-01-02T03:04:05.500", &micros(None)));
        assert!(text("1704067200", &micros(None)).is_some() && text("1704067200", &DataType::Date32).is_some());
        for (start, data_type) in [("soon", DataType::Int64), ("17040672", micros(None)), ("", DataType::Date32)] {
            assert_eq!(parsed(start, &data_type).unwrap_err().kind(), ErrorKind::Usage, "{start}");
        }
    }
}
