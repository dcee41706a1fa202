//! Sizes and speeds as flags: `64MB`, `1GiB`, `50MB/s`, `100k rows/s`. The grammar is that of `formats::value::size`.

use std::str::FromStr;

use crate::formats::value::size;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A speed limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// Bytes per second.
    Bytes(u64),
    /// Rows per second.
    Rows(u64),
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        size::bytes(text).map(Self).ok_or_else(|| format!("'{text}' is no size: write 64MB, 1GiB or 500k"))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no speed: write '50MB/s' or '100k rows/s'");
        let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?;
        let (amount, unit) = size::scaled(amount).ok_or_else(wrong)?;
        match unit.as_str() {
            _ if amount == 0 => Err("a speed of 0 would never end".to_owned()),
            "b" | "byte" | "bytes" => Ok(Self::Bytes(amount)),
            "r" | "row" | "rows" => Ok(Self::Rows(amount)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes() {
        assert_eq!("64MB".parse(), Ok(Bytes(64_000_000)));
        assert!("lots".parse::<Bytes>().is_err());
    }

    #[test]
    fn speeds_are_in_bytes_or_rows() {
        assert_eq!("50MB/s".parse(), Ok(Rate::Bytes(50_000_000)));
        assert_eq!("1 MiB/s".parse(), Ok(Rate::Bytes(1 << 20)));
        assert_eq!("100k rows/s".parse(), Ok(Rate::Rows(100_000)));
        assert_eq!("5 row/s".parse(), Ok(Rate::Rows(5)));
        for wrong in ["", "50MB", "50/s", "0 rows/s", "x rows/s", "5 apples/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in ".{0,12}") {
            let _ = (text.parse::<Bytes>(), text.parse::<Rate>());
        }
    }
}
