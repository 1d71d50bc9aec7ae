//! A block as the node gave it: what a recording keeps and what every source decodes.

use crate::decode::{BlockInput, DecodeError, Decoded, decode};
use crate::reads::{Answers, Pass};
use crate::runtime::Runtime;
use crate::snapshot::found;
use acurast_adapter_api::SourceBlock;
use acurast_events::bytes::{BlockHash, Genesis};
use acurast_events::units::BlockNumber;

/// A finalized block with all that was read for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBlock {
    /// Height.
    pub number: BlockNumber,
    /// Hash.
    pub hash: BlockHash,
    /// Hash of the parent.
    pub parent: BlockHash,
    /// Version of the runtime that executed it.
    pub spec_version: u32,
    /// Version of the runtime that executed its parent.
    pub parent_spec_version: u32,
    /// Whether it is the first of a journal: its facts are the jobs in storage instead of its events.
    pub first_start: bool,
    /// What was read: events, timestamp, storage values, extrinsics.
    pub answers: Answers,
}

impl RawBlock {
    /// The block as input of a decoder.
    pub fn input<'a>(&'a self, genesis: Genesis, runtime: &'a Runtime, parent_runtime: &'a Runtime) -> BlockInput<'a> {
        BlockInput { genesis, number: self.number, hash: self.hash, runtime, parent_runtime, answers: &self.answers }
    }

    /// Decodes the block: its events, or at a first start its storage.
    ///
    /// # Errors
    /// See [`decode`].
    pub fn decode(&self, genesis: Genesis, runtime: &Runtime, parent_runtime: &Runtime) -> Result<Pass<Decoded>, DecodeError> {
        let input = self.input(genesis, runtime, parent_runtime);
        if self.first_start { found(&input) } else { decode(&input) }
    }

    /// The block with its facts, ready to be sealed.
    pub fn source_block(&self, decoded: Decoded) -> SourceBlock {
        SourceBlock {
            first: self.number,
            number: self.number,
            hash: self.hash,
            parent: self.parent,
            timestamp: decoded.timestamp,
            spec_version: Some(self.spec_version),
            facts: decoded.facts,
        }
    }
}
