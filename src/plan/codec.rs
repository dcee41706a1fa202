//! The operators of a transfer as bytes and back, for plans that cross processes.
//!
//! Each of our operators is its plain data as JSON behind a tag; its input travels as DataFusion's protobuf.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::error::to_datafusion;
use crate::plan::gather::GatherExec;
use crate::plan::read::{ReadExec, ReadSpec};
use crate::plan::rowwise::RowwiseExec;
use crate::plan::write::{WriteExec, WriteSpec};
use crate::runner::Task;

/// Tells our operators from others'.
const MAGIC: &[u8] = b"etl\x01";

/// Encodes and decodes our operators; leaves all others to DataFusion.
#[derive(Debug)]
pub struct Codec {
    others: DefaultPhysicalExtensionCodec,
}

impl Default for Codec {
    fn default() -> Self {
        Self { others: DefaultPhysicalExtensionCodec {} }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "operator")]
enum Operator {
    Read {
        spec: ReadSpec,
    },
    /// DataFusion's protobuf in base64: expressions have no JSON form.
    Rowwise {
        work: String,
    },
    Gather {
        channels: usize,
    },
    Write {
        spec: WriteSpec,
        tasks: Vec<Task>,
    },
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let Some(json) = bytes.strip_prefix(MAGIC) else {
            return self.others.try_decode(bytes, inputs, context, converter);
        };
        let [input] = inputs else {
            return Err(DataFusionError::Plan("an operator of a transfer has one input".into()));
        };
        let input = Arc::clone(input);
        Ok(match serde_json::from_slice(json).map_err(|error| to_datafusion(Error::from(error)))? {
            Operator::Read { spec } => Arc::new(ReadExec::new(Arc::new(spec), input)),
            Operator::Rowwise { work } => {
                let work = BASE64_STANDARD.decode(work).map_err(|error| DataFusionError::External(Box::new(error)))?;
                Arc::new(RowwiseExec::from_bytes(&work, input, context, &self.others)?)
            }
            Operator::Gather { channels } => Arc::new(GatherExec::new(input, channels)),
            Operator::Write { spec, tasks } => Arc::new(WriteExec::new(Arc::new(spec), tasks, input)),
        })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> PlanResult<()> {
        let Some(operator) = self.operator(&*node)? else { return self.others.try_encode(node, bytes, converter) };
        bytes.extend_from_slice(MAGIC);
        serde_json::to_writer(bytes, &operator).map_err(|error| to_datafusion(Error::from(error)))
    }
}

impl Codec {
    fn operator(&self, node: &dyn ExecutionPlan) -> PlanResult<Option<Operator>> {
        if let Some(read) = node.downcast_ref::<ReadExec>() {
            return Ok(Some(Operator::Read { spec: ReadSpec::clone(read.spec()) }));
        }
        if let Some(rowwise) = node.downcast_ref::<RowwiseExec>() {
            let work = BASE64_STANDARD.encode(rowwise.to_bytes(&self.others)?);
            return Ok(Some(Operator::Rowwise { work }));
        }
        if let Some(gather) = node.downcast_ref::<GatherExec>() {
            return Ok(Some(Operator::Gather { channels: gather.channels() }));
        }
        let write = node.downcast_ref::<WriteExec>();
        Ok(write.map(|write| Operator::Write { spec: WriteSpec::clone(write.spec()), tasks: write.tasks().to_vec() }))
    }
}
