//! Record ends in consecutive buffers: line feeds, or the closing braces of an array's objects.

use crate::error::{Error, ErrorKind, Result};
use crate::formats::{RecordEnd, RecordScanner};

/// Finds out from the first byte which of the two it is.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    mode: Mode,
    /// Line ends since the record end reported last.
    lines: u64,
}

#[derive(Debug, Default)]
enum Mode {
    /// Nothing but white space so far.
    #[default]
    Blank,
    Lines,
    Array(Nesting),
}

#[derive(Debug, Default)]
struct Nesting {
    depth: u64,
    in_string: bool,
    escaped: bool,
    closed: bool,
}

impl Nesting {
    /// Takes a byte; true when it closes an object of the array.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.closed |= self.depth == 0;
                return self.depth == 1;
            }
            _ => {}
        }
        false
    }
}

/// Whether the records are those of an array.
pub(super) fn is_array(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'[' | b',' | b']'))
}

impl RecordScanner for Scanner {
    fn feed(&mut self, bytes: &[u8]) -> Option<RecordEnd> {
        if matches!(self.mode, Mode::Blank) && !bytes.trim_ascii_start().is_empty() {
            self.mode = if is_array(bytes) { Mode::Array(Nesting::default()) } else { Mode::Lines };
        }
        let offset = match &mut self.mode {
            Mode::Blank => None,
            Mode::Lines => memchr::memrchr(b'\n', bytes),
            Mode::Array(nesting) => {
                let mut last = None;
                for (at, byte) in bytes.iter().enumerate() {
                    if nesting.step(*byte) {
                        last = Some(at);
                    }
                }
                last
            }
        }
        .map(|at| at + 1);
        let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
        let Some(offset) = offset else {
            self.lines += count(bytes);
            return None;
        };
        let lines = self.lines + count(&bytes[..offset]);
        self.lines = count(&bytes[offset..]);
        Some(RecordEnd { offset, lines })
    }

    fn finish(&mut self) -> Result<()> {
        match &self.mode {
            Mode::Array(nesting) if !nesting.closed => {
                Err(Error::new(ErrorKind::Corrupt, "the array of objects is never closed")
                    .with_hint("the file seems to be cut off"))
            }
            _ => Ok(()),
        }
    }
}
