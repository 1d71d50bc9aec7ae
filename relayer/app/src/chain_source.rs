//! The source chains of this relayer under one type: an Acurast node, a recording of one, or a settlement contract's escrow facts.

use crate::paced::PacedRecording;
use acurast_adapter_acurast::{AcurastNode, KnownJobs, RecordedSource};
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_adapter_evm::EscrowWatch;
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use async_trait::async_trait;

/// One source of facts.
pub enum ChainSource {
    /// A live Acurast node.
    Node(Box<AcurastNode>),
    /// A recording.
    Recorded(RecordedSource),
    /// A recording, block by block.
    Paced(PacedRecording),
    /// Escrow facts of a settlement contract.
    Escrow(Box<EscrowWatch>),
}

impl ChainSource {
    fn inner(&self) -> &dyn Source {
        match self {
            Self::Node(source) => source.as_ref(),
            Self::Recorded(source) => source,
            Self::Paced(source) => source,
            Self::Escrow(source) => source.as_ref(),
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Source {
        match self {
            Self::Node(source) => source.as_mut(),
            Self::Recorded(source) => source,
            Self::Paced(source) => source,
            Self::Escrow(source) => source.as_mut(),
        }
    }

    /// Facts that storage knows at this block and `known` does not (R8); none where a source has no storage to compare with.
    ///
    /// # Errors
    /// When the node can't be asked.
    pub async fn reconcile(&mut self, number: BlockNumber, hash: BlockHash, known: &KnownJobs) -> Result<Vec<SourceEvent>, SourceError> {
        match self {
            Self::Node(source) => source.reconcile(number, hash, known).await,
            Self::Recorded(_) | Self::Paced(_) | Self::Escrow(_) => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl Source for ChainSource {
    fn chain(&self) -> &ChainId {
        self.inner().chain()
    }
    fn genesis(&self) -> Genesis {
        self.inner().genesis()
    }
    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        self.inner_mut().resume(after).await
    }
    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        self.inner_mut().next().await
    }
}
