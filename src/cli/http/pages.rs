//! What is served, by its path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode, Uri};
use serde::Serialize;

use super::metrics::{self, Process};
use super::profile::Form;
use super::{Shown, Site, words};
use crate::bridge::ffi;
use crate::cli::{amount, table};
use crate::error::ErrorKind;
use crate::flow::board::{SplitName, State, TaskReading};
use crate::flow::meter::Reading;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const INDEX: &str = "<!DOCTYPE html><title>etl</title><h1>etl</h1><ul>\
    <li><a href='/debug/tasks'>/debug/tasks</a>: each task and what it waits for (<a href='/debug/tasks?t=json'>JSON</a>)\
    <li><a href='/metrics'>/metrics</a>: counters for Prometheus (<a href='/metrics?t=json'>JSON, as go-etl's</a>)\
    <li><a href='/debug/pprof/'>/debug/pprof/</a>: profiles</ul>\n";

const PROFILES: &str = "<!DOCTYPE html><title>etl: profiles</title><h1>profiles</h1><ul>\
    <li><a href='profile?seconds=30'>profile?seconds=30</a>: where the processor's time goes, for go tool pprof \
    (<a href='profile?seconds=10&amp;format=svg'>as a flame graph of 10 seconds</a>)\
    <li><a href='heap'>heap</a>: memory\
    <li><a href='cmdline'>cmdline</a>: the words of the command line</ul>\n";

/// Profiles of Go's runtime, which a client of Go's programs may ask for.
const OF_GO: [&str; 7] = ["allocs", "block", "goroutine", "mutex", "symbol", "threadcreate", "trace"];

/// How long a profile may take, in seconds: when nothing is said, and at most.
const PROFILE_SECONDS: u64 = 30;
const PROFILE_SECONDS_MAX: u64 = 300;

/// How long it may take after that to find the names of functions and to send them, in seconds.
const NAMING_SECONDS: u64 = 120;

pub(super) type Answer = Response<Full<Bytes>>;

