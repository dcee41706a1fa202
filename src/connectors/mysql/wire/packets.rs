//! Packets: what the protocol cuts everything into. Three bytes of length, one that counts, then the payload; a payload
//! of 16 MiB or more goes on in the next packet.
//!
//! Source: "MySQL Packets" in MySQL's description of the client/server protocol.

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::super::decode::Frames;
use crate::error::{Error, ErrorKind, Result};

/// The longest payload of one packet; one of this length is followed by another.
const MOST: usize = 0xff_ffff;
/// Length and count.
const HEADER: usize = 4;
/// Bytes that are asked of the network at once, at least.
const READ_BYTES: usize = 64 << 10;
/// The longest payload that is taken: the server's own limit for a packet is 1 GiB.
const LONGEST: usize = 1 << 30;

/// Whatever bytes flow over.
pub(in super::super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Transport for T {}

/// A stream, packet by packet.
pub(in super::super) struct Packets<S> {
    stream: S,
    inbox: BytesMut,
    /// The count of the next packet, either way.
    next: u8,
}

/// What came after rows.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum End {
    /// More may come.
    Open,
    /// Nothing more: the packet that says so, or why.
    Closed(Bytes),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    /// The conversation over `stream`.
    pub(in super::super) fn new(stream: S) -> Self {
        Self { stream, inbox: BytesMut::new(), next: 0 }
    }

    /// The same conversation over another stream. What was read ahead is given up: before a login goes on in TLS there is
    /// nothing that a server may have said.
    pub(in super::super) async fn over<T>(self, change: impl AsyncFnOnce(S) -> Result<T>) -> Result<Packets<T>> {
        Ok(Packets { stream: change(self.stream).await?, inbox: BytesMut::new(), next: self.next })
    }

    /// Begins a command: packets are counted anew.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    /// Sends one payload.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<()> {
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(MOST));
            let mut header = (part.len() as u32).to_le_bytes();
            header[3] = self.next;
            self.next = self.next.wrapping_add(1);
            self.stream.write_all(&header).await.map_err(broken)?;
            self.stream.write_all(part).await.map_err(broken)?;
            rest = after;
            // One of full length is followed by another, if only by an empty one.
            if part.len() < MOST {
                return self.stream.flush().await.map_err(broken);
            }
        }
    }

    /// Receives one payload.
    pub(super) async fn receive(&mut self) -> Result<Bytes> {
        let mut whole: Option<BytesMut> = None;
        loop {
            let length = self.header().await?;
            self.fill(HEADER + length).await?;
            self.next = self.inbox[3].wrapping_add(1);
            self.inbox.advance(HEADER);
            let part = self.inbox.split_to(length);
            match &mut whole {
                None if length < MOST => return Ok(part.freeze()),
                None => whole = Some(part),
                Some(whole) => whole.extend_from_slice(&part),
            }
            match whole {
                Some(whole) if whole.len() > LONGEST => return Err(malformed()),
                Some(whole) if length < MOST => return Ok(whole.freeze()),
                _ => {}
            }
        }
    }

    /// Receives rows, until there are `rows` of them, or `bytes` bytes, or an end. A packet whose first byte is in `ends` ends them
    /// if it is short enough to be no row.
    pub(super) async fn receive_rows(&mut self, rows: usize, bytes: usize) -> Result<(Frames, End)> {
        let mut found = Vec::new();
        let mut at = 0;
        while found.len() < rows && at < bytes {
            let length = match self.packet_at(at) {
                Some(length) => length,
                // What is there is worth sending on before more is waited for.
                None if at >= READ_BYTES && !found.is_empty() => break,
                None => {
                    self.read_more(at).await?;
                    continue;
                }
            };
            let payload = at + HEADER;
            if length == MOST {
                if found.is_empty() {
                    let whole = self.receive().await?;
                    let length = u32::try_from(whole.len()).map_err(|_| malformed())?;
                    return Ok((Frames { bytes: whole, rows: vec![(0, length)] }, End::Open));
                }
                break;
            }
            if ends(&self.inbox[payload..payload + length]) {
                if found.is_empty() {
                    let end = self.receive().await?;
                    return Ok((Frames { bytes: Bytes::new(), rows: found }, End::Closed(end)));
                }
                break;
            }
            self.next = self.inbox[at + 3].wrapping_add(1);
            found.push((u32::try_from(payload).map_err(|_| malformed())?, length as u32));
            at = payload + length;
        }
        Ok((Frames { bytes: self.inbox.split_to(at).freeze(), rows: found }, End::Open))
    }

    /// The length of the payload of the packet at `at`, if it is there as a whole.
    fn packet_at(&self, at: usize) -> Option<usize> {
        let length = length_of(*self.inbox.get(at..)?.first_chunk()?);
        (self.inbox.len() >= at + HEADER + length).then_some(length)
    }

    async fn header(&mut self) -> Result<usize> {
        self.fill(HEADER).await?;
        Ok(length_of(*self.inbox.first_chunk().ok_or_else(malformed)?))
    }

    async fn fill(&mut self, bytes: usize) -> Result<()> {
        while self.inbox.len() < bytes {
            self.inbox.reserve((bytes - self.inbox.len()).max(READ_BYTES));
            if self.stream.read_buf(&mut self.inbox).await.map_err(broken)? == 0 {
                return Err(ended());
            }
        }
        Ok(())
    }

    /// Reads once more behind `at`.
    async fn read_more(&mut self, at: usize) -> Result<()> {
        let wanted = match self.inbox.get(at..).and_then(<[u8]>::first_chunk) {
            Some(header) => HEADER + length_of(*header),
            None => HEADER,
        };
        self.fill((at + wanted).min(self.inbox.len() + READ_BYTES).max(self.inbox.len() + 1)).await
    }
}

