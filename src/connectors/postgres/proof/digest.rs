//! The hashes that the server computes of values by the functions of their types, and the same here: of columns, of wire
//! bytes, and of text that was read back.
//!
//! Source: `hashint8extended` and `hashfloat8extended` of the server's `hashfunc.c` (64 bits are folded to 32 before they are
//! hashed, but all of a seed goes into the hash; a `real` is hashed as a double, zeros and NaNs without their bits). Numbers of any
//! size are hashed in `numeric`.

use std::num::FpCategory;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType,
};

use super::super::encode::{Column, EPOCH_DAYS, EPOCH_MICROS, Layout, put_numeric, wires};
use super::super::name::identifier;
use super::form::{self, Form, JSONB_VERSION};
use super::json::Writer;
use super::numeric::{decimals, number};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::fields::Fields;
use crate::proof::hash::{hash, hash_within, of_word, of_word_seeded, of_words};
use crate::proof::sums::{digest_of, digest_of_bytes};

/// What of a value is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// Its 32 bits: an integer, a truth value, days since 2000.
    Word,
    /// Its 64 bits, folded: microseconds.
    Fold,
    /// The same, and all 64 as the seed: an integer.
    Seeded,
    /// The groups of a number, and its sign.
    Groups,
    /// The bits of a float as a double; those of zeros and NaNs as they are, in hexadecimal.
    Float,
    /// Its wire bytes.
    Bytes,
    /// A text.
    Text(Form),
}

/// What the server hashes `column` by, and how; none where it has no function for the type of which the result is known.
pub(super) fn of_type(column: &Column, field: &Field, target_type: &str) -> Option<(String, Digest)> {
    let name = identifier(&column.name);
    let zoned = target_type.ends_with("with time zone");
    Some(match (&column.layout, field.data_type()) {
        (Layout::Int2 | Layout::Int4, _) => (format!("hashint4extended({name}, 0)"), Digest::Word),
        (Layout::Bool, _) => (format!("hashint4extended({name}::int4, 0)"), Digest::Word),
        // With itself as the seed, since a number and another one may be folded to the same.
        (Layout::Int8, _) => (format!("hashint8extended({name}, {name})"), Digest::Seeded),
        // Days are subtracted, but for infinity, which is the greatest or least number.
        (Layout::Date, _) => {
            let days = format!(
                "CASE WHEN isfinite({name}) THEN {name} - date '2000-01-01' \
                 WHEN {name} > date '2000-01-01' THEN {} WHEN {name} < date '2000-01-01' THEN {} END",
                i32::MAX,
                i32::MIN
            );
            (format!("hashint4extended({days}, 0)"), Digest::Word)
        }
        (Layout::Time, _) if !zoned => (format!("time_hash_extended({name}, 0)"), Digest::Fold),
        // A zone that is a span of time is not looked up by its name for each value.
        (Layout::Timestamp, _) if zoned => {
            (format!("timestamp_hash_extended({name} AT TIME ZONE INTERVAL '0', 0)"), Digest::Fold)
        }
        (Layout::Timestamp, _) => (format!("timestamp_hash_extended({name}, 0)"), Digest::Fold),
        // Without the blanks at the end, for which `rtrim` takes many times as long.
        (Layout::Text, _) if !column.wire && target_type.starts_with("character(") => {
            (format!("hashbpcharextended({name} COLLATE \"C\", 0)"), Digest::Text(Form::Trimmed))
        }
        (Layout::Uuid, _) => (format!("uuid_hash_extended({name}, 0)"), Digest::Bytes),
        (layout @ (Layout::Float4 | Layout::Float8), _) => {
            let hash = if matches!(layout, Layout::Float4) { "hashfloat4extended" } else { "hashfloat8extended" };
            let bits = hash_of_text(&form::text_of(column, field, target_type)?.0);
            // That hash takes -0 for 0, and one NaN for another.
            let is_told = format!("{name} <> '0' AND {name} <> 'NaN'");
            (format!("CASE WHEN {is_told} THEN {hash}({name}, 0) ELSE {bits} END"), Digest::Float)
        }
        // Without a bound it may be infinite, which has the hash of NaN.
        (Layout::Numeric, DataType::Decimal128(..)) => (signed("hash_numeric_extended", &name), Digest::Groups),
        (Layout::Numeric, _) if target_type.contains('(') => (signed("hash_numeric_extended", &name), Digest::Groups),
        _ => return None,
    })
}

