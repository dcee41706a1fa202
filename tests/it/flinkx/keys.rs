//! Rows that replace others, by the key that is named or found.

use super::*;

const TABLE: &str = "create table t (id int, code int, v varchar(9), note varchar(9) default 'none');
    insert into t values (7, 10, 'old', 'mine')";

/// The databases, each with its plugin, its user, and what its client shows of the table.
fn databases() -> Vec<(&'static str, &'static str, String, String)> {
    let (maria, url) = (mariadb(), postgres());
    let jdbc = |scheme: &str, url: &str| format!("jdbc:{scheme}://{}", address(url));
    vec![
        ("mysqlwriter", "root", format!("{}?useSSL=false", jdbc("mysql", &maria)), maria),
        ("postgresqlwriter", "postgres", jdbc("postgresql", &url), url),
    ]
}

fn sql(url: &str, statements: &str) -> String {
    let shown = if url.starts_with("mysql") { mariadb_client(url, statements) } else { psql(url, statements) };
    shown.trim_end().replace('\t', "|")
}

fn ran(database: &(&str, &str, String, String), mode: &str, key: &str) -> Ended {
    let (plugin, user, url, _) = database;
    let variables = [("plugin", *plugin), ("user", *user), ("url", url.as_str()), ("mode", mode), ("key", key)];
    Job::new("keys", &variables).run(&[])
}

/// What FlinkX writes by COPY as text of its own.
#[test]
fn values_that_break_text_arrive_by_copy() {
    let url = postgres();
    psql(
        &url,
        r"create table s (id int primary key, note text); create table t (id int, note text);
        insert into s values (1, null), (2, 'null'), (3, ''), (4, E'a\tb'), (5, E'a\nb'), (6, E'a\\b'), (7, E'\\N'),
            (8, E'a\001b'), (9, E'\\.')",
    );
    let job = Job::new("restores", &[("postgres", address(&url))]);
    let definitions = format!("-D{}", job.variables.replace(", ", " -D"));
    let set = ["--set", "job.content.0.writer.parameter.insertSqlMode=copy"];
    let words = ["run", "job.json", "--compat", "flinkx", "-p", &definitions];
    let ended = end(start(job.folder.path(), &[&words[..], &set[..]].concat()));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let same =
        "select count(*), count(*) filter (where s.note is not distinct from t.note) from s full join t using (id)";
    assert_eq!(psql(&url, same).trim(), "9|9");
}

#[test]
fn rows_are_updated_or_replaced_by_a_key() {
    for database in databases() {
        let url = &database.3;
        sql(url, TABLE);
        // There is no unique index, so that nobody knows which rows are meant.
        let refused = ran(&database, "update", "");
        assert_eq!(refused.code, 1, "{url}: {}", refused.stderr);
        assert!(refused.stderr.contains("not one unique index alone"), "{url}: {}", refused.stderr);
        assert_eq!(sql(url, "select * from t"), "7|10|old|mine", "{url}");
        sql(url, "create unique index by_code on t (code)");
        let updated = ran(&database, "update", "");
        assert_eq!(updated.code, 0, "{url}: {}", updated.stderr);
        assert_eq!(sql(url, "select * from t"), "1|10|new|mine", "{url}");
        sql(url, "update t set id = 7, v = 'old'");
        let replaced = ran(&database, "replace", "code");
        assert_eq!(replaced.code, 0, "{url}: {}", replaced.stderr);
        assert_eq!(sql(url, "select * from t"), "1|10|new|none", "{url}");
        // Rows that are only added are refused by the index.
        let inserted = ran(&database, "insert", "");
        assert_eq!(inserted.code, 1, "{url}: {}", inserted.stderr);
        assert_eq!(sql(url, "select count(*) from t"), "1", "{url}");
    }
}
