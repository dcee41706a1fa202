//! Values that take the place of those of a job file: `job.content.0.reader.parameter.batchSize=4096`.

use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};

use super::syntax::{self, Syntax};
use super::tree::joined;
use crate::error::{Error, ErrorKind, Result};

/// Sets in `root` what `typed` says: a dotted path, as errors print it, and a value, which is JSON if it can be, else a text. Keys that
/// are missing are made; the place behind the last element of an array adds one.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for what is not of that form, or a path that leads through a value without members.
pub fn set(root: &mut Json, typed: &str) -> Result<()> {
    let (path, value) = typed.split_once('=').filter(|(path, _)| !path.trim().is_empty()).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "an override is not of the form PATH=VALUE")
            .with_hint("write 'job.setting.speed.channel=4'")
    })?;
    let value = value_of(value);
    let mut place = root;
    let mut above = String::new();
    for key in path.trim().split('.') {
        place = within(place, key).map_err(|message| {
            let above = if above.is_empty() { "the whole file" } else { &above };
            Error::new(ErrorKind::Usage, message).at("key", above).at("override", path)
        })?;
        above = joined(&above, key);
    }
    *place = value;
    Ok(())
}

/// What `typed` says: JSON, if it is strictly that, with all digits of its numbers; else a text.
fn value_of(typed: &str) -> Json {
    let is_json = serde_json::from_str::<IgnoredAny>(typed).is_ok();
    let parsed = is_json.then(|| syntax::parse(typed, Syntax::Json).ok()).flatten();
    parsed.map_or_else(|| Json::from(typed), |parsed| parsed.root)
}

/// The value of `key` in `place`, made where it is missing.
fn within<'a>(place: &'a mut Json, key: &str) -> Result<&'a mut Json, String> {
    if place.is_null() {
        *place = Json::Object(Map::new());
    }
    match place {
        Json::Object(object) => Ok(object.entry(key).or_insert(Json::Null)),
        Json::Array(array) => {
            let length = array.len();
            let at: usize = key.parse().map_err(|_| format!("'{key}' is no place in this array"))?;
            if at == length {
                array.push(Json::Null);
            }
            array.get_mut(at).ok_or_else(|| format!("this array has {length} elements, and no place {at}"))
        }
        _ => Err(format!("this value has no members, and so no '{key}'")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(typed: &str) -> Result<Json> {
        let mut root = json!({"job": {"content": [{"name": "a"}], "channel": 1, "none": null}});
        set(&mut root, typed).map(|()| root["job"].take())
    }

    #[test]
    fn a_path_leads_to_a_value_or_makes_it() {
        assert_eq!(after("job.channel=4").unwrap()["channel"], json!(4));
        assert_eq!(after("job.content.0.name=b=c").unwrap()["content"], json!([{"name": "b=c"}]));
        assert_eq!(after("job.content.1=[1]").unwrap()["content"], json!([{"name": "a"}, [1]]));
        assert_eq!(after("job.a.b=\"5\"").unwrap()["a"], json!({"b": "5"}));
        assert_eq!(after("job.none.x=true").unwrap()["none"], json!({"x": true}));
    }

    /// What neither 64 bits nor a float holds stays as it was typed.
    #[test]
    fn a_long_number_keeps_its_digits() {
        let table = [
            ("9007199254740993", json!(9_007_199_254_740_993_u64)),
            ("18446744073709551615", json!(u64::MAX)),
            ("123456789012345678901234567890", json!("123456789012345678901234567890")),
            ("0.12345678901234567890", json!("0.12345678901234567890")),
            ("[1, 18446744073709551616]", json!([1, "18446744073709551616"])),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.5", json!(1.5)),
            // No JSON, and so a text, whatever a lenient reader might make of it.
            ("{a: 1}", json!("{a: 1}")),
            ("'1'", json!("'1'")),
            ("1 # one", json!("1 # one")),
            ("2024-01-02", json!("2024-01-02")),
        ];
        for (typed, value) in table {
            assert_eq!(after(&format!("job.channel={typed}")).unwrap()["channel"], value, "{typed}");
        }
    }

    #[test]
    fn a_path_through_a_scalar_is_an_error() {
        let refused = |typed: &str| after(typed).unwrap_err().to_string();
        let message = "override job.channel.x: key job.channel: this value has no members, and so no 'x'";
        assert_eq!(refused("job.channel.x=1"), message);
        assert!(refused("job.content.2=1").contains("this array has 1 elements, and no place 2"));
        assert!(refused("job.content.name=1").contains("'name' is no place in this array"));
        assert!(refused("job.channel").contains("not of the form PATH=VALUE"));
        assert!(refused("=1").contains("not of the form PATH=VALUE"));
    }
}
