//! How rows meet those that the target holds: the mode, and the flags that only some modes have.

use clap::{Args, ValueEnum};

use super::settings::{names, unquoted, usage};
use crate::error::Result;
use crate::job::{Incremental, NullCursor, Toggle};
use crate::sink::{Duplicates, Merge, Visible, WriteMode};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Make it; refuse a table with rows, or a file that exists
    Create,
    /// Add to it
    Append,
    /// Empty it and fill it, in one step for everybody else
    Truncate,
    /// Build it beside, swap at the end
    Replace,
    /// Update rows by key, insert those that are new
    Upsert,
    /// Add, or with --key merge, the rows whose --cursor is above the last position
    Incremental,
    /// Make it equal by key: update, insert, and delete what SRC does not have
    Sync,
}

/// When rows are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Publish {
    /// All at the end
    Once,
    /// At the end, those of one task after the other
    Prepared,
    /// Those of each task when it ends
    Task,
}

impl Publish {
    pub(super) fn visible(self) -> Visible {
        match self {
            Self::Once => Visible::AtOnce,
            Self::Prepared => Visible::Prepared,
            Self::Task => Visible::PerTask,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "By key (upsert, sync, incremental) and by cursor (incremental)")]
pub(super) struct KeyArgs {
    /// Columns that tell rows apart [default: the primary key]
    #[arg(long, value_name = "A,B")]
    key: Vec<String>,
    /// Of rows with one key: refuse, first, last, first-arrived, last-arrived
    #[arg(long, value_enum, value_name = "WHICH", hide_possible_values = true)]
    #[arg(requires_ifs = [("first", "order_by"), ("last", "order_by")])]
    on_duplicate: Option<OnDuplicate>,
    /// Column that says which of them is first and last
    #[arg(long, value_name = "COL", requires = "on_duplicate")]
    order_by: Option<String>,
    /// Let a sync delete all rows when SRC has none
    #[arg(long)]
    allow_empty: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "By key (upsert, sync, incremental) and by cursor (incremental)")]
pub(super) struct CursorArgs {
    /// Column of SRC that grows, such as an id or the time of the last change
    #[arg(long, value_name = "COL")]
    cursor: Option<String>,
    /// Begin so far below the position, for rows that come late: a number, or 30s, 10m, 2h, 1d; needs --key
    #[arg(long, value_name = "DISTANCE", requires = "cursor", allow_hyphen_values = true)]
    lag: Option<String>,
    /// Rows without a cursor: refuse, skip, always [default: refuse]
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true, requires = "cursor")]
    null_cursor: Option<NullCursors>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NullCursors {
    /// They end the copy
    Refuse,
    /// They are left out
    Skip,
    /// They are copied each time; needs --key
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnDuplicate {
    /// The one with the lowest value counts
    First,
    /// The one with the highest value counts
    Last,
    /// The first to arrive counts; with several channels that may be any
    FirstArrived,
    /// The last to arrive counts; with several channels that may be any
    LastArrived,
}

/// What is done with the rows that the target holds.
pub(super) fn mode(mode: Mode, args: &KeyArgs) -> Result<WriteMode> {
    let key = names(&args.key).iter().map(|name| unquoted(name)).collect();
    let merge = Merge { key, duplicates: duplicates(args)?, ..Merge::default() };
    let by_key = [(!args.key.is_empty(), "--key"), (args.on_duplicate.is_some(), "--on-duplicate")];
    let merges = matches!(mode, Mode::Upsert | Mode::Sync) || mode == Mode::Incremental && !merge.key.is_empty();
    if let Some((_, flag)) = by_key.iter().find(|(given, _)| *given && !merges) {
        return Err(usage(format!("{flag} is for rows that are merged by key"))
            .with_hint("use --mode upsert or sync, or --mode incremental with --key"));
    }
    if args.allow_empty && mode != Mode::Sync {
        return Err(usage("--allow-empty is for --mode sync, which alone deletes rows that do not come"));
    }
    Ok(match mode {
        Mode::Create => WriteMode::Create,
        Mode::Append => WriteMode::Append,
        Mode::Truncate => WriteMode::Truncate,
        Mode::Replace => WriteMode::Replace,
        Mode::Incremental if merge.key.is_empty() => WriteMode::Append,
        Mode::Upsert | Mode::Incremental => WriteMode::Upsert(merge),
        Mode::Sync => WriteMode::Sync(merge),
    })
}

/// The same for rows that differ and are sent again.
pub(super) fn resending(mode: Mode, key: &[String]) -> Result<WriteMode> {
    let none = KeyArgs { key: Vec::new(), on_duplicate: None, order_by: None, allow_empty: false };
    match mode {
        Mode::Upsert => self::mode(mode, &KeyArgs { key: key.to_vec(), ..none }),
        Mode::Incremental | Mode::Sync => {
            Err(usage("rows that differ are a part of all rows").with_hint("use --mode upsert to bring them into B"))
        }
        _ => self::mode(mode, &none),
    }
}

/// Whether a sync may delete all rows because none came.
pub(super) fn empty_sync(args: &KeyArgs) -> Toggle {
    if args.allow_empty { Toggle::On } else { Toggle::Off }
}

/// Which rows are new.
pub(super) fn incremental(mode: Mode, args: &CursorArgs) -> Result<Option<Incremental>> {
    match (mode, &args.cursor) {
        (Mode::Incremental, Some(cursor)) => Ok(Some(Incremental {
            lag: args.lag.clone(),
            null_cursor: match args.null_cursor {
                None | Some(NullCursors::Refuse) => NullCursor::Refuse,
                Some(NullCursors::Skip) => NullCursor::Skip,
                Some(NullCursors::Always) => NullCursor::Always,
            },
            ..Incremental::by(unquoted(cursor))
        })),
        (Mode::Incremental, None) => Err(usage("an incremental copy needs the column that says which rows are new")
            .with_hint("name it with --cursor")),
        (_, Some(_)) => Err(usage("--cursor is for --mode incremental")),
        (_, None) => Ok(None),
    }
}

fn duplicates(args: &KeyArgs) -> Result<Duplicates> {
    let column = args.order_by.as_deref().map(unquoted);
    Ok(match (args.on_duplicate, column) {
        (None, _) => Duplicates::Refuse,
        (Some(OnDuplicate::First), column) => Duplicates::First(column.unwrap_or_default()),
        (Some(OnDuplicate::Last), column) => Duplicates::Last(column.unwrap_or_default()),
        (Some(OnDuplicate::FirstArrived), None) => Duplicates::FirstArrived,
        (Some(OnDuplicate::LastArrived), None) => Duplicates::LastArrived,
        (Some(OnDuplicate::FirstArrived | OnDuplicate::LastArrived), Some(_)) => {
            return Err(usage("--order-by is for --on-duplicate first and last"));
        }
    })
}
