//! Example jobs in the words of other programs: what `etl template` prints.

mod flinkx;
mod go_etl;

use serde_json::{Value as Json, json};

pub use flinkx::FLINKX;
pub use go_etl::GO_ETL;

/// What is read and written in every example.
pub(super) const COLUMNS: [&str; 3] = ["id", "name", "day"];

/// Examples of the plugins of one program, and the job around them.
#[derive(Debug)]
pub struct Templates {
    /// Its readers.
    pub readers: &'static [Example],
    /// Its writers.
    pub writers: &'static [Example],
    /// The job of a reader and a writer.
    pub around: fn(&Json, &Json) -> Json,
}

/// An example of plugins that take the same keys: each that does something here.
#[derive(Debug)]
pub struct Example {
    /// Their names, in small letters.
    pub names: &'static [&'static str],
    /// The parameter of the one of this name.
    pub parameter: fn(&str) -> Json,
}

impl Templates {
    /// The job of these two plugins, in any case of their letters; none where one of them is not known.
    pub fn job(&self, reader: &str, writer: &str) -> Option<Json> {
        Some((self.around)(&plugin(self.readers, reader)?, &plugin(self.writers, writer)?))
    }
}

fn plugin(examples: &[Example], name: &str) -> Option<Json> {
    let name = name.to_lowercase();
    let example = examples.iter().find(|example| example.names.contains(&name.as_str()))?;
    Some(json!({"name": name, "parameter": (example.parameter)(&name)}))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::DIALECTS;
    use super::*;
    use crate::job::tree::Tree;

    fn names(examples: &'static [Example]) -> impl Iterator<Item = &'static str> {
        examples.iter().flat_map(|example| example.names).copied()
    }

    /// Each pair is known for what it is, and each of its keys does something.
    #[test]
    fn every_pair_is_taken_by_its_dialect() {
        let mut pairs = 0;
        for dialect in DIALECTS {
            let Some(templates) = dialect.templates else { continue };
            for (reader, writer) in
                names(templates.readers).flat_map(|reader| names(templates.writers).map(move |writer| (reader, writer)))
            {
                let job = templates.job(&reader.to_uppercase(), writer).unwrap();
                let owner = DIALECTS.iter().find(|dialect| (dialect.recognizes)(&job));
                assert_eq!(owner.map(|owner| owner.name), Some(dialect.name), "{reader} {writer}");
                let tree = Tree::new(job, HashMap::new());
                let translation =
                    (dialect.translate)(&tree).unwrap_or_else(|error| panic!("{reader} {writer}: {error}"));
                assert_eq!(tree.unasked(), Vec::<String>::new(), "{reader} {writer}");
                let idle = translation.notes.iter().find(|note| note.starts_with("these keys "));
                assert_eq!(idle, None, "{reader} {writer}");
                pairs += 1;
            }
        }
        // Those of DataX alone: 11 readers, 12 writers.
        assert!(pairs >= 132, "{pairs}");
    }

    #[test]
    fn what_is_not_known_has_no_example() {
        for dialect in DIALECTS {
            let Some(templates) = dialect.templates else { continue };
            assert_eq!(templates.job("mysqlreader", "mysqlreader"), None);
            assert_eq!(templates.job("nothingreader", "mysqlwriter"), None);
        }
    }
}
