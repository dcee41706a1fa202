//! A 64-bit hash that servers compute too: Bob Jenkins' lookup3 with the mixing of PostgreSQL, which calls it
//! `hashtextextended(text, seed)` since version 11. Source: `hash_bytes_extended` of `src/common/hashfn.c`, on a machine that
//! stores the low byte first.

use std::ops::Range;

/// Bytes that are mixed at once.
const BLOCK: usize = 12;

/// The hash of `bytes`, with the seed 0.
pub fn hash(bytes: &[u8]) -> u64 {
    hash_within(bytes, 0..bytes.len())
}

/// The hash of `bytes[range]`. Where there are bytes behind it a block is read whole, which takes less time than a few of its bytes.
#[inline]
pub fn hash_within(bytes: &[u8], range: Range<usize>) -> u64 {
    let (mut left, mut rest) = (range.len(), &bytes[range.start..]);
    let mut state = start(left);
    while left >= BLOCK {
        // A range that ends behind them is refused below.
        let Some((block, after)) = rest.split_first_chunk() else { break };
        add(&mut state, words_of(block));
        mix(&mut state);
        (left, rest) = (left - BLOCK, after);
    }
    let last = match rest.first_chunk() {
        Some(block) if left < BLOCK => first_words(block, left),
        _ => words(&rest[..left]),
    };
    add(&mut state, last);
    finish(state)
}

fn words_of(block: &[u8; BLOCK]) -> [u32; 3] {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    [word(0), word(4), word(8)]
}

/// The first `length` bytes of a block, fewer than it has, as [`words`] gives them.
#[inline]
fn first_words(block: &[u8; BLOCK], length: usize) -> [u32; 3] {
    let [low, high, last] = words_of(block);
    let both = u64::from(high) << 32 | u64::from(low);
    let both = if length < 8 { both & !(u64::MAX << (8 * length)) } else { both };
    let unwanted = 8 * (BLOCK - length);
    let last = if length > 8 { last << unwanted >> unwanted << 8 } else { 0 };
    [both as u32, (both >> 32) as u32, last]
}

/// Fewer bytes than a block as words, the low byte first. The lowest byte of the last word stands for the length.
fn words(rest: &[u8]) -> [u32; 3] {
    // Of words that overlap: a copy whose length is not known would be a call.
    let word = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    let last = |bytes: usize| (u64::from(word(rest.len() - 4)) >> (8 * (4 - bytes))) as u32;
    match rest.len() {
        0 => [0; 3],
        length @ 1..=3 => {
            let byte = |at: usize| u32::from(rest[at]) << (8 * at);
            [byte(0) | byte(length / 2) | byte(length - 1), 0, 0]
        }
        length @ 4..=7 => [word(0), last(length - 4), 0],
        length => [word(0), word(4), last(length - 8) << 8],
    }
}

/// The hash of the four bytes of `word`, the low one first.
#[inline]
pub fn of_word(word: u32) -> u64 {
    of_few(word.into(), size_of::<u32>())
}

/// The same with a seed.
#[inline]
pub fn of_word_seeded(word: u32, seed: u64) -> u64 {
    let mut state = start(size_of::<u32>());
    if seed != 0 {
        add(&mut state, [(seed >> 32) as u32, seed as u32, 0]);
        mix(&mut state);
    }
    add(&mut state, [word, 0, 0]);
    finish(state)
}

/// The hash of the eight bytes of `words`, the low one first.
#[inline]
pub fn of_words(words: u64) -> u64 {
    of_few(words, size_of::<u64>())
}

/// The hash of as many bytes of `words` as `length` says, at most eight, the low one first. Those above them are 0.
#[inline]
pub fn of_few(words: u64, length: usize) -> u64 {
    let [a, b, c] = start(length);
    finish([a.wrapping_add(words as u32), b.wrapping_add((words >> 32) as u32), c])
}

fn start(bytes: usize) -> [u32; 3] {
    // Lengths of values fit 32 bits; those that do not have the hash of a shorter one, and are values all the same.
    [0x9e37_79b9_u32.wrapping_add(bytes as u32).wrapping_add(3_923_095); 3]
}

fn add(state: &mut [u32; 3], words: [u32; 3]) {
    for (own, word) in state.iter_mut().zip(words) {
        *own = own.wrapping_add(word);
    }
}

fn mix(state: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *state;
    let turn = |one: &mut u32, two: &mut u32, three: u32, by: u32| {
        *one = one.wrapping_sub(*two) ^ two.rotate_left(by);
        *two = two.wrapping_add(three);
    };
    turn(&mut a, &mut c, b, 4);
    turn(&mut b, &mut a, c, 6);
    turn(&mut c, &mut b, a, 8);
    turn(&mut a, &mut c, b, 16);
    turn(&mut b, &mut a, c, 19);
    turn(&mut c, &mut b, a, 4);
    *state = [a, b, c];
}

fn finish([mut a, mut b, mut c]: [u32; 3]) -> u64 {
    let turn = |one: &mut u32, two: u32, by: u32| *one = (*one ^ two).wrapping_sub(two.rotate_left(by));
    turn(&mut c, b, 14);
    turn(&mut a, c, 11);
    turn(&mut b, a, 25);
    turn(&mut c, b, 16);
    turn(&mut a, c, 4);
    turn(&mut b, a, 14);
    turn(&mut c, b, 24);
    u64::from(b) << 32 | u64::from(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_server() {
        // Given by PostgreSQL 15: select hashtextextended('…' collate "C", 0).
        let given = [
            ("", -6_939_563_903_564_495_251),
            ("a", 3_591_986_179_850_072_241),
            ("abc", -6_747_756_470_228_489_321),
            ("abcd", -1_038_429_303_365_892_052),
            ("abcdefg", -6_158_032_784_613_548_338),
            ("abcdefgh", -8_882_191_227_074_733_005),
            ("abcdefghijk", 3_112_909_444_737_856_467),
            ("abcdefghijkl", -7_556_637_188_122_330_412),
            ("abcdefghijklm", 8_871_624_171_452_417_744),
            ("grüße, 世界 and more than two blocks of twelve", 336_511_323_342_568_134),
        ];
        for (text, expected) in given {
            assert_eq!(hash(text.as_bytes()).cast_signed(), expected, "{text:?}");
            // The same among other bytes, as far behind it as a block and less.
            for after in 0..=BLOCK {
                let around = [b"before", text.as_bytes(), &[0xff; BLOCK][..after]].concat();
                assert_eq!(hash_within(&around, 6..6 + text.len()).cast_signed(), expected, "{text:?} {after}");
            }
        }
        assert_eq!(of_word(u32::from_le_bytes(*b"abcd")), hash(b"abcd"));
        assert_eq!(of_words(u64::from_le_bytes(*b"abcdefgh")), hash(b"abcdefgh"));
        for length in 0..=size_of::<u64>() {
            let mut bytes = [0; size_of::<u64>()];
            bytes[..length].copy_from_slice(&b"abcdefgh"[..length]);
            assert_eq!(of_few(u64::from_le_bytes(bytes), length), hash(&b"abcdefgh"[..length]));
        }
    }
}
