//! The two notations to parts.

use super::{Names, Part, Unit, Width};
use crate::error::{Error, ErrorKind, Result};

/// Letters of Java's `SimpleDateFormat` and `DateTimeFormatter`; text between single quotes.
pub(super) fn java(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (quoted, after) = quoted(&rest[1..])?;
            add_text(&mut parts, &quoted);
            rest = after;
        } else if first.is_ascii_alphabetic() {
            let count = rest.chars().take_while(|letter| *letter == first).count();
            parts.push(of_letter(first, count)?);
            rest = &rest[count..];
        } else {
            let (text, after) = rest.split_at(first.len_utf8());
            add_text(&mut parts, text);
            rest = after;
        }
    }
    Ok(parts)
}

/// Text up to a quote that stands alone, and what follows. Two quotes are one; so they are outside of quotes.
fn quoted(text: &str) -> Result<(String, &str)> {
    if let Some(after) = text.strip_prefix('\'') {
        return Ok(("'".to_owned(), after));
    }
    let mut out = String::new();
    let mut rest = text;
    loop {
        let Some((before, after)) = rest.split_once('\'') else {
            return Err(Error::new(ErrorKind::Usage, "a quote of the date format is never closed"));
        };
        out.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                out.push('\'');
                rest = after;
            }
            None => return Ok((out, after)),
        }
    }
}

fn of_letter(letter: char, count: usize) -> Result<Part> {
    let number = |of, most: usize| {
        let fits = count <= most;
        fits.then_some(Part::Number { of, digits: count as u8, width: Width::Free })
    };
    let year = |of, digits| Some(Part::Number { of, digits, width: Width::Exact });
    let zone = |utc, minutes| Some(Part::Zone { utc, minutes });
    let part = match (letter, count) {
        ('y' | 'u', 2) => year(Unit::ShortYear, 2),
        ('y' | 'u', 1 | 4) => year(Unit::Year, 4),
        ('M' | 'L', 3) => Some(Part::Month(Names::Short)),
        ('M' | 'L', 4) => Some(Part::Month(Names::Full)),
        ('M' | 'L', _) => number(Unit::Month, 2),
        ('d', _) => number(Unit::Day, 2),
        ('D', _) => number(Unit::DayOfYear, 3),
        ('E', 1..=3) => Some(Part::Weekday(Names::Short)),
        ('E', 4) => Some(Part::Weekday(Names::Full)),
        ('a', 1) => Some(Part::HalfDay),
        ('H', _) => number(Unit::Hour, 2),
        ('h', _) => number(Unit::HalfDayHour, 2),
        ('m', _) => number(Unit::Minute, 2),
        ('s', _) => number(Unit::Second, 2),
        ('S', 1..=9) => Some(Part::Fraction { digits: count as u8, width: Width::Exact }),
        ('z', 1..=4) => zone("UTC", Some(":")),
        ('Z', 1..=3) => zone("+0000", Some("")),
        ('X', 1) => zone("Z", None),
        ('X', 2) => zone("Z", Some("")),
        ('X', 3) => zone("Z", Some(":")),
        ('x', 1) => zone("+00", None),
        ('x', 2) => zone("+0000", Some("")),
        ('x', 3) => zone("+00:00", Some(":")),
        _ => None,
    };
    part.ok_or_else(|| unknown(&letter.to_string().repeat(count)))
}

/// Letters of strftime, each behind a `%`.
pub(super) fn strftime(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        add_text(&mut parts, before);
        let flag = after.chars().next().filter(|flag| matches!(flag, '-' | ':' | '3' | '6' | '9'));
        let after = flag.map_or(after, |flag| &after[flag.len_utf8()..]);
        let Some(letter) = after.chars().next() else {
            return Err(Error::new(ErrorKind::Usage, "the date format ends behind a %"));
        };
        match of_directive(letter, flag) {
            Some(found) => found.into_iter().for_each(|part| match part {
                Part::Text(text) => add_text(&mut parts, &String::from_utf8_lossy(&text)),
                part => parts.push(part),
            }),
            None => return Err(unknown(&format!("%{}{letter}", flag.map(String::from).unwrap_or_default()))),
        }
        rest = &after[letter.len_utf8()..];
    }
    add_text(&mut parts, rest);
    Ok(parts)
}

