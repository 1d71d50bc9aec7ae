//! Makes recordings: a live source that writes every block it returns.

use crate::endpoint::NodeUrl;
use crate::node::{AcurastNode, NodeConfig, Start};
use crate::recording::{RecordingError, RecordingWriter};
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::units::{BlockNumber, Count};
use async_trait::async_trait;
use std::io::Write;

/// A live node that is recorded as it is read.
#[derive(Debug)]
pub struct Recorder<W> {
    node: AcurastNode,
    writer: RecordingWriter<W>,
}

impl<W: Write + Send> Recorder<W> {
    /// Records what `node` returns to `out`.
    ///
    /// # Errors
    /// When the header can't be written.
    pub fn new(node: AcurastNode, out: W) -> Result<Self, RecordingError> {
        let writer = RecordingWriter::new(out, node.genesis())?;
        Ok(Self { node, writer })
    }

    async fn write(&mut self) -> Result<SourceBlock, SourceError> {
        let (raw, block) = self.node.next_raw().await?;
        let chain = self.node.chain().clone();
        let refused = |error: RecordingError| SourceError::Refused { chain: chain.clone(), reason: error.to_string() };
        for spec_version in [raw.parent_spec_version, raw.spec_version] {
            if let (true, Some(metadata)) = (self.writer.lacks_runtime(spec_version), self.node.metadata(spec_version).await) {
                self.writer.runtime(spec_version, metadata).map_err(&refused)?;
            }
        }
        self.writer.block(&raw).map_err(&refused)?;
        Ok(block)
    }
}

#[async_trait]
impl<W: Write + Send> Source for Recorder<W> {
    fn chain(&self) -> &ChainId {
        self.node.chain()
    }

    fn genesis(&self) -> Genesis {
        self.node.genesis()
    }

    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        self.node.resume(after).await
    }

    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        self.write().await
    }
}

/// What a recording holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSummary {
    /// Genesis of the chain.
    pub genesis: Genesis,
    /// First block.
    pub first: BlockNumber,
    /// Last block.
    pub last: BlockNumber,
    /// How many facts its blocks have.
    pub facts: Count,
}

/// Records the blocks `first..=last` of the node at `url`; no last: up to the finalized head of now.
///
/// The recording begins as a journal does that starts at `first`: with the jobs in storage there. `progress` sees each block.
///
/// # Errors
/// When the node can't be reached, its genesis is not known, a block is pruned, or the file can't be written. A node that is
/// lost on the way is connected to again.
pub async fn record<W: Write + Send>(
    url: &NodeUrl,
    first: BlockNumber,
    last: Option<BlockNumber>,
    out: W,
    mut progress: impl FnMut(&SourceBlock),
) -> Result<RecordingSummary, SourceError> {
    let limits = NodeConfig::new(url.clone(), Genesis::ZERO, Start::Block(first));
    let unknown = |reason: String| SourceError::Unavailable { chain: ChainId::substrate(&Genesis::ZERO), reason };
    let genesis = NodeConfig::discover_genesis(url, limits.request_timeout).await.map_err(unknown)?;
    let config = NodeConfig { genesis, ..limits };
    let last = match last {
        Some(last) => last,
        None => AcurastNode::new(config.clone()).finalized().await?,
    };
    let node = AcurastNode::until(config, last);
    let chain = node.chain().clone();
    let mut recorder =
        Recorder::new(node, out).map_err(|error| SourceError::Refused { chain: chain.clone(), reason: error.to_string() })?;
    let mut facts = 0_u64;
    loop {
        match recorder.next().await {
            Ok(block) => {
                facts = facts.saturating_add(u64::try_from(block.facts.len()).unwrap_or(u64::MAX));
                progress(&block);
            }
            Err(SourceError::End { number, .. }) => return Ok(RecordingSummary { genesis, first, last: number, facts: Count(facts) }),
            Err(error @ SourceError::Unavailable { .. }) => tracing::warn!(%error, "recording waits for the node"),
            Err(error) => return Err(error),
        }
    }
}
