//! Steps of a transform come before all else, see all rows, and their counts are in the summary.

use arrow_etl::flow::meter::Transformed;
use arrow_etl::job::{ErrorPolicy, OnError, TransformStep};

use super::*;

pub(super) fn step(function: &str, column_index: usize, parameters: [&str; 2]) -> TransformStep {
    let parameters = parameters.map(str::to_owned).to_vec();
    TransformStep { function: function.to_owned(), column_index, parameters }
}

/// Drops the ids from 90 on and fails for those of one digit.
fn stepped() -> Transform {
    let steps = vec![step("dx_filter", 0, [">", "89"]), step("dx_substr", 0, ["2", "1"])];
    Transform { steps, ..Transform::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_see_all_rows_and_are_counted() {
    let filtered = Transform { filter: Some("ref < 50".to_owned()), ..stepped() };
    // Of the ids 10 to 89 those whose `ref`, 7 * id + 3 of 100, is below 50.
    let below = (10..90).filter(|id| (id * 7 + 3) % 100 < 50).count();
    let limited = Transform { limit: Some(25), ..stepped() };
    for (transform, rows) in [(stepped(), 80), (filtered, below), (limited, 25)] {
        let (source, target) = (wide(100, 4), Memory::new());
        let mut job = job(transform.clone());
        job.errors = ErrorPolicy { on_error: OnError::Skip, ..ErrorPolicy::default() };
        let summary = run(&job, &source, &target).await.unwrap();
        assert_eq!(summary.rows as usize, rows, "{transform:?}");
        assert_eq!(target.table("dst").unwrap().rows.num_rows(), rows);
        let counted = summary.meter.transformed.expect("steps were taken");
        if transform.limit.is_none() {
            assert_eq!(counted, Transformed { succeeded: 90, failed: 10, filtered: 10 });
            assert_eq!(summary.rejected, 10);
        }
    }
    let plain = run(&job(Transform::default()), &wide(100, 4), &Memory::new()).await.unwrap();
    assert_eq!(plain.meter.transformed, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_that_fails_ends_a_strict_run() {
    let error = run(&job(stepped()), &wide(100, 1), &Memory::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let text = error.to_string();
    assert!(text.contains("row 1: transformer dx_substr: column id: "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_its_steps_and_refuses_what_is_none() {
    let (source, target) = (wide(100, 4), Memory::new());
    let told = plan(&job(stepped()), between(&source, &target)).await.unwrap();
    let expected = "StepsExec: dx_filter(id, \">\", \"89\"), dx_substr(id, \"2\", \"1\")";
    assert!(told.operators.iter().any(|line| line.trim() == expected), "{:?}", told.operators);
    for wrong in [step("dx_nope", 0, ["0", "1"]), step("dx_substr", 3, ["0", "1"])] {
        let job = job(Transform { steps: vec![wrong], ..Transform::default() });
        let error = plan(&job, between(&source, &target)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
