//! The wire form of `numeric`: a header and groups of four decimal digits around the point.
//!
//! Header: number of groups, weight of the first (in powers of 10,000), sign, digits after the point. Source: the
//! server's `numeric_recv`, which takes the groups as they are and strips zeros by itself.

use arrow::datatypes::i256;

/// Bytes before the groups.
const HEADER_BYTES: usize = 8;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const PLUS_INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// Most groups of a Decimal256: 77 digits, cut at the point.
const MOST_GROUPS: usize = 21;

/// Appends `value` × 10^-`scale`.
pub(crate) fn put_i128(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut groups = Groups::new(scale);
    let mut rest = groups.first(value.unsigned_abs());
    // Division of 64 bits is many times faster than that of 128.
    while rest > u128::from(u64::MAX) {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        groups.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    groups.put(value < 0, out);
}

/// Appends `value` × 10^-`scale`.
pub(super) fn put_i256(value: i256, scale: i8, out: &mut Vec<u8>) {
    if let Some(small) = value.to_i128() {
        return put_i128(small, scale, out);
    }
    // The digits of the smallest i256 have no positive counterpart: text has no such limit.
    let digits = value.to_string();
    let text = if scale == 0 { digits } else { format!("{digits}e{}", -i32::from(scale)) };
    let put = put_text(&text, out);
    debug_assert!(put, "the digits of an integer are a number");
}

/// The digit groups of an integer from the least to the most, without zero groups at the least end.
struct Groups {
    values: [u16; MOST_GROUPS],
    count: usize,
    /// Power of 10,000 of the next group.
    position: i32,
    /// Power of 10,000 of the least group that is kept.
    least: i32,
    /// Decimal digits by which the lowest group is shifted up.
    shift: u32,
    scale: i8,
}

impl Groups {
    fn new(scale: i8) -> Self {
        let exponent = -i32::from(scale);
        let position = exponent.div_euclid(4);
        Self {
            values: [0; MOST_GROUPS],
            count: 0,
            position,
            least: position,
            shift: exponent.rem_euclid(4) as u32,
            scale,
        }
    }

    /// Takes the group that the point cuts, and gives what is left.
    fn first(&mut self, value: u128) -> u128 {
        if self.shift == 0 {
            return value;
        }
        let cut = 10_u128.pow(4 - self.shift);
        self.push((value % cut) as u16 * 10_u16.pow(self.shift));
        value / cut
    }

    fn push(&mut self, group: u16) {
        if self.count == 0 {
            self.least = self.position;
        }
        if self.count > 0 || group != 0 {
            self.values[self.count] = group;
            self.count += 1;
        }
        self.position += 1;
    }

    fn put(&self, negative: bool, out: &mut Vec<u8>) {
        let mut values = &self.values[..self.count];
        while let [rest @ .., 0] = values {
            values = rest;
        }
        let weight = if values.is_empty() { 0 } else { self.least + values.len() as i32 - 1 };
        let sign = if negative { NEGATIVE } else { 0 };
        header(out, values.len(), weight, sign, self.scale.max(0).into());
        for group in values.iter().rev() {
            out.extend_from_slice(&group.to_be_bytes());
        }
    }
}

/// Appends the number that `text` spells: `-12.50`, `1e-7`, `NaN`, `Infinity`. `false` when it spells none.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) -> bool {
    let text = text.trim_ascii();
    let (negative, rest) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if text.eq_ignore_ascii_case("nan") {
        header(out, 0, 0, NAN, 0);
        return true;
    }
    if rest.eq_ignore_ascii_case("infinity") || rest.eq_ignore_ascii_case("inf") {
        header(out, 0, 0, if negative { MINUS_INFINITY } else { PLUS_INFINITY }, 0);
        return true;
    }
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => match rest[at + 1..].parse::<i32>() {
            Ok(exponent) if exponent.abs() < 200_000 => (&rest[..at], exponent),
            _ => return false,
        },
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.len() + fraction.len() == 0 || !digits().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let leading = digits().take_while(|&byte| byte == b'0').count();
    // The power of ten of the first digit that counts.
    let top = whole.len() as i32 - 1 - leading as i32 + exponent;
    let scale = (fraction.len() as i32 - exponent).max(0);
    put_digits(digits().skip(leading), top, (negative, scale), out)
}

/// Appends `digits`, the first of which stands for 10^`top`.
fn put_digits(digits: impl Iterator<Item = u8>, top: i32, (negative, scale): (bool, i32), out: &mut Vec<u8>) -> bool {
    let start = out.len();
    header(out, 0, 0, 0, 0);
    let weight = top.div_euclid(4);
    let mut group = 0_u16;
    let mut left = top.rem_euclid(4) + 1;
    let mut pending = false;
    for digit in digits {
        group = group * 10 + u16::from(digit - b'0');
        left -= 1;
        pending = true;
        if left == 0 {
            out.extend_from_slice(&group.to_be_bytes());
            (group, left, pending) = (0, 4, false);
        }
    }
    if pending {
        group *= 10_u16.pow(left as u32);
        out.extend_from_slice(&group.to_be_bytes());
    }
    while out.len() > start + 8 && out.ends_with(&[0, 0]) {
        out.truncate(out.len() - 2);
    }
    let count = (out.len() - start - 8) / 2;
    // The server's own limits: 131,072 digits before the point, 16,383 after it.
    if weight > 0x7fff || scale > 0x3fff || count > 0x7fff {
        out.truncate(start);
        return false;
    }
    let sign = if negative && count > 0 { NEGATIVE } else { 0 };
    let words = head(count, if count == 0 { 0 } else { weight }, sign, scale);
    out[start..start + 8].copy_from_slice(words.as_flattened());
    true
}

fn header(out: &mut Vec<u8>, groups: usize, weight: i32, sign: u16, scale: i32) {
    out.extend_from_slice(head(groups, weight, sign, scale).as_flattened());
}

fn head(groups: usize, weight: i32, sign: u16, scale: i32) -> [[u8; 2]; 4] {
    [groups as u16, weight as u16, sign, scale as u16].map(u16::to_be_bytes)
}

/// On which side of zero a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Negative,
    Positive,
    /// NaN and infinities.
    Special,
}

/// The groups of a wire numeric (of each the high byte first), the weight of the first and the sign; none for damage.
#[inline]
pub(crate) fn groups(wire: &[u8]) -> Option<(&[u8], i32, Sign)> {
    let (head, groups) = wire.split_first_chunk::<HEADER_BYTES>()?;
    let [_, _, high, low, sign @ .., _, _] = *head;
    let sign = match u16::from_be_bytes(sign) {
        NEGATIVE => Sign::Negative,
        sign if sign & NAN == NAN => Sign::Special,
        _ => Sign::Positive,
    };
    Some((groups, i16::from_be_bytes([high, low]).into(), sign))
}

/// How many digits after the point a wire numeric really needs, negative for zeros before it: -2 for 1200. The least
/// number for 0, NaN and infinities, which are the same under any rounding; none when it is damaged.
pub(super) fn fraction_digits(wire: &[u8]) -> Option<i32> {
    let (groups, weight, sign) = groups(wire)?;
    if sign == Sign::Special {
        return Some(i32::MIN);
    }
    let mut digits = i32::MIN;
    for (position, pair) in groups.as_chunks::<2>().0.iter().enumerate() {
        let group = u16::from_be_bytes(*pair);
        if group != 0 {
            let zeros = [1000, 100, 10].iter().position(|power| group % power == 0).map_or(0, |at| 3 - at as i32);
            digits = (position as i32 - weight) * 4 - zeros;
        }
    }
    Some(digits)
}
