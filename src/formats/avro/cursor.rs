//! Walking over encoded values, and the numbers among them.

use super::{BLOCK_BYTES, cut_off, damaged, too_large};
use crate::error::{Error, Result};

/// Bytes of the longest number.
pub(super) const LONG_BYTES: usize = 10;

/// What is left of the bytes of a block.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Whether more bytes were wanted than there are.
    is_short: bool,
    /// Bytes of values that take more room than their encoding.
    pub(super) extra_bytes: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, is_short: false, extra_bytes: 0 }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether an error was for want of bytes.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    fn short(&mut self) -> Error {
        self.is_short = true;
        cut_off()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A zigzag number of up to 64 bits.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(LONG_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                // Of the tenth byte there is room for one bit.
                if index == LONG_BYTES - 1 && *byte > 1 {
                    return Err(damaged());
                }
                self.rest = &self.rest[index + 1..];
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(if self.rest.len() < LONG_BYTES { self.short() } else { damaged() })
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32> {
        i32::try_from(self.long()?).map_err(|_| damaged())
    }

    /// A number that is not negative.
    #[inline]
    pub(super) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.long()?).map_err(|_| damaged())
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// The number of items in the next part of a list or map; none at its end.
    pub(super) fn items(&mut self) -> Result<Option<usize>> {
        let count = self.long()?;
        if count < 0 {
            // The size of the part, for those who skip it.
            self.length()?;
        }
        let count = usize::try_from(count.unsigned_abs()).map_err(|_| damaged())?;
        Ok((count > 0).then_some(count))
    }

    /// Notes that values take `bytes` more than what was read for them.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.extra_bytes = self.extra_bytes.saturating_add(bytes);
        if self.extra_bytes > BLOCK_BYTES { Err(too_large("a record")) } else { Ok(()) }
    }
}

/// Appends a zigzag number.
#[inline]
pub(super) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes behind their length.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}
