//! What a locator says: `sample:PLACE?timeout=SECONDS`. Parsed and validated; nothing is opened.

use serde_json::Value as Json;

use crate::connector::{OptionDoc, option};
use crate::error::{Error, ErrorKind, Result};

/// Every option, in the order of the help. `README.md` has the same table, which a test compares.
pub(super) const OPTIONS: &[OptionDoc] = &[
    option("url", "string", "", "Where it is: sample:PLACE, behind ? the other options.").required(),
    option("timeout", "integer", "30", "Seconds that an answer may take.").within("1 to 3600"),
];

/// The options of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Config {
    place: String,
    #[expect(dead_code, reason = "nothing is connected to yet")]
    timeout_seconds: u64,
}

impl Config {
    /// Options of the object win over those behind `?` of the URL.
    pub(super) fn parse(options: &Json) -> Result<Self> {
        let mut options = options.as_object().cloned().unwrap_or_default();
        let Some(Json::String(url)) = options.remove("url") else { return Err(usage("the option url is missing")) };
        let place = url.strip_prefix("sample:").unwrap_or(&url);
        let (place, settings) = place.split_once('?').unwrap_or((place, ""));
        for (key, value) in settings.split('&').filter_map(|setting| setting.split_once('=')) {
            options.entry(key).or_insert_with(|| value.into());
        }
        let timeout_seconds = match options.remove("timeout") {
            None => 30,
            Some(Json::Number(number)) => number.as_u64().unwrap_or(0),
            Some(other) => other.as_str().and_then(|text| text.parse().ok()).unwrap_or(0),
        };
        if !(1..=3600).contains(&timeout_seconds) {
            return Err(usage("the option timeout is a number of seconds from 1 to 3600"));
        }
        match options.keys().next() {
            Some(key) => Err(usage(format!("sample has no option {key:?}"))),
            None => Ok(Self { place: place.to_owned(), timeout_seconds }),
        }
    }

    /// The locator without secrets, for messages and plans.
    pub(super) fn label(&self) -> String {
        format!("sample:{}", self.place)
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message)
}
