//! How many tasks DataX makes of what a reader names. It runs a job with several tables to write only where they are as many; here
//! tables are cut otherwise, and the tables are counted.

/// The tasks of a reader with so many tables in each of its connections. With a key each table is cut into as many ranges as there are
/// channels for it, the only table of a connection into `factor` times as many, and rows without a key are a task of their own.
pub(super) fn of_tables(connections: &[usize], channels: u64, factor: Option<u64>) -> u64 {
    let all = connections.iter().sum::<usize>().max(1) as u64;
    // DataX goes on with this number from one connection to the next: of several with one table each it makes many tasks.
    let mut ranges = channels.div_ceil(all);
    let mut tasks = 0_u64;
    for tables in connections.iter().map(|tables| *tables as u64) {
        let each = match factor {
            Some(factor) if ranges > 1 => {
                ranges = if tables == 1 { ranges.saturating_mul(factor) } else { ranges };
                ranges.saturating_add(1)
            }
            _ => 1,
        };
        tasks = tasks.saturating_add(tables.saturating_mul(each));
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What DataX did with the jobs `m_split`, `m_split_multi`, `m_multi3` and `z_comma`.
    #[test]
    fn tasks_are_as_many_as_datax_makes() {
        assert_eq!(of_tables(&[1], 2, Some(5)), 11);
        assert_eq!(of_tables(&[1, 1], 4, Some(5)), 62);
        assert_eq!(of_tables(&[1, 1, 1], 6, Some(5)), 313);
        assert_eq!(of_tables(&[2], 1, None), 2);
    }

    /// Several tables of one connection are cut without the factor; without a key, or a channel more than there are tables, not at all.
    #[test]
    fn tables_are_cut_where_channels_are_left_for_them() {
        assert_eq!(of_tables(&[3], 10, Some(5)), 15);
        assert_eq!(of_tables(&[3], 3, Some(5)), 3);
        assert_eq!(of_tables(&[32], 8, Some(5)), 32);
        assert_eq!(of_tables(&[1], 1, Some(5)), 1);
        assert_eq!(of_tables(&[1], 8, None), 1);
        assert_eq!(of_tables(&[], 8, Some(5)), 0);
    }
}
