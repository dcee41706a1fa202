//! What was found in a file that nobody said.

use super::config::Config;
use super::input::Input;
use crate::formats::BYTE_ORDER_MARK;
use crate::formats::charset::Charset;
use crate::formats::compress::Compression;
use crate::shape::counted;

/// What other programs take for rows in a file of text, where it is read for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsaid {
    Compression,
    ByteOrderMark,
}

impl Unsaid {
    const ALL: [Self; 2] = [Self::Compression, Self::ByteOrderMark];

    /// What of it is in a file that is packed with `compression`, and whose text in `charset` begins with `head`.
    pub(super) fn of(config: &Config, (compression, charset): (Compression, Charset), head: &[u8]) -> Vec<Self> {
        let is_there = |unsaid: &Self| match unsaid {
            Self::Compression => compression != Compression::None && config.takes_as_said(),
            Self::ByteOrderMark => charset == Charset::Utf8 && config.is_loose() && head.starts_with(BYTE_ORDER_MARK),
        };
        Self::ALL.into_iter().filter(is_there).collect()
    }

    /// What was done with it.
    fn told(self) -> &'static str {
        match self {
            Self::Compression => "compressed, of which nothing is said, and unpacked",
            Self::ByteOrderMark => "the byte order mark before the text is left out",
        }
    }

    /// What of it is in `inputs`, one sentence each.
    pub(super) fn warnings(inputs: &[Input]) -> Vec<String> {
        let of = |unsaid: Self| {
            let mut files = inputs.iter().filter(|input| input.unsaid.contains(&unsaid));
            let first = files.next()?;
            Some(match files.count() {
                0 => format!("{}: {}", first.name, unsaid.told()),
                more => format!("{} and {}: {}", first.name, counted(more, "more file"), unsaid.told()),
            })
        };
        Self::ALL.into_iter().filter_map(of).collect()
    }
}
