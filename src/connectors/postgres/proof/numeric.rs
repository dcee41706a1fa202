//! The hash that the server computes of a `numeric`, and the same here: of an integer and its scale, and of wire bytes.
//!
//! Source: `hash_numeric_extended` of the server's `numeric.c` (the groups without zeros at either end, and their weight; not the
//! sign, which turns the hash over here).

use super::super::encode::{Sign, numeric_groups, put_decimal};
use crate::proof::hash::{hash, of_few};

/// The hash of the number 0.
const ZERO: u64 = u64::MAX;

/// Bytes of a group of four decimal digits.
const GROUP_BYTES: usize = 2;

/// What is less than this has as many groups as a word has room for.
const FEW_GROUPS: u64 = 10_000_000_000_000_000;

/// What gives the hash of a value × 10^-`scale`, as that of its wire form.
pub(super) fn decimals(scale: i8) -> impl FnMut(i128) -> u64 {
    // The same for all values.
    let exponent = -i32::from(scale);
    let power = 10_u64.pow(exponent.rem_euclid(4) as u32);
    let (few, least) = (u128::from(FEW_GROUPS / power), i64::from(exponent.div_euclid(4)) - 1);
    let mut wire = Vec::new();
    move |value| {
        let digits = value.unsigned_abs();
        if digits >= few {
            wire.clear();
            put_decimal(value, scale, &mut wire);
            // Those bytes are not damaged.
            return number(&wire).unwrap_or_default();
        }
        let mut rest = digits as u64 * power;
        if rest == 0 {
            return ZERO;
        }
        let mut weight = least;
        while rest.is_multiple_of(10_000) {
            rest /= 10_000;
            weight += 1;
        }
        let (mut groups, mut bytes) = (0_u64, 0);
        while rest > 0 {
            groups = groups << (8 * GROUP_BYTES) | (rest % 10_000);
            bytes += GROUP_BYTES;
            rest /= 10_000;
            weight += 1;
        }
        turned(of_few(groups, bytes) ^ weight.cast_unsigned(), value < 0)
    }
}

/// The hash of a wire numeric; none when it is damaged.
pub(super) fn number(wire: &[u8]) -> Option<u64> {
    let (groups, weight, sign) = numeric_groups(wire)?;
    if sign == Sign::Special {
        return Some(0);
    }
    let of_groups = match few(wire, groups.len()) {
        Some(words) => Some(of_few(words, groups.len()) ^ i64::from(weight).cast_unsigned()),
        None => many(groups, weight.into()),
    };
    Some(of_groups.map_or(ZERO, |hash| turned(hash, sign == Sign::Negative)))
}

/// The groups of a wire numeric, its last `bytes` bytes, as the server has them in memory: one to four, of which the first and
/// the last are not zero, as a server sends most numbers. None for others.
#[inline]
fn few(wire: &[u8], bytes: usize) -> Option<u64> {
    let last = u64::from_le_bytes(*wire.last_chunk()?);
    if !matches!(bytes, 2 | 4 | 6 | 8) {
        return None;
    }
    let groups = last >> (u64::BITS as usize - 8 * bytes);
    let groups = (groups & 0x00ff_00ff_00ff_00ff) << 8 | groups >> 8 & 0x00ff_00ff_00ff_00ff;
    let (most, least) = (groups as u16, groups >> (8 * (bytes - GROUP_BYTES)));
    (most != 0 && least != 0).then_some(groups)
}

/// The hash of any groups, the first of which has this `weight`, without the sign; none for zero.
fn many(groups: &[u8], weight: i64) -> Option<u64> {
    let (pairs, _) = groups.as_chunks::<GROUP_BYTES>();
    let is_set = |pair: &[u8; GROUP_BYTES]| *pair != [0; GROUP_BYTES];
    let first = pairs.iter().position(is_set)?;
    let last = pairs.iter().rposition(is_set).unwrap_or(first);
    let swapped: Vec<u8> = pairs[first..=last].iter().flat_map(|[high, low]| [*low, *high]).collect();
    Some(hash(&swapped) ^ (weight - first as i64).cast_unsigned())
}

/// `hash`, turned over for what is below zero.
fn turned(hash: u64, negative: bool) -> u64 {
    if negative { !hash } else { hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value, scale, and what PostgreSQL 15 gives of it, as `select hash_numeric_extended(1.5, 0)`; of what is below zero turned
    /// over.
    const GIVEN: [(i128, i8, i64); 20] = [
        (0, 2, -1),
        (1, 0, -7_507_508_252_608_306_360),
        (-100, 2, !-7_507_508_252_608_306_360),
        (15, 1, -8_828_336_294_488_843_818),
        (123_456_789, 4, -7_480_115_461_366_660_631),
        (1, 4, 7_507_508_252_608_306_359),
        (1, 8, 7_507_508_252_608_306_358),
        (100_000_000, 0, -7_507_508_252_608_306_358),
        (-999_999_999_999_999_999, 4, !528_364_983_810_872_844),
        // Four groups, with zeros among them, and one more.
        (1_234_567_890_123_456, 4, -6_863_141_071_252_874_880),
        (100_000_001, 4, 162_034_542_210_184_904),
        (9_999_999_999_999_999, 0, 8_966_457_295_286_834_577),
        (-9_999_999_999_999_999, 8, !8_966_457_295_286_834_579),
        (10_000_000_000_000_001, 0, 2_953_996_797_920_449_411),
        // The largest of four groups that are shifted, and one of five.
        (99_999_999_999_999, 2, 5_738_265_978_894_608_310),
        (100_000_000_000_001, 2, 731_428_262_867_841_859),
        (9_223_372_036_854_775_807, 3, -1_560_962_104_628_248_004),
        // -0.00123456789, and what 64 bits hold and do not hold.
        (-123_456_789, 11, !8_005_024_120_056_899_057),
        (18_446_744_073_709_551_615, 4, -708_838_431_325_105_615),
        (12_345_678_901_234_567_890_123_456_789_012, 2, 8_688_811_852_084_529_485),
    ];

    #[test]
    fn they_are_the_hashes_of_the_server() {
        for (value, scale, expected) in GIVEN {
            assert_eq!(decimals(scale)(value).cast_signed(), expected, "{value}e-{scale}");
            // The wire bytes say the same.
            let mut wire = Vec::new();
            put_decimal(value, scale, &mut wire);
            assert_eq!(number(&wire).map(u64::cast_signed), Some(expected), "{value}e-{scale}");
        }
    }

    #[test]
    fn few_groups_have_the_hash_of_the_same_with_zeros_around_them() {
        let wire = |groups: &[u16], weight: i16, sign: u16| -> Vec<u8> {
            let head = [groups.len() as u16, weight.cast_unsigned(), sign, 0];
            head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
        };
        let numbers: [&[u16]; 6] = [&[1], &[9999, 1], &[256, 255], &[1, 0, 10], &[12, 345, 6789, 1], &[7, 0, 0, 7]];
        for (groups, sign) in numbers.iter().flat_map(|groups| [(groups, 0), (groups, 0x4000)]) {
            for weight in [-3, 0, 2] {
                let (plain, more) = (wire(groups, weight, sign), [&[0][..], *groups, &[0, 0]].concat());
                let padded = wire(&more, weight + 1, sign);
                assert!(few(&plain, 2 * groups.len()).is_some() && few(&padded, 2 * more.len()).is_none());
                assert_eq!(number(&plain), number(&padded), "{groups:?} {weight} {sign}");
            }
        }
        assert_eq!(number(&wire(&[0, 0], 1, 0x4000)), Some(ZERO));
    }
}
