//! How much DuckDB may hold in memory while rows only pass through it.
//!
//! It keeps each block that it has written or read until its limit is reached, so a copy fills all of it with blocks that nobody
//! asks for again. While nothing but loads and plain tables that are read are at work its limit is what these need; for whatever
//! else is asked it is that of the options.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::database::Database;
use super::read::GROUP_ROWS;

/// What DuckDB needs beside what is filled and read.
const BASE_BYTES: u64 = 4 << 20;
/// What a column that is filled or read takes at least: a block for its values, and one for its NULLs.
pub(super) const COLUMN_BYTES: u64 = 512 << 10;
/// A load has this part of all memory at least.
const LEAST_SHARE: u64 = 32;
/// Limits are multiples of it: rows are not all of one width, and each new limit is a statement.
const STEP_BYTES: u64 = 4 << 20;

/// The limit of one database, and who needs how much of it.
#[derive(Debug)]
pub(super) struct Memory {
    /// That of the options.
    most_bytes: u64,
    needs: Mutex<Needs>,
    /// Whether what a load was said to need was too little once.
    was_short: AtomicBool,
}

#[derive(Debug)]
struct Needs {
    bytes: u64,
    /// The limit that DuckDB was told last.
    told_bytes: u64,
}

impl Memory {
    pub(super) fn new(most_bytes: u64) -> Self {
        let needs = Needs { bytes: 0, told_bytes: most_bytes };
        Self { most_bytes, needs: Mutex::new(needs), was_short: AtomicBool::new(false) }
    }

    /// The limit where `bytes` are needed.
    fn limit(&self, bytes: u64) -> u64 {
        let wanted = bytes.saturating_add(BASE_BYTES).div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
        if bytes == 0 { self.most_bytes } else { wanted.min(self.most_bytes) }
    }

    /// What a load needs of which `sent_bytes` of rows are added to groups that have `group_bytes`, in so many columns. What is full of a
    /// group that is not whole, DuckDB puts aside on disk; it holds what of each column is being filled, and a copy of what it is sent.
    pub(super) fn of_load(&self, columns: usize, group_bytes: u64, sent_bytes: u64) -> u64 {
        if self.was_short.load(Ordering::Relaxed) {
            return self.most_bytes;
        }
        let needed = (columns as u64 * COLUMN_BYTES)
            .saturating_add(group_bytes / 4)
            .saturating_add(sent_bytes.saturating_mul(2));
        // Who gives the job more memory gives a load more, should this be too little.
        needed.max(self.most_bytes / LEAST_SHARE)
    }

    /// Whether the last rows of loads, which need `bytes` for it, may be brought from table to table. Measured with 1.5.6: 500 columns of
    /// BOOLEAN take more than the 488 MiB that are given if nothing is said.
    pub(super) fn carries(&self, bytes: u64) -> bool {
        bytes <= self.most_bytes / 2
    }

    /// From now on each load has all.
    pub(super) fn note_short(&self) {
        self.was_short.store(true, Ordering::Relaxed);
    }
}

/// What DuckDB needs to bring rows from table to table by one thread, `bytes` in `rows` of them, in so many columns: as for a load, of whose
/// group it holds a half, and what is read of each column.
pub(super) fn of_carrying(columns: usize, bytes: u64, rows: u64) -> u64 {
    let group_bytes = (bytes / rows.max(1)).saturating_mul(GROUP_ROWS);
    (2 * columns as u64 * COLUMN_BYTES).saturating_add(group_bytes / 2)
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
        // A step more than is needed does not matter.
        if (limit..=limit.saturating_add(STEP_BYTES)).contains(&needs.told_bytes) {
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

    /// Measured with 1.5.6 and 16 columns of 200 bytes a row: one load passes with 20 MiB and fails with 16, two pass with 24, four
    /// with 48 and fail with 40.
    #[test]
    fn loads_have_a_part_of_a_group_each_until_one_has_had_too_little() {
        let memory = Memory::new(512 << 20);
        let each = || memory.of_load(16, 200 * GROUP_ROWS, 200 * 8192);
        assert_eq!([1, 2, 4].map(|loads| memory.limit(loads * each()) >> 20), [24, 40, 72]);
        assert_eq!(memory.limit(memory.of_load(2, u64::MAX, u64::MAX)), 512 << 20);
        memory.note_short();
        assert_eq!(each(), 512 << 20);
    }

    #[test]
    fn rows_that_are_brought_over_need_half_a_group_and_two_tables() {
        assert_eq!(of_carrying(16, 200_000, 1000) >> 20, 27);
        assert_eq!(of_carrying(1, 0, 0), 1 << 20);
        let memory = Memory::new(488 << 20);
        assert_eq!([16, 200, 500].map(|columns| memory.carries(of_carrying(columns, 0, 1))), [true, true, false]);
    }
}
