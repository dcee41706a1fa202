use super::*;
use crate::error::ErrorKind;

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(super::super::LEASES).unwrap();
    connection
}

fn given_to(connection: &Connection, process: &Process, seconds_ago: u32) {
    let sql = format!("INSERT INTO lease VALUES ('job', 'old', ?1, {NOW} - {seconds_ago})");
    connection.execute(&sql, [serde_json::to_string(process).unwrap()]).unwrap();
}

#[test]
fn one_run_of_a_job_at_a_time() {
    let connection = database();
    take(&connection, "job", "one").unwrap();
    take(&connection, "job", "one").unwrap();
    take(&connection, "another job", "two").unwrap();
    let error = take(&connection, "job", "two").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&format!("run one by process {} on", std::process::id())), "{error}");
    release(&connection, "job", "two").unwrap();
    assert!(take(&connection, "job", "two").is_err(), "only who has it gives it back");
    release(&connection, "job", "one").unwrap();
    take(&connection, "job", "two").unwrap();
}

#[test]
fn the_lease_of_a_dead_process_is_taken_at_once() {
    let connection = database();
    let own = Process::own().clone();
    // The number of this process in an earlier life.
    given_to(&connection, &own.earlier(), 1);
    assert_eq!(holders(&connection).unwrap()[0].life, Life::Gone);
    take(&connection, "job", "new").unwrap();
    assert_eq!(holders(&connection).unwrap()[0].run, "new");
}

#[test]
fn the_lease_of_a_process_elsewhere_is_waited_for() {
    let elsewhere = Process::own().clone().elsewhere();
    let connection = database();
    given_to(&connection, &elsewhere, 100);
    assert_eq!(holders(&connection).unwrap()[0].life, Life::Alive);
    assert_eq!(take(&connection, "job", "new").unwrap_err().kind(), ErrorKind::Busy);
    let connection = database();
    given_to(&connection, &elsewhere, 200);
    take(&connection, "job", "new").unwrap();
}
