//! Sample through the suite.

//# no source
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use arrow_etl::connectors;
use arrow_etl::endpoint::{Endpoint, ObjectRef};
//# source
use arrow::datatypes::Field;
use arrow_etl::connectors;
use arrow_etl::endpoint::ObjectRef;
//# end
use arrow_etl::error::Result;
use arrow_etl::testing::conformance::{self, Fixture, Target};
use arrow_etl::testing::generate;
use async_trait::async_trait;
use serde_json::json;

#[derive(Debug)]
struct Sample;

#[async_trait]
impl Fixture for Sample {
    /// A place that no other test has.
    async fn target(&self) -> Result<Target> {
        let open = || connectors::find("sample")?.endpoint(&json!({"url": "sample:conformance"}));
        Target::opened_by(open, ObjectRef::Table("conformance".to_owned()))
    }

//# no source
    /// What it took is read by nobody here.
    fn reader(&self, _target: &Target, _schema: &Schema) -> Result<Option<Arc<dyn Endpoint>>> {
        Ok(None)
    }

//# end
    /// Those of the types that it keeps exactly.
    fn fields(&self) -> Vec<Field> {
        generate::fields_named(&["bool", "int64", "text"])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_is_there() {
    let report = conformance::check_parts(connectors::find("sample").unwrap(), &Sample).await;
    assert!(report.passed(), "{report}");
}

//# no sink
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_sound() {
    let target = Sample.target().await.unwrap();
    let report = conformance::check_source(target.endpoint, target.object).await;
    assert!(report.passed(), "{report}");
}
//# end
//# sink
#[tokio::test(flavor = "multi_thread")]
async fn all_is_sound() {
    super::passes(&Sample).await;
}
//# end