/// Answers a request. What takes its time says so to `patience`, in seconds.
pub(super) async fn answer(method: &Method, uri: &Uri, site: &Site, patience: &AtomicU64) -> Answer {
    if ![Method::GET, Method::HEAD].contains(method) {
        let mut answer = sentence(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let current = site.current();
    let shown = current.as_deref();
    let wants_json = asked(uri, "t") == Some("json");
    match uri.path() {
        "/" => found(HTML, INDEX),
        "/metrics" if wants_json => json(&metrics::go_etl(shown)),
        "/metrics" => found(metrics::TEXT, metrics::exposition(shown, Process::now().await)),
        "/debug/tasks" if wants_json => json(&shown.map(|shown| Tasks::of(shown, site.transfers))),
        "/debug/tasks" => found(PLAIN, shown.map_or_else(none, |shown| Tasks::of(shown, site.transfers).text())),
        "/debug/pprof" | "/debug/pprof/" => found(HTML, PROFILES),
        "/debug/pprof/heap" => found(PLAIN, heap(shown, Process::now().await)),
        "/debug/pprof/cmdline" => {
            let typed = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
            found(PLAIN, words::masked(typed).join("\0"))
        }
        "/debug/pprof/profile" => match (*method == Method::HEAD, Wanted::of(uri)) {
            (_, Err(mistake)) => sentence(StatusCode::BAD_REQUEST, &mistake),
            (true, Ok(wanted)) => found(wanted.kind(), ""),
            (false, Ok(wanted)) => profile(wanted, site, patience).await,
        },
        path => match OF_GO.iter().find(|name| path.strip_prefix("/debug/pprof/") == Some(**name)) {
            Some(name) => {
                let told =
                    format!("{name} tells of Go's runtime, which is not here: /debug/tasks says what tasks wait for");
                sentence(StatusCode::NOT_IMPLEMENTED, &told)
            }
            None => sentence(StatusCode::NOT_FOUND, "there is nothing here: / says what there is"),
        },
    }
}

/// The value of `?name=value`; empty for `?name`.
fn asked<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn found(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    reply(StatusCode::OK, kind, body)
}

fn sentence(status: StatusCode, text: &str) -> Answer {
    reply(status, PLAIN, format!("{text}\n"))
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => found(JSON, body),
        Err(error) => sentence(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn none() -> String {
    "no transfer has begun\n".to_owned()
}

/// Which profile is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    seconds: u64,
    form: Form,
}

impl Wanted {
    fn of(uri: &Uri) -> Result<Self, String> {
        let is_picture = asked(uri, "format") == Some("svg") || asked(uri, "svg").is_some();
        let form = if is_picture { Form::Svg } else { Form::Pprof };
        let seconds = asked(uri, "seconds").map_or(Ok(PROFILE_SECONDS), str::parse::<u64>);
        let seconds = seconds.ok().filter(|seconds| (1..=PROFILE_SECONDS_MAX).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("seconds is a number from 1 to {PROFILE_SECONDS_MAX}"))?;
        Ok(Self { seconds, form })
    }

    fn kind(self) -> &'static str {
        match self.form {
            Form::Pprof => "application/octet-stream",
            Form::Svg => "image/svg+xml",
        }
    }
}

async fn profile(wanted: Wanted, site: &Site, patience: &AtomicU64) -> Answer {
    patience.store(wanted.seconds + NAMING_SECONDS, Ordering::Relaxed);
    match site.profiler.take(Duration::from_secs(wanted.seconds), wanted.form).await {
        Ok(picture) if picture.is_empty() => {
            sentence(StatusCode::SERVICE_UNAVAILABLE, "nothing was at work in this time: there is nothing to draw")
        }
        Ok(profile) => found(wanted.kind(), profile),
        Err(error) if error.kind() == ErrorKind::Busy => sentence(StatusCode::CONFLICT, error.message()),
        Err(error) => sentence(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A transfer and its tasks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tasks<'a> {
    #[serde(rename = "transfer")]
    number: usize,
    transfers: usize,
    source: &'a str,
    targets: &'a [String],
    meter: Reading,
    #[serde(rename = "tasks")]
    each: Vec<TaskReading>,
}

impl<'a> Tasks<'a> {
    fn of(shown: &'a Shown, transfers: usize) -> Self {
        let Shown { number, source, targets, meter } = shown;
        Self { number: *number, transfers, source, targets, meter: meter.reading(), each: meter.board().tasks() }
    }

    fn text(&self) -> String {
        let Self { number, transfers, source, targets, meter, each } = self;
        let (read, written) = (amount::counted(meter.rows_read, "row"), amount::count(meter.rows_written));
        let (done, splits) = (amount::count(meter.splits_done), amount::counted(meter.splits_total, "split"));
        let time = amount::seconds(meter.seconds);
        let heads = [
            "task",
            "group",
            "state",
            "waits for",
            "attempt",
            "rows read",
            "rows written",
            "in lane",
            "time",
            "splits",
        ];
        let rows: Vec<Vec<String>> = each.iter().map(row).collect();
        format!(
            "transfer {number} of {transfers}: {source} to {}\n\
             {read} read, {written} written, {done} of {splits} done, {} begun anew, {time}\n\n{}",
            targets.join(", "),
            amount::counted(meter.retries, "task"),
            table::aligned(&heads, &rows, ""),
        )
    }
}

fn row(task: &TaskReading) -> Vec<String> {
    let state = match task.state {
        State::Running => "running",
        State::Done => "done",
        State::Failed => "failed",
    };
    let name = |SplitName { id, place }: &SplitName| match place {
        Some(place) => format!("{id} ({place})"),
        None => id.to_string(),
    };
    let mut splits: Vec<String> = task.card.splits.iter().map(name).collect();
    if task.card.split_count > splits.len() {
        splits.push(format!("… {} in all", amount::count(task.card.split_count as u64)));
    }
    vec![
        task.card.task.to_string(),
        task.card.group.to_string(),
        state.to_owned(),
        task.waits_for.map_or_else(String::new, |wait| wait.word().to_owned()),
        task.attempts.to_string(),
        amount::count(task.rows_read),
        amount::count(task.rows_written),
        amount::bytes(task.bytes_in_lane as f64),
        amount::seconds(task.seconds),
        splits.join(", "),
    ]
}

/// Memory: what the transfer may use, what is known to be in use, and what the allocator says.
fn heap(shown: Option<&Shown>, process: Process) -> String {
    let row = |name: &str, bytes: u64| vec![name.to_owned(), amount::count(bytes)];
    let mut rows = Vec::new();
    if let Some(shown) = shown {
        let tasks = shown.meter.board().tasks();
        rows.push(row("in lanes", tasks.iter().map(|task| task.bytes_in_lane).sum()));
        if let Some(around) = shown.meter.board().around() {
            rows.push(row("held by operators", (around.operator_bytes)()));
            rows.extend(around.shares.iter().map(|(part, bytes)| row(&format!("share: {part}"), *bytes)));
        }
    }
    let of_process = [("process now", process.resident), ("process at most", process.peak)];
    rows.extend(of_process.into_iter().filter_map(|(name, bytes)| Some(row(name, bytes?))));
    format!("{}\n{}", table::aligned(&["memory", "bytes"], &rows, ""), ffi::allocator_report())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt as _;

    use super::super::Watched;
    use super::*;
    use crate::flow::board::{Card, TaskMeter};
    use crate::flow::meter::{Meter, Wait};

    async fn asked_for(site: &Site, method: Method, path: &str) -> (u16, String) {
        let answer = answer(&method, &path.parse().unwrap(), site, &AtomicU64::new(1)).await;
        let (status, body) = (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes());
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn paths_have_their_pages_and_others_a_sentence() {
        let site = Site::new(1);
        for path in ["/", "/metrics", "/metrics?t=json", "/debug/tasks", "/debug/pprof/", "/debug/pprof/heap"] {
            let (status, body) = asked_for(&site, Method::GET, path).await;
            assert_eq!((status, body.is_empty()), (200, false), "{path}");
        }
        let others = [
            ("/nothing", 404),
            ("/debug/pprof/nothing", 404),
            ("/debug/pprof/goroutine?debug=2", 501),
            ("/debug/pprof/trace", 501),
            ("/debug/pprof/profile?seconds=0", 400),
            ("/debug/pprof/profile?seconds=301", 400),
            ("/debug/pprof/profile?seconds=-1&svg", 400),
        ];
        for (path, code) in others {
            let (status, body) = asked_for(&site, Method::GET, path).await;
            assert_eq!((status, body.lines().count()), (code, 1), "{path}: {body}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(asked_for(&site, method, "/metrics").await.0, 405);
        }
    }

    #[tokio::test]
    async fn a_task_is_told_with_what_it_waits_for() {
        let (site, meter) = (Site::new(2), Arc::<Meter>::default());
        assert_eq!(asked_for(&site, Method::GET, "/debug/tasks").await.1, none());
        assert_eq!(asked_for(&site, Method::GET, "/debug/tasks?t=json").await.1, "null");
        Watched { site: &site, number: 2 }.show("a.csv".to_owned(), &["b.db#t".to_owned()], &meter);
        let splits =
            vec![SplitName { id: 4, place: Some("lines 1 to 9".to_owned()) }, SplitName { id: 5, place: None }];
        let task = TaskMeter::begin(&meter, Card { task: 7, group: 1, splits, split_count: 40 });
        task.wrote(1234);
        let waiting = task.waiting(Wait::Retry);
        let text = asked_for(&site, Method::GET, "/debug/tasks").await.1;
        assert!(text.starts_with("transfer 2 of 2: a.csv to b.db#t\n"), "{text}");
        let line = text.lines().last().unwrap();
        assert!(line.starts_with("7     1      running  retry pause  1 ") && line.contains("  1,234  "), "{text}");
        assert!(line.ends_with("4 (lines 1 to 9), 5, … 40 in all"), "{text}");
        let json = asked_for(&site, Method::GET, "/debug/tasks?t=json").await.1;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let told = &json["tasks"][0];
        assert_eq!(
            (&told["task"], &told["waitsFor"], &told["state"]),
            (&7.into(), &"retry pause".into(), &"running".into())
        );
        assert_eq!((&told["splits"][0]["place"], &told["rowsWritten"]), (&"lines 1 to 9".into(), &1234.into()));
        drop(waiting);
    }
}
