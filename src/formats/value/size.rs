//! Amounts as people type them: `64MB`, `1GiB`, `100k`. The one grammar of sizes, in locators and in flags.
//!
//! `k`, `M`, `G` and `T` are powers of 1000, with an `i` behind powers of 1024. Case does not matter.

/// The number of bytes that `text` names; none for anything else.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (amount, unit) = scaled(text)?;
    matches!(unit.as_str(), "" | "b" | "byte" | "bytes").then_some(amount)
}

/// The number at the start of `text`, scaled by its prefix, and the lower-case unit behind it.
pub(crate) fn scaled(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let number: f64 = text[..end].replace('_', "").parse().ok()?;
    let unit = text[end..].trim_start().to_ascii_lowercase();
    let power = unit.chars().next().and_then(|prefix| "kmgt".find(prefix)).map(|at| at as i32 + 1);
    let rest = unit.get(usize::from(power.is_some())..).unwrap_or_default();
    let (base, rest) = match rest.strip_prefix('i') {
        Some(rest) if power.is_some() => (1024.0_f64, rest),
        _ => (1000.0, rest),
    };
    let amount = number * base.powi(power.unwrap_or(0));
    // Beyond 2^53 a float no longer counts bytes one by one, and no limit is that large.
    (0.0..9.0e15).contains(&amount).then(|| (amount.round() as u64, rest.trim_start().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        let table: [(&str, u64); 9] = [
            ("0", 0),
            ("4096", 4096),
            ("64MB", 64_000_000),
            ("64 mb", 64_000_000),
            ("1GiB", 1 << 30),
            ("1.5k", 1500),
            ("100k", 100_000),
            ("1_000b", 1000),
            ("2Ti", 2 << 40),
        ];
        for (text, expected) in table {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for wrong in ["", "MB", "-1", "1.2.3", "5 rows", "1e9", "9999TB", "5x"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
