//! What is looked at before it is read, where it can be read only once.

use std::io::Read;
use std::sync::Arc;

use parking_lot::Mutex;

/// A reader that keeps what it gave, so that it can be given again.
#[derive(Clone)]
pub(super) struct Kept(Arc<Mutex<KeptInner>>);

struct KeptInner {
    reader: Box<dyn Read + Send>,
    seen: Option<Vec<u8>>,
}

impl Kept {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self(Arc::new(Mutex::new(KeptInner { reader, seen: Some(Vec::new()) })))
    }

    /// What was given so far; from now on nothing is kept.
    pub(super) fn seen(&self) -> Vec<u8> {
        self.0.lock().seen.take().unwrap_or_default()
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut inner = self.0.lock();
        let bytes = inner.reader.read(buffer)?;
        if let Some(seen) = inner.seen.as_mut() {
            seen.extend_from_slice(&buffer[..bytes]);
        }
        Ok(bytes)
    }
}
