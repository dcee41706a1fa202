//! The queues of the task groups: runs of neighbouring splits, from which channels cut their tasks.
//!
//! Pure: nothing waits here. Each group starts with one contiguous run; an idle one takes the back half of the
//! fullest other, so that no channel is without work while another has more than it can begin.

use std::collections::VecDeque;

use crate::runner::share;
use crate::source::Split;

/// What is left to do, by group.
#[derive(Debug)]
pub(super) struct Queues {
    groups: Vec<Queue>,
}

#[derive(Debug)]
struct Queue {
    channels: usize,
    splits: VecDeque<Split>,
    /// Of all its splits; kept, for there may be very many of them.
    bytes: u64,
}

/// What a split of unknown size is taken for.
const UNKNOWN_BYTES: u64 = 16 << 20;

impl Queues {
    /// Deals `splits` in order to groups with so many channels each, in proportion to the channels: whole sources
    /// where there are enough of them, else each source in runs of neighbours.
    pub(super) fn new(splits: &[Split], channels: &[usize]) -> Self {
        let sources: Vec<&[Split]> = splits.chunk_by(|one, next| one.source == next.source).collect();
        if sources.len() >= channels.len() && sources.len() > 1 {
            return Self { groups: dealt(&sources, channels, <[&[Split]]>::concat) };
        }
        Self { groups: dealt(splits, channels, <[Split]>::to_vec) }
    }

    /// The next task of a channel in `group`: neighbours of about `goal_bytes`, but no more than a fair part of
    /// what the group has left, so that its channels end together. At least `least_bytes` where they are there.
    pub(super) fn take(&mut self, group: usize, goal_bytes: u64, least_bytes: u64) -> Vec<Split> {
        if self.groups[group].splits.is_empty() {
            self.steal(group);
        }
        let queue = &mut self.groups[group];
        let goal = goal_bytes.min(queue.bytes / (2 * queue.channels as u64)).max(least_bytes);
        let mut task: Vec<Split> = Vec::new();
        let mut taken = 0;
        while let Some(split) = queue.splits.front() {
            let follows = |last: &Split| last.source == split.source && last.id + 1 == split.id;
            if !task.last().is_none_or(follows) || (!task.is_empty() && taken + bytes(split) > goal) {
                break;
            }
            taken += bytes(split);
            task.extend(queue.splits.pop_front());
        }
        queue.bytes -= taken;
        task
    }

    /// Moves the back half of the fullest queue to `group`.
    fn steal(&mut self, group: usize) {
        let fullest = (0..self.groups.len()).max_by_key(|index| self.groups[*index].splits.len());
        let Some(fullest) = fullest.filter(|fullest| *fullest != group) else { return };
        let from = &mut self.groups[fullest];
        let stolen = from.splits.split_off(from.splits.len() / 2);
        let moved = stolen.iter().map(bytes).sum();
        from.bytes -= moved;
        let to = &mut self.groups[group];
        (to.splits, to.bytes) = (stolen, moved);
    }
}

/// `items` in runs, one per group, in proportion to the channels.
fn dealt<T>(items: &[T], channels: &[usize], splits: impl Fn(&[T]) -> Vec<Split>) -> Vec<Queue> {
    let all: usize = channels.iter().sum();
    let mut rest = items;
    let mut done = 0;
    let deal = |&channels: &usize| {
        let shares = done..done + channels;
        done += channels;
        let count = shares.map(|channel| share(items.len(), all, channel)).sum();
        let (head, tail) = rest.split_at(count);
        rest = tail;
        let splits = splits(head);
        let bytes = splits.iter().map(bytes).sum();
        Queue { channels, splits: splits.into(), bytes }
    };
    channels.iter().map(deal).collect()
}

fn bytes(split: &Split) -> u64 {
    split.bytes.unwrap_or(UNKNOWN_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::job::Limits;
    use crate::run::sizing::Wanted;

    fn splits(count: u32) -> Vec<Split> {
        (0..count)
            .map(|id| Split {
                id,
                source: 0,
                rows: None,
                bytes: Some(10),
                place: None,
                detail: serde_json::Value::Null,
            })
            .collect()
    }

    fn ids(task: &[Split]) -> Vec<u32> {
        task.iter().map(|split| split.id).collect()
    }

    #[test]
    fn groups_start_with_one_run_each_in_proportion_to_their_channels() {
        let queues = Queues::new(&splits(9), &[2, 1]);
        let runs: Vec<Vec<u32>> =
            queues.groups.iter().map(|queue| queue.splits.iter().map(|split| split.id).collect()).collect();
        assert_eq!(runs, [vec![0, 1, 2, 3, 4, 5], vec![6, 7, 8]]);
    }

    #[test]
    fn a_hundred_tables_at_twenty_channels_are_four_groups_of_five_channels_and_25_tables() {
        let limits = Limits { jobs: Some(20), ..Limits::default() };
        // Tables of one to seven splits; ids count through all of them.
        let tables = (0..100u32).flat_map(|table| std::iter::repeat_n(table, 1 + table as usize % 7));
        let all: Vec<Split> = tables.zip(splits(1000)).map(|(table, split)| Split { source: table, ..split }).collect();
        let sizing = Wanted::of(&limits, 2).over(all.len(), None);
        assert_eq!(sizing.groups, [5, 5, 5, 5]);
        let mut queues = Queues::new(&all, &sizing.groups);
        let tables = |queue: &Queue| queue.splits.iter().map(|split| split.source).collect::<BTreeSet<u32>>();
        let dealt: Vec<BTreeSet<u32>> = queues.groups.iter().map(tables).collect();
        let expected: Vec<BTreeSet<u32>> = (0..4).map(|group| (25 * group..25 * (group + 1)).collect()).collect();
        assert_eq!(dealt, expected);
        let task = queues.take(0, u64::MAX, u64::MAX);
        assert!(task.iter().all(|split| split.source == 0), "a task never spans two tables");
    }

    #[test]
    fn the_kept_bytes_are_those_of_the_splits_left() {
        let mut queues = Queues::new(&splits(1000), &[5, 5, 3]);
        for turn in 0..400 {
            let _ = queues.take(turn % 3, turn as u64 % 90, 0);
            for queue in &queues.groups {
                assert_eq!(queue.bytes, queue.splits.iter().map(bytes).sum::<u64>());
            }
        }
    }

    #[test]
    fn a_task_is_neighbours_of_about_the_goal() {
        let mut queues = Queues::new(&splits(100), &[1]);
        assert_eq!(ids(&queues.take(0, 30, 0)), [0, 1, 2]);
        assert_eq!(ids(&queues.take(0, 1, 0)), [3]);
        assert_eq!(ids(&queues.take(0, 1, 25)), [4, 5]);
    }

    #[test]
    fn towards_the_end_tasks_shrink_to_a_fair_part() {
        let mut queues = Queues::new(&splits(8), &[2]);
        assert_eq!(queues.take(0, u64::MAX, 0).len(), 2);
        assert_eq!(queues.take(0, u64::MAX, 0).len(), 1);
    }

    #[test]
    fn an_idle_group_takes_the_back_half_of_the_fullest_and_all_is_taken_once() {
        let mut queues = Queues::new(&splits(10), &[1, 1]);
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.extend(ids(&queues.take(0, 1, 0)));
        }
        let stolen = queues.take(0, 1, 0);
        assert_eq!(ids(&stolen), [7]);
        seen.extend(ids(&stolen));
        for group in [1, 0, 1, 0, 1, 0, 1, 0] {
            seen.extend(ids(&queues.take(group, 1, 0)));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
