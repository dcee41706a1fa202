//! Sample: what it is, and by which bulk path its rows come and go.
#![doc = ""]
#![doc = include_str!("README.md")]
#![allow(clippy::doc_markdown, reason = "the page is for terminals, too, and its options are plain text")]

use std::sync::Arc;

use serde_json::Value as Json;

use crate::connector::{Connector, OptionDoc};
use crate::endpoint::Endpoint;
use crate::error::Result;

//# sink
mod agree;
//# end
mod config;
mod endpoint;
//# source
mod read;
mod session;
//# end
mod typemap;
//# sink
mod write;
//# end

/// The connector.
#[derive(Debug)]
pub struct Sample;

impl Connector for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn summary(&self) -> &'static str {
        "sample: what it is, in one line"
    }

    fn page(&self) -> &'static str {
        include_str!("README.md")
    }

    fn options(&self) -> &'static [OptionDoc] {
        config::OPTIONS
    }

    fn endpoint(&self, options: &Json) -> Result<Arc<dyn Endpoint>> {
        Ok(Arc::new(endpoint::SampleEndpoint::new(config::Config::parse(options)?)))
    }
}