impl<S: Transport + 'static> Packets<S> {
    pub(super) fn boxed(self) -> Packets<Box<dyn Transport>> {
        Packets { stream: Box::new(self.stream), inbox: self.inbox, next: self.next }
    }
}

fn length_of(header: [u8; HEADER]) -> usize {
    u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize
}

/// Whether a packet says that there are no more rows, or why there are none.
fn ends(payload: &[u8]) -> bool {
    match payload.first() {
        Some(0xff) => true,
        // In rows of texts it begins a text of 16 MiB or more.
        Some(0xfe) => payload.len() < 9,
        _ => false,
    }
}

pub(super) fn malformed() -> Error {
    Error::new(ErrorKind::Corrupt, "the server sent what is no packet of MySQL's protocol")
        .with_hint("check that host and port are those of MySQL or MariaDB")
}

fn broken(source: std::io::Error) -> Error {
    let error = Error::new(ErrorKind::Connection, "the connection to the server broke");
    error.with_hint("look into the server's log, then run it again").with_source(source)
}

fn ended() -> Error {
    Error::new(ErrorKind::Connection, "the server has ended the connection")
        .with_hint("look into the server's log, then run it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(count: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
        bytes[3] = count;
        bytes.extend_from_slice(payload);
        bytes
    }

    fn packets(bytes: Vec<u8>) -> Packets<tokio::io::DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(bytes.len() + 1);
        let (_, mut theirs) = tokio::io::split(theirs);
        tokio::spawn(async move { theirs.write_all(&bytes).await });
        Packets::new(ours)
    }

    #[tokio::test]
    async fn a_long_payload_comes_in_parts() {
        let long = vec![7; MOST + 3];
        let mut bytes = packet(0, &long[..MOST]);
        bytes.extend(packet(1, &long[MOST..]));
        bytes.extend(packet(2, &[]));
        let mut packets = packets(bytes);
        assert_eq!(packets.receive().await.unwrap(), long);
        assert!(packets.receive().await.unwrap().is_empty());
        assert_eq!(packets.receive().await.unwrap_err().kind(), ErrorKind::Connection);
    }

    #[tokio::test]
    async fn what_is_sent_arrives() {
        for length in [0, 1, MOST - 1, MOST, MOST + 1] {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let payload = vec![9; length];
            let sent = payload.clone();
            tokio::spawn(async move { Packets::new(ours).send(&sent).await });
            assert_eq!(Packets::new(theirs).receive().await.unwrap(), payload, "{length}");
        }
    }

    #[tokio::test]
    async fn rows_come_together_up_to_their_end() {
        let mut bytes = Vec::new();
        for count in 0..5 {
            bytes.extend(packet(count, &[0, count, count]));
        }
        bytes.extend(packet(5, &[0xfe, 0, 0, 2, 0]));
        let mut packets = packets(bytes);
        let (frames, end) = packets.receive_rows(3, 1 << 20).await.unwrap();
        assert_eq!((frames.rows.len(), end), (3, End::Open));
        let (start, length) = frames.rows[2];
        assert_eq!(frames.bytes[start as usize..][..length as usize], [0, 2, 2]);
        let (frames, end) = packets.receive_rows(3, 1 << 20).await.unwrap();
        assert_eq!((frames.rows.len(), end), (2, End::Open));
        let (frames, end) = packets.receive_rows(3, 1 << 20).await.unwrap();
        assert!(frames.rows.is_empty() && matches!(end, End::Closed(_)));
    }

    #[tokio::test]
    async fn a_row_of_several_packets_stands_alone() {
        let long = vec![0; MOST + 1];
        let mut bytes = packet(0, &[0, 1]);
        bytes.extend(packet(1, &long[..MOST]));
        bytes.extend(packet(2, &long[MOST..]));
        bytes.extend(packet(3, &[0xff, 1, 1]));
        let mut packets = packets(bytes);
        let mut lengths = Vec::new();
        loop {
            let (frames, end) = packets.receive_rows(100, usize::MAX).await.unwrap();
            lengths.extend(frames.rows.iter().map(|(_, length)| *length as usize));
            if end != End::Open {
                break;
            }
        }
        assert_eq!(lengths, [2, MOST + 1]);
    }
}
