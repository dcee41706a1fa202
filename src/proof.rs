//! What proves that a target holds what it was sent: how much is asked for, what receipts say of columns, and the verdict.
//! Plain data, and who makes it of batches: `sums`, or what a sink knows better.

pub mod hash;
pub mod sums;

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How much proof a job wants before its rows become visible. Each level includes the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verify {
    /// None beyond what a commit needs.
    None,
    /// The rows that the target counted are those that were sent.
    #[default]
    Count,
    /// Sums over each column are those of what was sent.
    Checksum,
    /// After the commit each row is compared with that of the source.
    Rows,
}

/// What a stage was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds what the receipts say.
    Equal,
    /// It does not: what was found, in one sentence.
    Unequal(String),
    /// This target has no way to tell.
    Unknown,
}

impl Verdict {
    /// That columns with these names hold other values than were sent: `holder`, as in `the stage holds`, begins the sentence.
    pub fn of_columns(holder: &str, names: &[&str]) -> Self {
        if names.is_empty() {
            return Self::Equal;
        }
        Self::Unequal(format!("{holder} other values than were sent, in the columns {}", names.join(", ")))
    }

    /// What comes of comparing what was `found` of the columns `fields` with what was `sent`; `holder` as in [`Verdict::of_columns`].
    pub fn compare(holder: &str, fields: &Fields, (found, sent): (&[ColumnProof], &[ColumnProof])) -> Self {
        let columns = fields.iter().zip(found.iter().zip(sent));
        let other = columns.filter(|(_, (found, sent))| found != sent);
        let names: Vec<&str> = other.map(|(field, _)| field.name().as_str()).collect();
        Self::of_columns(holder, &names)
    }
}

/// What was sent of one column. All of it can be added up over parts, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnProof {
    /// Values that are not NULL.
    pub values: u64,
    /// Values that are NULL.
    pub nulls: u64,
    /// Sum, least and greatest of the integers that the values are, in the unit of their type (days, microseconds, units of
    /// the last decimal place); none for other types, and where the sum outgrows 128 bits.
    pub integers: Option<Integers>,
    /// Bytes of all texts or binary values; none for other types.
    pub bytes: Option<u64>,
    /// Sum of a 64-bit hash of each value ([`hash`](hash::hash)), whatever their order, modulo 2^64: of what its target says, else of
    /// the bytes of a text or binary value, of a number in memory (all NaNs are one), of Arrow's row format for nested types.
    pub digest: Option<u64>,
    /// Whether every value is one that a plainer hash of the target, which takes it less time, tells from all others; never where
    /// the target has none.
    #[serde(default)]
    pub plain: bool,
}

type OfBatch = dyn Fn(&RecordBatch) -> Result<Vec<ColumnProof>> + Send + Sync;
type OfRaw = dyn Fn(&Bytes, u64) -> Result<Vec<ColumnProof>> + Send + Sync;

/// Finds what rows add to the columns of a receipt, under one agreement. Pure, for the processor pool.
pub struct Prover {
    of_batch: Box<OfBatch>,
    of_raw: Option<Box<OfRaw>>,
}

impl Prover {
    /// Finds it by `of_batch`, for batches of the agreement's target.
    pub fn new(of_batch: impl Fn(&RecordBatch) -> Result<Vec<ColumnProof>> + Send + Sync + 'static) -> Self {
        Self { of_batch: Box::new(of_batch), of_raw: None }
    }

    /// The same, and by `of_raw` for raw bytes and the number of their rows.
    #[must_use]
    pub fn with_raw(self, of_raw: impl Fn(&Bytes, u64) -> Result<Vec<ColumnProof>> + Send + Sync + 'static) -> Self {
        Self { of_raw: Some(Box::new(of_raw)), ..self }
    }

    /// What `batch` adds.
    pub fn of(&self, batch: &RecordBatch) -> Result<Vec<ColumnProof>> {
        (self.of_batch)(batch)
    }

    /// What `rows` rows in bytes add.
    pub fn of_raw(&self, bytes: &Bytes, rows: u64) -> Result<Vec<ColumnProof>> {
        let none = || Error::new(ErrorKind::Internal, "this sink takes no raw bytes");
        self.of_raw.as_ref().ok_or_else(none)?(bytes, rows)
    }
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("takes_raw", &self.of_raw.is_some()).finish_non_exhaustive()
    }
}

