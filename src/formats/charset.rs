//! Encodings of text files: names, decoding as a stream, encoding piece by piece.
//!
//! Everything else in the formats sees UTF-8. Nothing is replaced: bytes that are no text of the encoding, and characters
//! that it lacks, are errors. Names are those of the WHATWG's Encoding Standard, and those that Java has beside them.
//! ISO-8859-1 and US-ASCII are meant as they are named, not as windows-1252.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{DecoderResult, EncoderResult, Encoding};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Bytes that are decoded at once.
const BUFFER_BYTES: usize = 64 << 10;

/// How the text of a file is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// Each byte is the character of its number, up to this one.
    Single(u8),
    /// UTF-16.
    Utf16(Order),
    /// Another one.
    Other(&'static Encoding),
}

/// Which byte of a unit of UTF-16 comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The byte order mark of the file says it; without one it is big-endian.
    Marked,
    /// The lower one.
    Little,
    /// The higher one.
    Big,
}

/// A character that the encoding lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking;

impl Charset {
    /// The encoding of this name, in small or large letters.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for a name that is unknown.
    pub fn parse(name: &str) -> Result<Self> {
        let lower = name.trim().to_ascii_lowercase();
        let dashed = lower.replace('_', "-");
        let of_label = |label: &str| Encoding::for_label_no_replacement(label.as_bytes());
        Ok(match dashed.as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "utf-16" | "utf16" => Self::Utf16(Order::Marked),
            "utf-16le" | "utf16le" => Self::Utf16(Order::Little),
            "utf-16be" | "utf16be" => Self::Utf16(Order::Big),
            "iso-8859-1" | "iso8859-1" | "iso88591" | "latin1" | "latin-1" | "l1" | "cp819" | "ibm819" => {
                Self::Single(0xff)
            }
            "us-ascii" | "ascii" | "ansi-x3.4-1968" => Self::Single(0x7f),
            "cp936" | "ms936" => Self::Other(encoding_rs::GBK),
            "cp950" | "ms950" => Self::Other(encoding_rs::BIG5),
            "cp932" | "ms932" => Self::Other(encoding_rs::SHIFT_JIS),
            "cp949" | "ms949" => Self::Other(encoding_rs::EUC_KR),
            label => match of_label(&lower).or_else(|| of_label(label)) {
                Some(encoding) if encoding == encoding_rs::UTF_8 => Self::Utf8,
                Some(encoding) if encoding == encoding_rs::UTF_16LE => Self::Utf16(Order::Little),
                Some(encoding) if encoding == encoding_rs::UTF_16BE => Self::Utf16(Order::Big),
                Some(encoding) => Self::Other(encoding),
                None => {
                    return Err(Error::new(ErrorKind::Usage, format!("there is no encoding {name:?}")).with_hint(
                        "use utf-8, utf-16, gbk, gb18030, big5, shift_jis, euc-jp, euc-kr, latin1, windows-1252 or another of \
                         the Encoding Standard",
                    ));
                }
            },
        })
    }

    /// Its name, which [`Charset::parse`] takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Single(0..=0x7f) => "US-ASCII",
            Self::Single(_) => "ISO-8859-1",
            Self::Utf16(Order::Marked) => "UTF-16",
            Self::Utf16(Order::Little) => "UTF-16LE",
            Self::Utf16(Order::Big) => "UTF-16BE",
            Self::Other(encoding) => encoding.name(),
        }
    }

    /// The encoding of a file that begins with `head`, two bytes of which are looked at: UTF-16 with its order.
    #[must_use]
    pub fn of_head(self, head: &[u8]) -> Self {
        match (self, head) {
            (Self::Utf16(Order::Marked), [0xff, 0xfe, ..]) => Self::Utf16(Order::Little),
            (Self::Utf16(Order::Marked), _) => Self::Utf16(Order::Big),
            (known, _) => known,
        }
    }

    /// The bytes that a file begins with.
    pub fn mark(self) -> &'static [u8] {
        if self == Self::Utf16(Order::Marked) { &[0xfe, 0xff] } else { &[] }
    }

    /// `text`, which is UTF-8, in this encoding.
    ///
    /// # Errors
    /// [`Lacking`] where there is a character that the encoding lacks.
    pub fn encode(self, text: Vec<u8>) -> Result<Vec<u8>, Lacking> {
        if self == Self::Utf8 {
            return Ok(text);
        }
        let text = simdutf8::basic::from_utf8(&text).map_err(|_| Lacking)?;
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Single(last) => {
                text.chars().map(|char| u8::try_from(char).ok().filter(|byte| *byte <= last).ok_or(Lacking)).collect()
            }
            Self::Utf16(Order::Little) => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            Self::Utf16(_) => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            Self::Other(encoding) => encode(encoding, text),
        }
    }

    /// The text of `inner` as UTF-8. A byte order mark stays in it.
    pub fn reader(self, inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        let decoder = match self {
            Self::Utf8 => return inner,
            Self::Single(last) => Decoder::Single(last),
            Self::Utf16(Order::Little) => Decoder::of(encoding_rs::UTF_16LE),
            Self::Utf16(_) => Decoder::of(encoding_rs::UTF_16BE),
            Self::Other(encoding) => Decoder::of(encoding),
        };
        let (raw, text) = (vec![0; BUFFER_BYTES], Vec::new());
        Box::new(Decoded { inner, charset: self, decoder, raw, text, given: 0, before: 0, ended: false })
    }
}

