//! What may be typed: commands and flags, exactly as they stand on the command line.
//!
//! Nothing is decided here; `settings` turns it into a job before any work begins.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::completions::CompletionShell;
use super::datax::DataxArgs;
use super::diff::{DIFF_EXAMPLES, DiffArgs};
use super::files::{FileArgs, TargetFileArgs};
use super::flinkx::{FLINKX_EXAMPLES, FlinkxArgs};
use super::go_etl::{GO_ETL_EXAMPLES, GoEtlArgs};
use super::http::Address;
use super::job_file::ConvertArgs;
use super::jobs::{JOBS_EXAMPLES, JobsArgs};
use super::limits::{LimitArgs, RetryArgs};
use super::log::LogArgs;
use super::mode::{CursorArgs, KeyArgs, Mode, Publish};
use super::record::StateArgs;
use super::rejects::MaxErrors;
use super::run::{RUN_EXAMPLES, RunArgs};
use super::schema::dialects;
use super::snapshot::SnapshotCommand;
use super::template::{TEMPLATE_EXAMPLES, TemplateArgs};

const LOCATORS: &str = "\
Locators:
  orders.csv  'data/*.parquet'  out/  -      files, folders, stdin or stdout; format by extension
  'orders.xlsx#May'                          a sheet of a workbook
  shop.db#orders  sqlite:shop#orders         a table in SQLite; in DuckDB: shop.duckdb#orders
  'postgres://user@host/db#public.orders'    PostgreSQL; also 'postgres:host=h dbname=d#t'
  'mysql://user@host/db#orders'              MySQL, MariaDB; others: see 'etl connectors'
  gen:  null:                                made-up rows; nowhere (see 'etl connectors stream')
  '${NAME}' in a locator is an environment variable; passwords are never printed.";

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the run failed, 2 bad usage or bad job, 4 a mismatch, 5 interrupted.";

const COPY_EXAMPLES: &str = "\
Examples:
  etl copy orders.csv shop.db#orders
  etl copy 'postgres://ada@db/shop#orders' orders.parquet
  etl copy 'postgres://ada@db/shop#orders' 'postgres://ada@dw/shop#orders' --mode replace -j 4
  etl copy shop.db#orders big.csv --where 'amount > 100' --select 'id,amount,placed_at'
  etl copy 'logs/*.jsonl.gz' logs.parquet --set \"day=date_trunc('day', at)\" --drop at
  etl copy 'postgres://ada@db/shop#orders' shop.db#orders --mode incremental --cursor changed_at
  etl copy orders.csv shop.db --on-error skip --max-errors 1% --rejects rejects.jsonl
  etl copy 'postgres://ada@db/shop#orders' orders.parquet --also 'postgres://ada@dw/shop#orders'

Modes:
  create       make the target; refuse a table with rows, or a file that exists
  append       add to it; make it when it is missing
  truncate     empty it and fill it, in one step for everybody else
  replace      build it beside, swap at the end
  upsert       update the rows whose key comes, insert the others
  incremental  copy the rows whose --cursor is above the last position; with --key merge them
  sync         as upsert, and delete the rows whose key does not come

A copy that fails or is interrupted leaves the target as it was, but for --publish task.";

