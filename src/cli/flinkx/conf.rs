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
    let (mut conf, mut idle) = (Conf::default(), Vec::new());
    for (key, value) in entries {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "flink.checkpoint.stateBackend" | "state.checkpoints.dir" => match local(&value) {
                Some(folder) => conf.state = Some(state_in(folder)),
                None => conf.notes.push(format!("{key}: runs are recorded on this machine alone, in your own record")),
            },
            "flink.checkpoint.interval" => conf.notes.push(format!(
                "{key}: no rows are seen before all are there, and what is written is noted as each task ends"
            )),
            "chunjun.dirty-data.max-rows" => conf.set.push(format!("job.setting.errorLimit.record={value}")),
            _ => idle.push(key),
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
}
