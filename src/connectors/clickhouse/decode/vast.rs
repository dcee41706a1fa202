//! Integers of 256 bits and their digits. A decimal of Arrow ends at 76 digits, these at 78.

use std::fmt;

/// Digits that 64 bits hold in any case.
const CHUNK: u64 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;
/// Chunks of 256 bits.
const CHUNKS: usize = 5;

/// Writes the digits of 32 bytes, the lowest first.
pub(in super::super) fn print(bytes: [u8; 32], signed: bool, out: &mut impl fmt::Write) -> fmt::Result {
    let mut limbs = limbs_of(bytes);
    let negative = signed && limbs[3] >> 63 == 1;
    if negative {
        limbs = negated(limbs);
    }
    let (mut chunks, mut count) = ([0; CHUNKS], 0);
    while limbs != [0; 4] {
        let mut rest: u64 = 0;
        for limb in limbs.iter_mut().rev() {
            let whole = (u128::from(rest) << 64) | u128::from(*limb);
            *limb = (whole / u128::from(CHUNK)) as u64;
            rest = (whole % u128::from(CHUNK)) as u64;
        }
        chunks[count] = rest;
        count += 1;
    }
    let (first, others) = chunks[..count.max(1)].split_last().expect("there is one at least");
    write!(out, "{}{first}", if negative { "-" } else { "" })?;
    others.iter().rev().try_for_each(|chunk| write!(out, "{chunk:0CHUNK_DIGITS$}"))
}

/// The 32 bytes of a whole number as ClickHouse prints it; none for other texts and beyond 256 bits.
pub(in super::super) fn bytes(text: &str, signed: bool) -> Option<[u8; 32]> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) if signed && digits != "0" => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || digits.starts_with('0') && digits != "0"
    {
        return None;
    }
    let mut limbs = [0_u64; 4];
    for digit in digits.bytes() {
        let mut carry = u64::from(digit - b'0');
        for limb in &mut limbs {
            let whole = u128::from(*limb) * 10 + u128::from(carry);
            *limb = whole as u64;
            carry = (whole >> 64) as u64;
        }
        if carry > 0 {
            return None;
        }
    }
    let least = [0, 0, 0, 1 << 63];
    if negative {
        if limbs[3] >> 63 == 1 && limbs != least {
            return None;
        }
        limbs = negated(limbs);
    } else if signed && limbs[3] >> 63 == 1 {
        return None;
    }
    let mut bytes = [0; 32];
    for (place, limb) in bytes.chunks_exact_mut(8).zip(limbs) {
        place.copy_from_slice(&limb.to_le_bytes());
    }
    Some(bytes)
}

fn limbs_of(bytes: [u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(bytes);
        *limb = u64::from_le_bytes(eight);
    }
    limbs
}

fn negated(limbs: [u64; 4]) -> [u64; 4] {
    let mut carry = true;
    limbs.map(|limb| {
        let (sum, over) = (!limb).overflowing_add(u64::from(carry));
        carry = over;
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_bytes_are_the_same_number() {
        let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let least = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
        for (text, signed) in [("0", true), ("-1", true), (least, true), (most, false), ("10000000000000000000", false)]
        {
            let mut digits = String::new();
            print(bytes(text, signed).unwrap(), signed, &mut digits).unwrap();
            assert_eq!(digits, text);
        }
        assert_eq!(bytes(most, true), None);
        assert_eq!(bytes(&format!("{most}0"), false), None);
        assert_eq!(
            bytes("115792089237316195423570985008687907853269984665640564039457584007913129639936", false),
            None
        );
        assert_eq!(bytes("-57896044618658097711785492504343953926634992332820282019728792003956564819969", true), None);
        for wrong in ["", "-", "-0", "007", "+1", "1.0", "1e3", " 1"] {
            assert_eq!(bytes(wrong, true), None, "{wrong}");
        }
        assert_eq!(bytes("-1", false), None);
    }
}
