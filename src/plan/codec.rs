//! The operators of a transfer as bytes and back, for plans that cross processes.
//!
//! Each of our operators is its plain data as JSON behind a tag; its input travels as DataFusion's protobuf. Checks do
//! not travel: [`Codec::decode`] puts them back in, and is the only way to a plan that may run.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::TransformStep;
use crate::plan::checked::{CheckedWire, check_plan};
use crate::plan::error::{from_datafusion, to_datafusion};
use crate::plan::gather::GatherExec;
use crate::plan::read::{ReadExec, ReadSpec};
use crate::plan::rowwise::{Labels, RowwiseExec};
use crate::plan::spread::SpreadExec;
use crate::plan::steps::{Steps, StepsExec};
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
        labels: Labels,
    },
    Steps {
        steps: Vec<TransformStep>,
        zone: Option<String>,
    },
    Gather {
        channels: usize,
    },
    Spread {
        readers: usize,
        writers: usize,
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
            Operator::Rowwise { work, labels } => {
                let work = BASE64_STANDARD.decode(work).map_err(|error| DataFusionError::External(Box::new(error)))?;
                Arc::new(RowwiseExec::from_bytes(&work, input, context, self)?.with_labels(Arc::new(labels)))
            }
            Operator::Steps { steps, zone } => {
                let steps = Steps::by_clock(&steps, &input.schema(), zone.as_deref()).map_err(to_datafusion)?;
                Arc::new(StepsExec::new(Arc::new(steps), input))
            }
            Operator::Gather { channels } => Arc::new(GatherExec::new(input, channels)),
            Operator::Spread { readers, writers } => Arc::new(SpreadExec::new(input, readers, writers)),
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

    fn try_encode_expr(
        &self,
        node: &Arc<dyn PhysicalExpr>,
        bytes: &mut Vec<u8>,
        context: &PhysicalExprEncodeCtx<'_>,
    ) -> PlanResult<()> {
        let Some(wire) = CheckedWire::of(node) else { return self.others.try_encode_expr(node, bytes, context) };
        bytes.extend_from_slice(MAGIC);
        serde_json::to_writer(bytes, &wire).map_err(|error| to_datafusion(Error::from(error)))
    }

    fn try_decode_expr(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        context: &PhysicalExprDecodeCtx<'_>,
    ) -> PlanResult<Arc<dyn PhysicalExpr>> {
        let Some(json) = bytes.strip_prefix(MAGIC) else {
            return self.others.try_decode_expr(bytes, inputs, context);
        };
        let wire = serde_json::from_slice::<CheckedWire>(json).map_err(Error::from);
        wire.and_then(|wire| wire.over(inputs)).map_err(to_datafusion)
    }
}

impl Codec {
    /// `plan` as bytes.
    ///
    /// # Errors
    /// DataFusion's when an operator or expression has no serial form.
    pub fn encode(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
        let bytes = physical_plan_to_bytes_with_extension_codec(plan, self).map_err(from_datafusion)?;
        Ok(bytes.to_vec())
    }

    /// The plan that [`Codec::encode`] was given, with all its checks. Functions are looked up in `context`, which must be
    /// that of a [`Pipeline`](crate::plan::pipeline::Pipeline).
    ///
    /// # Errors
    /// DataFusion's when the bytes are no plan, and those of [`check_plan`].
    pub fn decode(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = physical_plan_from_bytes_with_extension_codec(bytes, context, self).map_err(from_datafusion)?;
        check_plan(plan).map_err(from_datafusion)
    }

    fn operator(&self, node: &dyn ExecutionPlan) -> PlanResult<Option<Operator>> {
        if let Some(read) = node.downcast_ref::<ReadExec>() {
            return Ok(Some(Operator::Read { spec: ReadSpec::clone(read.spec()) }));
        }
        if let Some(rowwise) = node.downcast_ref::<RowwiseExec>() {
            let work = BASE64_STANDARD.encode(rowwise.to_bytes(self)?);
            return Ok(Some(Operator::Rowwise { work, labels: Labels::clone(rowwise.labels()) }));
        }
        if let Some(stepped) = node.downcast_ref::<StepsExec>() {
            let (steps, zone) = (stepped.steps().given().to_vec(), stepped.steps().zone().map(str::to_owned));
            return Ok(Some(Operator::Steps { steps, zone }));
        }
        if let Some(gather) = node.downcast_ref::<GatherExec>() {
            return Ok(Some(Operator::Gather { channels: gather.channels() }));
        }
        if let Some(spread) = node.downcast_ref::<SpreadExec>() {
            return Ok(Some(Operator::Spread { readers: spread.readers(), writers: spread.writers() }));
        }
        let write = node.downcast_ref::<WriteExec>();
        Ok(write.map(|write| Operator::Write { spec: WriteSpec::clone(write.spec()), tasks: write.tasks().to_vec() }))
    }
}
