//! A copy that is completed at another point in time, as the user allows.

use super::*;

/// A database with a table of old rows that has a key.
fn source() -> String {
    let url = postgres();
    psql(
        &url,
        "create table s (id int primary key, note text); \
         insert into s select g, repeat('o', 200) from generate_series(1, 160000) g",
    );
    url
}

#[test]
fn key_ranges_are_completed_at_another_point_in_time() {
    let (folder, url) = (tempfile::tempdir().unwrap(), source());
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    let words = [from.as_str(), &to, "-j", "2", "--allow-mixed-snapshot"];
    let plan = etl(folder.path(), &[&["plan"], &words[..]].concat()).stdout;
    assert!(plan.contains("ranges of key id") && plan.contains("mixed: the rest is read at another"), "{plan}");
    killed_at(folder.path(), &words, ("wrote", 2));
    // The rows move to other pages; their keys stay.
    psql(&url, "update s set note = repeat('n', 200)");
    psql(&url, "vacuum full s");
    let said = resumed(folder.path(), &words);
    assert!(said.contains("not one point in time: 20") && kept(&said) > 0, "{said}");
    assert_eq!(psql(&url, COUNTED), ONCE);
    let notes = "select count(distinct note), bool_and(note in (repeat('o', 200), repeat('n', 200))) from t";
    assert_eq!(psql(&url, notes), "2|t");
}

#[test]
fn without_leave_it_begins_again() {
    let (folder, url) = (tempfile::tempdir().unwrap(), source());
    let (from, to) = (format!("{url}#s"), format!("{url}#t"));
    killed_at(folder.path(), &[&from, &to, "-j", "2", "--allow-mixed-snapshot"], ("wrote", 2));
    psql(&url, "update s set note = 'n'");
    let said = resumed(folder.path(), &[&from, &to, "-j", "2"]);
    assert!(said.contains("begun again"), "{said}");
    assert_eq!(psql(&url, "select count(*), string_agg(distinct note, '') from t"), "160000|n");
}
