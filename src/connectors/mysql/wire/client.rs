//! One conversation after the login: statements, their rows, and what the server loads from us.

use std::fmt;

use bytes::Bytes;
use mysql_common::io::ParseBuf;
use mysql_common::packets::Column as Definition;
use mysql_common::proto::MyDeserialize as _;

use super::super::decode::{Frames, length};
use super::super::errors;
use super::login::Greeting;
use super::packets::{End, Packets, Transport, malformed};
use crate::error::{Error, ErrorKind, Result};

pub(in super::super) use mysql_common::packets::Column;

/// `COM_QUERY`, `COM_STMT_PREPARE`, `COM_STMT_EXECUTE`, `COM_STMT_CLOSE`, `COM_QUIT`.
const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;
const QUIT: u8 = 0x01;

/// Status: more results follow.
const MORE_RESULTS: u16 = 0x0008;
/// The server asks for a file.
const LOCAL_INFILE: u8 = 0xfb;
/// What is sent of a load in one packet: servers that take no packet of so many bytes are set up so by hand.
const LOAD_PACKET_BYTES: usize = 256 << 10;

/// A connection that is logged in.
pub(in super::super) struct Client {
    packets: Packets<Box<dyn Transport>>,
    greeting: Greeting,
    state: State,
    /// The statement whose rows are read.
    statement: Option<u32>,
}

/// Whether the next command may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// Rows are still to come.
    Rows,
    /// In the middle of something that was given up, or that failed: of no more use.
    Lost,
}

/// What a statement without rows did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Done {
    pub(in super::super) affected: u64,
    pub(in super::super) warnings: u16,
    /// `Records: 3  Deleted: 0  Skipped: 0  Warnings: 0`.
    pub(in super::super) info: String,
    status: u16,
}

/// A row as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Row(Vec<Option<String>>);

impl Row {
    /// The field at `index`; none for NULL.
    pub(in super::super) fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index)?.as_deref()
    }

    /// The field at `index` as a number.
    pub(in super::super) fn number<T: std::str::FromStr>(&self, index: usize) -> Option<T> {
        self.get(index)?.parse().ok()
    }
}