/// The hash of what the expression `text` gives.
pub(super) fn hash_of_text(text: &str) -> String {
    format!("hashtextextended(({text}) COLLATE \"C\", 0)")
}

/// A hash that does not know the sign, turned over for what is below zero.
fn signed(hash: &str, name: &str) -> String {
    format!("CASE WHEN {name} < 0 THEN ~{hash}({name}, 0) ELSE {hash}({name}, 0) END")
}

impl Digest {
    /// The sum of the hashes of the values of `array`, which are sent to `column`.
    pub(super) fn of(self, column: &Column, array: &ArrayRef) -> Result<u64> {
        let by_wires = || {
            let wires = wires(column, array)?;
            let sum = self.of_wires(&column.layout, wires.iter().flatten());
            sum.ok_or_else(|| damaged(column))
        };
        Ok(match (self, array.data_type()) {
            // Infinity is another number there.
            _ if column.wire => by_wires()?,
            (Self::Word, DataType::Boolean) => {
                array.as_boolean().iter().flatten().fold(0, |all, value| added(all, word(i32::from(value))))
            }
            (Self::Word, DataType::Date32) => {
                digest_of(array.as_primitive::<Date32Type>(), |day| word(day.wrapping_sub(EPOCH_DAYS)))
            }
            (Self::Word, kind) if kind.is_integer() => {
                digest_of(cast(array, &DataType::Int32)?.as_primitive::<Int32Type>(), word)
            }
            (Self::Seeded, kind) if kind.is_integer() => {
                digest_of(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>(), integer)
            }
            (Self::Fold, DataType::Time64(TimeUnit::Microsecond)) => {
                digest_of(array.as_primitive::<Time64MicrosecondType>(), folded)
            }
            (Self::Fold, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                digest_of(values, |value| folded(value.wrapping_sub(EPOCH_MICROS)))
            }
            (Self::Groups, DataType::Decimal128(_, scale)) => {
                digest_of(array.as_primitive::<Decimal128Type>(), decimals(*scale))
            }
            (Self::Float, DataType::Float32) => {
                digest_of(array.as_primitive::<Float32Type>(), |value| float(value.into(), &value.to_be_bytes()))
            }
            (Self::Float, DataType::Float64) => {
                digest_of(array.as_primitive::<Float64Type>(), |value| float(value, &value.to_be_bytes()))
            }
            (Self::Bytes, DataType::FixedSizeBinary(_)) => {
                array.as_fixed_size_binary().iter().flatten().fold(0, |all, value| added(all, hash(value)))
            }
            (Self::Text(form @ (Form::Text | Form::Trimmed | Form::Json)), _) => {
                let texts =
                    if *array.data_type() == DataType::Utf8 { array.clone() } else { cast(array, &DataType::Utf8)? };
                let texts = texts.as_string::<i32>();
                let values = texts.iter().flatten();
                match form {
                    Form::Json => {
                        let mut writer = Writer::default();
                        values.fold(0, |all, text| added(all, hash(writer.written(text))))
                    }
                    Form::Trimmed => values.fold(0, |all, text| added(all, hash(form.canonical(text).as_bytes()))),
                    _ => digest_of_bytes(texts),
                }
            }
            _ => by_wires()?,
        })
    }

    /// The same of the fields of raw frames.
    pub(super) fn of_fields(self, column: &Column, fields: Fields<'_>) -> Result<u64> {
        if let (Self::Text(Form::Text), Layout::Text) = (self, &column.layout) {
            return Ok(fields.ranges().fold(0, |all, range| added(all, hash_within(fields.bytes, range))));
        }
        self.of_wires(&column.layout, fields.iter().flatten()).ok_or_else(|| damaged(column))
    }

