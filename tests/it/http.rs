//! `--http`: what a job shows of itself while it runs, asked for by plain HTTP, without a line of `etl`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use pprof::protos::{Message as _, Profile};
use serde_json::Value as Json;

use crate::program::{self, command};
use crate::server::postgres;

/// More rows than any machine makes before it is told to stop, as fast as it can and so slowly.
const FAST: &str = "gen:id:seq,note:text(10..30)?rows=5000000000";
const SLOW: [&str; 4] = ["gen:id:seq,note:text(10..30)?rows=10000000", "null:", "--limit-rate", "20k rows/s"];

/// A patience that no answer takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A job that serves.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

/// What a server answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Serving {
    /// Starts `etl` with `words` and a free port, and reads the address.
    fn start(folder: &Path, words: &[&str]) -> Self {
        let words = [words, &["--http", "127.0.0.1:0"]].concat();
        let mut etl = command(folder, &words);
        etl.env("XDG_STATE_HOME", folder.join("state")).env("TMPDIR", folder);
        let mut child = etl.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Self { child, stderr, address: String::new() };
        let mut told = String::new();
        while serving.address.is_empty() {
            let from = told.len();
            assert_ne!(serving.stderr.read_line(&mut told).unwrap(), 0, "{words:?}: {told}");
            if let Some((_, address)) = told[from..].trim_end().split_once("serving at http://") {
                address.trim_end_matches('/').clone_into(&mut serving.address);
            }
        }
        serving
    }

    fn get(&self, path: &str) -> Answer {
        asked(&self.address, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address))
    }

    /// Asks again until an answer has it.
    fn until(&self, path: &str, has_it: impl Fn(&Answer) -> bool) -> Answer {
        let begin = Instant::now();
        loop {
            let answer = self.get(path);
            if has_it(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells it to stop, and gives its exit code.
    fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.wait()
    }

    fn wait(&mut self) -> Option<i32> {
        let _ = self.stderr.read_to_string(&mut String::new());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // What an assertion left running would run for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server at `address` answers to the bytes of `request`.
fn asked(address: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

/// The values of the metric `name` in the text form of Prometheus, with the labels of each.
fn values<'a>(text: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap());
    let named = series.filter_map(|(series, value)| {
        let labels = series.strip_prefix(name)?;
        (labels.is_empty() || labels.starts_with('{')).then(|| (labels, value.parse().unwrap()))
    });
    named.collect()
}

/// `copy` of [`SLOW`] with more `words`.
fn slowly(folder: &Path, words: &[&str]) -> Serving {
    Serving::start(folder, &[&["copy"], &SLOW[..], words].concat())
}

#[test]
fn a_running_copy_shows_its_counters() {
    let folder = tempfile::tempdir().unwrap();
    let copy = slowly(folder.path(), &["-j", "2"]);
    let rows = |answer: &Answer| values(answer.text(), "etl_rows_read_total").first().map_or(0.0, |(_, rows)| *rows);
    let first = copy.until("/metrics", |answer| rows(answer) > 0.0);
    assert!(first.head.contains("content-type: text/plain; version=0.0.4"), "{}", first.head);
    copy.until("/metrics", |answer| rows(answer) > rows(&first));
    for (name, labels) in [
        ("datax_channel_total_byte", r#"{job_id="1",task_group_id="0",task_id="0"}"#),
        ("datax_channel_total_record", r#"{job_id="1",task_group_id="0",task_id="0"}"#),
        ("flinkx_numRead", r#"{transfer="1"}"#),
        ("etl_waited_seconds_total", r#"{transfer="1",for="throttle"}"#),
        ("process_resident_memory_bytes", ""),
    ] {
        let has = |(known, value): &(&str, f64)| *known == labels && *value > 0.0;
        copy.until("/metrics", |answer| values(answer.text(), name).iter().any(has));
    }
    let text = copy.get("/metrics");
    let memory = values(text.text(), "etl_memory_bytes");
    assert!(
        memory.iter().any(|(labels, bytes)| labels.contains("part=\"all\"") && *bytes as u64 == 512 << 20),
        "{memory:?}"
    );

    let json = copy.until("/metrics?t=json", |answer| answer.json()["metrics"][0]["metrics"][0].is_object()).json();
    assert_eq!((&json["jobID"], &json["metrics"][0]["taskGroupID"]), (&1.into(), &0.into()));
    let channel = &json["metrics"][0]["metrics"][0]["channel"];
    for key in ["totalByte", "totalRecord", "byte", "record"] {
        assert!(channel[key].is_u64(), "{json}");
    }
    assert_eq!(copy.stop(), Some(5));
}

#[test]
fn a_running_copy_shows_its_tasks_and_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let secret = postgres().replacen('@', ":s3cret@", 1);
    let copy = slowly(folder.path(), &["-j", "2", "--state", &secret]);
    let is_held = |answer: &Answer| {
        let tasks = answer.json()["tasks"].as_array().cloned().unwrap_or_default();
        tasks.iter().any(|task| task["state"] == "running" && task["waitsFor"] == "throttle")
    };
    let tasks = copy.until("/debug/tasks?t=json", is_held).json();
    assert_eq!((&tasks["transfer"], &tasks["transfers"]), (&1.into(), &1.into()));
    assert!(tasks["tasks"][0]["splits"][0]["id"].is_u64() && tasks["meter"]["rowsRead"].is_u64(), "{tasks}");
    let text = copy.get("/debug/tasks");
    assert!(text.text().starts_with("transfer 1 of 1: gen:") && text.text().contains("running"), "{}", text.text());

    let typed = copy.get("/debug/pprof/cmdline");
    let typed: Vec<&str> = typed.text().split('\0').collect();
    assert_eq!((typed[1], typed[3], typed.len()), ("copy", "null:", 12), "{typed:?}");
    assert!(typed[9].starts_with("postgres://") && typed[9].contains(":***@"), "{typed:?}");
    let heap = copy.get("/debug/pprof/heap");
    let has_share = |line: &str| line.split_whitespace().eq(["share:", "all", "536,870,912"]);
    assert!(heap.text().lines().any(has_share) && heap.text().contains("subproc"), "{}", heap.text());
    assert_eq!(copy.stop(), Some(5));
}

#[test]
fn what_is_not_there_or_not_allowed_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let copy = slowly(folder.path(), &[]);
    for (path, status) in [("/nothing", 404), ("/debug/pprof/goroutine", 501), ("/debug/pprof/profile?seconds=x", 400)]
    {
        let answer = copy.get(path);
        assert_eq!((answer.status, answer.text().lines().count()), (status, 1), "{answer:?}");
    }
    for path in ["/", "/debug/pprof/"] {
        let page = copy.get(path);
        assert!(page.status == 200 && page.text().contains("profile"), "{page:?}");
    }
    let post = asked(&copy.address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b");
    assert_eq!((post.status, post.head.contains("allow: get, head")), (405, true), "{post:?}");
    let head = asked(&copy.address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(asked(&copy.address, "\u{1}\u{2} nonsense\r\n\r\n").status, 400);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(&copy.address).unwrap();
    // It may close before it has read all.
    let _ = stream.write_all(long.as_bytes());
    // Those who only connect do not keep others out for long.
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&copy.address).unwrap()).collect();
    assert_eq!(copy.get("/metrics").status, 200);
    drop(silent);
    assert_eq!(copy.stop(), Some(5));
}

#[test]
fn a_profile_is_taken_of_a_copy_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let copy = Serving::start(folder.path(), &["copy", FAST, "null:"]);
    copy.until("/debug/tasks?t=json", |answer| answer.json()["meter"]["rowsRead"].as_u64() > Some(0));
    std::thread::scope(|scope| {
        // Of two at once one is taken.
        let both = [(); 2].map(|()| scope.spawn(|| copy.get("/debug/pprof/profile?seconds=3")));
        let mut both = both.map(|taking| taking.join().unwrap());
        both.sort_by_key(|answer| answer.status);
        let [taken, second] = both;
        assert_eq!((second.status, second.text().lines().count()), (409, 1), "{second:?}");
        assert_eq!(taken.status, 200, "{:?}", taken.head);
        let mut bytes = Vec::new();
        GzDecoder::new(taken.body.as_slice()).read_to_end(&mut bytes).unwrap();
        let profile = Profile::decode(bytes.as_slice()).unwrap();
        let samples: i64 = profile.sample.iter().map(|sample| sample.value[0]).sum();
        assert!(samples > 0, "{profile:?}");
        let name = |function: &pprof::protos::Function| &profile.string_table[function.name as usize];
        assert!(profile.function.iter().any(|function| name(function).contains("arrow_etl")), "{profile:?}");
        assert_eq!(profile.string_table[profile.sample_type[1].ty as usize], "cpu");
    });
    let picture = copy.get("/debug/pprof/profile?seconds=1&format=svg");
    assert!(picture.head.contains("content-type: image/svg+xml"), "{}", picture.head);
    assert!(picture.text().starts_with("<?xml") && picture.text().contains("<svg"), "{}", picture.text());
    assert_eq!(copy.stop(), Some(5));
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "state").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_server_ends_with_the_job_and_takes_no_other_s_port() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["copy", "gen:?rows=20000", "a.csv", "--limit-rate", "10k rows/s"];
    let mut copy = Serving::start(folder.path(), &words);
    let idle = TcpStream::connect(&copy.address).unwrap();
    let begin = Instant::now();
    assert_eq!(copy.wait(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(30), "an open connection held it up");
    drop(idle);
    assert!(TcpStream::connect(&copy.address).is_err());

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = program::etl(folder.path(), &["copy", "gen:?rows=10", "b.csv", "--http", &address]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(&format!("--http {address}")), "{}", refused.stderr);
    assert!(!folder.path().join("b.csv").exists());
    let refused = program::etl(folder.path(), &["copy", "gen:?rows=10", "b.csv", "--http", "6080"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("'6080' is no address"), "{}", refused.stderr);
}

#[test]
fn of_several_transfers_the_one_under_way_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let transfer = |rows: &str| format!("{{source: {{locator: 'gen:?rows={rows}'}}, target: {{locator: 'null:'}}}}");
    let file = format!(
        "transfers: [{}, {}]\nsettings: {{limits: {{speed: {{jobRows: 20000}}}}}}\n",
        transfer("100000"),
        transfer("100000000")
    );
    std::fs::write(folder.path().join("job.yaml"), file).unwrap();
    let run = Serving::start(folder.path(), &["run", "job.yaml"]);
    for (number, rows) in [("1", "100000"), ("2", "100000000")] {
        let is_shown = |answer: &Answer| answer.text().contains(&format!("etl_transfer_info{{transfer=\"{number}\""));
        let text = run.until("/metrics", is_shown);
        let found = values(text.text(), "etl_transfer_info");
        assert!(found.len() == 1 && found[0].0.contains(&format!(" {rows} rows)\"")), "{found:?}");
    }
    assert!(run.get("/debug/tasks").text().starts_with("transfer 2 of 2: "));
    assert_eq!(run.stop(), Some(5));
}
