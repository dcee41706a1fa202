//! The jobs in `examples/jobs/`, run as their page says, against what they are to bring about.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::program::{self, Ended, command};
use crate::server::{mariadb, mariadb_client, postgres, psql, sqlite3};

/// The table `loaded` after all orders, as psql prints it.
const ALL: &str = "1|Ada|2024-02-28|19.90\n2|Grace|2024-02-29|5.00\n3|Hopper, G.|2024-03-01|120.50\n4|Edsger||7.25";

fn examples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A copy of the jobs and their data, with a folder for what they write.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    for part in ["jobs", "data"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for name in names(&examples().join(part)) {
            fs::copy(examples().join(part).join(&name), folder.path().join(part).join(&name)).unwrap();
        }
    }
    folder
}

/// Runs `etl` with `words` and `variables` in `folder`; it has to succeed.
fn run(folder: &Path, words: &[&str], variables: &[(&str, &str)]) {
    let mut etl = command(folder, words);
    etl.env("XDG_STATE_HOME", folder.join("state")).envs(variables.iter().copied());
    let Ended { code, stderr, .. } = program::run(&mut etl);
    assert_eq!(code, 0, "{words:?}: {stderr}");
}

fn written(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("out").join(name)).unwrap()
}

/// The URL of a fresh database with the tables of `data/shop.sql`, and where it is: `host:port/database`.
fn shop(new: fn() -> String, client: fn(&str, &str) -> String) -> (String, String) {
    let url = new();
    client(&url, &fs::read_to_string(examples().join("data/shop.sql")).unwrap());
    let (_, place) = url.split_once('@').unwrap();
    let place = place.to_owned();
    (url, place)
}

/// Changes the job of go-etl in the file `job` as its user would: the server at `port`, the database and who logs in.
fn fill(folder: &Path, job: &str, (port, place, user): (u16, &str, &str)) {
    let path = folder.join("jobs").join(job);
    let (server, database) = place.split_once('/').unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("localhost:{port}")), "{job}");
    let text = text.replace(&format!("localhost:{port}"), server).replace("/shop", &format!("/{database}"));
    let text = text.replace("\"shop\"", &format!("\"{database}\"")).replace("\"ada\"", &format!("\"{user}\""));
    fs::write(path, text.replace("\"secret\"", "\"\"")).unwrap();
}

/// Runs the job of go-etl in the file `job` with the PostgreSQL at `place`.
fn run_with_postgres(folder: &Path, job: &str, place: &str) {
    fill(folder, job, (5432, place, "postgres"));
    run(folder, &["run", &format!("jobs/{job}")], &[]);
}

/// Runs the job of go-etl in the file `job` with the MariaDB at `place`.
fn run_with_mariadb(folder: &Path, job: &str, place: &str) {
    fill(folder, job, (3306, place, "root"));
    run(folder, &["run", &format!("jobs/{job}")], &[]);
}

/// What `loaded` holds, as psql prints it.
fn loaded_in_postgres(url: &str) -> String {
    psql(url, "select id, customer, placed, amount from loaded order by id")
}

/// What `loaded` holds, in the form of psql.
fn loaded_in_mariadb(url: &str) -> String {
    let fields = "concat_ws('|', id, customer, coalesce(placed, ''), amount)";
    mariadb_client(url, &format!("select {fields} from loaded order by id"))
}

#[test]
fn every_job_is_run_here_and_stands_in_the_page() {
    let (tests, page) = (include_str!("example_jobs.rs"), include_str!("../../examples/jobs/README.md"));
    let jobs = names(&examples().join("jobs"));
    assert!(jobs.len() > 15, "{jobs:?}");
    for job in jobs.iter().filter(|name| *name != "README.md") {
        assert!(tests.contains(&format!("{job}\"")), "{job} has no test here");
        assert!(page.contains(&format!("`{job}`")), "the page does not tell of {job}");
    }
}