    /// The sum of the hashes of values in their wire form; none where one is not in that form.
    fn of_wires<'a>(self, layout: &Layout, mut wires: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
        match (self, layout) {
            (Self::Word, Layout::Bool) => {
                wires.try_fold(0, |all, wire| Some(added(all, word((*wire.first()?).into()))))
            }
            (Self::Word, Layout::Int2) => {
                wires.try_fold(0, |all, wire| Some(added(all, word(i16::from_be_bytes(wire.try_into().ok()?).into()))))
            }
            (Self::Word, _) => {
                wires.try_fold(0, |all, wire| Some(added(all, word(i32::from_be_bytes(wire.try_into().ok()?)))))
            }
            (Self::Fold, _) => {
                wires.try_fold(0, |all, wire| Some(added(all, folded(i64::from_be_bytes(wire.try_into().ok()?)))))
            }
            (Self::Seeded, _) => {
                wires.try_fold(0, |all, wire| Some(added(all, integer(i64::from_be_bytes(wire.try_into().ok()?)))))
            }
            (Self::Groups, _) => wires.try_fold(0, |all, wire| Some(added(all, number(wire)?))),
            (Self::Float, _) => wires.try_fold(0, |all, wire| Some(added(all, float_of(wire)?))),
            (Self::Bytes, _) | (Self::Text(Form::Text), Layout::Text) => {
                wires.try_fold(0, |all, wire| Some(added(all, hash(wire))))
            }
            (Self::Text(Form::Text), Layout::Jsonb) => {
                wires.try_fold(0, |all, wire| Some(added(all, hash(wire.get(JSONB_VERSION..)?))))
            }
            (Self::Text(form), layout) => {
                let mut text = Vec::new();
                wires.try_fold(0, |all, wire| {
                    text.clear();
                    form.put(layout, wire, &mut text)?;
                    Some(added(all, hash(&text)))
                })
            }
        }
    }

    /// Whether it is of a text that the server writes anew: it is known here how, and what is read back decides all the same.
    pub(super) fn is_spelled(self) -> bool {
        self == Self::Text(Form::Json)
    }

    /// Whether the hash of a value can be told from its wire form.
    pub(super) fn is_of_wire(self, layout: &Layout) -> bool {
        self != Self::Text(Form::Text) || matches!(layout, Layout::Text | Layout::Jsonb)
    }

    /// The hash of a value that was read back as [`Digest::text`]; none where that is not what it says.
    pub(super) fn of_text(self, text: &str) -> Option<u64> {
        match self {
            Self::Text(form) => Some(hash(form.canonical(text).as_bytes())),
            Self::Bytes => Some(hash(&bytes_of(text)?)),
            Self::Float => float_of(&bytes_of(text)?),
            Self::Groups => {
                let mut wire = Vec::new();
                put_numeric(text, &mut wire).then(|| number(&wire))?
            }
            Self::Word | Self::Fold | Self::Seeded => None,
        }
    }

    /// The expression that gives the text of `column`; none where reading it back would tell no more than the server.
    pub(super) fn text(self, column: &Column, field: &Field, target_type: &str) -> Option<String> {
        match self {
            // Whole words are hashed alike on every machine.
            Self::Word | Self::Fold | Self::Seeded => None,
            Self::Groups => Some(format!("{}::text", identifier(&column.name))),
            Self::Bytes | Self::Float | Self::Text(_) => {
                form::text_of(column, field, target_type).map(|(text, _)| text)
            }
        }
    }
}

fn added(all: u64, more: u64) -> u64 {
    all.wrapping_add(more)
}

fn word(value: i32) -> u64 {
    of_word(value.cast_unsigned())
}

fn folded(value: i64) -> u64 {
    word(fold(value))
}

/// The halves of a number that fits one are that one.
fn fold(value: i64) -> i32 {
    let (low, high) = (value as i32, (value >> 32) as i32);
    low ^ if value >= 0 { high } else { !high }
}

fn integer(value: i64) -> u64 {
    of_word_seeded(fold(value).cast_unsigned(), value.cast_unsigned())
}

/// Whether the server's hash tells a float from all others: it takes -0 for 0, and one NaN for another.
pub(super) fn is_told(value: f64) -> bool {
    !matches!(value.classify(), FpCategory::Zero | FpCategory::Nan)
}

/// The hash of a float of which `wire` are the wire bytes.
fn float(value: f64, wire: &[u8]) -> u64 {
    if is_told(value) {
        return of_words(value.to_bits());
    }
    let mut bits = Vec::with_capacity(2 * wire.len());
    form::put_hex(wire, &mut bits);
    hash(&bits)
}

/// The same of the wire bytes alone; none where they are of no float.
fn float_of(wire: &[u8]) -> Option<u64> {
    Some(float(double_of(wire)?, wire))
}

/// The float that has these wire bytes, as a double; none where they are of no float.
pub(super) fn double_of(wire: &[u8]) -> Option<f64> {
    match <[u8; 4]>::try_from(wire) {
        Ok(bytes) => Some(f32::from_be_bytes(bytes).into()),
        Err(_) => Some(f64::from_be_bytes(wire.try_into().ok()?)),
    }
}

