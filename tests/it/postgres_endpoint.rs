//! The endpoint of `PostgreSQL` beside reading and writing: names, ping, SQL of the user.

use arrow_etl::endpoint::{Step, StepToken};
use arrow_etl::error::ErrorKind;

use crate::postgres_read::{endpoint, runtime};
use crate::server::{postgres, psql};

fn step(step: Step, index: u32) -> StepToken {
    StepToken { run: "r".to_owned(), step, index }
}

#[test]
fn lists_pings_and_runs_sql() {
    let url = postgres();
    psql(
        &url,
        "create schema s; create table s.b (i int); create table \"A b\" (i int); create view s.v as select 1 as x",
    );
    runtime().block_on(async {
        let endpoint = endpoint(&url);
        let names = async |pattern: &str| -> Vec<String> {
            endpoint.list(pattern).await.unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("s.*").await, ["s.b", "s.v"]);
        assert_eq!(names("*").await, ["public.\"A b\""]);
        assert!(names("nothing.*").await.is_empty());
        let ping = endpoint.ping().await.unwrap();
        assert!(ping.server.starts_with("PostgreSQL "));
        assert!(ping.missing.is_empty(), "{:?}", ping.missing);

        endpoint
            .execute(&step(Step::PreSql, 0), "insert into s.b values (1); insert into s.b values (2)")
            .await
            .unwrap();
        let error =
            endpoint.execute(&step(Step::PreSql, 1), "insert into s.b values (3); select 1/0").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Value);
        endpoint.execute(&step(Step::PostSql, 2), "insert into s.b values (4); vacuum s.b; -- done;\n").await.unwrap();
        assert_eq!(psql(&url, "select string_agg(i::text, ',' order by i) from s.b"), "1,2,4");
        // What has transactions of its own runs once, though VACUUM refuses to run in one.
        endpoint.execute(&step(Step::PreSql, 3), "insert into s.b values (5); commit; vacuum s.b").await.unwrap();
        let error = endpoint.execute(&step(Step::PreSql, 4), "begin; insert into s.b values (6)").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(psql(&url, "select string_agg(i::text, ',' order by i) from s.b"), "1,2,4,5");
    });
}

#[test]
fn what_sql_leaves_in_its_session_changes_nothing_behind_it() {
    let url = postgres();
    psql(&url, "create table t (i int); create schema other; create table other.t (i int)");
    runtime().block_on(async {
        let endpoint = endpoint(&url);
        let leaves = "set search_path = other; create temp table t (i int); select pg_advisory_lock(7)";
        endpoint.execute(&step(Step::PreSql, 0), leaves).await.unwrap();
        let looks = "insert into t select count(*) from pg_locks where locktype = 'advisory' and objid = 7 \
                     and database = (select oid from pg_database where datname = current_database())";
        endpoint.execute(&step(Step::PreSql, 1), looks).await.unwrap();
        assert_eq!(psql(&url, "select string_agg(i::text, ',') from public.t"), "0");
        assert_eq!(psql(&url, "select count(*) from other.t"), "0");
    });
}

#[test]
fn executed_sql_is_known_to_the_next_process() {
    let url = postgres();
    psql(&url, "create table t (i int)");
    runtime().block_on(async {
        let (endpoint, next) = (endpoint(&url), endpoint(&url));
        let [done, failed, never, loose] = [0, 1, 2, 3].map(|index| step(Step::PreSql, index));
        // What the SQL does to its session does not reach the mark.
        endpoint.execute(&done, "set local search_path = pg_catalog; insert into public.t values (1)").await.unwrap();
        endpoint.execute(&failed, "insert into t values (2); select 1/0").await.unwrap_err();
        endpoint.execute(&loose, "insert into t values (3); commit; select 1").await.unwrap();
        assert_eq!(next.executed(&done).await.unwrap(), Some(true));
        assert_eq!(next.executed(&failed).await.unwrap(), Some(false));
        assert_eq!(next.executed(&never).await.unwrap(), Some(false));
        assert_eq!(next.executed(&loose).await.unwrap(), None, "it may have come half the way");
    });
}