/// What statements gave.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Reply {
    /// The rows of the last statement that had any.
    pub(in super::super) rows: Vec<Row>,
    /// What the last one without rows did.
    pub(in super::super) done: Done,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("greeting", &self.greeting).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Client {
    pub(in super::super) fn new<S: Transport + 'static>(packets: Packets<S>, greeting: Greeting) -> Self {
        Self { packets: packets.boxed(), greeting, state: State::Ready, statement: None }
    }

    pub(in super::super) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Whether another command may be sent.
    pub(in super::super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether rows are still to come.
    pub(in super::super) fn is_reading(&self) -> bool {
        self.state == State::Rows
    }

    /// Runs one or several statements, parted by semicolons.
    pub(in super::super) async fn query(&mut self, sql: &str) -> Result<Reply> {
        self.command(QUERY, sql.as_bytes()).await?;
        let reply = self.reply().await;
        self.settle(reply)
    }

    /// Runs `sql`, a `LOAD DATA LOCAL`, whose file is `data`.
    pub(in super::super) async fn load(&mut self, sql: &str, data: &[Bytes]) -> Result<Done> {
        self.command(QUERY, sql.as_bytes()).await?;
        let done = self.feed(data).await;
        self.settle(done)
    }

    /// What the rows of `sql` will be like, without running it.
    pub(in super::super) async fn prepare(&mut self, sql: &str) -> Result<Vec<Column>> {
        let columns = self.prepared(sql).await;
        let columns = self.settle(columns)?;
        self.close_statement().await?;
        Ok(columns)
    }

    /// Runs `sql` and begins to read its rows, in binary form.
    pub(in super::super) async fn open(&mut self, sql: &str) -> Result<Vec<Column>> {
        let prepared = self.prepared(sql).await;
        self.settle(prepared)?;
        let opened = self.execute().await;
        let columns = self.settle(opened)?;
        self.state = State::Rows;
        Ok(columns)
    }

    /// The next rows, up to `rows` of them or `bytes` bytes; none when there are no more.
    pub(in super::super) async fn next_rows(&mut self, rows: usize, bytes: usize) -> Result<Option<Frames>> {
        if self.state != State::Rows {
            return Ok(None);
        }
        // Should this be given up half-way, nothing is lost: what was received is still in the box.
        match self.packets.receive_rows(rows, bytes).await {
            Ok((frames, End::Open)) => Ok(Some(frames)),
            Ok((_, End::Closed(packet))) if packet.first() == Some(&0xff) => {
                self.state = State::Ready;
                self.close_statement().await?;
                Err(errors::of_packet(&packet))
            }
            Ok((_, End::Closed(_))) => {
                self.state = State::Ready;
                self.close_statement().await?;
                Ok(None)
            }
            Err(error) => {
                self.state = State::Lost;
                Err(error)
            }
        }
    }

    /// Says good-bye.
    pub(in super::super) async fn quit(mut self) {
        if self.is_ready() {
            self.packets.begin();
            // The server ends the connection either way.
            let _ = self.packets.send(&[QUIT]).await;
        }
    }

    async fn command(&mut self, command: u8, text: &[u8]) -> Result<()> {
        if self.state != State::Ready {
            return Err(Error::new(ErrorKind::Connection, "the connection was given up in the middle of a statement"));
        }
        // Until its end is heard.
        self.state = State::Lost;
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.push(command);
        payload.extend_from_slice(text);
        self.packets.begin();
        self.packets.send(&payload).await
    }

    /// After an answer of the server the connection is as good as before; after a broken one it is not.
    fn settle<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.as_ref().err().is_none_or(errors::is_reply) {
            self.state = State::Ready;
        }
        result
    }

    async fn reply(&mut self) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            let packet = self.packets.receive().await?;
            let status = match packet.first() {
                Some(0x00) => {
                    reply.done = done(&packet)?;
                    reply.done.status
                }
                Some(0xff) => return Err(errors::of_packet(&packet)),
                Some(&LOCAL_INFILE) => {
                    // A statement of the user, or a server that is after our files.
                    self.packets.send(&[]).await?;
                    self.packets.receive().await?;
                    return Err(errors::refused("the server asks for a file of this machine: none is sent"));
                }
                Some(_) => {
                    let columns = self.columns(count(&packet)?).await?.len();
                    let (rows, status) = self.text_rows(columns).await?;
                    reply.rows = rows;
                    status
                }
                None => return Err(malformed()),
            };
            if status & MORE_RESULTS == 0 {
                return Ok(reply);
            }
        }
    }

    async fn text_rows(&mut self, columns: usize) -> Result<(Vec<Row>, u16)> {
        let mut rows = Vec::new();
        loop {
            let packet = self.packets.receive().await?;
            match packet.first() {
                Some(0xff) => return Err(errors::of_packet(&packet)),
                Some(0xfe) if packet.len() < 9 => return Ok((rows, end_status(&packet)?)),
                _ => rows.push(text_row(&packet, columns).ok_or_else(malformed)?),
            }
        }
    }

    async fn feed(&mut self, data: &[Bytes]) -> Result<Done> {
        let packet = self.packets.receive().await?;
        match packet.first() {
            Some(&LOCAL_INFILE) => {}
            Some(0xff) => return Err(errors::of_packet(&packet)),
            _ => return Err(malformed()),
        }
        for part in data.iter().flat_map(|bytes| bytes.chunks(LOAD_PACKET_BYTES)) {
            self.packets.send(part).await?;
        }
        self.packets.send(&[]).await?;
        let packet = self.packets.receive().await?;
        match packet.first() {
            Some(0x00) => done(&packet),
            Some(0xff) => Err(errors::of_packet(&packet)),
            _ => Err(malformed()),
        }
    }

    /// Prepares `sql`, keeps its number, and gives the columns of its rows.
    async fn prepared(&mut self, sql: &str) -> Result<Vec<Column>> {
        self.command(PREPARE, sql.as_bytes()).await?;
        let packet = self.packets.receive().await?;
        if packet.first() == Some(&0xff) {
            return Err(errors::of_packet(&packet));
        }
        let number = |at: usize| packet.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let id = packet.get(1..).and_then(<[u8]>::first_chunk).ok_or_else(malformed)?;
        let (columns, parameters) = (number(5).ok_or_else(malformed)?, number(7).ok_or_else(malformed)?);
        self.statement = Some(u32::from_le_bytes(*id));
        for wanted in [parameters, columns] {
            if wanted > 0 {
                let columns = self.columns(usize::from(wanted)).await?;
                if wanted == columns.len() as u16 && parameters == 0 {
                    return Ok(columns);
                }
            }
        }
        match parameters {
            0 => Ok(Vec::new()),
            _ => Err(errors::refused("the SQL has a ? outside of quotes, for which there is no value")),
        }
    }

    async fn execute(&mut self) -> Result<Vec<Column>> {
        let id = self.statement.ok_or_else(malformed)?.to_le_bytes();
        // No cursor, one iteration.
        let rest = [id.as_slice(), &[0], &1_u32.to_le_bytes()].concat();
        self.command(EXECUTE, &rest).await?;
        let packet = self.packets.receive().await?;
        match packet.first() {
            Some(0xff) => Err(errors::of_packet(&packet)),
            Some(0x00) => Err(errors::refused("the SQL gives no rows")),
            _ => self.columns(count(&packet)?).await,
        }
    }

    async fn close_statement(&mut self) -> Result<()> {
        let Some(id) = self.statement.take() else { return Ok(()) };
        self.packets.begin();
        self.packets.send(&[&[CLOSE], id.to_le_bytes().as_slice()].concat()).await
    }

    /// Receives `count` definitions of columns and what ends them.
    async fn columns(&mut self, count: usize) -> Result<Vec<Column>> {
        let mut columns = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            let packet = self.packets.receive().await?;
            columns.push(Definition::deserialize((), &mut ParseBuf(&packet)).map_err(|_| malformed())?);
        }
        self.packets.receive().await?;
        Ok(columns)
    }
}

