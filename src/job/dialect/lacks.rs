//! What of the job files of other programs does nothing here. A dialect names in a note what it finds of this; the handbook has a page of
//! all of it.

use std::borrow::Borrow;

use crate::job::tree::Node;

/// What of one program's job files does nothing here.
#[derive(Clone, Copy, Debug)]
pub struct Lacks {
    /// The program, for people.
    pub program: &'static str,
    /// Keys that are known and do nothing.
    pub keys: &'static [IdleKey],
    /// Plugins that are known and not here.
    pub plugins: &'static [AbsentPlugin],
}

/// A key that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct IdleKey {
    /// Where it stands: a plugin, a kind of them, or a part of the file.
    pub of: &'static str,
    /// The key; with dots where it lies deeper.
    pub key: &'static str,
    /// What is done instead.
    pub instead: &'static str,
}

/// The key of `of` that does nothing, with what is done instead.
pub(super) const fn idle(of: &'static str, key: &'static str, instead: &'static str) -> IdleKey {
    IdleKey { of, key, instead }
}

/// A plugin that is not here: a job with it is refused.
#[derive(Clone, Copy, Debug)]
pub struct AbsentPlugin {
    /// Its name in small letters.
    pub name: &'static str,
    /// Its keys, with blanks between them.
    pub keys: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

impl Lacks {
    /// The keys of `of` that stand at `node` and do nothing, with the side that they are of: the other one may have a key of this name that
    /// does something. They count as asked for.
    pub(super) fn given(&self, of: &str, node: &Node<'_>) -> Vec<String> {
        let stands = |key: &str| {
            node.at(key).is_some_and(|value| {
                value.json();
                // An empty text says nothing in any of these programs.
                !value.text().is_ok_and(|text| text.is_empty())
            })
        };
        let path = node.path().to_ascii_lowercase();
        let side = ["reader", "writer"].into_iter().find(|side| path.contains(&format!(".{side}.")));
        let told = |key: &str| side.map_or_else(|| key.to_owned(), |side| format!("{key} of the {side}"));
        self.keys.iter().filter(|key| key.of == of).map(|key| key.key).filter(|key| stands(key)).map(told).collect()
    }

    /// What to do without the plugin `name`: the one of this name, or one whose name begins as it does, of the same side before others.
    pub(super) fn instead(&self, name: &str) -> Option<&'static str> {
        let exact = self.plugins.iter().find(|plugin| plugin.name == name);
        let alike = || {
            let alike = self.plugins.iter().filter(|plugin| name.starts_with(plugin.stem()));
            alike.min_by_key(|plugin| !name.ends_with(plugin.side()))
        };
        exact.or_else(alike).map(|plugin| plugin.instead)
    }
}

impl AbsentPlugin {
    /// Its name, without what all readers and writers have.
    fn stem(&self) -> &'static str {
        let stem = self.name.strip_suffix("reader").or_else(|| self.name.strip_suffix("writer"));
        stem.unwrap_or(self.name)
    }

    /// The word for its side; empty where its name has none.
    fn side(&self) -> &'static str {
        &self.name[self.stem().len()..]
    }
}

/// A note that `keys` do nothing, each once; none where there are none.
pub(super) fn note(keys: Vec<String>) -> Option<String> {
    told("these keys do nothing here", keys)
}

/// The same of parameters of a URL.
pub(super) fn note_parameters(keys: Vec<&'static str>) -> Option<String> {
    told("these parameters of the URL do nothing here", keys)
}

fn told<T: Borrow<str> + Ord>(what: &str, mut keys: Vec<T>) -> Option<String> {
    keys.sort_unstable();
    keys.dedup();
    let more = "(the page keys-without-effect of the handbook says what is done instead)";
    (!keys.is_empty()).then(|| format!("{what}: {} {more}", keys.join(", ")))
}