#[test]
fn jobs_of_our_own_with_postgresql() {
    let folder = folder();
    let (url, place) = shop(postgres, psql);
    let (server, database) = place.split_once('/').unwrap();
    let (host, port) = server.split_once(':').unwrap();
    let variables = [("PGHOST", host), ("PGPORT", port), ("PGUSER", "postgres"), ("PGDATABASE", database)];

    run(folder.path(), &["run", "jobs/csv-to-postgres.json", "-p", "-Dlast=3", "--strict"], &variables);
    let elements = psql(&url, "select number, symbol, name from elements order by number");
    assert_eq!(elements, "1|H|Hydrogen\n2|He|Helium\n3|Li|Lithium");

    run(folder.path(), &["run", "jobs/postgres-to-files.yaml", "--strict"], &variables);
    let orders = "id,customer,amount\n1,Ada,19.90\n3,\"Hopper, G.\",120.50\n4,Edsger,7.25\n";
    assert_eq!(written(folder.path(), "orders.csv"), orders);
    let cities: Vec<Json> =
        written(folder.path(), "cities.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let city = |city: &str, people: u64| json!({"city": city, "people": people});
    assert_eq!(cities, [city("London", 1), city("New York", 2), city("Rotterdam", 1)]);
}

#[test]
fn a_job_of_our_own_with_sqlite() {
    let folder = folder();
    // The second time the rows are there already.
    for _ in 0..2 {
        run(folder.path(), &["run", "jobs/csv-to-sqlite.toml", "--strict"], &[]);
        assert_eq!(sqlite3(&folder.path().join("out/space.db"), "select count(*) from moons"), "26");
        let planets = "planet,moons\nEarth,1\nJupiter,6\nMars,2\nNeptune,3\nSaturn,9\nUranus,5\n";
        assert_eq!(written(folder.path(), "planets.csv"), planets);
    }
}

#[test]
fn a_job_of_datax_with_functions() {
    let folder = folder();
    let (url, place) = shop(postgres, psql);
    psql(&url, "insert into loaded values (9, 'goes', null, 0)");
    let variables = format!("-Dpostgres={place} -Duser=postgres -Dpassword=any");
    run(folder.path(), &["run", "jobs/datax-transformers.json", "-p", &variables, "--strict"], &[]);
    assert_eq!(loaded_in_postgres(&url), "1|*da|2024-02-28|19.90\n3|*op|2024-03-01|120.50\n4|*ds||7.25");
}

#[test]
fn a_job_of_flinkx() {
    let folder = folder();
    let (from, (url, to)) = (shop(mariadb, mariadb_client).1, shop(postgres, psql));
    let variables = format!(
        "-Dmysql={from} -DmysqlUser=root -DmysqlPassword= -Dpostgres={to} -DpostgresUser=postgres -DpostgresPassword="
    );
    run(folder.path(), &["run", "jobs/flinkx-mysql-to-postgres.json", "-p", &variables, "--strict"], &[]);
    let (_, behind_the_first) = ALL.split_once('\n').unwrap();
    assert_eq!(loaded_in_postgres(&url), behind_the_first);
}

#[test]
fn jobs_of_go_etl_load_postgresql() {
    for job in ["go-etl-csv-to-postgres.json", "go-etl-xlsx-to-postgres.json"] {
        let folder = folder();
        let (url, place) = shop(postgres, psql);
        run_with_postgres(folder.path(), job, &place);
        assert_eq!(loaded_in_postgres(&url), ALL, "{job}");
    }
}

/// go-etl writes dates in 10 characters, and decimals without zeros at their end.
#[test]
fn jobs_of_go_etl_read_postgresql() {
    let folder = folder();
    let (_, place) = shop(postgres, psql);
    run_with_postgres(folder.path(), "go-etl-postgres-to-csv.json", &place);
    let orders =
        "id,customer,placed,amount\n1,Ada,2024-02-28,19.9\n3,\"Hopper, G.\",2024-03-01,120.5\n4,Edsger,,7.25\n";
    assert_eq!(written(folder.path(), "orders.csv"), orders);

    let (job, pairs) = ("go-etl-wizard.json", "jobs/go-etl-wizard.csv");
    fill(folder.path(), job, (5432, &place, "postgres"));
    run(folder.path(), &["go-etl", "-c", &format!("jobs/{job}"), "-w", pairs], &[]);
    let orders = "id,customer,placed,amount\n1,Ada,2024-02-28,19.9\n2,Grace,2024-02-29,5\n\
                  3,\"Hopper, G.\",2024-03-01,120.5\n4,Edsger,,7.25\n";
    assert_eq!(written(folder.path(), "orders.csv"), orders);
    let customers = "name,city\nAda,London\nEdsger,Rotterdam\nGrace,New York\n\"Hopper, G.\",New York\n";
    assert_eq!(written(folder.path(), "customers.csv"), customers);
}

#[test]
fn jobs_of_go_etl_copy_in_mysql() {
    for (job, before, expected) in [
        ("go-etl-mysql-to-mysql.json", "insert into loaded values (2, 'goes', null, 0)", ALL),
        ("go-etl-split.json", "", "2|Grace|2024-02-29|5.00\n3|Hopper, G.|2024-03-01|120.50"),
        ("go-etl-pre-post-sql.json", "insert into loaded values (9, 'goes', null, 0)", ALL),
    ] {
        let folder = folder();
        let (url, place) = shop(mariadb, mariadb_client);
        mariadb_client(&url, before);
        run_with_mariadb(folder.path(), job, &place);
        assert_eq!(loaded_in_mariadb(&url), expected, "{job}");
        assert_eq!(mariadb_client(&url, "show tables like 'fresh'"), "", "{job}");
    }
}

#[test]
fn a_job_of_go_etl_reads_a_query() {
    let folder = folder();
    let (_, place) = shop(mariadb, mariadb_client);
    run_with_mariadb(folder.path(), "go-etl-query-sql.json", &place);
    let cities = "city,orders,total\nLondon,1,19.9\nNew York,2,125.5\nRotterdam,1,7.25\n";
    assert_eq!(written(folder.path(), "cities.csv"), cities);
}

#[test]
fn a_job_of_go_etl_that_is_slowed_down_loses_nothing() {
    let folder = folder();
    run(folder.path(), &["run", "jobs/go-etl-speed-limit.json"], &[]);
    assert_eq!(written(folder.path(), "moons.csv"), fs::read_to_string(examples().join("data/moons.csv")).unwrap());
}
