//! Buffers of chunks that were decoded, kept for the next ones: memory that was used is faster than what the system gives anew.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// The buffers that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Buffers {
    idle: Mutex<Vec<BytesMut>>,
    /// How many are kept.
    most: usize,
}

impl Buffers {
    /// Keeps `most` of them.
    pub(super) fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// An empty buffer with room for `wanted` bytes.
    pub(super) fn take(&self, wanted: usize) -> BytesMut {
        // One that is too small is let go: to make it larger would copy what nobody wants.
        let kept = self.idle.lock().pop().filter(|buffer| buffer.capacity() >= wanted);
        kept.unwrap_or_else(|| BytesMut::with_capacity(wanted))
    }

    /// Takes the buffer of `bytes` back, if nobody else has it and it has room for no more than `most_bytes`.
    pub(super) fn put(&self, bytes: Bytes, most_bytes: usize) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        let mut idle = self.idle.lock();
        if buffer.capacity() <= most_bytes && idle.len() < self.most {
            idle.push(buffer);
        }
    }

    /// Lets all of them go.
    pub(super) fn clear(&self) {
        self.idle.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of some bytes in a buffer from `buffers` with room for `wanted`, and where it lies.
    fn filled(buffers: &Buffers, wanted: usize) -> (Bytes, usize) {
        let mut buffer = buffers.take(wanted);
        buffer.extend_from_slice(b"some rows");
        let address = buffer.as_ptr() as usize;
        (buffer.freeze(), address)
    }

    #[test]
    fn what_was_decoded_is_filled_again() {
        let buffers = Buffers::new(1);
        let (chunk, first) = filled(&buffers, 4096);
        buffers.put(chunk, 8192);
        for wanted in [4096, 0] {
            let (chunk, again) = filled(&buffers, wanted);
            assert_eq!((&chunk[..], again), (&b"some rows"[..], first), "room for {wanted}");
            buffers.put(chunk, 8192);
        }
        assert!(buffers.take(5000).capacity() >= 5000, "the one that is there is too small");
        assert_eq!(buffers.idle.lock().len(), 0);
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let buffers = Buffers::new(2);
        let chunks = [4096; 3].map(|wanted| filled(&buffers, wanted).0);
        let shared = chunks[0].clone();
        for chunk in chunks {
            buffers.put(chunk, 8192);
        }
        assert_eq!(buffers.idle.lock().len(), 2, "somebody reads the first");
        buffers.put(shared, 8192);
        assert_eq!(buffers.idle.lock().len(), 2, "two are enough");
        buffers.clear();
        buffers.put(filled(&buffers, 4096).0, 4095);
        assert_eq!(buffers.idle.lock().len(), 0, "it is too large");
    }
}
