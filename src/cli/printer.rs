//! The only place that prints: data to stdout, talk to stderr.

// Everything that is printed passes here, so that no other module needs the exception.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error as _;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use super::{defect, log};
use crate::error::{Error, ErrorKind, Result};

/// Prints data, as it is, on stdout. When nobody reads it any more, there is nothing left to do.
pub(super) fn data(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::from(error).at("file", "stdout")),
        _ => Ok(()),
    }
}

/// Prints one JSON value and a line end on stdout.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    data(&text)
}

/// Prints talk on stderr, and in the log where there is one. A closed stderr is nothing to stop for, and neither is a full disk.
pub(super) fn talk(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
    if let Err(error) = log::write(text) {
        let _ = writeln!(io::stderr().lock(), "note: the log ends here: {error}");
    }
}

/// Prints an event as one line of JSON on stderr: its name, then the members of `value`.
pub(super) fn event(name: &str, value: &impl Serialize) {
    #[derive(Serialize)]
    struct Event<'a, T> {
        event: &'a str,
        #[serde(flatten)]
        value: &'a T,
    }
    if let Ok(text) = serde_json::to_string(&Event { event: name, value }) {
        talk(&text);
    }
}

/// Whether `error`, of a copy to stdout, only says that nobody reads it any more. A broken connection to a server
/// comes with that server's own error between, so it is told apart.
pub(super) fn is_closed_pipe(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::BrokenPipe;
        }
        cause = inner.downcast_ref::<Error>().and_then(|own| own.source());
    }
    false
}

/// The text of a failure: one sentence, its causes, and what to do.
pub(super) fn failure(error: &Error) -> String {
    let mut lines = vec![format!("error: {}", indented(&error.to_string()))];
    lines.extend(causes(error).iter().map(|cause| format!("  caused by: {}", indented(cause))));
    lines.extend(error.hint().map(|hint| format!("  hint: {}", indented(hint))));
    lines.join("\n")
}

/// A failure for programs.
pub(super) fn described(error: &Error, exit_code: u8) -> serde_json::Value {
    json!({
        "kind": format!("{:?}", error.kind()),
        "exitCode": exit_code,
        "message": error.to_string(),
        "causes": causes(error),
        "hint": error.hint(),
    })
}

fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut seen = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.is_empty() && !seen.contains(&text) {
            causes.push(text.clone());
            seen = text;
        }
        cause = inner.source();
    }
    if error.kind() == ErrorKind::Internal {
        causes.extend(defect::place().map(|place| format!("the program failed at {place}")));
    }
    causes
}

/// Lines after the first keep to the right of the margin.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_sentence_its_causes_and_a_hint() {
        let inner = Error::new(ErrorKind::Io, "the disk spoke").with_source(io::Error::other("sector 7\nis bad"));
        let error = Error::new(ErrorKind::Corrupt, "the file is damaged")
            .at("line", 7)
            .at("file", "a.csv")
            .with_source(inner)
            .with_hint("fetch it again");
        let text = "error: file a.csv: line 7: the file is damaged\n  caused by: the disk spoke\n  \
                    caused by: sector 7\n    is bad\n  hint: fetch it again";
        assert_eq!(failure(&error), text);
        let told = described(&error, 1);
        assert_eq!(
            (&told["kind"], &told["exitCode"], &told["hint"]),
            (&json!("Corrupt"), &json!(1), &json!("fetch it again"))
        );
        assert_eq!(told["causes"], json!(["the disk spoke", "sector 7\nis bad"]));
    }

    /// The error of some client library around the broken connection.
    #[derive(Debug)]
    struct Server(io::Error);

    impl std::fmt::Display for Server {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the server has gone")
        }
    }

    impl std::error::Error for Server {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn only_our_own_broken_pipe_is_a_closed_pipe() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let ours = Error::from(pipe()).at("file", "stdout");
        assert!(is_closed_pipe(&ours));
        assert!(is_closed_pipe(&Error::new(ErrorKind::Io, "writing failed").with_source(ours)));
        assert!(!is_closed_pipe(&Error::new(ErrorKind::Connection, "it broke").with_source(Server(pipe()))));
    }
}
