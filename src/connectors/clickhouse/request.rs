//! What is asked of a server: statements, small answers as texts, blocks to insert, and rows as a stream.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::answer::Answer;
use super::connect::{Reply, Server, within};
use super::errors;
use crate::error::{Error, ErrorKind, Result};

/// A setting of one request.
pub(super) type Setting<'a> = (&'a str, String);

/// Statements that change much, as the commit of many rows, take their time; longer than this none does.
const STATEMENT_LIMIT: Duration = Duration::from_hours(24);
/// Bytes of a small answer.
const MOST_BYTES: usize = 64 << 20;
/// Bytes of an error's text.
const ERROR_BYTES: usize = 64 << 10;

/// Limits of a user's profile may cut an answer short without a word: where one is reached, that is an error.
const NOTHING_CUT: [(&str, &str); 11] = [
    ("read_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("timeout_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("sort_overflow_mode", "throw"),
    ("set_overflow_mode", "throw"),
    ("join_overflow_mode", "throw"),
    ("distinct_overflow_mode", "throw"),
    ("skip_unavailable_shards", "0"),
    ("limit", "0"),
    ("offset", "0"),
];

impl Server {
    /// Runs a statement.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.run_with(sql, &[]).await
    }

    /// Runs a statement under `settings`.
    pub(super) async fn run_with(&self, sql: &str, settings: &[Setting<'_>]) -> Result<()> {
        self.whole(sql, settings).await.map(drop)
    }

    /// The rows of `sql`, which ends in no FORMAT, with all values as texts.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let settings = [("output_format_json_quote_64bit_integers", "1".to_owned())];
        let answer = self.whole(&format!("{sql} FORMAT JSONCompactEachRow"), &settings).await?;
        let odd = |source| Error::new(ErrorKind::Corrupt, "the server's answer is no JSON").with_source(source);
        let value = |value: Json| match value {
            Json::Null => None,
            Json::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        let text = String::from_utf8_lossy(&answer);
        let row = |line: &str| {
            let values: Vec<Json> = serde_json::from_str(line).map_err(odd)?;
            Ok(values.into_iter().map(value).collect())
        };
        text.lines().filter(|line| !line.is_empty()).map(row).collect()
    }

    /// The first value of `sql`.
    pub(super) async fn text(&self, sql: &str) -> Result<Option<String>> {
        Ok(self.rows(sql).await?.into_iter().flatten().next().flatten())
    }

    /// The first value of `sql`, a whole number that is not negative.
    pub(super) async fn number(&self, sql: &str) -> Result<Option<u64>> {
        Ok(self.text(sql).await?.and_then(|text| text.parse().ok()))
    }

    /// Inserts `block` by `sql`, an INSERT that ends in its FORMAT.
    pub(super) async fn insert(&self, sql: &str, settings: &[Setting<'_>], block: Bytes) -> Result<()> {
        let limit = self.config().timeout;
        let path = self.path(sql, settings.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = async { self.drained(self.send(&path, block).await?, limit).await };
        within(limit, "inserting a block", answer).await.map(drop)
    }

    /// The rows of `sql`, which ends in FORMAT `ArrowStream`.
    pub(super) async fn stream(self: &Arc<Self>, sql: &str, settings: &[Setting<'_>]) -> Result<Answer> {
        let limit = self.config().timeout;
        let all = settings.iter().map(|(name, value)| (*name, value.as_str())).chain(NOTHING_CUT);
        let path = self.path("", all);
        let reply = within(limit, "the answer", self.send(&path, Bytes::from(sql.to_owned()))).await?;
        Ok(Answer::new(Arc::clone(self), self.checked(reply, limit).await?))
    }

    async fn whole(&self, sql: &str, settings: &[Setting<'_>]) -> Result<Vec<u8>> {
        // What fails late still has its status.
        let own = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let own = own.chain(NOTHING_CUT).chain([("wait_end_of_query", "1")]);
        let path = self.path("", own);
        let limit = Some(STATEMENT_LIMIT);
        let reply = within(limit, "the statement", self.send(&path, Bytes::from(sql.to_owned()))).await?;
        self.drained(reply, limit).await
    }

    fn path<'a>(&self, query: &str, settings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut path = format!("/?database={}", encoded(&self.config().database));
        for (name, value) in settings {
            let _ = write!(path, "&{name}={}", encoded(value));
        }
        if !query.is_empty() {
            let _ = write!(path, "&query={}", encoded(query));
        }
        path
    }

    /// `reply`, if it is no error.
    async fn checked(&self, mut reply: Reply, limit: Option<Duration>) -> Result<Reply> {
        if reply.status() == 200 {
            return Ok(reply);
        }
        let status = reply.status();
        let mut text = Vec::new();
        while text.len() < ERROR_BYTES
            && let Some(piece) = reply.piece(self, limit).await?
        {
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&text);
        if errors::is_exception(&text) {
            return Err(errors::of_text(&text));
        }
        let message = format!("the server answered with the status {status} of HTTP and no message of ClickHouse");
        Err(Error::new(ErrorKind::Connection, message)
            .with_hint("check that the port is that of ClickHouse's HTTP interface")
            .as_kind(if status >= 500 { ErrorKind::Connection } else { ErrorKind::Usage }))
    }

    async fn drained(&self, reply: Reply, limit: Option<Duration>) -> Result<Vec<u8>> {
        let mut reply = self.checked(reply, limit).await?;
        let mut all = Vec::new();
        while let Some(piece) = reply.piece(self, limit).await? {
            if all.len() + piece.len() > MOST_BYTES {
                return Err(Error::new(
                    ErrorKind::Resource,
                    "the answer is longer than 64 MiB, which was not expected",
                ));
            }
            all.extend_from_slice(&piece);
        }
        let end = &all[all.len().saturating_sub(ERROR_BYTES)..];
        if memchr::memmem::find(end, b"\r\n__exception__\r\n").is_some() {
            return Err(errors::of_text(&String::from_utf8_lossy(end)));
        }
        Ok(all)
    }
}
