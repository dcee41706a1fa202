//! The settings of a connection by name, from sources of different weight: options, a URL, variables, whatever else a product has.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use super::uri::{self, Host, Uri, decode};
use super::{Surroundings, choose, text_of};
use crate::error::{Context as _, Error, ErrorKind, Result};

const BOOLEANS: &[(&str, bool)] =
    &[("false", false), ("true", true), ("0", false), ("1", true), ("no", false), ("yes", true)];

/// Values by setting, of one source.
pub type Layer = BTreeMap<&'static str, String>;

/// The settings that a connection to a product has.
#[derive(Clone, Debug)]
pub struct Settings {
    product: &'static str,
    names: Vec<&'static str>,
}

impl Settings {
    /// Those called `names`, in camelCase; `url`, which says others, is none.
    pub fn new(product: &'static str, names: impl Iterator<Item = &'static str>) -> Self {
        Self { product, names: names.filter(|name| *name != "url").collect() }
    }

    /// The one that `name` means: `tls-mode`, `tls_mode` and `tlsmode` are `tlsMode`, and so is `ssl-mode`, as clients of MySQL
    /// say.
    pub fn keyword(&self, name: &str) -> Option<&'static str> {
        let fold = |name: &str| {
            let plain = name.replace(['-', '_'], "").to_ascii_lowercase();
            plain.strip_prefix("ssl").map_or_else(|| plain.clone(), |rest| format!("tls{rest}"))
        };
        let wanted = fold(name);
        self.names.iter().copied().find(|known| fold(known) == wanted)
    }

    /// What `options` say, and what their URL says, which `of_url` takes apart. `${NAME}` in a value is a variable.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for settings that there are not, and for variables that are not set.
    pub fn read(
        &self,
        options: &Json,
        around: &Surroundings<'_>,
        of_url: impl Fn(&str) -> Result<Layer>,
    ) -> Result<[Layer; 2]> {
        let given =
            options.as_object().ok_or_else(|| Error::new(ErrorKind::Usage, "the options are no JSON object"))?;
        let mut url = match given.get("url") {
            Some(Json::String(url)) => of_url(url)?,
            Some(_) => return Err(Error::new(ErrorKind::Usage, "option url is no text")),
            None => Layer::new(),
        };
        let mut options = Layer::new();
        for (name, value) in given.iter().filter(|(name, _)| *name != "url") {
            let known = self.keyword(name).ok_or_else(|| self.unknown(&format!("{name:?}")))?;
            if options.insert(known, text_of(name, value)?).is_some() {
                return Err(twice(known, name));
            }
        }
        for layer in [&mut options, &mut url] {
            for (name, value) in layer.iter_mut() {
                *value = around.expand(value).at("option", || *name)?;
            }
            // An empty password is one, and keeps others out.
            layer.retain(|name, value| *name == "password" || !value.is_empty());
        }
        Ok([options, url])
    }

    /// What `user:password@host:port/database?name=value` says, that is what follows `scheme://`.
    ///
    /// # Errors
    /// Those of [`Uri::split`]; [`Usage`](ErrorKind::Usage) for settings that there are not.
    pub fn of_uri(&self, rest: &str) -> Result<Layer> {
        let parts = Uri::split(rest)?;
        let (host, port) = uri::host_and_port(parts.hosts)?;
        let mut layer = Layer::from([("host", host), ("port", port)]);
        layer.insert("user", decode(parts.user)?);
        layer.insert("database", decode(parts.database)?);
        if let Some(password) = parts.password {
            layer.insert("password", decode(password)?);
        }
        for setting in parts.settings() {
            let (name, value) = setting?;
            // The word may be a piece of a password that was not escaped: it is not repeated.
            let known = self.keyword(&name).ok_or_else(|| self.unknown("of a name that the URL has"))?;
            layer.insert(known, decode(value)?);
        }
        Ok(layer)
    }

    fn unknown(&self, which: &str) -> Error {
        Error::new(ErrorKind::Usage, format!("a connection to {} has no setting {which}", self.product))
            .with_hint(format!("use one of {}", self.names.join(", ")))
    }
}

/// The error of an option `name` beside another that means the same, which is known as `known`.
pub fn twice(known: &str, name: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("two options mean {known}, one of them {name}"))
        .with_hint("leave one of them out")
}

/// What the variables `known` say; beside each stands its setting.
pub fn of_variables(known: &[(&str, &'static str)], around: &Surroundings<'_>) -> Layer {
    known.iter().filter_map(|(variable, name)| Some((*name, (around.variable)(variable)?))).collect()
}

/// The sources, the one of most weight first.
pub struct Layers(Vec<Layer>);

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layers")
    }
}