/// What integers add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Integers {
    /// Their sum.
    #[serde(with = "digits")]
    pub sum: i128,
    /// The least of them.
    #[serde(with = "digits")]
    pub least: i128,
    /// The greatest of them.
    #[serde(with = "digits")]
    pub greatest: i128,
}

impl ColumnProof {
    /// This and `other` together. A part without values has nothing to add.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let integers = match (self.values, other.values, self.integers, other.integers) {
            (_, 0, one, _) | (0, _, _, one) => one,
            (_, _, Some(one), Some(other)) => one.and(other),
            _ => None,
        };
        let plain = match (self.values, other.values) {
            (_, 0) => self.plain,
            (0, _) => other.plain,
            _ => self.plain && other.plain,
        };
        Self {
            values: self.values + other.values,
            nulls: self.nulls + other.nulls,
            integers,
            bytes: added(self.bytes, other.bytes),
            digest: added(self.digest, other.digest),
            plain,
        }
    }
}

/// The sum of what is known, modulo 2^64.
fn added(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.wrapping_add(other)),
        (one, None) | (None, one) => one,
    }
}

impl Integers {
    fn and(self, other: Self) -> Option<Self> {
        Some(Self {
            sum: self.sum.checked_add(other.sum)?,
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
        })
    }
}

/// The columns of `parts` together; none where a part says nothing of them.
pub fn total<'a>(parts: impl IntoIterator<Item = Option<&'a Vec<ColumnProof>>>) -> Option<Vec<ColumnProof>> {
    let mut all: Option<Vec<ColumnProof>> = None;
    for part in parts {
        let part = part?.clone();
        all = Some(match all {
            None => part,
            Some(all) => all.into_iter().zip(part).map(|(one, other)| one.and(other)).collect(),
        });
    }
    all
}

/// Serde of 128-bit integers as text: JSON numbers end at 64 bits for many readers.
mod digits {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn proof(values: u64, integers: Option<[i128; 3]>) -> ColumnProof {
        let integers = integers.map(|[sum, least, greatest]| Integers { sum, least, greatest });
        ColumnProof { values, integers, ..ColumnProof::default() }
    }

    #[test]
    fn parts_add_up_and_empty_ones_change_nothing() {
        let (one, other) = (proof(2, Some([5, 1, 4])), proof(1, Some([-3, -3, -3])));
        let none = proof(0, None);
        let both = proof(3, Some([2, -3, 4]));
        assert_eq!(one.and(none).and(other), both);
        assert_eq!(total([Some(&vec![one]), Some(&vec![none]), Some(&vec![other])]), Some(vec![both]));
        assert_eq!(total([Some(&vec![one]), None]), None);
        assert_eq!(proof(1, Some([i128::MAX, 1, 1])).and(proof(1, Some([1, 1, 1]))).integers, None);
    }

    #[test]
    fn values_are_plain_where_those_of_all_parts_are() {
        let part = |values, plain| ColumnProof { plain, ..proof(values, None) };
        assert!(part(2, true).and(part(0, false)).plain && part(0, false).and(part(1, true)).plain);
        assert!(part(2, true).and(part(1, true)).plain);
        assert!(!part(2, true).and(part(1, false)).plain && !part(1, false).and(part(0, true)).plain);
        // A receipt of a version that knew nothing of it.
        let before = r#"{"values":1,"nulls":0,"integers":null,"bytes":null,"digest":7}"#;
        assert!(!serde_json::from_str::<ColumnProof>(before).unwrap().plain);
    }

    #[test]
    fn columns_with_other_values_are_named() {
        let fields = ["a", "b"].map(|name| Field::new(name, DataType::Int64, true));
        let fields = Fields::from(fields.to_vec());
        let (one, other) = (proof(1, Some([1, 1, 1])), proof(1, Some([2, 2, 2])));
        assert_eq!(Verdict::compare("the stage holds", &fields, (&[one, other], &[one, other])), Verdict::Equal);
        let message = "the stage holds other values than were sent, in the columns b";
        let unequal = Verdict::compare("the stage holds", &fields, (&[one, other], &[one, one]));
        assert_eq!(unequal, Verdict::Unequal(message.to_owned()));
    }

    #[test]
    fn large_sums_survive_as_text() {
        let proof = proof(1, Some([i128::MIN, i128::MIN, i128::MAX]));
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<ColumnProof>(&text).unwrap(), proof);
    }
}