/// Moves tables between databases and files.
#[derive(Debug, Parser)]
#[command(name = "etl", version, max_term_width = 120, arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_help = format!("{LOCATORS}\n\n{EXIT_CODES}"))]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy rows from SRC to DST
    #[command(after_help = COPY_EXAMPLES)]
    Copy(Box<CopyArgs>),
    /// Say what a copy would do, and change nothing
    Plan(Box<CopyArgs>),
    /// Run a job file: our own, or one of another program
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Print a job file of another program as one of our own
    #[command(after_help = "Example: etl convert job.json -p '-Dday=2026-01-31' > native.json")]
    Convert(ConvertArgs),
    /// Run a job file of DataX by the flags of datax.py
    #[command(after_help = "Example: etl datax job.json -p '-Dday=2026-01-31'")]
    Datax(DataxArgs),
    /// Run a job file of go-etl by its flags
    #[command(after_help = GO_ETL_EXAMPLES)]
    GoEtl(GoEtlArgs),
    /// Run a job file of FlinkX, or ChunJun, by its flags
    #[command(after_help = FLINKX_EXAMPLES)]
    Flinkx(Box<FlinkxArgs>),
    /// Print an example of a job file, from READER to WRITER
    #[command(after_help = TEMPLATE_EXAMPLES)]
    Template(TemplateArgs),
    /// Compare the rows of A and B by key
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(Box<DiffArgs>),
    /// Show the columns of SRC and their types
    #[command(after_help = "Example: etl schema orders.csv --as postgres")]
    Schema(SchemaArgs),
    /// Show the first rows of SRC
    #[command(after_help = "Example: etl head 'orders.xlsx#May' -n 20")]
    Head(HeadArgs),
    /// Count the rows of SRC
    Count(CountArgs),
    /// Reach LOCATOR and say what it is and what is missing
    #[command(after_help = "Example: etl ping 'postgres://ada@db/shop'")]
    Ping(PingArgs),
    /// Hold a point in time of SRC, which copies join by --snapshot
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// List the runs of this user, show one, or give one up
    #[command(after_help = JOBS_EXAMPLES)]
    Jobs(JobsArgs),
    /// List the connectors, or show the page of one
    Connectors(ConnectorsArgs),
    /// Show what becomes of each type of one product in another
    #[command(after_help = "Example: etl types postgres parquet")]
    Types(TypesArgs),
    /// Print the completions of a shell
    #[command(after_help = "Example: etl completions bash > ~/.local/share/bash-completion/completions/etl")]
    Completions {
        /// bash, zsh or fish
        #[arg(value_enum, hide_possible_values = true)]
        shell: CompletionShell,
    },
}

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// Where rows come from
    #[arg(value_name = "SRC")]
    pub(super) source: String,
    /// Where rows go; without '#table' it takes the source's name
    #[arg(value_name = "DST")]
    pub(super) target: String,
    #[command(flatten)]
    pub(super) from: SourceArgs,
    /// Another source, read as one with SRC by column names; may be repeated
    #[arg(long, value_name = "SRC", help_heading = "Source")]
    pub(super) union: Vec<String>,
    /// Read SRC at a point in time that 'etl snapshot' or a session holds
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), help_heading = "Source")]
    pub(super) snapshot: Option<String>,
    /// Cut SRC by key; an interrupted copy may then be completed later
    #[arg(long, help_heading = "Source")]
    pub(super) allow_mixed_snapshot: bool,
    #[command(flatten)]
    pub(super) into: TargetArgs,
    #[command(flatten)]
    pub(super) by_key: KeyArgs,
    #[command(flatten)]
    pub(super) by_cursor: CursorArgs,
    #[command(flatten)]
    pub(super) transform: TransformArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    #[command(flatten)]
    pub(super) to_files: TargetFileArgs,
    #[command(flatten)]
    pub(super) errors: ErrorArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) retries: RetryArgs,
    #[command(flatten)]
    pub(super) talk: TalkArgs,
    /// Serve metrics, tasks and profiles there while it runs: ':6080'
    #[arg(long, value_name = "ADDR", help_heading = "Output", conflicts_with_all = ["dry_run", "emit_job"])]
    pub(super) http: Option<Address>,
}

/// Which object of the source is meant: for every command that reads.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Source")]
pub(super) struct SourceArgs {
    /// Table of SRC, instead of '#table'
    #[arg(long, value_name = "NAME", conflicts_with = "query")]
    pub(super) table: Option<String>,
    /// SELECT in SRC's own SQL, instead of a table; @FILE reads a file
    #[arg(long, value_name = "SQL")]
    pub(super) query: Option<String>,
    /// Option of SRC; 'etl connectors NAME' lists them; may be repeated
    #[arg(long, value_name = "K=V")]
    pub(super) from_option: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(super) struct TargetArgs {
    /// Table of DST, instead of '#table'
    #[arg(long, value_name = "NAME")]
    pub(super) into: Option<String>,
    /// Another target of the same rows, from one read; may be repeated
    #[arg(long, value_name = "DST")]
    pub(super) also: Vec<String>,
    /// Option of DST, or of those targets that have it; may be repeated
    #[arg(long, value_name = "K=V")]
    pub(super) to_option: Vec<String>,
    /// What happens to what DST holds, see below
    #[arg(long, value_enum, default_value_t = Mode::Create, hide_possible_values = true)]
    pub(super) mode: Mode,
    /// Columns that differ: strict refuses, ignore leaves out
    #[arg(long, value_enum, default_value_t = Schema::Strict, hide_possible_values = true)]
    pub(super) schema: Schema,
    /// Round or cut what these columns of DST cannot hold; may be repeated
    #[arg(long, value_name = "A,B")]
    pub(super) allow_lossy: Vec<String>,
    /// When rows are seen: once, all at the end; prepared, there too, task after task; task, each as it ends
    #[arg(long, value_enum, default_value_t = Publish::Once, hide_possible_values = true)]
    pub(super) publish: Publish,
    /// Proof that DST holds what it was sent: none, count, checksum (of columns, before rows are seen), rows (each, after)
    #[arg(long, value_enum, default_value_t = Proof::Count, hide_possible_values = true)]
    pub(super) verify: Proof,
    /// SQL to run on DST before it is looked at; @FILE; may be repeated
    #[arg(long, value_name = "SQL")]
    pub(super) pre_sql: Vec<String>,
    /// SQL to run on DST once after success; @FILE; may be repeated
    #[arg(long, value_name = "SQL")]
    pub(super) post_sql: Vec<String>,
    /// Go on with the run of this job that was interrupted, if there is one
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) resume: bool,
    #[command(flatten)]
    pub(super) record: StateArgs,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the copy as a job file for 'etl run', and do nothing
    #[arg(long, conflicts_with_all = ["dry_run", "resume"])]
    pub(super) emit_job: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "In flight, in this order")]