fn of_directive(letter: char, flag: Option<char>) -> Option<Vec<Part>> {
    let number = |of, digits| Part::Number { of, digits, width: Width::Free };
    let year = || Part::Number { of: Unit::Year, digits: 4, width: Width::Exact };
    let text = |text: &str| Part::Text(text.as_bytes().to_vec());
    let short_year = || Part::Number { of: Unit::ShortYear, digits: 2, width: Width::Exact };
    let (month, day) = (number(Unit::Month, 2), number(Unit::Day, 2));
    let (hour, minute, second) = (number(Unit::Hour, 2), number(Unit::Minute, 2), number(Unit::Second, 2));
    let part = match (letter, flag) {
        ('%', None) => text("%"),
        ('Y', None) => year(),
        ('y', None) => short_year(),
        ('m' | 'd' | 'H' | 'I' | 'M' | 'S' | 'j', Some('-')) => number(unit_of(letter)?, 1),
        ('j', None) => number(Unit::DayOfYear, 3),
        ('m' | 'd' | 'H' | 'I' | 'M' | 'S', None) => number(unit_of(letter)?, 2),
        ('f', None) => Part::Fraction { digits: 6, width: Width::Free },
        ('f', Some(digits @ ('3' | '6' | '9'))) => Part::Fraction { digits: digits as u8 - b'0', width: Width::Exact },
        ('p', None) => Part::HalfDay,
        ('b' | 'h', None) => Part::Month(Names::Short),
        ('B', None) => Part::Month(Names::Full),
        ('a', None) => Part::Weekday(Names::Short),
        ('A', None) => Part::Weekday(Names::Full),
        ('z', None) => Part::Zone { utc: "+0000", minutes: Some("") },
        ('z', Some(':')) => Part::Zone { utc: "+00:00", minutes: Some(":") },
        ('Z', None) => Part::Zone { utc: "UTC", minutes: Some(":") },
        ('F', None) => return Some(vec![year(), text("-"), month, text("-"), day]),
        ('D', None) => return Some(vec![month, text("/"), day, text("/"), short_year()]),
        ('T', None) => return Some(vec![hour, text(":"), minute, text(":"), second]),
        ('R', None) => return Some(vec![hour, text(":"), minute]),
        _ => return None,
    };
    Some(vec![part])
}

fn unit_of(letter: char) -> Option<Unit> {
    Some(match letter {
        'm' => Unit::Month,
        'd' => Unit::Day,
        'H' => Unit::Hour,
        'I' => Unit::HalfDayHour,
        'M' => Unit::Minute,
        'S' => Unit::Second,
        'j' => Unit::DayOfYear,
        _ => return None,
    })
}

fn add_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(known)) => known.extend_from_slice(text.as_bytes()),
        _ => parts.push(Part::Text(text.as_bytes().to_vec())),
    }
}

/// `parts` where numbers that stand side by side have all of their digits.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) where one of them has no fixed digits.
pub(super) fn joined(mut parts: Vec<Part>) -> Result<Vec<Part>> {
    let is_digits = |part: &Part| matches!(part, Part::Number { .. } | Part::Fraction { .. });
    for index in 1..parts.len() {
        if !is_digits(&parts[index - 1]) || !is_digits(&parts[index]) {
            continue;
        }
        for part in &mut parts[index - 1..=index] {
            match part {
                Part::Number { digits: 1, .. } => {
                    let message = "numbers of the date format run together, and one of them has no fixed digits";
                    return Err(
                        Error::new(ErrorKind::Usage, message).with_hint("write MM and dd, or a sign between them")
                    );
                }
                Part::Number { width, .. } => *width = Width::Exact,
                _ => {}
            }
        }
    }
    Ok(parts)
}

fn unknown(letters: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("the date format has no meaning for {letters:?}")).with_hint(
        "Java's letters are yMdDEaHhmsSzZXx, text stands in single quotes; strftime's are %YymdjHIMSfpbBaAzZFTDR",
    )
}
