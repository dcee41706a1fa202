//! The type of a column, from a sample of its texts.
//!
//! A column gets a type only where every sampled text would be printed back as it was read, or as another text of the
//! very same value:
//!
//! | all texts are | type |
//! |---|---|
//! | integers of 64 bits | bigint |
//! | integers of up to 38 digits | decimal(38,0) |
//! | numbers with the same 2 or more digits after the point | decimal(38, those digits) |
//! | numbers that a double holds with all their digits, without surplus zeros at the end | double |
//! | numbers with one digit after the point, else | decimal(38,1) |
//! | `true`, `false` | boolean |
//! | `2024-01-02` | date |
//! | `03:04:05`, with up to 6 digits after the point | time |
//! | a date and a time, with `T` or a space, up to 6 digits, none with a zone | timestamp |
//! | the same, all with a zone | timestamptz |
//! | anything else, or NULL only | text |
//!
//! A plus sign, a zero in front, surplus zeros among numbers of different length (`1.10`, `1.5`), exponents that are not
//! needed (`2E5` may be a name) make text. So what is copied to another text file reads the same, and what is stored in a
//! database has all its digits. A later value with more digits than its type is an error, never rounded.
//!
//! Where the user names the form of dates and times, columns written so have its type, even those that could be numbers, and
//! the usual forms of the types that it handles are text.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::Typing;
use super::value::Pattern;
use super::value::number::{self, Number};
use super::value::time::{self, Zone};
use crate::schema::{DIGITS, EXTENSION, EXTENSION_JSON, with_metadata};

/// Most digits of a decimal of 128 bits.
const MOST_DIGITS: usize = 38;

/// A set of types that a text may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kinds(u16);

impl Kinds {
    const NONE: Self = Self(0);
    const INTEGER: Self = Self(1);
    const WHOLE: Self = Self(1 << 1);
    /// A number with digits after its point, and without an exponent.
    const DECIMAL: Self = Self(1 << 2);
    /// A double holds all digits.
    const DOUBLE: Self = Self(1 << 3);
    /// No zeros at the end that a double would not print.
    const SHORT: Self = Self(1 << 4);
    const BOOLEAN: Self = Self(1 << 5);
    const DATE: Self = Self(1 << 6);
    const TIME: Self = Self(1 << 7);
    const LOCAL: Self = Self(1 << 8);
    const ZONED: Self = Self(1 << 9);
    /// A JSON string.
    const STRING: Self = Self(1 << 10);
    /// A number without a point or an exponent, or with a point only.
    const PLAIN: Self = Self(1 << 11);
    /// Written in the form that the user named.
    const PATTERN: Self = Self(1 << 12);
    const ALL: Self = Self(u16::MAX);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn with(self, other: Self, condition: impl FnOnce() -> bool) -> Self {
        if condition() { Self(self.0 | other.0) } else { self }
    }
}

/// What is known of one column.
#[derive(Clone, Debug)]
pub(super) struct Guess<'p> {
    /// The form of dates and times that the user named, and the kinds that then are not looked for.
    pattern: Option<&'p Pattern>,
    hidden: Kinds,
    kinds: Kinds,
    seen: bool,
    /// Most and fewest digits after the point, and most before it.
    scales: Option<(usize, usize)>,
    whole: usize,
}

