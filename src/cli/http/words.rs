//! The words of the command line without their secrets.

use crate::job::locator::{is_secret, mask};

/// What stands for what is hidden.
const HIDDEN: &str = "***";

/// Flags whose values are hidden: statements and definitions may hold anything.
const FLAGS: [&str; 6] = ["-p", "--params", "--query", "--sql", "--pre-sql", "--post-sql"];

/// `words` with all hidden that may be a secret: rather too much than too little.
pub(super) fn masked(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut after_flag = false;
    let shown = words.into_iter().map(|word| {
        let is_value = std::mem::replace(&mut after_flag, FLAGS.contains(&word.as_str()));
        if is_value { HIDDEN.to_owned() } else { of_word(&word) }
    });
    shown.collect()
}

fn of_word(word: &str) -> String {
    match word.split_once('=') {
        Some((flag, _)) if FLAGS.contains(&flag) => format!("{flag}={HIDDEN}"),
        Some((flag, value)) if flag.starts_with("--") => format!("{flag}={}", of_value(value)),
        // A short flag and its value in one word.
        _ if word.starts_with("-p") && word.len() > 2 => format!("-p{HIDDEN}"),
        _ => of_value(word),
    }
}

/// A locator without its passwords; of anything else what stands before the value of a secret.
fn of_value(value: &str) -> String {
    let mut shown = mask(value);
    let named = |at: usize| {
        let before = shown[..at].trim_end();
        before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().is_some_and(is_secret)
    };
    let secret = shown.match_indices('=').map(|(at, _)| at).find(|at| named(*at));
    if let Some(at) = secret {
        shown.truncate(at);
        shown = format!("{shown}={HIDDEN}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        masked(words.iter().map(|word| (*word).to_owned())).join(" ")
    }

    #[test]
    fn what_holds_no_secret_is_as_it_was_typed() {
        let words = [
            "etl",
            "copy",
            "a.csv",
            "data/day=2024-01-02/",
            "--where",
            "id = 7",
            "--set=t=n * 2",
            "-j4",
            "--http",
            ":0",
        ];
        assert_eq!(shown(&words), words.join(" "));
        let words = ["etl", "copy", "postgres://ada@db:5432/shop#public.orders", "shop.db#t", "--progress=json"];
        assert_eq!(shown(&words), words.join(" "));
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let locators = [
            "postgres://ada:s3cret@db/shop#t",
            "--state=postgres://ada:s3cret@db/shop",
            "postgres:host=db password=s3cret",
            "postgres:host=db password = 's3cret x'",
            "mysql://h/d?user=ada&password=s3cret#t",
            "jdbc:mysql://h/d?user=ada&password=s3cret",
            "ada:s3cret@tcp(h:3306)/d",
            "http://ada:s3cret@h/job.json",
            "adbc:snowflake?uri=ada:s3cret@account/db",
        ];
        for locator in locators {
            let shown = shown(&["etl", "copy", locator, "null:"]);
            assert!(!shown.contains("s3cret") && shown.contains(HIDDEN) && shown.ends_with(" null:"), "{shown}");
        }
        let others: [&[&str]; 7] = [
            &["-p", "-Dpw=s3cret -Dday=1"],
            &["-p-Dpw=s3cret"],
            &["--params=-Dpw=s3cret"],
            &["--pre-sql", "alter user ada password 's3cret'"],
            &["--query=select 's3cret'"],
            &["--set", "transfers.0.target.options.password=s3cret"],
            &["--set=job.content.0.reader.parameter.password=s3cret"],
        ];
        for words in others {
            let shown = shown(&[&["etl", "run"], words, &["job.json"]].concat());
            assert!(!shown.contains("s3cret") && shown.contains(HIDDEN), "{shown}");
            assert!(shown.starts_with("etl run -") && shown.ends_with(" job.json"), "{shown}");
        }
    }
}
