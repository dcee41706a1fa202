//! Where the records of runs are kept. One way so far: an SQLite file.

mod sqlite;

pub use sqlite::{SqliteStateLog, default_path};
