//! Locators of databases that only drivers reach: those of ODBC, and for reading Oracle ConnectorX.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json};

/// What is escaped in a part of a locator.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

/// Whether a connection is read from or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Reading,
    Writing,
}

/// Where a database of Oracle is.
#[derive(Debug)]
pub(super) enum Oracle<'a> {
    /// `host:port/service`.
    Service(String),
    /// A name of tnsnames.ora, or a description.
    Other(&'a str),
}

impl Oracle<'_> {
    /// The connector for it, with its options: ConnectorX, where it only has to read and is told a service; else a driver of ODBC,
    /// which is noted.
    pub(super) fn options(
        &self,
        way: Way,
        (user, password): (&str, &str),
        notes: &mut Vec<String>,
    ) -> (&'static str, Map<String, Json>) {
        let connect = match (self, way) {
            (Self::Service(service), Way::Reading) => {
                let login = format!("{}:{}", encoded(user), encoded(password));
                return ("connectorx", located(format!("oracle://{login}@{service}")));
            }
            (Self::Service(service), Way::Writing) => format!("//{service}"),
            (Self::Other(text), _) => (*text).to_owned(),
        };
        let note =
            "this connection to Oracle goes through ODBC: odbcinst.ini has to have its driver under the name Oracle";
        notes.push(note.to_owned());
        ("odbc", odbc(&[("Driver", "Oracle"), ("DBQ", &connect), ("UID", user), ("PWD", password)]))
    }
}

/// The options of a driver of ODBC; of settings that are empty it is not told.
pub(super) fn odbc(settings: &[(&str, &str)]) -> Map<String, Json> {
    let told = settings.iter().filter(|(_, value)| !value.is_empty());
    let told: Vec<String> = told.map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    located(format!("odbc:?{}", told.join("&")))
}

fn located(url: String) -> Map<String, Json> {
    std::iter::once(("url".to_owned(), Json::from(url))).collect()
}

/// `text` as a part of a locator. `${NAME}` stays the reference that its connector replaces.
fn encoded(text: &str) -> String {
    let escaped = utf8_percent_encode(text, ESCAPED).to_string();
    let mut parts = escaped.split("%24%7B");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("%7D") {
            Some((name, rest)) if !name.is_empty() && !name.contains('%') => out.extend(["${", name, "}", rest]),
            _ => out.extend(["%24%7B", part]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_itself_in_no_locator_is_escaped_and_references_stay() {
        for (text, expected) in [
            ("a_b C-1", "a_b%20C%2D1"),
            ("p@ss:&%", "p%40ss%3A%26%25"),
            ("${PW}", "${PW}"),
            ("x${A_1}/${B}$", "x${A_1}%2F${B}%24"),
            ("${no", "%24%7Bno"),
            ("${a b}", "%24%7Ba%20b%7D"),
            ("${}", "%24%7B%7D"),
        ] {
            assert_eq!(encoded(text), expected, "{text}");
        }
    }

    #[test]
    fn oracle_is_read_by_connectorx_and_written_to_by_odbc() {
        let of = |oracle: &Oracle<'_>, way: Way| {
            let mut notes = Vec::new();
            let (connector, options) = oracle.options(way, ("u", "p@ss"), &mut notes);
            (connector, options["url"].as_str().unwrap().to_owned(), notes.len())
        };
        let service = Oracle::Service("ora:1521/XE".to_owned());
        assert_eq!(of(&service, Way::Reading), ("connectorx", "oracle://u:p%40ss@ora:1521/XE".to_owned(), 0));
        let written = "odbc:?Driver=Oracle&DBQ=%2F%2Fora%3A1521%2FXE&UID=u&PWD=p%40ss".to_owned();
        assert_eq!(of(&service, Way::Writing), ("odbc", written, 1));
        let named = "odbc:?Driver=Oracle&DBQ=SHOP&UID=u&PWD=p%40ss".to_owned();
        assert_eq!(of(&Oracle::Other("SHOP"), Way::Reading), ("odbc", named, 1));
    }
}
