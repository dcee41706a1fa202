//! What was typed about rows that are refused.

use std::path::Path;
use std::str::FromStr;

use serde_json::json;

use super::args::{self, ErrorArgs};
use crate::endpoint::ObjectRef;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::extension::{self, Format};
use crate::job::locator::FILE;
use crate::job::{self, ErrorPolicy, Place};

/// How many rows may be left out: `100`, `0.5%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MaxErrors(pub(super) job::MaxErrors);

impl FromStr for MaxErrors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a number of rows nor a share: write 100 or 0.5%");
        let Some(share) = text.trim().strip_suffix('%') else {
            return text.trim().parse().map(|rows| Self(job::MaxErrors::Rows(rows))).map_err(|_| wrong());
        };
        let share: f64 = share.trim_end().parse().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&share) { Ok(Self(job::MaxErrors::Percent(share))) } else { Err(wrong()) }
    }
}

/// What happens to rows that are refused.
pub(super) fn policy(args: &ErrorArgs) -> Result<ErrorPolicy> {
    let on_error = match args.on_error {
        args::OnError::Skip => job::OnError::Skip,
        args::OnError::Fail => job::OnError::Fail,
    };
    let idle = [("--max-errors", !args.max_errors.is_empty()), ("--rejects", args.rejects.is_some())];
    if let (job::OnError::Fail, Some((flag, _))) = (on_error, idle.iter().find(|(_, given)| *given)) {
        let message = format!("{flag} is of use only where rows are left out");
        return Err(Error::new(ErrorKind::Usage, message).with_hint("say --on-error skip, too"));
    }
    Ok(ErrorPolicy {
        on_error,
        max_errors: limit(&args.max_errors)?,
        rejects: args.rejects.as_deref().map(file).transpose()?,
        ..ErrorPolicy::default()
    })
}

/// What was typed as one limit.
fn limit(typed: &[MaxErrors]) -> Result<Option<job::MaxErrors>> {
    let rows: Vec<u64> = typed.iter().filter_map(|max| max.0.rows()).collect();
    let shares: Vec<f64> = typed.iter().filter_map(|max| max.0.percent()).collect();
    if rows.len() > 1 || shares.len() > 1 {
        return Err(Error::new(ErrorKind::Usage, "--max-errors was given twice in the same unit")
            .with_hint("give a number of rows and a share once each"));
    }
    Ok(job::MaxErrors::of(rows.first().copied(), shares.first().copied()))
}

/// The place of a rejects file.
fn file(path: &str) -> Result<Place> {
    if !matches!(extension::of_path(Path::new(path)).0, Some(Format::Jsonl | Format::Parquet)) {
        let message = format!("the rejects file '{path}' is neither JSON lines nor Parquet by its name");
        return Err(Error::new(ErrorKind::Usage, message).with_hint("name it .jsonl or .parquet"));
    }
    Ok(Place::new(FILE, json!({ "url": path }), ObjectRef::Whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share() {
        let parse = |text: &str| text.parse::<MaxErrors>().map(|max| max.0).ok();
        assert_eq!(parse("0"), Some(job::MaxErrors::Rows(0)));
        assert_eq!(parse("100"), Some(job::MaxErrors::Rows(100)));
        assert_eq!(parse("0.5%"), Some(job::MaxErrors::Percent(0.5)));
        assert_eq!(parse("100 %"), Some(job::MaxErrors::Percent(100.0)));
        for wrong in ["", "%", "-1", "1.5", "101%", "NaN%", "-0.1%", "many"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn flags_that_would_do_nothing_and_files_of_other_formats_are_mistakes() {
        let skip = args::OnError::Skip;
        assert!(policy(&args(args::OnError::Fail, &["1"], None)).is_err());
        assert!(policy(&args(args::OnError::Fail, &[], Some("r.jsonl"))).is_err());
        assert!(policy(&args(skip, &[], Some("r.csv"))).is_err());
        let made = policy(&args(skip, &["1%"], Some("r.parquet"))).unwrap();
        assert_eq!((made.on_error, made.max_errors), (job::OnError::Skip, Some(job::MaxErrors::Percent(1.0))));
        assert_eq!(made.rejects.unwrap().options, json!({"url": "r.parquet"}));
    }

    #[test]
    fn a_number_and_a_share_hold_together() {
        let limit = |typed: &[&str]| policy(&args(args::OnError::Skip, typed, None)).map(|made| made.max_errors);
        assert_eq!(limit(&[]).unwrap(), None);
        let both = Some(job::MaxErrors::Both { rows: 10, percent: 0.5 });
        assert_eq!((limit(&["10", "0.5%"]).unwrap(), limit(&["0.5%", "10"]).unwrap()), (both, both));
        assert!(limit(&["10", "20"]).is_err() && limit(&["1%", "2%"]).is_err());
    }

    fn args(on_error: args::OnError, max: &[&str], rejects: Option<&str>) -> ErrorArgs {
        let max_errors = max.iter().map(|text| text.parse().unwrap()).collect();
        ErrorArgs { on_error, max_errors, rejects: rejects.map(str::to_owned) }
    }
}