impl From<Charset> for String {
    fn from(charset: Charset) -> Self {
        charset.name().to_owned()
    }
}

impl TryFrom<String> for Charset {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::parse(&name)
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn encode(encoding: &'static Encoding, text: &str) -> Result<Vec<u8>, Lacking> {
    let mut encoder = encoding.new_encoder();
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut rest = text;
    loop {
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => break,
            EncoderResult::OutputFull => out.reserve(rest.len() + 16),
            EncoderResult::Unmappable(_) => return Err(Lacking),
        }
    }
    // Some encoders write a character as another one: the yen sign as a backslash in Shift_JIS.
    let same = encoding.decode_without_bom_handling_and_without_replacement(&out).is_some_and(|found| found == text);
    if same { Ok(out) } else { Err(Lacking) }
}

enum Decoder {
    Single(u8),
    Other(Box<encoding_rs::Decoder>),
}

impl Decoder {
    fn of(encoding: &'static Encoding) -> Self {
        Self::Other(Box::new(encoding.new_decoder_without_bom_handling()))
    }

    /// Decodes all of `raw` into `text`. Else where bytes stand that are no text, which may be before `raw`.
    fn decode(&mut self, raw: &[u8], text: &mut Vec<u8>, last: bool) -> Result<(), i64> {
        match self {
            Self::Single(most) => {
                if let Some(at) = raw.iter().position(|byte| *byte > *most) {
                    return Err(at as i64);
                }
                text.resize(2 * raw.len(), 0);
                let written = encoding_rs::mem::convert_latin1_to_utf8(raw, text);
                text.truncate(written);
            }
            Self::Other(decoder) => {
                let most = decoder.max_utf8_buffer_length_without_replacement(raw.len()).unwrap_or(4 * raw.len() + 16);
                text.resize(most, 0);
                let (result, read, written) = decoder.decode_to_utf8_without_replacement(raw, text, last);
                text.truncate(written);
                match result {
                    DecoderResult::InputEmpty => {}
                    DecoderResult::Malformed(bytes, after) => {
                        return Err(read as i64 - i64::from(after) - i64::from(bytes));
                    }
                    // The buffer is as long as the longest text can be.
                    DecoderResult::OutputFull => return Err(read as i64),
                }
            }
        }
        Ok(())
    }
}

/// A stream that is decoded as it is read.
struct Decoded {
    inner: Box<dyn Read + Send>,
    charset: Charset,
    decoder: Decoder,
    raw: Vec<u8>,
    /// What is decoded, of which the first bytes were `given`.
    text: Vec<u8>,
    given: usize,
    /// Bytes of the file before those of `raw`.
    before: u64,
    ended: bool,
}

