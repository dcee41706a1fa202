//! The seeds of the fuzz targets, replayed: what was found once stays mended.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::sql::sqlparser;

use crate::{error, formats, job, object, state};

#[allow(unreachable_pub, reason = "the fuzz targets need it")]
#[path = "../../tests/fuzz/src/targets.rs"]
mod targets;

/// Runs `target` over all seeds of `name`.
pub(crate) fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() > 4, "{} has {} seeds", folder.display(), seeds.len());
    for seed in seeds {
        let bytes = std::fs::read(&seed).unwrap();
        let passed = std::panic::catch_unwind(|| target(&bytes)).is_ok();
        assert!(passed, "the target {name} fails with {}", seed.display());
    }
}

/// A target without a program is never run, and one without seeds is never replayed.
#[test]
fn each_target_has_a_program_and_seeds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let paths = std::fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    // Two are replayed beside the decoders that they feed.
    let known = targets::TARGETS.iter().map(|(name, _)| *name).chain(["copy", "rows"]);
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    assert_eq!((names("targets"), names("seeds")), (known.clone(), known.clone()));
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in known {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is no program");
    }
}

#[test]
fn every_seed_passes() {
    for (name, target) in targets::TARGETS {
        replay(name, target);
    }
}