pub(super) struct TransformArgs {
    /// SELECT over the table 'src'; @FILE
    #[arg(long, value_name = "SELECT")]
    pub(super) sql: Option<String>,
    /// Keep the rows for which this is true
    #[arg(long = "where", value_name = "EXPR")]
    pub(super) filter: Option<String>,
    /// Give a column, old or new, the value of an expression; may be repeated
    #[arg(long, value_name = "COL=EXPR")]
    pub(super) set: Vec<String>,
    /// Give a column another type; text is parsed as it; may be repeated
    #[arg(long, value_name = "COL:TYPE")]
    pub(super) cast: Vec<String>,
    /// Rename a column; may be repeated
    #[arg(long, value_name = "OLD=NEW")]
    pub(super) rename: Vec<String>,
    /// Keep these columns in this order; '-c' leaves one out
    #[arg(long, value_name = "A,B,-C", allow_hyphen_values = true)]
    pub(super) select: Vec<String>,
    /// Leave these columns out
    #[arg(long, value_name = "A,B")]
    pub(super) drop: Vec<String>,
    /// Copy no more rows than this
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Clock by which instants and times without a zone stand for each other: '+08:00', 'Asia/Shanghai'
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub(super) clock: Option<String>,
    /// Let the source do nothing of this by itself
    #[arg(long)]
    pub(super) no_pushdown: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Rejected rows")]
pub(super) struct ErrorArgs {
    /// A refused row: fail ends the copy, skip leaves it out
    #[arg(long, value_enum, default_value_t = OnError::Fail, hide_possible_values = true)]
    pub(super) on_error: OnError,
    /// With skip, fail beyond so many: '100', '0.5%', or one of each
    #[arg(long, value_name = "N|P%")]
    pub(super) max_errors: Vec<MaxErrors>,
    /// With skip, a new .jsonl or .parquet file of rows left out, and why
    #[arg(long, value_name = "FILE")]
    pub(super) rejects: Option<String>,
}

/// How the program talks.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct TalkArgs {
    /// Progress on stderr: bar, log (a line every 5 s), json, none; auto is a bar on a terminal, else log
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub(super) progress: Progress,
    /// Form of the result: text or json
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub(super) output: Output,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more in the summary
    #[arg(short, long)]
    pub(super) verbose: bool,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Place to look at
    #[arg(value_name = "SRC")]
    pub(super) source: String,
    /// Show it as CREATE TABLE of a database (postgres, mysql, sqlite, duckdb, clickhouse, …), or as an arrow schema
    #[arg(long = "as", value_name = "DIALECT", value_parser = dialects(), hide_possible_values = true)]
    pub(super) dialect: Option<String>,
    #[command(flatten)]
    pub(super) from: SourceArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    #[command(flatten)]
    pub(super) cast: CastArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct HeadArgs {
    /// Place to look at
    #[arg(value_name = "SRC")]
    pub(super) source: String,
    /// Number of rows
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(super) rows: u64,
    #[command(flatten)]
    pub(super) from: SourceArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    #[command(flatten)]
    pub(super) cast: CastArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CountArgs {
    /// Place to look at
    #[arg(value_name = "SRC")]
    pub(super) source: String,
    #[command(flatten)]
    pub(super) from: SourceArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct PingArgs {
    /// Place to reach
    pub(super) locator: String,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct ConnectorsArgs {
    /// Show the page of this one
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct TypesArgs {
    /// Whose types: a connector, or a format of files such as csv
    #[arg(value_name = "A")]
    pub(super) source: String,
    /// Where they are to go
    #[arg(value_name = "B")]
    pub(super) target: String,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct CastArgs {
    /// Parse a column of a text file as this type; may be repeated
    #[arg(long, value_name = "COL:TYPE", help_heading = "Files")]
    pub(super) cast: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Form of the result: text or json
    #[arg(long, value_enum, default_value_t, hide_possible_values = true)]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Schema {
    /// Refuse a difference
    Strict,
    /// Copy what both have
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// It ends the copy
    Fail,
    /// It is left out
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Proof {
    /// None
    None,
    /// The number of rows
    Count,
    /// Sums of each column
    Checksum,
    /// Each row
    Rows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// A bar on a terminal, else lines
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A line every few seconds
    Log,
    /// A JSON object a line
    Json,
    /// Nothing
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
