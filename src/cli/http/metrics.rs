//! The counters of a transfer: as text for Prometheus, with go-etl's and FlinkX's names beside ours, and as go-etl's JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::Shown;
use crate::flow::board::TaskReading;
use crate::flow::meter::{Reading, Wait};
use crate::flow::reject::RejectLog;

/// The text form of Prometheus that [`exposition`] has.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Memory of this process, as far as the system tells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// Bytes in memory now.
    pub(super) resident: Option<u64>,
    /// The most that there were.
    pub(super) peak: Option<u64>,
}

impl Process {
    /// As Linux tells it.
    pub(super) async fn now() -> Self {
        Self::of(&tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default())
    }

    fn of(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes: u64 = line?.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kibibytes << 10)
        };
        Self { resident: bytes("VmRSS"), peak: bytes("VmHWM") }
    }
}

/// All metrics, in Prometheus' text form.
pub(super) fn exposition(shown: Option<&Shown>, process: Process) -> String {
    let mut out = String::new();
    if let Some(shown) = shown {
        let tasks = shown.meter.board().tasks();
        channels(&mut out, shown.number, &tasks);
        transfer(&mut out, shown, &tasks);
    }
    let plain = |bytes: Option<u64>| bytes.map(|bytes| (String::new(), bytes.to_string()));
    family(&mut out, ("process_resident_memory_bytes", GAUGE, "memory of this process"), plain(process.resident));
    family(&mut out, ("etl_resident_peak_bytes", GAUGE, "the most memory that this process had"), plain(process.peak));
    out
}

/// As go-etl gives them with `?t=json`.
pub(super) fn go_etl(shown: Option<&Shown>) -> Json {
    let mut groups: BTreeMap<usize, Vec<Json>> = BTreeMap::new();
    for task in shown.map(|shown| shown.meter.board().tasks()).unwrap_or_default() {
        let channel = json!({
            "totalByte": task.bytes_read,
            "totalRecord": task.rows_read,
            "byte": task.bytes_in_lane,
            "record": task.rows_in_lane,
        });
        groups.entry(task.card.group).or_default().push(json!({ "taskID": task.card.task, "channel": channel }));
    }
    let groups: Vec<Json> =
        groups.into_iter().map(|(group, tasks)| json!({ "taskGroupID": group, "metrics": tasks })).collect();
    json!({ "jobID": shown.map_or(0, |shown| shown.number), "metrics": groups })
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// A metric: its name, its kind and its meaning.
type Metric<'a> = (&'a str, &'a str, &'a str);

