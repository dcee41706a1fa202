//! The door to the processes of the system: who this one is, and whether another has ended.

use std::fs;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A process, so that another one can tell whether it is alive. On another machine nobody can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    host: String,
    /// Start of the machine and space of process numbers: within one, a number names one process.
    space: String,
    number: u32,
    /// When the process began, in ticks since the start of the machine: numbers are used again.
    began: u64,
}

impl Process {
    /// This one. The system is asked once: a job asks many times.
    pub fn own() -> &'static Self {
        static OWN: LazyLock<Process> = LazyLock::new(Process::ask);
        &OWN
    }

    fn ask() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let numbers = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
        let number = std::process::id();
        Self {
            host: text("/proc/sys/kernel/hostname"),
            space: format!("{} {numbers}", text("/proc/sys/kernel/random/boot_id")),
            number,
            began: began(number).unwrap_or(0),
        }
    }

    /// The process that a log kept as JSON. Of what cannot be read nothing is known.
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// Whether it is certain that this process has ended. Where the system does not tell when one began, nothing is.
    pub fn is_dead(&self) -> bool {
        self.began > 0 && self.space == Self::own().space && began(self.number) != Some(self.began)
    }

    /// For people: `process 4711 on db1`.
    pub fn shown(&self) -> String {
        if self.number == 0 {
            return "another process".to_owned();
        }
        format!("process {} on {}", self.number, self.host)
    }
}

#[cfg(test)]
impl Process {
    /// One that had its number before it.
    pub(crate) fn earlier(self) -> Self {
        Self { began: self.began + 1, ..self }
    }

    /// One on another machine.
    pub(crate) fn elsewhere(self) -> Self {
        Self { space: "another machine".to_owned(), ..self }
    }
}

/// When the process with this number began; none when there is none that works. See `proc_pid_stat(5)`, fields 3 and 22.
fn began(number: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name, in brackets, may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let works = fields.next().is_some_and(|state| !matches!(state, "Z" | "X"));
    fields.nth(18).filter(|_| works)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart() {
        let own = Process::own();
        assert!(!own.is_dead());
        assert!(own.clone().earlier().is_dead());
        assert!(!own.clone().earlier().elsewhere().is_dead(), "nobody can tell");
        assert_eq!(Process::parse(&serde_json::to_string(own).unwrap()), *own);
        let unknown = Process::parse("of a later version");
        assert_eq!((unknown.is_dead(), unknown.shown().as_str()), (false, "another process"));
        assert_eq!(began(u32::MAX), None);
        assert_ne!(began(std::process::id()), None);
    }
}
