//! The functions of DataX by their names and parameters.

use super::edit::{Edit, Hash, LOWER, Pad, Reason, Side, UPPER};
use super::filter::Filter;
use crate::error::{Error, ErrorKind, Result};
use crate::job::TransformStep;

/// The longest text that is filled up: what is longer would not fit into memory many times.
const PAD_MOST: i32 = 1 << 20;

const COUNT: Reason = "it takes another number of parameters";
const NO_NUMBER: Reason = "a place or a length among its parameters is no whole number";
const NO_SIDE: Reason = "its first parameter is neither l nor r";
const NO_LENGTH: Reason = "its length is below zero";
const NO_DIGEST: Reason = "its parameters are not md5 or sha1, and toUpperCase or toLowerCase";

/// What a step does with its column.
#[derive(Debug)]
pub(super) enum Function {
    Edit(Edit),
    Filter(Filter),
    /// Its parameters are wrong: it fails for each row.
    Refuse(Reason),
}

impl Function {
    /// The function of `step`.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for names that are none, and for what cannot be done here.
    pub(super) fn parse(step: &TransformStep) -> Result<Self> {
        let parameters: Vec<&str> = step.parameters.iter().map(String::as_str).collect();
        let parsed = match (step.function.as_str(), parameters.as_slice()) {
            ("dx_substr", [start, length]) => {
                numbers(start, length).map(|(start, length)| Self::Edit(Edit::Substr { start, length }))
            }
            ("dx_replace", [start, length, text]) => numbers(start, length)
                .map(|(start, length)| Self::Edit(Edit::Replace { start, length, text: (*text).to_owned() })),
            ("dx_pad", [side, length, fill]) => pad(side, length, fill)?.map(|pad| Self::Edit(Edit::Pad(pad))),
            ("dx_digest", [hash, letters]) => digest(hash, letters).map(Self::Edit),
            ("dx_filter", [operator, value]) => Filter::parse(operator, value)?.map(Self::Filter),
            ("dx_substr" | "dx_replace" | "dx_pad" | "dx_digest" | "dx_filter", _) => Err(COUNT),
            _ => {
                return Err(Error::new(ErrorKind::Usage, "there is no transformer of this name")
                    .with_hint("there are dx_substr, dx_pad, dx_replace, dx_filter and dx_digest"));
            }
        };
        Ok(parsed.unwrap_or_else(Self::Refuse))
    }
}

fn numbers(start: &str, length: &str) -> Result<(i64, i64), Reason> {
    let number = |text: &str| text.parse::<i32>().map(i64::from).map_err(|_| NO_NUMBER);
    Ok((number(start)?, number(length)?))
}

fn pad(side: &str, length: &str, fill: &str) -> Result<Result<Pad, Reason>> {
    let side = match side {
        "l" | "L" => Side::Left,
        "r" | "R" => Side::Right,
        _ => return Ok(Err(NO_SIDE)),
    };
    let Ok(length) = length.parse::<i32>() else { return Ok(Err(NO_NUMBER)) };
    if length > PAD_MOST {
        let message = format!("texts are filled up to {PAD_MOST} characters at most");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let Ok(length) = usize::try_from(length) else { return Ok(Err(NO_LENGTH)) };
    Ok(Ok(Pad { side, length, fill: fill.to_owned() }))
}

/// In any other letters than its own `md5` is SHA-1 to DataX, and `toUpperCase` is lower case: results are compared with
/// those that are there already.
fn digest(hash: &str, letters: &str) -> Result<Edit, Reason> {
    let known = |word: &str, words: [&str; 2]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
    if !known(hash, ["md5", "sha1"]) || !known(letters, ["toUpperCase", "toLowerCase"]) {
        return Err(NO_DIGEST);
    }
    let hash = if hash == "md5" { Hash::Md5 } else { Hash::Sha1 };
    let digits = if letters == "toUpperCase" { UPPER } else { LOWER };
    Ok(Edit::Digest { hash, digits })
}