impl Layers {
    /// `sources`, the one of most weight first.
    pub fn of(sources: impl IntoIterator<Item = Layer>) -> Self {
        Self(sources.into_iter().collect())
    }

    /// The value of `name`, where it is given and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|layer| layer.get(name)).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Which source gives it, the one of most weight 0; beyond all where none does.
    pub fn rank(&self, name: &str) -> usize {
        self.0.iter().position(|layer| layer.contains_key(name)).unwrap_or(usize::MAX)
    }

    /// The path that `name` is.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// What `name` means among `choices`, whose first is the default. Case does not count, nor whether words are parted by `-` or `_`.
    ///
    /// # Errors
    /// Those of [`choose`].
    pub fn choose<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T> {
        let given = self.get(name).map(|word| word.to_ascii_lowercase().replace('-', "_"));
        choose(name, given.as_deref(), choices)
    }

    /// Whether `name` is switched on.
    ///
    /// # Errors
    /// Those of [`choose`].
    pub fn flag(&self, name: &str) -> Result<bool> {
        self.choose(name, BOOLEANS)
    }

    /// The whole number that `name` is.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for anything else.
    pub fn whole(&self, name: &str, default: u64) -> Result<u64> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.trim().parse().map_err(|_| Error::new(ErrorKind::Usage, format!("{name} is no whole number")))
    }

    /// The seconds that `name` says; none for 0, which waits for ever.
    ///
    /// # Errors
    /// Those of [`Layers::whole`].
    pub fn seconds(&self, name: &str, default: u64) -> Result<Option<Duration>> {
        let seconds = self.whole(name, default).map_err(|error| error.with_hint("give seconds; 0 waits for ever"))?;
        Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
    }

    /// The servers that `host` and `port` name, else that of the defaults: to be tried in their order. One port is that of all.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for what is no port, and for another number of ports than of servers.
    pub fn hosts(&self, name: &str, port: u16) -> Result<Vec<Host>> {
        let names: Vec<&str> = self.get("host").unwrap_or(name).split(',').collect();
        let ports = self.get("port").map_or(Ok(vec![port]), |ports| ports.split(',').map(uri::port).collect())?;
        if ports.len() != 1 && ports.len() != names.len() {
            let message = format!("{} servers and {} ports are named", names.len(), ports.len());
            return Err(Error::new(ErrorKind::Usage, message).with_hint("name one port for each server"));
        }
        let port = |place: usize| ports.get(place).or(ports.first()).copied().unwrap_or(port);
        let hosts = names.iter().enumerate();
        Ok(hosts.map(|(place, name)| Host { name: (*name).to_owned(), port: port(place) }).collect())
    }

    /// The server that `host` and `port` name, else that of the defaults.
    ///
    /// # Errors
    /// [`Usage`](ErrorKind::Usage) for several servers, and for what is no port.
    pub fn host(&self, name: &str, port: u16) -> Result<Host> {
        let name = self.get("host").unwrap_or(name);
        if name.contains(',') {
            let error = Error::new(ErrorKind::Usage, "several hosts are named");
            return Err(error.with_hint("name the one to connect to"));
        }
        Ok(Host { name: name.to_owned(), port: self.get("port").map_or(Ok(port), uri::port)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_stronger_than_the_url_and_that_than_variables() {
        let around =
            Surroundings { variable: &|name| (name == "X_USER").then(|| "eve".to_owned()), ..Surroundings::NOTHING };
        let options = json!({"url": "ada:%2F@[::1]:90/db?tls_check=Some-thing", "port": 91});
        let read = |names: &[&'static str]| {
            let settings = Settings::new("X", names.iter().copied());
            settings.read(&options, &around, |url| settings.of_uri(url))
        };
        let error = read(&["url", "port"]).unwrap_err();
        assert_eq!(error.message(), "a connection to X has no setting of a name that the URL has");
        let [options, url] = read(&["url", "port", "tlsCheck"]).unwrap();
        let layers = Layers::of([options, url, of_variables(&[("X_USER", "user")], &around)]);
        assert_eq!(layers.host("localhost", 1).unwrap().to_string(), "[::1]:91");
        assert_eq!((layers.get("user"), layers.get("password"), layers.rank("user")), (Some("ada"), Some("/"), 1));
        assert!(layers.choose("tlsCheck", &[("none", false), ("some_thing", true)]).unwrap());
        assert!(!layers.flag("secure").unwrap());
        assert_eq!(layers.seconds("wait", 0).unwrap(), None);
        assert_eq!(layers.whole("user", 0).unwrap_err().kind(), ErrorKind::Usage);
    }
}
