//! Values of generated columns. A value is a hash of seed, column and row number, so any range of rows can be made
//! alone and again.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch, StringArray,
    builder::{BinaryBuilder, StringBuilder},
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::columns::{Column, Kind};
use crate::error::Result;
use crate::formats::value::parse::{self, Form, Texts};
use crate::schema::record_batch;

/// 2^64 divided by the golden ratio: the step of splitmix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const MICROS_PER_DAY: i64 = 86_400_000_000;
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789";
/// Signs of one, two, three and four bytes in UTF-8, with those that formats find hard.
const SIGNS: [char; 16] =
    ['a', 'Z', '7', ' ', '"', ',', '\'', '\\', 'é', 'ß', 'Ω', 'я', '中', '€', '\u{1F600}', '\u{10348}'];

/// A column and its place in the table, which its values depend on.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) place: u64,
    pub(super) column: Column,
}

/// The rows `rows` of `columns`, whose fields are `schema`.
pub(super) fn batch(schema: &SchemaRef, columns: &[Placed], seed: u64, rows: &Range<u64>) -> Result<RecordBatch> {
    let arrays = columns.iter().map(|placed| array(placed, seed, rows.clone())).collect();
    record_batch(schema, arrays, (rows.end - rows.start) as usize)
}

/// A stream of random numbers.
#[derive(Clone, Copy)]
struct Dice(u64);

impl Dice {
    /// The stream of one value.
    fn of(key: u64, row: u64) -> Self {
        Self(mix(key.wrapping_add(row.wrapping_mul(STEP))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 up to `limit`, both included.
    fn up_to(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * (u128::from(limit) + 1)) >> 64) as u64
    }

    fn within(&mut self, range: &RangeInclusive<i64>) -> i64 {
        range.start().wrapping_add(self.up_to(range.end().wrapping_sub(*range.start()) as u64) as i64)
    }

    fn length(&mut self, range: &RangeInclusive<u32>) -> usize {
        *range.start() as usize + self.up_to(u64::from(range.end() - range.start())) as usize
    }

    /// From 0 up to 1, which is not reached.
    fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// True in this share of cases. For a half the lowest bit alone decides, as it always has for locators that name no share.
    fn hits(&mut self, share: f64) -> bool {
        unit(self.next().reverse_bits()) >= 1.0 - share
    }

    fn wide(&mut self, range: &RangeInclusive<i128>) -> i128 {
        let wide = u128::from(self.next()) << 64 | u128::from(self.next());
        // The widest range is 2 * 10^38: below 2^128, but beyond 2^127.
        let span = range.end().wrapping_sub(*range.start()).cast_unsigned();
        range.start().wrapping_add_unsigned(wide % (span + 1))
    }
}

/// The upper 53 of `bits` as a fraction below 1.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The value that `column` holds in every row, so many times; none where it has none, or one that is not of its type.
pub(super) fn repeated(column: &Column, rows: usize) -> Option<ArrayRef> {
    let text = column.value.as_ref()?;
    parse::parse_column(&Repeated { text: text.as_bytes(), rows }, &column.field(), Form::Any).ok()
}

struct Repeated<'a> {
    text: &'a [u8],
    rows: usize,
}

impl Texts for Repeated<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn text<'a>(&'a self, _row: usize, _scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        Some(self.text)
    }
}

fn array(placed: &Placed, seed: u64, rows: Range<u64>) -> ArrayRef {
    if let Some(array) = repeated(&placed.column, (rows.end - rows.start) as usize) {
        return array;
    }
    let key = mix(seed.wrapping_mul(STEP) ^ mix(placed.place.wrapping_add(1)));
    let nulls = nulls(placed.column.nulls, !key, rows.clone());
    let dice = (0..(rows.end - rows.start) as usize).map(|at| Dice::of(key, rows.start + at as u64));
    match &placed.column.kind {
        Kind::Sequence(first) => {
            let values = rows.map(|row| first.wrapping_add_unsigned(row));
            Arc::new(PrimitiveArray::<Int64Type>::from_iter_values(values))
        }
        Kind::Boolean(share) => {
            let values = dice.map(|mut dice| dice.hits(*share)).collect::<BooleanBuffer>();
            Arc::new(BooleanArray::new(values, nulls))
        }
        Kind::Int16(range) => primitive::<Int16Type>(dice.map(|mut dice| dice.within(range) as i16), nulls),
        Kind::Int32(range) => primitive::<Int32Type>(dice.map(|mut dice| dice.within(range) as i32), nulls),
        Kind::Int64(range) => primitive::<Int64Type>(dice.map(|mut dice| dice.within(range)), nulls),
        Kind::Float32(low, high) => {
            primitive::<Float32Type>(dice.map(|mut dice| between(*low, *high, dice.unit()) as f32), nulls)
        }
        Kind::Float64(low, high) => {
            primitive::<Float64Type>(dice.map(|mut dice| between(*low, *high, dice.unit())), nulls)
        }
        Kind::Decimal { range, .. } => {
            let values = dice.map(|mut dice| dice.wide(range)).collect::<ScalarBuffer<i128>>();
            let array = PrimitiveArray::<Decimal128Type>::new(values, nulls);
            Arc::new(array.with_data_type(placed.column.field().data_type().clone()))
        }
        Kind::Date(range) => primitive::<Date32Type>(dice.map(|mut dice| dice.within(range) as i32), nulls),
        Kind::Time => {
            let day = 0..=MICROS_PER_DAY - 1;
            primitive::<Time64MicrosecondType>(dice.map(|mut dice| dice.within(&day)), nulls)
        }
        Kind::Timestamp(range) | Kind::TimestampTz(range) => {
            let values = dice.map(|mut dice| dice.within(range)).collect::<ScalarBuffer<i64>>();
            let array = PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls);
            Arc::new(array.with_data_type(placed.column.field().data_type().clone()))
        }
        Kind::Text(lengths) => text(dice, nulls.as_ref(), |dice, text| letters(dice, lengths, text)),
        Kind::Unicode(lengths) => text(dice, nulls.as_ref(), |dice, text| signs(dice, lengths, text)),
        Kind::Json => text(dice, nulls.as_ref(), json),
        Kind::Bytes(lengths) => bytes(dice, nulls.as_ref(), lengths),
        Kind::Uuid => uuids(dice, nulls),
    }
}

