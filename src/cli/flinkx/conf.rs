//! `-confProp`: settings of Flink as JSON, and what becomes of them here.

use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

use super::super::settings::usage;
use crate::error::Result;
use crate::job::syntax::{self, Syntax};

/// What the settings ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conf {
    /// Where runs are recorded.
    pub(super) state: Option<String>,
    /// Values that the job file gets.
    pub(super) set: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// What is done instead of settings that begin so: of the first group that fits.
const SAID: &[(&[&str], &str)] = &[
    (
        &["flink.checkpoint.interval", "sql.checkpoint.interval", "execution.checkpointing.interval"],
        "what is written is noted as each task ends; with isRestore a run that fails or is stopped can be gone on with by -s",
    ),
    (
        &["flink.checkpoint.timeout", "sql.checkpoint.timeout", "execution.checkpointing.timeout"],
        "a task is noted when its rows are in the target, however long that takes",
    ),
    (
        &["flink.checkpoint.mode", "sql.checkpoint.mode", "execution.checkpointing.mode"],
        "each row is written once, as EXACTLY_ONCE asks for",
    ),
    (
        &["sql.checkpoint.cleanup", "execution.checkpointing.externalized-checkpoint-retention"],
        "with isRestore what was written stays until -s goes on with it, the job begins anew, or etl jobs clean gives it up",
    ),
    (
        &[
            "flink.checkpoint.",
            "sql.checkpoint.",
            "sql.max.concurrent.checkpoints",
            "execution.checkpointing.",
            "state.",
        ],
        "runs are recorded in the file state.db, in one way",
    ),
    (&["restart-strategy"], "the block restart of the job says how often a task that fails is begun again"),
    (&["metrics."], "metrics are printed at the end, and served while the job runs: etl run --http"),
    (&["chunjun.dirty-data."], "dirty.path of the job says where rows go that are refused"),
    (
        &[
            "jobmanager.",
            "taskmanager.",
            "parallelism.",
            "sql.env.parallelism",
            "yarn.",
            "kubernetes.",
            "high-availability",
            "akka.",
            "rest.",
            "blob.",
            "env.",
            "classloader.",
            "pipeline.",
            "execution.",
        ],
        "the job runs in this process, and its block speed says how many channels it has",
    ),
    (&["security."], "a connection says who logs in"),
    (&["table.", "sql.", "time.characteristic"], "SQL jobs are not run here"),
];

/// The name of the file in a folder of states.
pub(super) const STATE_FILE: &str = "state.db";

/// The record of runs in `folder`.
pub(super) fn state_in(folder: &str) -> String {
    format!("sqlite:{}/{STATE_FILE}", folder.trim_end_matches('/'))
}

/// `path` without the scheme of files of this machine; none with another one.
pub(super) fn local(path: &str) -> Option<&str> {
    let path = path.trim();
    let local = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    (!local.contains("://") && !local.is_empty()).then_some(local)
}

pub(super) fn read(text: &str) -> Result<Conf> {
    let text = text.trim();
    // Java encodes blanks as pluses.
    let encoded = !text.starts_with('{') && text.contains('%');
    let text = if encoded { text.replace('+', " ") } else { text.to_owned() };
    let text = if encoded { percent_decode_str(&text).decode_utf8_lossy().into_owned() } else { text };
    if text.is_empty() {
        return Ok(Conf::default());
    }
    let root = syntax::parse(&text, Syntax::Json)?.root;
    let Json::Object(entries) = root else { return Err(usage("an object of settings is wanted here")) };
    let (mut conf, mut idle) = (Conf::default(), Vec::<String>::new());
    for (key, value) in entries {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "flink.checkpoint.stateBackend" | "state.checkpoints.dir" => match local(&value) {
                Some(folder) => conf.state = Some(state_in(folder)),
                None => conf.notes.push(format!("{key}: runs are recorded on this machine alone, in your own record")),
            },
            "chunjun.dirty-data.max-rows" => conf.set.push(format!("job.setting.errorLimit.record={value}")),
            _ => idle.push(key),
        }
    }
    for (begins, said) in SAID {
        let fits = |key: &String| begins.iter().any(|begin| key.starts_with(begin));
        let (told, rest): (Vec<String>, Vec<String>) = idle.into_iter().partition(fits);
        idle = rest;
        if !told.is_empty() {
            conf.notes.push(format!("{}: {said}", told.join(", ")));
        }
    }
    if !idle.is_empty() {
        conf.notes.push(format!("these settings of -confProp have no meaning here: {}", idle.join(", ")));
    }
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_json_that_may_be_encoded() {
        let plain =
            r#"{"flink.checkpoint.interval": 60000, "flink.checkpoint.stateBackend": "file:///var/s/", "a b": 1}"#;
        let encoded = "%7B%22flink.checkpoint.interval%22%3A+60000%2C+%22flink.checkpoint.stateBackend%22%3A%22file%3A%2F%2F%2Fvar%2Fs%2F%22%2C+%22a+b%22%3A1%7D";
        let conf = read(plain).unwrap();
        assert_eq!(conf.state.as_deref(), Some("sqlite:/var/s/state.db"));
        assert!(conf.notes[0].starts_with("flink.checkpoint.interval: "));
        assert_eq!(conf.notes[1], "these settings of -confProp have no meaning here: a b");
        assert_eq!(read(encoded).unwrap(), conf);
        assert_eq!(read("").unwrap(), Conf::default());
        assert!(read("[]").is_err() && read("{").is_err());
    }

    #[test]
    fn limits_of_chunjun_go_to_the_job_and_far_states_are_told() {
        let conf = read(r#"{"chunjun.dirty-data.max-rows": "-1", "state.checkpoints.dir": "hdfs://ns/s"}"#).unwrap();
        assert_eq!(conf.set, ["job.setting.errorLimit.record=-1"]);
        assert_eq!((conf.state, conf.notes.len()), (None, 1));
    }

    #[test]
    fn each_setting_acts_or_is_told_in_a_sentence() {
        let sentences: [(&[&str], &str); 11] = [
            (&["flink.checkpoint.interval", "sql.checkpoint.interval", "execution.checkpointing.interval"], "by -s"),
            (&["flink.checkpoint.timeout", "sql.checkpoint.timeout"], "however long that takes"),
            (&["flink.checkpoint.mode", "execution.checkpointing.mode"], "each row is written once"),
            (&["sql.checkpoint.cleanup.mode"], "stays until -s goes on"),
            (
                &["execution.checkpointing.min-pause", "state.backend", "state.checkpoints.num-retained"],
                "in the file state.db",
            ),
            (&["restart-strategy", "restart-strategy.fixed-delay.attempts"], "the block restart of the job"),
            (&["metrics.reporter.promgateway.host"], "metrics are printed at the end"),
            (&["chunjun.dirty-data.output-type"], "dirty.path of the job"),
            (&["taskmanager.memory.process.size", "execution.runtime-mode", "sql.env.parallelism"], "in this process"),
            (&["security.kerberos.login.keytab"], "who logs in"),
            (&["table.exec.mini-batch.enabled"], "SQL jobs are not run here"),
        ];
        for (keys, sentence) in sentences {
            let settings: serde_json::Map<String, Json> =
                keys.iter().map(|key| ((*key).to_owned(), 1.into())).collect();
            let conf = read(&Json::Object(settings).to_string()).unwrap();
            assert_eq!((conf.state, conf.set, conf.notes.len()), (None, Vec::<String>::new(), 1), "{keys:?}");
            let note = &conf.notes[0];
            assert!(note.contains(sentence) && keys.iter().all(|key| note.contains(key)), "{keys:?}: {note}");
        }
    }
}