/// What `text` says in hexadecimal.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(byte).collect()
}

fn damaged(column: &Column) -> Error {
    let error = Error::new(ErrorKind::Value, "the value is not in the wire form of its type");
    error.at("column", &column.name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int16Array,
        Int32Array, Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    };

    use super::*;
    use crate::connectors::postgres::encode::Check;
    use crate::formats::fields::Span;

    /// Given by PostgreSQL 15, as `select hashint4extended(1, 0)`; that of a numeric below zero turned over.
    fn given() -> Vec<(Layout, Digest, ArrayRef, i64)> {
        let number = |value, scale| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).unwrap())
        };
        let fold = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let double = |value: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
        let single = |value: f32| -> ArrayRef { Arc::new(Float32Array::from(vec![value])) };
        let at = |micros| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![micros])) };
        let uuid = 0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11_u128.to_be_bytes();
        let uuid = FixedSizeBinaryArray::try_from_iter([uuid].iter()).unwrap();
        vec![
            (Layout::Int4, Digest::Word, Arc::new(Int32Array::from(vec![1])), -3_670_598_878_359_251_130),
            (Layout::Int4, Digest::Word, Arc::new(Int32Array::from(vec![-7])), -4_284_878_795_861_022_465),
            (Layout::Int2, Digest::Word, Arc::new(Int16Array::from(vec![-7])), -4_284_878_795_861_022_465),
            (Layout::Bool, Digest::Word, Arc::new(BooleanArray::from(vec![true])), -3_670_598_878_359_251_130),
            // 2026-11-25
            (Layout::Date, Digest::Word, Arc::new(Date32Array::from(vec![20_782])), 7_169_252_582_873_884_315),
            (Layout::Int8, Digest::Seeded, fold(1), -7_620_678_293_940_249_823),
            (Layout::Int8, Digest::Seeded, fold(-1), 6_481_520_839_006_961_279),
            (Layout::Int8, Digest::Seeded, fold(4_294_967_296_123), 2_954_470_175_561_296_150),
            (Layout::Int8, Digest::Seeded, fold(-4_294_967_296_123), 2_464_041_975_486_856_915),
            // 2026-11-25 12:34:56.789012 and 1969-07-20 20:17:40
            (Layout::Timestamp, Digest::Fold, at(1_795_610_096_789_012), 6_886_532_878_244_297_405),
            (Layout::Timestamp, Digest::Fold, at(-14_182_940_000_000), -3_034_432_567_789_586_072),
            (
                Layout::Time,
                Digest::Fold,
                Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000])),
                8_030_965_169_264_967_180,
            ),
            (Layout::Uuid, Digest::Bytes, Arc::new(uuid), 7_543_054_272_012_930_821),
            (Layout::Float8, Digest::Float, double(1.5), 6_158_159_405_676_898_674),
            (Layout::Float8, Digest::Float, double(-2.25), 4_390_199_869_079_249_825),
            (Layout::Float8, Digest::Float, double(f64::INFINITY), -4_973_912_021_728_129_854),
            (Layout::Float8, Digest::Float, double(5e-324), -6_988_697_407_173_885_264),
            (Layout::Float4, Digest::Float, single(0.1), 45_699_830_491_884_902),
            (Layout::Float4, Digest::Float, single(-1.5), 5_967_553_493_793_202_048),
            // As `hashtextextended(encode(float8send(0), 'hex') collate "C", 0)`.
            (Layout::Float8, Digest::Float, double(0.0), -6_211_218_021_470_278_712),
            (Layout::Float8, Digest::Float, double(-0.0), 4_327_603_497_847_518_643),
            (Layout::Float8, Digest::Float, double(f64::NAN), -6_036_657_115_202_095_731),
            (Layout::Float4, Digest::Float, single(0.0), 4_317_597_255_514_647_733),
            (Layout::Float4, Digest::Float, single(-0.0), -158_082_352_611_952_616),
            (Layout::Float4, Digest::Float, single(f32::NAN), 2_478_919_143_459_609_817),
            (Layout::Numeric, Digest::Groups, number(-100, 2), !-7_507_508_252_608_306_360),
        ]
    }

    #[test]
    fn they_are_the_hashes_of_the_server() {
        for (layout, digest, array, expected) in given() {
            let column = Column { name: "c".to_owned(), layout, wire: false, check: Check::None };
            let found = digest.of(&column, &array).unwrap();
            assert_eq!(found.cast_signed(), expected, "{:?} {array:?}", column.layout);
            // The wire bytes say the same.
            let wires = wires(&column, &array).unwrap();
            let found = digest.of_wires(&column.layout, wires.iter().flatten());
            assert_eq!(found.map(u64::cast_signed), Some(expected), "{:?} {array:?}", column.layout);
        }
    }

    #[test]
    fn infinity_has_the_hash_of_its_wire_bytes() {
        let column = Column { name: "c".to_owned(), layout: Layout::Date, wire: true, check: Check::None };
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX, -i32::MAX]));
        let wires = [i32::MAX.to_be_bytes(), i32::MIN.to_be_bytes()];
        let expected = Digest::Word.of_wires(&Layout::Date, wires.iter().map(<[u8; 4]>::as_slice));
        assert_eq!(Some(Digest::Word.of(&column, &days).unwrap()), expected);
    }

    #[test]
    fn texts_of_frames_are_hashed_where_they_lie() {
        let column = Column { name: "c".to_owned(), layout: Layout::Text, wire: false, check: Check::None };
        let spans = [Span { start: 1, length: 3 }, Span::NULL, Span { start: 4, length: 13 }];
        let digest = |bytes: &[u8]| Digest::Text(Form::Text).of_fields(&column, Fields::new(bytes, &spans)).unwrap();
        // Given by PostgreSQL 15: hashtextextended('abc' collate "C", 0) and that of 'abcdefghijklm' together.
        assert_eq!(digest(b"?abcabcdefghijklm").cast_signed(), 2_123_867_701_223_928_423);
        assert_eq!(digest(b"?abcabcdefghijklm, and more behind").cast_signed(), 2_123_867_701_223_928_423);
    }

    #[test]
    fn the_text_of_a_jsonb_comes_behind_a_byte() {
        let of = |wire: &[u8]| Digest::Text(Form::Text).of_wires(&Layout::Jsonb, [wire].into_iter());
        // Given by PostgreSQL 15: select hashtextextended('{"k": 1}'::jsonb::text collate "C", 0).
        assert_eq!(of(b"\x01{\"k\": 1}").map(u64::cast_signed), Some(-8_611_335_185_422_797_270));
        assert_eq!(of(b""), None);
    }

    #[test]
    fn numbers_that_are_none_and_damage_are_told_apart() {
        let mut wire = Vec::new();
        assert!(put_numeric("NaN", &mut wire));
        assert_eq!(Digest::Groups.of_wires(&Layout::Numeric, [&wire[..]].into_iter()), Some(0));
        assert_eq!(Digest::Groups.of_wires(&Layout::Numeric, [&wire[..5]].into_iter()), None);
        assert_eq!(Digest::Word.of_wires(&Layout::Int4, [&[0_u8; 3][..]].into_iter()), None);
    }

    #[test]
    fn what_is_read_back_has_the_hash_of_what_was_sent() {
        let of = |layout, digest: Digest, array: ArrayRef| {
            digest.of(&Column { name: "c".to_owned(), layout, wire: false, check: Check::None }, &array).unwrap()
        };
        let uuid = FixedSizeBinaryArray::try_from_iter([[0xa0_u8; 16]].iter()).unwrap();
        let sent = of(Layout::Uuid, Digest::Bytes, Arc::new(uuid));
        assert_eq!(Digest::Bytes.of_text(&"a0".repeat(16)), Some(sent));
        let cents = Decimal128Array::from(vec![-1_250]).with_precision_and_scale(12, 2).unwrap();
        let sent = of(Layout::Numeric, Digest::Groups, Arc::new(cents));
        assert_eq!(Digest::Groups.of_text("-12.50"), Some(sent));
        for (value, text) in [(0.1, "3fb999999999999a"), (-0.0, "8000000000000000")] {
            let sent = of(Layout::Float8, Digest::Float, Arc::new(Float64Array::from(vec![value])));
            assert_eq!(Digest::Float.of_text(text), Some(sent), "{value}");
        }
        let text = Digest::Text(Form::Trimmed);
        let sent = of(Layout::Text, text, Arc::new(StringArray::from(vec!["ab  "])));
        assert_eq!(text.of_text("ab"), Some(sent));
        assert_eq!(Digest::Bytes.of_text("no"), None);
        assert_eq!(Digest::Float.of_text("3fb9"), None);
    }
}