/// One metric with a line for each of its values; nothing where it has none.
fn family(out: &mut String, (name, kind, meaning): Metric<'_>, values: impl IntoIterator<Item = (String, String)>) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_some() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
    }
    for (labels, value) in values {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// `{name="value",…}`.
fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// go-etl's metrics of each task: what entered its channel, and what is in it.
fn channels(out: &mut String, job: usize, tasks: &[TaskReading]) {
    type Figure = fn(&TaskReading) -> u64;
    let metrics: [(Metric<'_>, Figure); 4] = [
        (("datax_channel_total_byte", COUNTER, "bytes that entered the channel"), |task| task.bytes_read),
        (("datax_channel_total_record", COUNTER, "rows that entered the channel"), |task| task.rows_read),
        (("datax_channel_byte", GAUGE, "bytes that are in the channel"), |task| task.bytes_in_lane),
        (("datax_channel_record", GAUGE, "rows that are in the channel"), |task| task.rows_in_lane),
    ];
    let job = job.to_string();
    for (metric, value) in metrics {
        let of = |task: &TaskReading| {
            let (group, number) = (task.card.group.to_string(), task.card.task.to_string());
            let labels =
                labels(&[("job_id", job.as_str()), ("task_group_id", group.as_str()), ("task_id", number.as_str())]);
            (labels, value(task).to_string())
        };
        family(out, metric, tasks.iter().map(of));
    }
}

/// Our own metrics of a transfer, and those of FlinkX.
fn transfer(out: &mut String, shown: &Shown, tasks: &[TaskReading]) {
    let (number, target) = (shown.number.to_string(), shown.targets.join(", "));
    let (number, target) = (number.as_str(), target.as_str());
    let of = |name: &str, value: &str| labels(&[("transfer", number), (name, value)]);
    let named = labels(&[("transfer", number), ("source", shown.source.as_str()), ("target", target)]);
    family(out, ("etl_transfer_info", GAUGE, "which transfer it is"), [(named, "1".to_owned())]);
    let reading = shown.meter.reading();
    let plain = labels(&[("transfer", number)]);
    for (metric, value) in counters(shown, &reading).into_iter().chain(of_flinkx(shown, &reading)) {
        family(out, metric, [(plain.clone(), value)]);
    }
    let transformed = reading.transformed.map(|rows| {
        [("succeeded", rows.succeeded), ("failed", rows.failed), ("filtered", rows.filtered)]
            .map(|(result, rows)| (of("result", result), rows.to_string()))
    });
    let meaning = "rows that came to the steps of the transform, by what became of them";
    family(out, ("etl_rows_transformed_total", COUNTER, meaning), transformed.into_iter().flatten());
    let waited = Wait::ALL.map(|wait| (of("for", wait.word()), shown.meter.waited_seconds(wait).to_string()));
    family(out, ("etl_waited_seconds_total", COUNTER, "time that channels waited, by what they waited for"), waited);
    let lanes: u64 = tasks.iter().map(|task| task.bytes_in_lane).sum();
    let lanes = (plain.clone(), lanes.to_string());
    family(out, ("etl_lane_bytes", GAUGE, "bytes between readers and writers"), [lanes]);
    let Some(around) = shown.meter.board().around() else { return };
    let operators = (plain, (around.operator_bytes)().to_string());
    family(out, ("etl_operator_bytes", GAUGE, "bytes that sorting, grouping and joining hold"), [operators]);
    let shares = around.shares.iter().map(|(part, bytes)| (of("part", part), bytes.to_string()));
    family(out, ("etl_memory_bytes", GAUGE, "memory that the transfer may use, and each of its parts"), shares);
}

fn rejected(shown: &Shown) -> u64 {
    let log = shown.meter.board().around().and_then(|around| around.rejects.as_deref());
    log.map_or(0, RejectLog::rejected)
}

fn counters(shown: &Shown, reading: &Reading) -> Vec<(Metric<'static>, String)> {
    let counts = [
        (("etl_rows_expected", GAUGE, "estimated rows of the source; 0 where unknown"), reading.rows_total),
        (("etl_bytes_expected", GAUGE, "estimated bytes of the source; 0 where unknown"), reading.bytes_total),
        (("etl_splits", GAUGE, "pieces of the source"), reading.splits_total),
        (("etl_splits_done_total", COUNTER, "pieces whose rows are durable in the target"), reading.splits_done),
        (("etl_rows_read_total", COUNTER, "rows that left the source"), reading.rows_read),
        (("etl_bytes_read_total", COUNTER, "bytes of their Arrow form"), reading.bytes_read),
        (("etl_rows_written_total", COUNTER, "rows that writers have taken"), reading.rows_written),
        (("etl_bytes_written_total", COUNTER, "bytes written by tasks that are done"), shown.meter.bytes_written()),
        (("etl_retries_total", COUNTER, "tasks begun anew"), reading.retries),
        (("etl_rows_rejected", GAUGE, "rows left out; those of an attempt that fails count no more"), rejected(shown)),
    ];
    let seconds = (("etl_seconds", GAUGE, "time since the transfer began"), reading.seconds.to_string());
    counts.into_iter().map(|(metric, count)| (metric, count.to_string())).chain([seconds]).collect()
}

/// FlinkX's names for what is counted here, too; durations in milliseconds.
fn of_flinkx(shown: &Shown, reading: &Reading) -> Vec<(Metric<'static>, String)> {
    let milliseconds = |wait: Wait| (shown.meter.waited_seconds(wait) * 1000.0) as u64;
    let counts = [
        (("flinkx_numRead", COUNTER, "as etl_rows_read_total"), reading.rows_read),
        (("flinkx_byteRead", COUNTER, "as etl_bytes_read_total"), reading.bytes_read),
        (("flinkx_readDuration", COUNTER, "milliseconds waited for the reader"), milliseconds(Wait::Reader)),
        (("flinkx_numWrite", COUNTER, "as etl_rows_written_total"), reading.rows_written),
        (("flinkx_byteWrite", COUNTER, "as etl_bytes_written_total"), shown.meter.bytes_written()),
        (("flinkx_writeDuration", COUNTER, "milliseconds waited for the writer"), milliseconds(Wait::Writer)),
        (("flinkx_nErrors", GAUGE, "as etl_rows_rejected"), rejected(shown)),
    ];
    counts.into_iter().map(|(metric, count)| (metric, count.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::flow::board::{Card, TaskMeter};
    use crate::flow::meter::Meter;

    fn shown() -> (Shown, Vec<TaskMeter>) {
        let meter = Arc::<Meter>::default();
        let task = |(task, group)| TaskMeter::begin(&meter, Card { task, group, ..Card::default() });
        let tasks: Vec<TaskMeter> = [(0, 0), (1, 0), (2, 1)].map(task).into();
        let (source, targets) = ("a \"b\"\\c".to_owned(), vec!["t\n1".to_owned(), "u".to_owned()]);
        (Shown { number: 3, source, targets, meter }, tasks)
    }

    /// Each line of `text` that is no comment, checked against the grammar of the text form: its metric, its labels and its value.
    fn parsed(text: &str) -> Vec<(String, String, f64)> {
        let mut kinds = BTreeMap::new();
        let mut lines = Vec::new();
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
                assert!(kinds.contains_key(name), "{name} has no type before its first value");
                lines.push((name.to_owned(), labels.to_owned(), value.parse().unwrap()));
            }
        }
        lines
    }

    #[test]
    fn go_etl_s_metrics_have_its_names_and_labels() {
        let (shown, tasks) = shown();
        drop(tasks[0].load(120, 8000));
        let _in_lane = tasks[0].load(123, 1987);
        let text = exposition(Some(&shown), Process::default());
        for line in [
            "# TYPE datax_channel_total_byte counter",
            r#"datax_channel_total_byte{job_id="3",task_group_id="0",task_id="0"} 9987"#,
            r#"datax_channel_total_record{job_id="3",task_group_id="0",task_id="0"} 243"#,
            "# TYPE datax_channel_byte gauge",
            r#"datax_channel_byte{job_id="3",task_group_id="0",task_id="0"} 1987"#,
            r#"datax_channel_record{job_id="3",task_group_id="0",task_id="0"} 123"#,
            r#"datax_channel_record{job_id="3",task_group_id="1",task_id="2"} 0"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        let channel = json!({ "totalByte": 9987, "totalRecord": 243, "byte": 1987, "record": 123 });
        let none = json!({ "totalByte": 0, "totalRecord": 0, "byte": 0, "record": 0 });
        let task = |number: u32, channel: &Json| json!({ "taskID": number, "channel": channel });
        let expected = json!({ "jobID": 3, "metrics": [
            { "taskGroupID": 0, "metrics": [task(0, &channel), task(1, &none)] },
            { "taskGroupID": 1, "metrics": [task(2, &none)] },
        ] });
        assert_eq!(go_etl(Some(&shown)), expected);
    }

    #[test]
    fn every_line_is_of_the_text_form() {
        let (shown, tasks) = shown();
        shown.meter.read(7, 70);
        shown.meter.waited(Wait::Throttle, Duration::from_millis(1500));
        shown.meter.waited(Wait::Writer, Duration::from_millis(250));
        tasks[1].wrote(5);
        let lines = parsed(&exposition(Some(&shown), Process::of("Name:\tetl\nVmHWM:\t    20 kB\nVmRSS:\t 8 kB\n")));
        let value = |name: &str, labels: &str| {
            let found = lines.iter().find(|line| line.0 == name && line.1 == labels);
            found.unwrap_or_else(|| panic!("{name}{labels} in {lines:?}")).2 as u64
        };
        let plain = r#"{transfer="3"}"#;
        assert_eq!((value("etl_rows_read_total", plain), value("etl_rows_written_total", plain)), (7, 5));
        assert_eq!((value("flinkx_numRead", plain), value("flinkx_numWrite", plain)), (7, 5));
        assert_eq!(value("flinkx_writeDuration", plain), 250);
        assert_eq!(value("etl_waited_seconds_total", r#"{transfer="3",for="throttle"}"#), 1);
        assert_eq!(value("etl_transfer_info", r#"{transfer="3",source="a \"b\"\\c",target="t\n1, u"}"#), 1);
        assert_eq!((value("process_resident_memory_bytes", ""), value("etl_resident_peak_bytes", "")), (8192, 20480));
    }

    #[test]
    fn before_the_first_transfer_there_is_only_the_process() {
        let process = Process { resident: Some(5), peak: None };
        let names: Vec<String> = parsed(&exposition(None, process)).into_iter().map(|line| line.0).collect();
        assert_eq!(names, ["process_resident_memory_bytes"]);
        assert_eq!(go_etl(None), json!({ "jobID": 0, "metrics": [] }));
    }
}
