//! Amounts as people type them: `64MB`, `1GiB`, `100k`, `50MB/s`, `100k rows/s`.
//!
//! `k`, `M`, `G` and `T` are powers of 1000, with `i` powers of 1024. Case does not matter.

use std::str::FromStr;

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
        let (amount, unit) = scaled(text)?;
        match unit.as_str() {
            "" | "b" | "byte" | "bytes" => Ok(Self(amount)),
            _ => Err(format!("'{text}' is no size: write 64MB, 1GiB or 500k")),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no speed: write '50MB/s' or '100k rows/s'");
        let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?;
        let (amount, unit) = scaled(amount).map_err(|_| wrong())?;
        match unit.as_str() {
            _ if amount == 0 => Err("a speed of 0 would never end".to_owned()),
            "b" | "byte" | "bytes" => Ok(Self::Bytes(amount)),
            "r" | "row" | "rows" => Ok(Self::Rows(amount)),
            _ => Err(wrong()),
        }
    }
}

/// The scaled number at the start of `text`, and the lower-case unit behind it.
fn scaled(text: &str) -> Result<(u64, String), String> {
    let text = text.trim();
    let wrong = || format!("'{text}' is no size: write 64MB, 1GiB or 500k");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let number: f64 = text[..end].replace('_', "").parse().map_err(|_| wrong())?;
    let unit = text[end..].trim_start().to_ascii_lowercase();
    let power = unit.chars().next().and_then(|prefix| "kmgt".find(prefix)).map(|at| at as i32 + 1);
    let rest = unit.get(usize::from(power.is_some())..).unwrap_or_default();
    let (base, rest) = match rest.strip_prefix('i') {
        Some(rest) if power.is_some() => (1024.0_f64, rest),
        _ => (1000.0, rest),
    };
    let amount = number * base.powi(power.unwrap_or(0));
    // Beyond 2^53 a float no longer counts bytes one by one, and no limit is that large.
    if !(0.0..9.0e15).contains(&amount) {
        return Err(format!("'{text}' is too large"));
    }
    Ok((amount.round() as u64, rest.trim_start().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let table: [(&str, u64); 9] = [
            ("0", 0),
            ("4096", 4096),
            ("64MB", 64_000_000),
            ("64 mb", 64_000_000),
            ("1GiB", 1 << 30),
            ("1.5k", 1500),
            ("100k", 100_000),
            ("1_000b", 1000),
            ("2Ti", 2 << 40),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for wrong in ["", "MB", "-1", "1.2.3", "5 rows", "1e9", "9999TB", "5x"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
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
