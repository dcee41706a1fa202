//! How much DuckDB may hold in memory while rows only pass through it.
//!
//! It keeps each block that it has written or read until its limit is reached, so a copy fills all of it with blocks that nobody
//! asks for again. While nothing but loads and plain tables that are read are at work its limit is what these need; for whatever
//! else is asked it is that of the options.

use std::sync::Arc;

use parking_lot::Mutex;

use super::database::Database;

/// What DuckDB needs beside what is filled and read.
const BASE_BYTES: u64 = 4 << 20;
/// What a column that is filled or read takes at least: a block for its values, and one for its NULLs.
pub(super) const COLUMN_BYTES: u64 = 512 << 10;
/// Limits are multiples of it: rows are not all of one width, and each new limit is a statement.
const STEP_BYTES: u64 = 4 << 20;

/// The limit of one database, and who needs how much of it.
#[derive(Debug)]
pub(super) struct Memory {
    /// That of the options.
    most_bytes: u64,
    needs: Mutex<Needs>,
}

#[derive(Debug)]
struct Needs {
    bytes: u64,
    /// The limit that DuckDB was told last.
    told_bytes: u64,
}

impl Memory {
    pub(super) fn new(most_bytes: u64) -> Self {
        Self { most_bytes, needs: Mutex::new(Needs { bytes: 0, told_bytes: most_bytes }) }
    }

    /// The limit where `bytes` are needed.
    fn limit(&self, bytes: u64) -> u64 {
        let wanted = bytes.saturating_add(BASE_BYTES).div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
        if bytes == 0 { self.most_bytes } else { wanted.min(self.most_bytes) }
    }
}

/// What one connection needs of the memory of its database, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    database: Arc<Database>,
    bytes: u64,
}

impl Share {
    /// All that the options allow.
    pub(super) fn whole(database: &Arc<Database>) -> Self {
        let mut share = Self { database: Arc::clone(database), bytes: 0 };
        share.resize(database.memory().most_bytes);
        share
    }

    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Whether it is all that the options allow.
    pub(super) fn is_whole(&self) -> bool {
        self.bytes == self.database.memory().most_bytes
    }

    /// Needs `bytes` from now on.
    pub(super) fn resize(&mut self, bytes: u64) {
        let memory = self.database.memory();
        let bytes = bytes.min(memory.most_bytes);
        let mut needs = memory.needs.lock();
        needs.bytes = needs.bytes - self.bytes + bytes;
        self.bytes = bytes;
        let limit = memory.limit(needs.bytes);
        if needs.told_bytes == limit {
            return;
        }
        // Where more is in use than could be let go, the limit stays as it was.
        if self.database.limit_memory(limit).is_ok() {
            needs.told_bytes = limit;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_little_has_that_and_all_else_has_all() {
        let memory = Memory::new(512 << 20);
        let limits = [0, (100 << 20) - 1, 512 << 20, 1024 << 20].map(|bytes| memory.limit(bytes) >> 20);
        assert_eq!(limits, [512, 104, 512, 512]);
        assert_eq!(Memory::new(4 << 20).limit(1), 4 << 20);
    }
}