impl Decoded {
    fn fill(&mut self) -> io::Result<()> {
        let bytes = self.inner.read(&mut self.raw)?;
        self.ended = bytes == 0;
        self.given = 0;
        let decoded = self.decoder.decode(&self.raw[..bytes], &mut self.text, self.ended);
        decoded.map_err(|at| io::Error::other(misfit(self.charset, self.before.saturating_add_signed(at))))?;
        self.before += bytes as u64;
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended {
            self.fill()?;
        }
        let rest = &self.text[self.given..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.given += bytes;
        Ok(bytes)
    }
}

/// The error for bytes that are no text, from the one at `offset` on.
fn misfit(charset: Charset, offset: u64) -> Error {
    Error::new(ErrorKind::Value, format!("the text is not {charset} from byte {} of the file on", offset + 1))
        .with_hint("name the encoding of the file with --encoding, or get the file anew")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::compress::damage;

    fn decoded(charset: Charset, bytes: &[u8]) -> Result<String> {
        let mut text = String::new();
        // In small pieces, so that characters are cut.
        let pieces = bytes.chunks(3).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let mut whole: Box<dyn Read + Send> = Box::new(io::empty());
        for piece in pieces {
            whole = Box::new(whole.chain(io::Cursor::new(piece)));
        }
        charset.reader(whole).read_to_string(&mut text).map_err(damage)?;
        Ok(text)
    }

    /// The bytes are those of iconv.
    #[test]
    fn texts_are_encoded_as_other_programs_do_it() {
        let cases: [(&str, &str, &[u8]); 9] = [
            ("gbk", "中文a", b"\xd6\xd0\xce\xc4a"),
            ("gb18030", "中😀", b"\xd6\xd0\x94\x39\xfc\x36"),
            ("big5", "中文", b"\xa4\xa4\xa4\xe5"),
            ("shift_jis", "日本", b"\x93\xfa\x96\x7b"),
            ("latin1", "\u{85}é", b"\x85\xe9"),
            ("windows-1252", "…é", b"\x85\xe9"),
            ("koi8-r", "да", b"\xc4\xc1"),
            ("UTF-16LE", "a😀", b"a\0\x3d\xd8\x00\xde"),
            ("utf-16be", "a😀", b"\0a\xd8\x3d\xde\x00"),
        ];
        for (name, text, bytes) in cases {
            let charset = Charset::parse(name).unwrap();
            assert_eq!(charset.encode(text.as_bytes().to_vec()).unwrap(), bytes, "{name}");
            assert_eq!(decoded(charset, bytes).unwrap(), text, "{name}");
            assert_eq!(Charset::parse(charset.name()).unwrap(), charset);
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_place() {
        let cases: [(&str, &[u8], u64); 7] = [
            ("gbk", b"ab\xd6\xd0\xff", 5),
            ("gbk", b"abc\xd6", 4),
            ("gbk", b"ab\xd6 c", 3),
            ("ascii", b"abcd\xe9", 5),
            ("utf-16le", b"a\0\0\xd8b\0", 3),
            ("utf-16le", b"a\0b", 3),
            ("utf-16be", b"\0a\xdc\0", 3),
        ];
        for (name, bytes, place) in cases {
            let error = decoded(Charset::parse(name).unwrap(), bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Value);
            let told = format!("from byte {place} of the file on");
            assert!(error.message().ends_with(&told), "{name}: {}", error.message());
        }
    }

    #[test]
    fn what_an_encoding_lacks_is_not_replaced() {
        let lacking = [
            ("gbk", "a😀"),
            ("latin1", "€"),
            ("ascii", "é"),
            ("big5", "é中😀"),
            ("windows-1252", "中"),
            ("shift_jis", "¥5"),
            ("euc-jp", "\u{2212}5"),
            ("iso-2022-jp", "\u{ff76}"),
        ];
        for (name, text) in lacking {
            assert_eq!(Charset::parse(name).unwrap().encode(text.as_bytes().to_vec()), Err(Lacking), "{name}");
        }
    }

    #[test]
    fn a_mark_says_the_order_of_utf_16() {
        let marked = Charset::parse("utf-16").unwrap();
        assert_eq!(marked.of_head(b"\xff\xfea\0"), Charset::Utf16(Order::Little));
        assert_eq!(marked.of_head(b"\xfe\xff\0a"), Charset::Utf16(Order::Big));
        assert_eq!(marked.of_head(b"\0a"), Charset::Utf16(Order::Big));
        assert_eq!(Charset::Utf8.of_head(b"\xff\xfe"), Charset::Utf8);
        assert!(Charset::parse("ebcdic").is_err() && Charset::parse("iso-2022-kr").is_err());
    }

    proptest! {
        /// All of Unicode goes through these, cut anywhere, but for characters of private use, which GB 18030 has had in
        /// several places.
        #[test]
        fn texts_come_back(text in "[^\\u{e000}-\\u{f8ff}]*") {
            for name in ["utf-16", "utf-16le", "gb18030"] {
                let charset = Charset::parse(name).unwrap();
                let bytes = charset.encode(text.as_bytes().to_vec()).unwrap();
                prop_assert_eq!(&decoded(charset, &bytes).unwrap(), &text);
            }
        }
    }
}
