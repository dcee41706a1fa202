//! Times as Go writes them: `1s`, `500ms`, `1h30m`.

use std::time::Duration;

use crate::error::Result;
use crate::job::tree::Node;

/// Units, longer names before those that they begin with, in nanoseconds.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// The time that `node` says.
pub(super) fn duration(node: &Node<'_>) -> Result<Duration> {
    let text = node.text()?;
    parse(&text).ok_or_else(|| node.error(format!("{text:?} is no time")).with_hint("write it like 500ms, 1s or 1m30s"))
}

/// `1m30s`; `0` needs no unit.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let (unit, each) = UNITS.into_iter().find(|(unit, _)| rest[end..].starts_with(*unit))?;
        nanos += number * each;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(nanos / 1e9).ok()).flatten()
}