fn count(packet: &[u8]) -> Result<usize> {
    // As many columns as a table may have, and many more.
    length(packet).map(|(count, _)| count as usize).filter(|count| *count <= 1 << 16).ok_or_else(malformed)
}

fn text_row(packet: &[u8], columns: usize) -> Option<Row> {
    let mut row = Vec::with_capacity(columns);
    let mut rest = packet;
    for _ in 0..columns {
        if let [0xfb, after @ ..] = rest {
            row.push(None);
            rest = after;
            continue;
        }
        let (length, after) = length(rest)?;
        let (text, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        row.push(Some(String::from_utf8_lossy(text).into_owned()));
        rest = after;
    }
    rest.is_empty().then_some(Row(row))
}

/// `OK`: affected rows, last id, status, warnings, and words.
fn done(packet: &[u8]) -> Result<Done> {
    let parse = || {
        let (affected, rest) = length(packet.get(1..)?)?;
        let (_, rest) = length(rest)?;
        let (fixed, info) = rest.split_at_checked(4)?;
        let info = match length(info) {
            // A text with its length, where sessions are tracked, and the whole rest where not.
            Some((length, text)) if length as usize == text.len() => text,
            _ => info,
        };
        Some(Done {
            affected,
            status: u16::from_le_bytes([fixed[0], fixed[1]]),
            warnings: u16::from_le_bytes([fixed[2], fixed[3]]),
            info: String::from_utf8_lossy(info).into_owned(),
        })
    };
    parse().ok_or_else(malformed)
}

/// `EOF`: warnings and status.
fn end_status(packet: &[u8]) -> Result<u16> {
    let status = packet.get(3..5).ok_or_else(malformed)?;
    Ok(u16::from_le_bytes([status[0], status[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_text() {
        assert_eq!(text_row(&[1, b'a', 0xfb, 0], 3), Some(Row(vec![Some("a".into()), None, Some(String::new())])));
        assert_eq!(text_row(&[1, b'a'], 2), None);
        assert_eq!(text_row(&[1, b'a', 0], 1), None);
        assert_eq!(text_row(&[5, b'a'], 1), None);
    }

    #[test]
    fn what_a_statement_did() {
        let packet = [&[0, 0xfc, 0x2c, 1, 0, 2, 0, 3, 0], b"Records: 300".as_slice()].concat();
        let done = done(&packet).unwrap();
        assert_eq!((done.affected, done.warnings, done.info.as_str()), (300, 3, "Records: 300"));
        assert!(super::done(&[0, 1]).is_err());
    }
}
