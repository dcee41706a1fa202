//! The memory that operators of a plan share, so that none takes what another needs to go on.
//!
//! A sort holds rows until its share is full, then spills them. DataFusion's `GreedyMemoryPool` has no shares: the sort of one
//! partition, or the merge of what it spilled, takes all there is, and the next partition cannot hold a single batch.
//! `FairSpillPool` bounds what is held before the spill, but not the merge behind it.

use std::collections::HashMap;
use std::fmt;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use parking_lot::Mutex;

/// How DataFusion calls the two reservations of a sort, which takes from the second while it merges what it spilled. A number in
/// brackets follows.
const OF_A_SORT: [&str; 2] = ["ExternalSorter[", "ExternalSorterMerge["];

/// A pool of which each sort has a share.
#[derive(Debug)]
pub(super) struct SharedMemory {
    bytes: usize,
    partitions: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    bytes: usize,
    /// The sorts, in the order of their begin.
    sorts: Vec<Sort>,
    /// Which sort a consumer belongs to, by its id.
    of: HashMap<usize, usize>,
    /// The last sort of a partition that began, by its number in brackets.
    last: HashMap<String, usize>,
    /// How many sorts of a partition have begun and not ended.
    begun: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Sort {
    partition: String,
    bytes: usize,
    consumers: usize,
}

impl SharedMemory {
    /// A pool of `bytes` for plans of so many `partitions`.
    pub(super) fn new(bytes: usize, partitions: usize) -> Self {
        Self { bytes, partitions: partitions.max(1), used: Mutex::default() }
    }

    /// The most that one sort may hold. All of them have three quarters: what merges the partitions holds batches of all of them.
    ///
    /// Each partition has as many sorts as the one that has most: it may begin while others have not yet.
    fn sort_bytes(&self, used: &Used) -> usize {
        let sorts = used.begun.values().copied().max().unwrap_or(0).max(1);
        self.bytes / 4 * 3 / (sorts * self.partitions)
    }
}

impl Used {
    fn sort_of(&mut self, reservation: &MemoryReservation) -> Option<&mut Sort> {
        let sort = *self.of.get(&reservation.consumer().id())?;
        self.sorts.get_mut(sort)
    }

    fn grow(&mut self, reservation: &MemoryReservation, additional: usize) {
        self.bytes += additional;
        if let Some(sort) = self.sort_of(reservation) {
            sort.bytes += additional;
        }
    }
}

impl MemoryPool for SharedMemory {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let Some(begin) = OF_A_SORT.iter().position(|name| consumer.name().starts_with(name)) else { return };
        let partition = consumer.name()[OF_A_SORT[begin].len()..].to_owned();
        let mut used = self.used.lock();
        let last = used.last.get(&partition).copied();
        let sort = last.filter(|_| begin == 1).unwrap_or_else(|| {
            used.sorts.push(Sort { partition: partition.clone(), ..Sort::default() });
            *used.begun.entry(partition.clone()).or_default() += 1;
            used.sorts.len() - 1
        });
        used.sorts[sort].consumers += 1;
        used.last.insert(partition, sort);
        used.of.insert(consumer.id(), sort);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut used = self.used.lock();
        let Used { sorts, of, begun, .. } = &mut *used;
        let Some(sort) = of.remove(&consumer.id()).and_then(|sort| sorts.get_mut(sort)) else { return };
        sort.consumers -= 1;
        if sort.consumers == 0
            && let Some(begun) = begun.get_mut(&sort.partition)
        {
            *begun -= 1;
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.used.lock().grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut used = self.used.lock();
        used.bytes -= bytes;
        if let Some(sort) = used.sort_of(reservation) {
            sort.bytes -= bytes;
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut used = self.used.lock();
        let (of_all, of_a_sort) = (self.bytes.saturating_sub(used.bytes), self.sort_bytes(&used));
        let left = used.sort_of(reservation).map_or(of_all, |sort| of_all.min(of_a_sort.saturating_sub(sort.bytes)));
        if additional > left {
            let name = reservation.consumer().name();
            let [wanted, left] = [additional, left].map(human_readable_size);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{name} asks for {wanted} more, of which {left} are left"
            )));
        }
        used.grow(reservation, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.lock().bytes
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in shares", human_readable_size(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn consumer(pool: &Arc<dyn MemoryPool>, name: &str) -> MemoryReservation {
        MemoryConsumer::new(name).register(pool)
    }

    #[test]
    fn a_sort_and_its_merge_leave_the_others_their_shares() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedMemory::new(800, 2));
        let [sort, merge] = ["ExternalSorter[0]", "ExternalSorterMerge[0]"].map(|name| consumer(&pool, name));
        let [other, last] = ["ExternalSorter[1]", "SortPreservingMergeExec[0]"].map(|name| consumer(&pool, name));
        merge.try_grow(100).unwrap();
        sort.try_grow(200).unwrap();
        let error = sort.try_grow(1).unwrap_err().to_string();
        assert!(error.contains("ExternalSorter[0] asks for 1.0 B more, of which 0.0 B are left"), "{error}");
        sort.free();
        merge.try_grow(200).unwrap();
        other.try_grow(300).unwrap();
        last.try_grow(200).unwrap();
        assert!(last.try_grow(1).is_err(), "all is in use");
        assert_eq!(pool.reserved(), 800);
        drop((sort, merge, other, last));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn sorts_over_each_other_share_what_sorts_have() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedMemory::new(800, 2));
        let names = ["ExternalSorter[0]", "ExternalSorterMerge[0]"];
        let [inner, _merge] = names.map(|name| consumer(&pool, name));
        inner.try_grow(300).unwrap();
        let above = [0, 1, 2].map(|_| names.map(|name| consumer(&pool, name)));
        for [sort, merge] in &above {
            sort.try_grow(50).unwrap();
            merge.try_grow(25).unwrap();
            assert!(sort.try_grow(1).is_err() && merge.try_grow(1).is_err(), "the other partition has four, too");
        }
        assert!(inner.try_grow(1).is_err());
        drop(above);
        inner.shrink(100);
        inner.try_grow(100).unwrap();
    }

    #[test]
    fn what_does_not_sort_has_all_there_is() {
        let pool: Arc<dyn MemoryPool> = Arc::new(SharedMemory::new(800, 2));
        let join = consumer(&pool, "HashJoinInput[0]");
        join.try_grow(800).unwrap();
        assert!(consumer(&pool, "ExternalSorter[0]").try_grow(1).is_err());
    }
}
