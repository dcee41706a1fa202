//! Sizes, speeds and times as flags: `64MB`, `1GiB`, `50MB/s`, `100k rows/s`, `60s`. Sizes have the grammar of
//! `formats::value::size`.

use std::str::FromStr;

use crate::formats::value::size;
use crate::job::{BufferLimit, LogFile};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

/// A time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause(pub(super) u64);

/// A folder for rows that wait on disk, and how many bytes of it: `DIR[:SIZE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BufferFolder(pub(super) BufferLimit);

/// Bytes of a buffer when nothing is said.
const BUFFER_BYTES: u64 = 10 << 30;

/// A smaller one would hold less than a batch.
const BUFFER_BYTES_MIN: u64 = 1_000_000;

/// A log file, and how large it may become: `FILE[:SIZE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogPath {
    pub(super) path: String,
    pub(super) bytes: u64,
}

/// A smaller one would hold hardly a failure and its causes.
const LOG_BYTES_MIN: u64 = 10_000;

/// A speed limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// Bytes per second.
    Bytes(u64),
    /// Rows per second.
    Rows(u64),
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        size::bytes(text).map(Self).ok_or_else(|| format!("'{text}' is no size: write 64MB, 1GiB or 500k"))
    }
}

impl FromStr for BufferFolder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sized = text.rsplit_once(':').and_then(|(folder, bytes)| Some((folder, size::bytes(bytes)?)));
        let (folder, bytes) = sized.unwrap_or((text, BUFFER_BYTES));
        if folder.is_empty() {
            return Err("the folder is missing: write '/var/tmp' or '/var/tmp:20GiB'".to_owned());
        }
        if bytes < BUFFER_BYTES_MIN {
            return Err(format!("{bytes} bytes are too few for a buffer: give 1MB at least"));
        }
        Ok(Self(BufferLimit { folder: folder.to_owned(), bytes }))
    }
}

impl FromStr for LogPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sized = text.rsplit_once(':').and_then(|(path, bytes)| Some((path, size::bytes(bytes)?)));
        let (path, bytes) = sized.unwrap_or((text, LogFile::BYTES));
        if path.is_empty() {
            return Err("the file is missing: write 'run.log' or 'run.log:50MB'".to_owned());
        }
        if bytes < LOG_BYTES_MIN {
            return Err(format!("{bytes} bytes are too few for a log: give 10kB at least"));
        }
        Ok(Self { path: path.to_owned(), bytes })
    }
}

impl FromStr for Pause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let pause = units.into_iter().find_map(|(unit, factor)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(factor).map(Self)
        });
        pause.ok_or_else(|| format!("'{text}' is no time: write 60s, 500ms or 5m"))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no speed: write '50MB/s' or '100k rows/s'");
        let amount = text.trim().strip_suffix("/s").ok_or_else(wrong)?;
        let (amount, unit) = size::scaled(amount).ok_or_else(wrong)?;
        match unit.as_str() {
            _ if amount == 0 => Err("a speed of 0 would never end".to_owned()),
            "b" | "byte" | "bytes" => Ok(Self::Bytes(amount)),
            "r" | "row" | "rows" => Ok(Self::Rows(amount)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes() {
        assert_eq!("64MB".parse(), Ok(Bytes(64_000_000)));
        assert!("lots".parse::<Bytes>().is_err());
    }

    #[test]
    fn a_buffer_is_a_folder_and_perhaps_a_size() {
        let buffer = |text: &str| text.parse::<BufferFolder>().map(|BufferFolder(limit)| (limit.folder, limit.bytes));
        assert_eq!(buffer("/var/tmp"), Ok(("/var/tmp".to_owned(), 10 << 30)));
        assert_eq!(buffer("/var/tmp:20GiB"), Ok(("/var/tmp".to_owned(), 20 << 30)));
        assert_eq!(buffer("a:b"), Ok(("a:b".to_owned(), 10 << 30)));
        assert_eq!(buffer("a:b:5MB"), Ok(("a:b".to_owned(), 5_000_000)));
        for wrong in ["", ":5MB", "a:0", "a:1k"] {
            assert!(buffer(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_log_is_a_file_and_perhaps_a_size() {
        let log = |text: &str| text.parse::<LogPath>().map(|log| (log.path, log.bytes));
        assert_eq!(log("run.log"), Ok(("run.log".to_owned(), 10 << 20)));
        assert_eq!(log("a:b.log:50MB"), Ok(("a:b.log".to_owned(), 50_000_000)));
        for wrong in ["", ":5MB", "a:9kB"] {
            assert!(log(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pause_has_a_unit() {
        for (text, milliseconds) in [("500ms", 500), ("60s", 60_000), ("5 m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(text.parse(), Ok(Pause(milliseconds)), "{text}");
        }
        for wrong in ["", "60", "s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(wrong.parse::<Pause>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn speeds_are_in_bytes_or_rows() {
        assert_eq!("50MB/s".parse(), Ok(Rate::Bytes(50_000_000)));
        assert_eq!("1 MiB/s".parse(), Ok(Rate::Bytes(1 << 20)));
        assert_eq!("100k rows/s".parse(), Ok(Rate::Rows(100_000)));
        assert_eq!("5 row/s".parse(), Ok(Rate::Rows(5)));
        for wrong in ["", "50MB", "50/s", "0 rows/s", "x rows/s", "5 apples/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in ".{0,12}") {
            let _ = (text.parse::<Bytes>(), text.parse::<Rate>(), text.parse::<Pause>());
        }
    }
}
