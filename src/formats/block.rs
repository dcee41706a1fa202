//! Bytes in blocks of 64, each block as bit masks: bit i stands for byte i.
//!
//! Eight bytes are compared at once in a word, without vector instructions (they would need `unsafe`): some 2 GB/s, far
//! more than what the decoding of the fields between the marks reaches.

/// Bytes of a block.
pub(super) const SIZE: usize = 64;

const LOW_SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH: u64 = !LOW_SEVEN;

/// Mask of the bytes that equal one of `needles`.
pub(super) fn any<const N: usize>(block: &[u8; SIZE], needles: [u8; N]) -> u64 {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let wanted = needles.map(|needle| u64::from(needle) * 0x0101_0101_0101_0101);
    let mut mask = 0;
    for (index, lane) in block.as_chunks::<8>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*lane);
        let mut found = 0;
        for wanted in wanted {
            // Sets the high bit of each byte of the sum that is not zero in `differs`; no carry leaves a byte.
            let differs = word ^ wanted;
            found |= !(((differs & LOW_SEVEN) + LOW_SEVEN) | differs);
        }
        // Gathers the eight high bits into one byte.
        mask |= (((found & HIGH) >> 7).wrapping_mul(GATHER) >> 56) << (index * 8);
    }
    mask
}

/// The blocks of `bytes`; the last one is filled up with zeros, so zero is never to be searched for.
pub(super) fn blocks(bytes: &[u8]) -> impl Iterator<Item = [u8; SIZE]> + '_ {
    let (whole, rest) = bytes.as_chunks::<SIZE>();
    let last = (!rest.is_empty()).then(|| {
        let mut block = [0; SIZE];
        block[..rest.len()].copy_from_slice(rest);
        block
    });
    whole.iter().copied().chain(last)
}

/// Quotes and line ends of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineEnds {
    pub(super) quotes: u64,
    /// Last bytes of line ends: LF, and CR where no LF follows.
    pub(super) ends: u64,
}

/// Quotes and line ends, block by block. A CR in the very last byte is not reported: an LF may follow.
pub(super) fn line_ends(bytes: &[u8], quote: Option<u8>) -> impl Iterator<Item = LineEnds> + '_ {
    blocks(bytes).enumerate().map(move |(index, block)| {
        let quotes = quote.map_or(0, |quote| any(&block, [quote]));
        let feeds = any(&block, [b'\n']);
        let returns = any(&block, [b'\r']);
        let mut lone = 0;
        if returns != 0 {
            let next = bytes.get((index + 1) * SIZE);
            let feeds_next = feeds >> 1 | u64::from(next == Some(&b'\n')) << 63;
            lone = returns & !feeds_next;
            let last = bytes.len() - index * SIZE - 1;
            if last < SIZE {
                lone &= !(1 << last);
            }
        }
        LineEnds { quotes, ends: feeds | lone }
    })
}

/// Whether bytes are between quotes, carried from block to block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quotes(u64);

impl Quotes {
    /// Mask of the bytes that follow an odd number of quotes, given the quotes of the next block.
    pub(super) fn advance(&mut self, quotes: u64) -> u64 {
        let mut mask = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            mask ^= mask << shift;
        }
        mask ^= self.0;
        self.0 = (mask.cast_signed() >> 63).cast_unsigned();
        mask
    }

    /// Whether the bytes so far end between quotes.
    pub(super) fn inside(self) -> bool {
        self.0 != 0
    }
}
