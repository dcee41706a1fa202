//! The seeds of the fuzz targets, replayed: what was found once stays mended.

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

#[test]
fn every_seed_passes() {
    for (name, target) in targets::TARGETS {
        replay(name, target);
    }
}
