//! How a connection begins: the packets before the login, and TLS within them.
//!
//! The driver is built without TLS, whose provider of cryptography would be another one than ours. So the two sides agree on TLS
//! here; the driver, which begins with the same packet, is told that there is none, and speaks through what is encrypted already.
//!
//! ```text
//! encrypt=required   PRELOGIN · PRELOGIN(TLS handshake) … · TLS(LOGIN7 …)
//! encrypt=strict     TLS(PRELOGIN · LOGIN7 …)
//! ```
//!
//! Source: \[MS-TDS\] 2.2.6.5 "PRELOGIN" and 3.2.5.2 "Sent TLS/SSL Negotiation Packet State".

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::config::{Config, Encrypt};
use super::tls;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of the header of a packet.
const HEADER: usize = 8;
/// Types of packets.
const ANSWER: u8 = 0x04;
const PRELOGIN: u8 = 0x12;
/// The packet is the last of its message.
const LAST: u8 = 0x01;

/// What a PRELOGIN says of TLS.
mod encryption {
    pub(super) const ON: u8 = 1;
    pub(super) const NOT_SUPPORTED: u8 = 2;
    pub(super) const REQUIRED: u8 = 3;
}

/// Options of a PRELOGIN.
mod field {
    pub(super) const VERSION: u8 = 0;
    pub(super) const ENCRYPTION: u8 = 1;
    pub(super) const INSTANCE: u8 = 2;
    pub(super) const THREAD: u8 = 3;
    pub(super) const MARS: u8 = 4;
    pub(super) const END: u8 = 0xff;
}

/// Bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What the driver speaks through.
pub(super) struct Wire {
    inner: Box<dyn Duplex>,
    /// What the driver reads first: an answer to its first packet.
    answer: Vec<u8>,
    /// How much of that packet, which stays here, was seen.
    first: First,
}

/// The first packet of the driver.
enum First {
    /// So much of its header.
    Header(Vec<u8>),
    /// So many bytes of it are to come.
    Rest(usize),
    Over,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

/// Agrees on TLS over `stream`, with the server that is to be `host`.
///
/// # Errors
/// [`Connection`](ErrorKind::Connection) where the two do not agree or the server speaks something else; those of TLS.
pub(super) async fn begin(config: &Config, host: &str, mut stream: TcpStream) -> Result<Wire> {
    let connector = tls::connector(config)?;
    if config.encrypt == Encrypt::Strict {
        let Some(connector) = connector else { return Err(unexpected()) };
        let stream = connector.secure(host, stream).await?;
        return Ok(Wire { inner: Box::new(stream), answer: Vec::new(), first: First::Over });
    }
    let wanted = if connector.is_some() { encryption::ON } else { encryption::NOT_SUPPORTED };
    stream.write_all(&packet(PRELOGIN, &request(wanted))).await?;
    let answered = read_packet(&mut stream).await?;
    let given = option_of(&answered, field::ENCRYPTION).and_then(|bytes| bytes.first().copied());
    let has_tls = match given {
        Some(encryption::ON | encryption::REQUIRED) => true,
        Some(_) => false,
        None => return Err(unexpected()),
    };
    let inner: Box<dyn Duplex> = match (connector, has_tls) {
        (Some(connector), true) => {
            let mut secured = connector.secure(host, Handshake::new(stream)).await?;
            secured.get_mut().0.done();
            Box::new(secured)
        }
        (None, false) => Box::new(stream),
        (Some(_), false) => {
            return Err(Error::new(ErrorKind::Connection, "the server does not offer TLS")
                .with_hint("set it up there, or use encrypt=none on a network that you trust"));
        }
        (None, true) => {
            return Err(Error::new(ErrorKind::Connection, "the server lets nobody in without TLS")
                .with_hint("leave encrypt=none out of the URL"));
        }
    };
    let version = option_of(&answered, field::VERSION).filter(|bytes| bytes.len() == 6).unwrap_or(&[0; 6]);
    let told = options(&[(field::VERSION, version), (field::ENCRYPTION, &[encryption::NOT_SUPPORTED])]);
    Ok(Wire { inner, answer: packet(ANSWER, &told), first: First::Header(Vec::new()) })
}

fn unexpected() -> Error {
    Error::new(ErrorKind::Connection, "what answers does not speak TDS").with_hint("check host and port")
}

/// What we say first.
fn request(encryption: u8) -> Vec<u8> {
    options(&[
        (field::VERSION, &[0; 6]),
        (field::ENCRYPTION, &[encryption]),
        (field::INSTANCE, &[0]),
        (field::THREAD, &[0; 4]),
        (field::MARS, &[0]),
    ])
}

/// Options as a PRELOGIN has them: a table of where each lies, then the bytes.
fn options(all: &[(u8, &[u8])]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut bytes = Vec::new();
    let start = all.len() * 5 + 1;
    for (name, value) in all {
        table.push(*name);
        table.extend(((start + bytes.len()) as u16).to_be_bytes());
        table.extend((value.len() as u16).to_be_bytes());
        bytes.extend_from_slice(value);
    }
    table.push(field::END);
    table.extend(bytes);
    table
}

/// The bytes of the option `name`; none where there is no such, or the table does not parse.
fn option_of(message: &[u8], name: u8) -> Option<&[u8]> {
    let mut rest = message;
    loop {
        match rest {
            [found, at @ ..] if *found == name && name != field::END => {
                let start = usize::from(u16::from_be_bytes([*at.first()?, *at.get(1)?]));
                let length = usize::from(u16::from_be_bytes([*at.get(2)?, *at.get(3)?]));
                return message.get(start..start + length);
            }
            [field::END, ..] | [] => return None,
            _ => rest = rest.get(5..)?,
        }
    }
}

/// `payload` as a message of one packet.
fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = header(kind, payload.len()).to_vec();
    packet.extend_from_slice(payload);
    packet
}

