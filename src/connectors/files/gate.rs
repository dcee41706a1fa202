//! How many bytes one stream may hold between the thread that reads and whoever takes its batches.
//!
//! Bytes are counted before buffers grow. What is larger than the whole gate goes through alone: the thread waits until
//! everything before it was taken, and nothing is read behind it before it was taken itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of one permit.
const PERMIT_BYTES: usize = 1024;

/// The gate of one stream. Only its reading thread enters.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    free: Arc<Semaphore>,
    all: usize,
}

/// Bytes that are held. Dropping it frees them.
#[derive(Debug, Default)]
pub(super) struct Held {
    permits: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// A gate of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let all = (bytes / PERMIT_BYTES).clamp(1, u32::MAX as usize >> 4);
        Self { free: Arc::new(Semaphore::new(all)), all }
    }

    /// Makes `held` hold `bytes`, or the whole gate where they are more. Blocks.
    pub(super) fn grow(&self, held: &mut Held, bytes: usize) -> Result<()> {
        let wanted = bytes.div_ceil(PERMIT_BYTES).min(self.all);
        let has = held.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = wanted.checked_sub(has).filter(|more| *more > 0) else { return Ok(()) };
        let permits = futures::executor::block_on(Arc::clone(&self.free).acquire_many_owned(more as u32));
        let permits = permits.map_err(|_| Error::new(ErrorKind::Internal, "a gate was closed"))?;
        match held.permits.as_mut() {
            Some(all) => all.merge(permits),
            None => held.permits = Some(permits),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_gate_goes_alone() {
        let gate = Gate::new(10 * PERMIT_BYTES);
        let mut small = Held::default();
        gate.grow(&mut small, 1).unwrap();
        gate.grow(&mut small, 2 * PERMIT_BYTES).unwrap();
        assert_eq!(gate.free.available_permits(), 8);
        let other = gate.clone();
        let large = std::thread::spawn(move || {
            let mut held = Held::default();
            other.grow(&mut held, 1 << 30).map(|()| held)
        });
        drop(small);
        let large = large.join().unwrap().unwrap();
        assert_eq!(gate.free.available_permits(), 0);
        drop(large);
        assert_eq!(gate.free.available_permits(), 10);
    }
}
