//! Whether one numeric type holds all values of another.

use arrow::datatypes::DataType;

use crate::sink::ColumnFate;

/// What of a numeric type decides about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// Signed or not, and bits without the sign.
    Signed(u32),
    Unsigned(u32),
    /// Bits of the significand.
    Float(u32),
    /// Precision and scale.
    Decimal(i32, i32),
}

impl Number {
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        Some(match data_type {
            T::Int8 => Self::Signed(7),
            T::Int16 => Self::Signed(15),
            T::Int32 => Self::Signed(31),
            T::Int64 => Self::Signed(63),
            T::UInt8 => Self::Unsigned(8),
            T::UInt16 => Self::Unsigned(16),
            T::UInt32 => Self::Unsigned(32),
            T::UInt64 => Self::Unsigned(64),
            T::Float16 => Self::Float(11),
            T::Float32 => Self::Float(24),
            T::Float64 => Self::Float(53),
            T::Decimal32(precision, scale)
            | T::Decimal64(precision, scale)
            | T::Decimal128(precision, scale)
            | T::Decimal256(precision, scale) => Self::Decimal(i32::from(*precision), i32::from(*scale)),
            _ => return None,
        })
    }

    /// What happens to its values in a column of `to`.
    pub(super) fn fate_in(self, to: Self) -> ColumnFate {
        use Number as N;
        let fits = match (self, to) {
            (from, to) if from == to => return ColumnFate::Exact,
            (N::Signed(have), N::Signed(room))
            | (N::Unsigned(have), N::Unsigned(room) | N::Signed(room))
            | (N::Signed(have) | N::Unsigned(have) | N::Float(have), N::Float(room)) => have <= room,
            (N::Signed(have) | N::Unsigned(have), N::Decimal(precision, scale)) => {
                scale >= 0 && digits(have) <= precision - scale
            }
            (N::Decimal(have, scale), N::Decimal(room, target)) => scale <= target && have - scale <= room - target,
            // 10^digits − 1 fits when one more digit than that is needed to write the largest value.
            (N::Decimal(precision, scale), N::Signed(bits)) => scale <= 0 && precision - scale < digits(bits),
            // Up to 15 digits come back from a double as they went in, up to 6 from a float.
            (N::Decimal(precision, 0..=15), N::Float(53)) => precision <= 15,
            (N::Decimal(precision, 0..=6), N::Float(24)) => precision <= 6,
            _ => false,
        };
        if fits { ColumnFate::Widened } else { ColumnFate::Lossy }
    }

    /// Whether one of its values may lie between two of `to`.
    pub(super) fn rounds_in(self, to: Self) -> bool {
        use Number as N;
        match (self, to) {
            (N::Signed(have) | N::Unsigned(have) | N::Float(have), N::Float(room)) => have > room,
            (N::Signed(_) | N::Unsigned(_), N::Signed(_) | N::Unsigned(_)) => false,
            (N::Signed(_) | N::Unsigned(_), N::Decimal(_, scale)) => scale < 0,
            (N::Float(_), N::Signed(_) | N::Unsigned(_) | N::Decimal(..)) => true,
            (N::Decimal(_, scale), N::Signed(_) | N::Unsigned(_)) => scale > 0,
            (N::Decimal(_, scale), N::Decimal(_, target)) => scale > target,
            (N::Decimal(..), N::Float(_)) => self.fate_in(to) == ColumnFate::Lossy,
        }
    }
}

/// Decimal digits of the largest integer of `bits` bits: 127 has 3.
fn digits(bits: u32) -> i32 {
    (f64::from(bits) * std::f64::consts::LOG10_2).floor() as i32 + 1
}
