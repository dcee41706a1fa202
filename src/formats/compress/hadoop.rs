//! Snappy as Hadoop frames it: blocks with their raw length in front, in each of them chunks with their compressed length in front,
//! both as four bytes with the highest first. No byte tells that a file is one of these, and none is a checksum.

use std::io::{self, BufRead, Read};

use snap::raw::{Decoder, Encoder, decompress_len};

/// Raw bytes of a block that is written. Hadoop's reader holds 256 KiB of a chunk unless it is told otherwise.
const BLOCK_BYTES: usize = 128 << 10;

/// The most bytes of a chunk that is read, compressed or raw.
const CHUNK_BYTES: usize = 64 << 20;

/// How much longer than the compressed bytes the raw ones may be: three bytes copy 64.
const MOST_GROWTH: usize = 22;

/// `bytes` as blocks of one chunk each; nothing for nothing, since Hadoop takes a block without a byte for the end of the file.
pub(super) fn blocks(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new();
    let mut out = Vec::with_capacity(bytes.len() / 2);
    for block in bytes.chunks(BLOCK_BYTES) {
        let chunk = encoder.compress_vec(block)?;
        out.extend((block.len() as u32).to_be_bytes());
        out.extend((chunk.len() as u32).to_be_bytes());
        out.extend(chunk);
    }
    Ok(out)
}

/// The raw bytes of such a file.
pub(super) struct Blocks<R> {
    inner: R,
    /// Raw bytes of the block that are still to come.
    left: usize,
    chunk: Vec<u8>,
    raw: Vec<u8>,
    /// Bytes of `raw` that were given.
    given: usize,
}

impl<R: BufRead> Blocks<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, left: 0, chunk: Vec::new(), raw: Vec::new(), given: 0 }
    }

    /// Decodes the chunk that comes next; false at the end of the file.
    fn next_chunk(&mut self) -> io::Result<bool> {
        while self.left == 0 {
            if self.inner.fill_buf()?.is_empty() {
                return Ok(false);
            }
            self.left = self.length()?;
        }
        let bytes = self.length()?;
        if bytes > CHUNK_BYTES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.chunk.clear();
        let read = self.inner.by_ref().take(bytes as u64).read_to_end(&mut self.chunk)?;
        if read < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let raw = decompress_len(&self.chunk)?;
        if raw > self.left || raw > MOST_GROWTH * bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if raw > CHUNK_BYTES {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.raw.resize(raw, 0);
        Decoder::new().decompress(&self.chunk, &mut self.raw)?;
        (self.left, self.given) = (self.left - raw, 0);
        Ok(true)
    }

    fn length(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4];
        self.inner.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes) as usize)
    }
}

impl<R: BufRead> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.raw.len() {
            if !self.next_chunk()? {
                return Ok(0);
            }
        }
        let raw = &self.raw[self.given..];
        let bytes = raw.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&raw[..bytes]);
        self.given += bytes;
        Ok(bytes)
    }
}
