//! A chain as a source of finalized facts.

use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::source::{BlockSealed, SourceEvent, facts_root};
use acurast_events::units::{BlockNumber, Count, Timestamp};
use async_trait::async_trait;

/// A finalized block, or a range of quiet ones, with its facts in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBlock {
    /// First height covered; equals `number` unless the range is quiet.
    pub first: BlockNumber,
    /// Last height covered.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: BlockHash,
    /// Hash of the parent of `first`.
    pub parent: BlockHash,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Runtime version, where the chain has one.
    pub spec_version: Option<u32>,
    /// The facts.
    pub facts: Vec<SourceEvent>,
}

impl SourceBlock {
    /// The seal that closes the block.
    pub fn seal(&self) -> BlockSealed {
        let ids: Vec<_> = self.facts.iter().filter_map(|fact| fact.meta().map(|meta| meta.id)).collect();
        BlockSealed {
            first: self.first,
            number: self.number,
            hash: self.hash,
            parent: self.parent,
            timestamp: self.timestamp,
            fact_count: Count(ids.len() as u64),
            facts_root: facts_root(&ids),
            spec_version: self.spec_version,
        }
    }
}

/// Why a source gives no further block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The node is gone or too slow; reconnect and go on. Nothing was skipped.
    #[error("{chain}: node unreachable: {reason}; retrying")]
    Unavailable {
        /// The chain.
        chain: ChainId,
        /// What happened.
        reason: String,
    },
    /// The node serves another chain than the journal was started on.
    #[error("{chain}: the node's genesis is {found}, the journal's {expected}; point the relayer at a node of its chain")]
    OtherChain {
        /// The chain.
        chain: ChainId,
        /// Genesis of the journal.
        expected: Genesis,
        /// Genesis of the node.
        found: Genesis,
    },
    /// A finalized block was replaced: stop and alarm.
    #[error("{chain}: finality violation at block {number}: sealed {sealed}, the node now says {found}; stop and compare with other nodes")]
    FinalityViolation {
        /// The chain.
        chain: ChainId,
        /// The height.
        number: BlockNumber,
        /// Hash that was sealed.
        sealed: BlockHash,
        /// Hash that the node says.
        found: BlockHash,
    },
    /// The node no longer has the state that is needed.
    #[error("{chain}: block {number} is pruned on this node; a backfill needs an archive node")]
    Pruned {
        /// The chain.
        chain: ChainId,
        /// The height.
        number: BlockNumber,
    },
    /// The recording is at its end, or the range is done.
    #[error("{chain}: no blocks after {number}")]
    End {
        /// The chain.
        chain: ChainId,
        /// The last height.
        number: BlockNumber,
    },
    /// Configured contract or endpoint is not what it should be.
    #[error("{chain}: {reason}")]
    Refused {
        /// The chain.
        chain: ChainId,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// A stream of finalized blocks without gaps.
///
/// # Use
/// `resume` once with the last block whose seal was read back (or nothing at the very first start), then `next` for ever.
///
/// # Order
/// Each block's `parent` is the hash of the one before. A source that can't keep that promise returns an error.
///
/// # Crash
/// A block that was returned but not sealed is returned again after the next `resume`, with the same fact ids.
#[async_trait]
pub trait Source: Send {
    /// The chain.
    fn chain(&self) -> &ChainId;
    /// Its genesis hash.
    fn genesis(&self) -> Genesis;
    /// Continues after this block; nothing: at the configured start.
    ///
    /// # Errors
    /// When the node is unreachable, of another chain, or has another block at that height.
    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError>;
    /// The next finalized block; waits for it.
    ///
    /// # Errors
    /// See [`SourceError`]; after `Unavailable` call again.
    async fn next(&mut self) -> Result<SourceBlock, SourceError>;
}
