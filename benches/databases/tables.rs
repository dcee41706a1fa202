//! The tables: the same rows on all servers and in all files, and one definition of the target for all programs.

use super::Bench;
use super::copies::{mixed, psql, scale};

/// A table that is copied.
pub(super) struct Table {
    pub(super) name: &'static str,
    kind: Kind,
    /// How many times the rows that were asked for it has.
    times: u64,
    /// The column by which others cut it.
    pub(super) number: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mixed,
    Lineitem,
}

pub(super) const MIXED: Table = Table { name: "mixed", kind: Kind::Mixed, times: 1, number: "id" };
pub(super) const LINEITEM: Table = Table { name: "lineitem", kind: Kind::Lineitem, times: 1, number: "l_orderkey" };
/// `MIXED` with four times the rows.
pub(super) const LARGE: Table = Table { name: "large", kind: Kind::Mixed, times: 4, number: "id" };

/// Columns of `mixed` that are the same text for `LOAD DATA` and for ours.
const TO_CSV: &str = "id, a, b, t1, t2, t3, t4, amount, ok::int ok, d, ts, j, u, f";

impl Table {
    pub(super) fn mysql(&self) -> &'static str {
        match self.kind {
            Kind::Mixed => {
                "(id bigint not null primary key, a int, b smallint, t1 varchar(32), t2 varchar(64), t3 text, t4 varchar(64),
                 amount decimal(18,4), ok tinyint(1), d date, ts datetime(6), tz timestamp(6) null, j json, u char(36), f double)"
            }
            Kind::Lineitem => {
                "(l_orderkey bigint not null, l_partkey bigint not null, l_suppkey bigint not null, l_linenumber int not null,
                 l_quantity decimal(15,2) not null, l_extendedprice decimal(15,2) not null, l_discount decimal(15,2) not null,
                 l_tax decimal(15,2) not null, l_returnflag char(1) not null, l_linestatus char(1) not null,
                 l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
                 l_shipinstruct varchar(25) not null, l_shipmode varchar(10) not null, l_comment varchar(44) not null,
                 primary key (l_orderkey, l_linenumber))"
            }
        }
    }

    /// Without a key: DuckDB would feed it row by row, ours makes it at the end.
    pub(super) fn postgres(&self) -> &'static str {
        match self.kind {
            Kind::Mixed => {
                "(id bigint, a integer, b smallint, t1 text, t2 text, t3 text, t4 text, amount numeric(18,4), ok smallint,
                 d date, ts timestamp, tz timestamptz, j json, u text, f double precision)"
            }
            Kind::Lineitem => {
                "(l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer, l_quantity numeric(15,2),
                 l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag text,
                 l_linestatus text, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct text,
                 l_shipmode text, l_comment text)"
            }
        }
    }

    /// What makes a table of this definition one for the columns of the CSV file: in it an instant has no text that
    /// both sides take, with a zone for ours and without one for `LOAD DATA`.
    pub(super) fn narrowed(&self) -> &'static str {
        match self.kind {
            Kind::Mixed => "; alter table target drop column tz",
            Kind::Lineitem => "",
        }
    }

    pub(super) fn csv(&self) -> String {
        format!("{}.csv", self.name)
    }

    pub(super) fn parquet(&self) -> String {
        format!("{}.parquet", self.name)
    }
}

impl Bench {
    /// `table` on all servers, as a CSV and as a Parquet file.
    pub(super) fn make(&self, table: &Table) {
        let (name, rows) = (table.name, table.times * self.rows);
        let (csv, all) = (self.path(&table.csv()), self.path("all.csv"));
        match table.kind {
            Kind::Mixed => {
                psql(&self.postgres, &mixed(name, rows));
                self.written(&format!("{TO_CSV} from {name}"), &csv);
                let instants = TO_CSV.replace("ts,", "ts, timezone('UTC', tz) tz,");
                self.written(&format!("{instants} from {name}"), &all);
            }
            Kind::Lineitem => {
                self.etl(&[&format!("gen:tpch.lineitem?sf={}", scale(rows)), &csv, "-q"]);
                std::fs::copy(&csv, &all).unwrap();
                psql(&self.postgres, &format!("create table {name} {}", table.postgres()));
                psql(&self.postgres, &format!("\\copy {name} from '{csv}' (format csv, header)"));
            }
        }
        psql(&self.postgres, &format!("vacuum analyze {name}"));
        for server in &self.servers {
            server.sql(&format!("create table {name} {}", table.mysql()));
            server.load(name, &all);
            server.sql(&format!("analyze table {name}"));
        }
        std::fs::remove_file(&all).unwrap();
        self.etl(&[&format!("{}#{name}", self.postgres), &self.path(&table.parquet()), "-q"]);
    }

    fn written(&self, what: &str, file: &str) {
        psql(&self.postgres, &format!("\\copy (select {what}) to '{file}' (format csv, header, null 'NULL')"));
    }

    /// An empty `target` in PostgreSQL with the columns of `table`.
    pub(super) fn renewed(&self, table: &Table) {
        psql(&self.postgres, &format!("drop table if exists target; create table target {}", table.postgres()));
    }
}