/// The valid rows, where `share` of them is not.
fn nulls(share: f64, key: u64, rows: Range<u64>) -> Option<NullBuffer> {
    if share <= 0.0 {
        return None;
    }
    let valid = rows.map(|row| Dice::of(key, row).unit() >= share).collect::<BooleanBuffer>();
    Some(NullBuffer::new(valid)).filter(|nulls| nulls.null_count() > 0)
}

fn between(low: f64, high: f64, unit: f64) -> f64 {
    // Not low + (high - low) * unit, which overflows over the whole range of the type.
    low * (1.0 - unit) + high * unit
}

fn primitive<T: ArrowPrimitiveType>(values: impl Iterator<Item = T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.collect(), nulls))
}

/// Texts that `write` makes, one after the other in one buffer.
fn text(
    dice: impl ExactSizeIterator<Item = Dice>,
    nulls: Option<&NullBuffer>,
    write: impl Fn(&mut Dice, &mut String),
) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(dice.len(), dice.len() * 16);
    let mut text = String::new();
    for (at, mut dice) in dice.enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(at)) {
            builder.append_null();
            continue;
        }
        text.clear();
        write(&mut dice, &mut text);
        builder.append_value(&text);
    }
    let array: StringArray = builder.finish();
    Arc::new(array)
}

fn letters(dice: &mut Dice, lengths: &RangeInclusive<u32>, text: &mut String) {
    let mut left = dice.length(lengths);
    text.reserve(left);
    while left > 0 {
        let mut bits = dice.next();
        // Ten letters of six bits each.
        for _ in 0..left.min(10) {
            text.push(char::from(LETTERS[(bits & 63) as usize]));
            bits >>= 6;
        }
        left -= left.min(10);
    }
}

fn signs(dice: &mut Dice, lengths: &RangeInclusive<u32>, text: &mut String) {
    for _ in 0..dice.length(lengths) {
        text.push(SIGNS[dice.up_to(SIGNS.len() as u64 - 1) as usize]);
    }
}

fn json(dice: &mut Dice, text: &mut String) {
    let (id, tag, score, ok) = (dice.up_to(999_999), dice.up_to(99), dice.up_to(10_000), dice.next() & 1 == 1);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        r#"{{"id": {id}, "tags": ["t{tag}", null], "score": {}.{:02}, "ok": {ok}}}"#,
        score / 100,
        score % 100
    );
}

fn bytes(
    dice: impl ExactSizeIterator<Item = Dice>,
    nulls: Option<&NullBuffer>,
    lengths: &RangeInclusive<u32>,
) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(dice.len(), dice.len() * (*lengths.end()).min(64) as usize);
    let mut value = Vec::new();
    for (at, mut dice) in dice.enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(at)) {
            builder.append_null();
            continue;
        }
        let length = dice.length(lengths);
        value.clear();
        while value.len() < length {
            value.extend_from_slice(&dice.next().to_le_bytes());
        }
        builder.append_value(&value[..length]);
    }
    let array: BinaryArray = builder.finish();
    Arc::new(array)
}

fn uuids(dice: impl ExactSizeIterator<Item = Dice>, nulls: Option<NullBuffer>) -> ArrayRef {
    let mut values = Vec::with_capacity(dice.len() * 16);
    for mut dice in dice {
        let random = u128::from(dice.next()) << 64 | u128::from(dice.next());
        values.extend_from_slice(uuid::Builder::from_random_bytes(random.to_be_bytes()).as_uuid().as_bytes());
    }
    Arc::new(FixedSizeBinaryArray::new(16, Buffer::from_vec(values), nulls))
}