impl<'p> Guess<'p> {
    /// A column of which nothing is known yet, but perhaps how its dates and times are written.
    pub(super) fn new(pattern: Option<&'p Pattern>) -> Self {
        let usual = [
            (Kinds::DATE, DataType::Date32),
            (Kinds::TIME, DataType::Time64(TimeUnit::Microsecond)),
            (Kinds::LOCAL, DataType::Timestamp(TimeUnit::Microsecond, None)),
            (Kinds::ZONED, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ];
        let hidden = usual.iter().fold(Kinds::NONE, |hidden, (kind, data_type)| {
            hidden.with(*kind, || pattern.is_some_and(|pattern| pattern.handles(data_type)))
        });
        Self { pattern, hidden, kinds: Kinds::ALL, seen: false, scales: None, whole: 0 }
    }

    /// Takes a text of the column that is not NULL.
    pub(super) fn see(&mut self, text: &[u8]) {
        if self.seen && self.kinds == Kinds::NONE {
            return;
        }
        let kinds = match text.first() {
            Some(b't' | b'f') => Kinds::NONE.with(Kinds::BOOLEAN, || matches!(text, b"true" | b"false")),
            _ if matches!(text, [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] | [_, _, b':', ..]) => {
                moment(text)
            }
            _ => self.number(text),
        };
        self.narrow(self.with_pattern(kinds, text));
    }

    /// Takes a JSON value that is not null, as it stands in the file.
    pub(super) fn see_json(&mut self, raw: &[u8]) {
        let kinds = match raw {
            [b'"', inner @ .., b'"'] => match inner {
                b"NaN" | b"inf" | b"-inf" | b"Infinity" | b"-Infinity" => Kinds(Kinds::DOUBLE.0 | Kinds::STRING.0),
                inner => self.with_pattern(Kinds(Kinds::STRING.0 | moment(inner).0), inner),
            },
            b"true" | b"false" => Kinds::BOOLEAN,
            [b'{' | b'[', ..] => Kinds::NONE,
            number => self.number(number),
        };
        self.narrow(kinds);
    }

    /// The kinds of a text, of those that are looked for.
    fn with_pattern(&self, kinds: Kinds, text: &[u8]) -> Kinds {
        let Some(pattern) = self.pattern else { return kinds };
        Kinds(kinds.0 & !self.hidden.0).with(Kinds::PATTERN, || pattern.reads(text))
    }

    fn narrow(&mut self, kinds: Kinds) {
        self.kinds = Kinds(self.kinds.0 & kinds.0);
        self.seen = true;
    }

    fn number(&mut self, text: &[u8]) -> Kinds {
        if matches!(text, b"NaN" | b"inf" | b"-inf" | b"Infinity" | b"-Infinity") {
            return Kinds(Kinds::DOUBLE.0 | Kinds::SHORT.0);
        }
        let Some(number) = Number::split(text).filter(|number| is_canonical(text, number)) else {
            return Kinds::NONE;
        };
        let scale = number.fraction.len();
        let (low, high) = self.scales.unwrap_or((scale, scale));
        self.scales = Some((low.min(scale), high.max(scale)));
        self.whole = self.whole.max(number.whole.len());
        let plain = number.exponent.is_none() && number.whole.len() + scale <= MOST_DIGITS;
        let zero = number.negative && number.significant().next().is_none();
        Kinds::NONE
            .with(Kinds::INTEGER, || plain && !number.point && !zero && number::integer::<i64>(text).is_some())
            .with(Kinds::WHOLE, || plain && !number.point && !zero)
            .with(Kinds::DECIMAL, || plain && number.point && !zero)
            .with(Kinds::PLAIN, || plain && !zero)
            .with(Kinds::DOUBLE, || number::float::<f64>(text).is_some())
            .with(Kinds::SHORT, || is_short(&number))
    }

    fn same_scale(&self) -> Option<usize> {
        self.scales.filter(|(low, high)| low == high).map(|(low, _)| low)
    }

    fn numeric(&self) -> Option<DataType> {
        let kinds = self.kinds;
        let decimal = |scale: usize| DataType::Decimal128(MOST_DIGITS as u8, scale as i8);
        match self.same_scale() {
            _ if kinds.has(Kinds::INTEGER) => Some(DataType::Int64),
            _ if kinds.has(Kinds::WHOLE) => Some(decimal(0)),
            Some(scale @ 2..) if kinds.has(Kinds::DECIMAL) && self.whole + scale <= MOST_DIGITS => Some(decimal(scale)),
            _ if kinds.has(Kinds::DOUBLE) && kinds.has(Kinds::SHORT) => Some(DataType::Float64),
            Some(scale) if kinds.has(Kinds::DECIMAL) && self.whole + scale <= MOST_DIGITS => Some(decimal(scale)),
            _ => None,
        }
    }

    /// The type of the form that the user named, where all texts are written so.
    fn patterned(&self) -> Option<DataType> {
        self.pattern.filter(|_| self.kinds.has(Kinds::PATTERN)).map(Pattern::data_type)
    }

    fn moment(&self) -> Option<DataType> {
        let kinds = self.kinds;
        [
            (Kinds::BOOLEAN, DataType::Boolean),
            (Kinds::DATE, DataType::Date32),
            (Kinds::TIME, DataType::Time64(TimeUnit::Microsecond)),
            (Kinds::LOCAL, DataType::Timestamp(TimeUnit::Microsecond, None)),
            (Kinds::ZONED, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ]
        .into_iter()
        .find_map(|(kind, data_type)| kinds.has(kind).then_some(data_type))
    }

    /// The column as a nullable field.
    pub(super) fn field(&self, name: &str) -> Field {
        let found = || self.patterned().or_else(|| self.numeric()).or_else(|| self.moment());
        typed(name, self.seen.then(found).flatten().unwrap_or(DataType::Utf8))
    }

    /// The column of JSON values as a nullable field. Zeros at the end of numbers do not count, and a column of
    /// different things is JSON text.
    pub(super) fn json_field(&self, name: &str) -> Field {
        let field = |data_type| typed(name, data_type);
        if !self.seen {
            return field(DataType::Utf8);
        }
        if let Some(data_type) = self.patterned().or_else(|| self.numeric()).or_else(|| self.moment()) {
            return field(data_type);
        }
        match self.scales {
            _ if self.kinds.has(Kinds::STRING) => field(DataType::Utf8),
            _ if self.kinds.has(Kinds::DOUBLE) => field(DataType::Float64),
            Some((_, scale)) if self.kinds.has(Kinds::PLAIN) && self.whole + scale <= MOST_DIGITS => {
                field(DataType::Decimal128(MOST_DIGITS as u8, scale as i8))
            }
            _ => with_metadata(field(DataType::Utf8), EXTENSION, EXTENSION_JSON),
        }
    }
}

/// The places of the `columns` that have no value in a sample, and of which the user says nothing.
pub(super) fn blank(guesses: &[Guess<'_>], columns: &[String], typing: &Typing) -> Vec<usize> {
    let is_cast = |name: &String| typing.casts.iter().any(|cast| cast.name() == name);
    let places = guesses.iter().zip(columns).enumerate();
    places.filter(|(_, (guess, name))| !guess.seen && !is_cast(name)).map(|(place, _)| place).collect()
}

/// A nullable column of values that were read from text.
pub(super) fn typed(name: &str, data_type: DataType) -> Field {
    let is_double = data_type == DataType::Float64;
    let field = Field::new(name, data_type, true);
    if is_double { with_metadata(field, DIGITS, "decimal") } else { field }
}

/// No plus sign, no zeros in front, digits on both sides of the point.
fn is_canonical(text: &[u8], number: &Number<'_>) -> bool {
    let leading_zero = matches!(number.whole, [b'0', _, ..]);
    text[0] != b'+' && !leading_zero && !number.whole.is_empty() && number.point != number.fraction.is_empty()
}

/// Whether a double of this value is printed with these digits, `.0` aside, and an exponent only where it has one.
fn is_short(number: &Number<'_>) -> bool {
    let surplus = number.fraction.len() > 1 && number.fraction.ends_with(b"0");
    let magnitude = number.magnitude();
    !surplus && number.exponent.is_none_or(|_| !(-4..15).contains(&magnitude))
}

fn moment(text: &[u8]) -> Kinds {
    const UNIT: TimeUnit = TimeUnit::Microsecond;
    if text.get(2) == Some(&b':') {
        return Kinds::NONE.with(Kinds::TIME, || text.len() >= 8 && held(text) && time::time(text, UNIT).is_some());
    }
    if text.len() <= 10 || text.get(4) != Some(&b'-') {
        return Kinds::NONE.with(Kinds::DATE, || text.len() == 10 && time::date(text).is_some());
    }
    let is = |zone| time::timestamp(text, UNIT, zone).is_some();
    match time::moment(text) {
        Some(moment) if moment.timed && moment.digits <= 6 && !text.ends_with(b"C") => {
            Kinds::NONE.with(Kinds::LOCAL, || is(Zone::Local)).with(Kinds::ZONED, || is(Zone::Zoned))
        }
        _ => Kinds::NONE,
    }
}

/// At most six digits after the point.
fn held(text: &[u8]) -> bool {
    text.iter().position(|byte| *byte == b'.').is_none_or(|point| text.len() - point <= 7)
}
