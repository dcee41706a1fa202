//! What a snapshot does not show: rows of transactions that were under way. A later one finds them by who wrote them.
//!
//! A stored row has the last 32 bits of the number of its transaction, `xmin`, and keeps them when it is frozen. A transaction
//! that a snapshot does not show has a number from the snapshot's oldest running one on, and so have its subtransactions, whose
//! numbers no snapshot lists. So the rows with such numbers are all that were not seen, and some that were.

use arrow::datatypes::{DataType, Field};
use datafusion::common::Column as Named;
use datafusion::logical_expr::{Expr, lit};
use serde::{Deserialize, Serialize};

use super::catalog::{Column, Relation};
use super::codec::built_in;
use super::connect::Connection;
use crate::error::Result;
use crate::shape::Mark;
use crate::source::Late;
use crate::sql::filter::Compares;

/// The column of every stored row that says who wrote it. No column of a user can be called so.
const WRITER: &str = "xmin";

/// Why rows of some relations cannot be told from each other.
pub(super) const UNTOLD: &str = "only rows of tables tell which transaction wrote them";

/// The snapshot of the open transaction, its cluster, and whether transactions of this database were under way at it.
///
/// `xmax` of a snapshot lies behind the last transaction that has ended: one that runs may have that number or a higher one, and one that
/// has not yet written has none. Whoever ran at the snapshot either still runs, and has its lock on itself, or has ended, and then has had
/// a number if it wrote anything. So locks are looked at first. `age` says what number is the next one, as it was when this transaction
/// asked first. A standby knows nothing of transactions that have not yet written.
const MARK: &str = "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s), c.system_identifier, \
    CASE WHEN pg_is_in_recovery() OR txid_snapshot_xmin(s) <> txid_snapshot_xmax(s) THEN true \
      WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_locks l LEFT JOIN pg_stat_get_activity(NULL) a ON a.pid = l.pid \
        WHERE l.locktype = 'virtualxid' AND l.pid <> pg_backend_pid() AND (a.datid IS NULL OR a.datid IN \
          (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))) \
        AND coalesce(a.backend_type, '') NOT LIKE 'autovacuum%') THEN true \
      ELSE age((txid_snapshot_xmax(s) & 4294967295)::text::xid) <> 0 END \
    FROM txid_current_snapshot() s, pg_control_system() c";

/// A snapshot, as it is kept. Numbers of transactions have 64 bits here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Moment {
    /// The cluster, which counts its transactions by itself. A standby that is promoted counts on.
    system: String,
    /// No transaction below this number was under way.
    oldest: u64,
    /// No transaction from this number on had ended.
    next: u64,
}

/// Whether all rows of `relation` tell this user who wrote them.
pub(super) fn is_told(relation: &Relation) -> bool {
    !relation.leaves.is_empty() && relation.leaves.iter().all(|leaf| leaf.heap && leaf.readable)
}

/// The mark of the snapshot of `leader`; none where the server or its owner does not tell. To be asked once in a transaction, whose
/// answer to the second question would be that to the first.
pub(super) async fn mark(leader: &Connection) -> Result<Option<Mark>> {
    let asked = leader.rows(&format!("SAVEPOINT etl_mark; {MARK}; RELEASE SAVEPOINT etl_mark")).await;
    let rows = match asked {
        Ok(rows) => rows,
        // Over a connection that is lost this fails, too.
        Err(error) => return leader.run("ROLLBACK TO SAVEPOINT etl_mark").await.map(|()| None).map_err(|_| error),
    };
    let Some(row) = rows.first() else { return Ok(None) };
    let number = |at: usize| row.get(at).and_then(|text| text.parse().ok());
    let (Some(oldest), Some(next), Some(system)) = (number(0), number(1), row.get(2)) else { return Ok(None) };
    let moment = Moment { system: system.to_owned(), oldest, next };
    Ok(Some(Mark { running: row.get(3) != Some("f"), detail: serde_json::to_value(moment)? }))
}

/// The rows that were not seen at `then`, among those that are seen `now`, by the column of [`writer`]. A standby that lags behind may
/// be at a time before `then`: it shows none of them yet, and its own mark has them.
pub(super) fn late(then: &Mark, now: &Mark) -> Result<Late> {
    let now: Moment = serde_json::from_value(now.detail.clone())?;
    let Ok(then) = serde_json::from_value::<Moment>(then.detail.clone()) else {
        return Ok(Late::Unknown("what was kept of that time is not understood".to_owned()));
    };
    if then.system != now.system {
        return Ok(Late::Unknown("this is another server than the one that was read then".to_owned()));
    }
    let Some(oldest) = i64::try_from(then.oldest).ok().filter(|_| then.oldest <= now.next) else {
        return Ok(Late::Unknown(
            "the server is at a time before that, as one that was set back to a backup".to_owned(),
        ));
    };
    let filter = Expr::Column(Named::from_name(WRITER)).gt_eq(lit(oldest));
    Ok(Late::Among { filter: filter.into(), column: Field::new(WRITER, DataType::Int64, false).into() })
}

/// The numbers of the transactions that wrote the rows that are seen `now`.
///
/// They are counted back from the snapshot's last one, by as many as `age` says without a sign. A row that is older than all numbers of
/// 32 bits was frozen, and looks younger than it is: one row too many, and never one too few.
pub(super) fn writer(now: &Mark) -> Result<Column> {
    let Moment { next, .. }: Moment = serde_json::from_value(now.detail.clone())?;
    let last_bits = next & u64::from(u32::MAX);
    let sql = format!("({next}::int8 + age('{last_bits}'::xid) - (age({WRITER})::int8 & 4294967295))");
    Ok(Column {
        name: WRITER.to_owned(),
        sql,
        pg: built_in("int8")?,
        arrow: DataType::Int64,
        not_null: true,
        comment: None,
        compares: Compares::Order,
        key: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mark(system: &str, oldest: u64, next: u64) -> Mark {
        Mark { running: true, detail: json!({"system": system, "oldest": oldest, "next": next}) }
    }

    #[test]
    fn a_mark_means_something_to_its_own_server_alone() {
        let then = mark("7", 90, 95);
        match late(&then, &mark("7", 100, 100)).unwrap() {
            Late::Among { filter, column } => {
                assert_eq!((*filter).to_string(), "xmin >= Int64(90)");
                assert_eq!(column.name(), "xmin");
            }
            Late::Unknown(why) => panic!("{why}"),
        }
        let damaged = Mark { running: true, detail: json!({"system": 7}) };
        for (then, now, word) in [
            (&then, mark("8", 100, 100), "another server"),
            (&then, mark("7", 89, 89), "at a time before"),
            (&damaged, mark("7", 100, 100), "not understood"),
        ] {
            match late(then, &now).unwrap() {
                Late::Unknown(why) => assert!(why.contains(word), "{why}"),
                Late::Among { filter, .. } => panic!("{filter:?}"),
            }
        }
    }

    #[test]
    fn numbers_go_on_behind_32_bits() {
        let column = writer(&mark("7", 1, (1 << 32) + 5)).unwrap();
        assert_eq!(column.sql, "(4294967301::int8 + age('5'::xid) - (age(xmin)::int8 & 4294967295))");
    }
}