fn header(kind: u8, payload: usize) -> [u8; HEADER] {
    let [high, low] = ((payload + HEADER) as u16).to_be_bytes();
    [kind, LAST, high, low, 0, 0, 0, 0]
}

/// Bytes behind the header of a packet; none where there are fewer than none.
fn payload_of(header: &[u8]) -> Option<usize> {
    usize::from(u16::from_be_bytes([*header.get(2)?, *header.get(3)?])).checked_sub(HEADER)
}

/// The answer to a PRELOGIN.
async fn read_packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.map_err(|error| unexpected().with_source(error))?;
    let length = payload_of(&header).filter(|_| header[0] == ANSWER).ok_or_else(unexpected)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.answer.is_empty() {
            return Pin::new(&mut wire.inner).poll_read(cx, buf);
        }
        let count = wire.answer.len().min(buf.remaining());
        buf.put_slice(&wire.answer[..count]);
        wire.answer.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl First {
    /// How many bytes at the beginning of `bytes` belong to it.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        if let Self::Header(seen) = self {
            taken = bytes.len().min(HEADER - seen.len());
            seen.extend_from_slice(&bytes[..taken]);
            if seen.len() < HEADER {
                return Ok(taken);
            }
            let length = payload_of(seen).filter(|_| seen[0] == PRELOGIN);
            let length = length.ok_or_else(|| io::Error::other("the driver did not begin with a PRELOGIN"))?;
            *self = Self::Rest(length);
        }
        if let Self::Rest(left) = self {
            let more = (bytes.len() - taken).min(*left);
            *left -= more;
            taken += more;
            if *left == 0 {
                *self = Self::Over;
            }
        }
        Ok(taken)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if matches!(wire.first, First::Over) {
            return Pin::new(&mut wire.inner).poll_write(cx, bytes);
        }
        Poll::Ready(wire.first.take(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A connection on which the bytes of a TLS handshake go in packets; when it is over, they go as they are.
struct Handshake<S> {
    inner: S,
    in_packets: bool,
    /// What is to be written, without its header yet.
    written: Vec<u8>,
    /// What is being sent, with its header.
    sending: Vec<u8>,
    /// So much of the header of the packet that comes.
    header: Vec<u8>,
    /// Bytes of it that are to come.
    coming: usize,
}

impl<S> Handshake<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            in_packets: true,
            written: Vec::new(),
            sending: Vec::new(),
            header: Vec::with_capacity(HEADER),
            coming: 0,
        }
    }

    /// From now on bytes go as they are.
    fn done(&mut self) {
        self.in_packets = false;
    }
}

