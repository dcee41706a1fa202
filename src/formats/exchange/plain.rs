//! Plain types of Arrow by what databases say of them: bits and sign, digits.

use arrow::datatypes::DataType;

/// The integer of so many bits, with or without a sign; of 64 where no other has them.
pub fn integer((bits, signed): (u8, bool)) -> DataType {
    match (bits, signed) {
        (8, true) => DataType::Int8,
        (16, true) => DataType::Int16,
        (32, true) => DataType::Int32,
        (_, true) => DataType::Int64,
        (8, false) => DataType::UInt8,
        (16, false) => DataType::UInt16,
        (32, false) => DataType::UInt32,
        (_, false) => DataType::UInt64,
    }
}

/// Bits and sign of an integer; none for another type.
pub fn integer_of(data_type: &DataType) -> Option<(u8, bool)> {
    let bytes = data_type.primitive_width().filter(|_| data_type.is_integer())?;
    Some((u8::try_from(8 * bytes).ok()?, data_type.is_signed_integer()))
}

/// The integers of 128 bits as a decimal.
pub fn huge() -> DataType {
    DataType::Decimal256(39, 0)
}

/// Digits of a decimal, in all and behind the point, with a negative scale written out.
pub fn decimal_digits(precision: u8, scale: i8) -> (u8, u8) {
    match u8::try_from(scale) {
        Ok(places) => (precision.max(places), places),
        Err(_) => (precision.saturating_add(scale.unsigned_abs()), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_known_by_bits_and_sign() {
        for bits in [8, 16, 32, 64] {
            for signed in [true, false] {
                assert_eq!(integer_of(&integer((bits, signed))), Some((bits, signed)));
            }
        }
        assert_eq!((integer((16, true)), integer((64, false))), (DataType::Int16, DataType::UInt64));
        for other in [DataType::Float32, DataType::Date32, DataType::Boolean, DataType::Utf8] {
            assert_eq!(integer_of(&other), None);
        }
    }

    #[test]
    fn digits_before_the_point_are_written_out() {
        assert_eq!((decimal_digits(10, 2), decimal_digits(5, -3), decimal_digits(2, 5)), ((10, 2), (8, 0), (5, 5)));
    }
}
