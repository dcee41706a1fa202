//! `-s`: where the run is recorded that is gone on with.

use std::path::Path;

use super::conf::{STATE_FILE, local, state_in};
use crate::error::{Error, ErrorKind, Result};

/// What stands for the newest checkpoint.
const NEWEST: &str = "chk-*";

/// What Flink's own checkpoints hold.
const OF_FLINK: &str = "_metadata";

/// The record of runs that `path` names: a folder of states, `chk-*` in it or alone, or the file of a record. Alone it means the newest
/// of `state`, which the settings name; none is that of this user.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where there is none.
pub(super) fn find(path: &str, state: Option<String>) -> Result<Option<String>> {
    let wrong = |message: String| {
        let hint = "name the folder of flink.checkpoint.stateBackend of that run, or chk-* in it; without -s the job begins anew";
        Err(Error::new(ErrorKind::Usage, message).with_hint(hint))
    };
    if path.trim() == NEWEST {
        return Ok(state);
    }
    let Some(path) = local(path) else { return wrong("states are read from this machine alone".to_owned()) };
    let folder = path.strip_suffix(NEWEST).and_then(|folder| folder.strip_suffix('/')).unwrap_or(path);
    let place = Path::new(folder);
    if place.join(OF_FLINK).exists() {
        return wrong(format!("{path} is a checkpoint of Flink, which Flink alone can read"));
    }
    if place.is_file() && folder == path {
        return Ok(Some(format!("sqlite:{folder}")));
    }
    if place.join(STATE_FILE).is_file() {
        return Ok(Some(state_in(folder)));
    }
    wrong(format!("there is no record of runs in {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_in_its_folder_or_nothing_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let found = |text: &str| find(text, Some("sqlite:/conf".to_owned())).ok().flatten();
        std::fs::create_dir_all(path("chk-7")).unwrap();
        std::fs::write(path("chk-7/_metadata"), "").unwrap();
        for missing in [path(""), path("chk-*"), path("chk-7"), path("nope"), "hdfs://ns/chk-1".to_owned()] {
            assert_eq!(found(&missing), None, "{missing}");
        }
        std::fs::write(path("state.db"), "").unwrap();
        let expected = Some(format!("sqlite:{}", path("state.db")));
        assert_eq!(found(&folder.path().display().to_string()), expected);
        assert_eq!((found(&path("chk-*")), found(&path("state.db"))), (expected.clone(), expected.clone()));
        assert_eq!(found(&format!("file://{}", path("chk-*"))), expected);
        assert_eq!(found("chk-*").as_deref(), Some("sqlite:/conf"));
    }
}