impl<S: AsyncRead + Unpin> Handshake<S> {
    /// Reads up to `most` bytes; none at the end of the stream.
    fn poll_some(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut bytes = vec![0; most];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        bytes.truncate(count);
        Poll::Ready(Ok(bytes))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Handshake<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.in_packets {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        while this.coming == 0 {
            let bytes = ready!(this.poll_some(cx, HEADER - this.header.len()))?;
            if bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.header.extend(bytes);
            if this.header.len() == HEADER {
                let payload = payload_of(&this.header).filter(|_| this.header[0] == PRELOGIN);
                this.coming = payload
                    .ok_or_else(|| io::Error::other("the server broke off the handshake with a packet of TDS"))?;
                this.header.clear();
            }
        }
        let bytes = ready!(this.poll_some(cx, this.coming.min(buf.remaining())))?;
        this.coming -= bytes.len();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Handshake<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.in_packets {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        }
        this.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            while !this.sending.is_empty() {
                let count = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.sending))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                this.sending.drain(..count);
            }
            if this.written.is_empty() {
                return Pin::new(&mut this.inner).poll_flush(cx);
            }
            // A flight of a handshake is far shorter than the length of a packet allows.
            let flight = std::mem::take(&mut this.written);
            this.sending = packet(PRELOGIN, &flight);
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_where_the_table_says() {
        let message = request(encryption::ON);
        // From [MS-TDS] 4.1 "Pre-Login Request": VERSION lies right behind the table.
        assert_eq!(&message[..6], [0, 0, 26, 0, 6, 1]);
        assert_eq!(option_of(&message, field::ENCRYPTION), Some(&[encryption::ON][..]));
        assert_eq!(option_of(&message, field::THREAD), Some(&[0; 4][..]));
        assert_eq!(option_of(&message, 9), None);
        assert_eq!(option_of(&[1, 0, 200, 0, 1, 0xff], field::ENCRYPTION), None, "beyond the end");
        assert_eq!(option_of(&[1, 0], field::ENCRYPTION), None, "cut off");
    }

    #[test]
    fn the_first_packet_stays_here() {
        let sent = [packet(PRELOGIN, &[1, 2, 3]), vec![0x10, 1]].concat();
        for step in [1, 3, 64] {
            let (mut first, mut kept) = (First::Header(Vec::new()), 0);
            while !matches!(first, First::Over) {
                let end = sent.len().min(kept + step);
                kept += first.take(&sent[kept..end]).unwrap();
            }
            assert_eq!(kept, HEADER + 3, "{step}");
        }
        assert!(First::Header(Vec::new()).take(&packet(0x10, &[])).is_err());
    }

    #[tokio::test]
    async fn a_handshake_goes_in_packets_until_it_is_over() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let mut ours = Handshake::new(ours);
        ours.write_all(b"hello").await.unwrap();
        ours.write_all(b" you").await.unwrap();
        ours.flush().await.unwrap();
        let mut seen = vec![0; HEADER + 9];
        theirs.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, packet(PRELOGIN, b"hello you"));

        theirs.write_all(&[packet(PRELOGIN, b"ab"), packet(PRELOGIN, b"c")].concat()).await.unwrap();
        let mut read = [0; 3];
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"abc");
        ours.done();
        theirs.write_all(b"plain").await.unwrap();
        let mut read = [0; 5];
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"plain");
    }
}
