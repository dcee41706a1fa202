//! The user of the system that this process runs as, where the environment does not say it.

use std::path::Path;

use super::Surroundings;

/// One line of the system's list of users.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: String,
}

/// The account of the process; none where the system keeps its users elsewhere.
pub(super) fn of_process(around: &Surroundings<'_>) -> Option<Account> {
    let status = (around.file)(Path::new("/proc/self/status"))?;
    // Real, effective, saved and file system: the effective one counts, as in libpq.
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let id = ids.split_whitespace().nth(1)?;
    let users = (around.file)(Path::new("/etc/passwd"))?;
    users.lines().find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
        [name, _, number, _, _, home, _] if number == id => {
            Some(Account { name: name.to_owned(), home: home.to_owned() })
        }
        _ => None,
    })
}
