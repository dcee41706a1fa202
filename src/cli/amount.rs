//! Amounts as people read them: `1,234,567`, `52.4 MB`, `3m 07s`.

/// A count with its thousands apart.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count in three digits or so: `1.23M`.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = scaled(value, ["", "k", "M", "G", "T"]);
    format!("{scaled}{unit}")
}

/// Bytes in three digits or so: `52.4 MB`.
pub(super) fn bytes(value: f64) -> String {
    let (scaled, unit) = scaled(value, ["B", "kB", "MB", "GB", "TB"]);
    format!("{scaled} {unit}")
}

fn scaled(value: f64, units: [&'static str; 5]) -> (String, &'static str) {
    let mut value = value.max(0.0);
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    (format!("{value:.decimals$}"), units[unit])
}

/// A span of time: `0.25 s`, `12.3 s`, `3m 07s`, `2h 05m`.
pub(super) fn seconds(value: f64) -> String {
    let whole = value.max(0.0).round() as u64;
    match whole {
        0..10 => format!("{value:.2} s"),
        10..60 => format!("{value:.1} s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

/// A count and its noun: `1 row`, `2 rows`.
pub(super) fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_right() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 12.0, 999.4, 999.6, 1234.0, 56_780.0, 2.5e9].map(short),
            ["0", "12", "999", "1.00k", "1.23k", "56.8k", "2.50G"]
        );
        assert_eq!(bytes(52_430_000.0), "52.4 MB");
        assert_eq!([0.254, 12.34, 187.2, 7500.0].map(seconds), ["0.25 s", "12.3 s", "3m 07s", "2h 05m"]);
        assert_eq!([1, 2].map(|rows| counted(rows, "row")), ["1 row", "2 rows"]);
    }
}
