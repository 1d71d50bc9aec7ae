//! A recording as a source, and as the oracle of an attester that has no node.

use crate::decode::DecodeError;
use crate::raw::RawBlock;
use crate::reads::Pass;
use crate::recording::Recording;
use acurast_adapter_api::{AssignmentOracle, AttestedAssignment, OracleError, Source, SourceBlock, SourceError};
use acurast_events::bytes::{BlockHash, Genesis, ProcessorId};
use acurast_events::caip::ChainId;
use acurast_events::job_id::JobId;
use acurast_events::source::{FoundSlot, SourceEvent};
use acurast_events::units::BlockNumber;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A recording as a source; ends with [`SourceError::End`].
#[derive(Debug, Clone)]
pub struct RecordedSource {
    recording: Arc<Recording>,
    chain: ChainId,
    /// Index of the next block.
    next: usize,
}

impl RecordedSource {
    /// A source of the recording's blocks from its first one on.
    pub fn new(recording: Arc<Recording>) -> Self {
        let chain = ChainId::substrate(&recording.genesis);
        Self { recording, chain, next: 0 }
    }

    fn refused(&self, reason: String) -> SourceError {
        SourceError::Refused { chain: self.chain.clone(), reason }
    }

    fn decode(&self, raw: &RawBlock) -> Result<SourceBlock, SourceError> {
        let runtime = |spec_version: u32| {
            let found = self.recording.runtimes.get(&spec_version);
            found.ok_or_else(|| self.refused(format!("the recording has no runtime {spec_version}")))
        };
        let (runtime, parent_runtime) = (runtime(raw.spec_version)?, runtime(raw.parent_spec_version)?);
        match raw.decode(self.recording.genesis, runtime, parent_runtime) {
            Ok(Pass::Done(decoded)) => Ok(raw.source_block(decoded)),
            Ok(Pass::Needs(needs)) => Err(self.refused(format!(
                "the recording lacks {} answers that block {} needs: it was made by another version; record it anew",
                needs.len(),
                raw.number
            ))),
            Err(error @ DecodeError { .. }) => Err(self.refused(error.to_string())),
        }
    }

    /// An oracle that says of each block what the recorded facts up to it say.
    ///
    /// # Errors
    /// When a block does not decode.
    pub fn oracle(&self) -> Result<RecordedOracle, SourceError> {
        let mut oracle = RecordedOracle { blocks: BTreeMap::new(), assignments: BTreeMap::new() };
        for raw in &self.recording.blocks {
            let block = self.decode(raw)?;
            oracle.blocks.insert(block.hash, block.number);
            for fact in &block.facts {
                oracle.apply(block.number, fact);
            }
        }
        Ok(oracle)
    }
}

#[async_trait]
impl Source for RecordedSource {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    fn genesis(&self) -> Genesis {
        self.recording.genesis
    }

    async fn resume(&mut self, after: Option<(BlockNumber, BlockHash)>) -> Result<(), SourceError> {
        let Some((number, hash)) = after else {
            self.next = 0;
            return Ok(());
        };
        let blocks = &self.recording.blocks;
        let (position, found) = match blocks.iter().position(|block| block.number == number) {
            Some(position) => (position.saturating_add(1), blocks.get(position).map(|block| block.hash)),
            None => (0, blocks.first().filter(|block| block.number == number.next()).map(|block| block.parent)),
        };
        match found {
            Some(found) if found == hash => {
                self.next = position;
                Ok(())
            }
            Some(found) => Err(SourceError::FinalityViolation { chain: self.chain.clone(), number, sealed: hash, found }),
            None => Err(self.refused(format!("the recording has no block {number}; replay into a new journal, or a longer recording"))),
        }
    }

    async fn next(&mut self) -> Result<SourceBlock, SourceError> {
        match self.recording.blocks.get(self.next) {
            Some(raw) => {
                let block = self.decode(raw)?;
                self.next = self.next.saturating_add(1);
                Ok(block)
            }
            None => {
                let number = self.recording.blocks.last().map_or(BlockNumber(0), |block| block.number);
                Err(SourceError::End { chain: self.chain.clone(), number })
            }
        }
    }
}

type Assignments = BTreeMap<BlockNumber, Option<AttestedAssignment>>;

/// What a recording says of assignments, block by block.
///
/// Only what an event announced is recorded: keys that a processor replaced later, or a match that its last report removed,
/// stand as they were acknowledged, which is what a leaf is derived from anyway (PROTOCOL §1).
#[derive(Debug, Clone)]
pub struct RecordedOracle {
    blocks: BTreeMap<BlockHash, BlockNumber>,
    assignments: BTreeMap<(JobId, ProcessorId), Assignments>,
}

impl RecordedOracle {
    fn apply(&mut self, number: BlockNumber, fact: &SourceEvent) {
        match fact {
            SourceEvent::Acknowledged(fact) => {
                let assignment = fact.registration.clone().zip(fact.slot.clone()).map(|(registration, slot)| AttestedAssignment {
                    registration,
                    slot,
                    acknowledged: true,
                    keys: fact.keys.clone(),
                });
                self.assignments.entry((fact.job.clone(), fact.processor)).or_default().insert(number, assignment);
            }
            SourceEvent::Found(fact) => {
                for FoundSlot { slot, acknowledged, keys, next_index: _ } in &fact.slots {
                    let assignment = AttestedAssignment {
                        registration: fact.registration.clone(),
                        slot: slot.clone(),
                        acknowledged: *acknowledged,
                        keys: keys.clone(),
                    };
                    self.assignments.entry((fact.job.clone(), slot.processor)).or_default().insert(number, Some(assignment));
                }
            }
            SourceEvent::Removed(fact) => {
                for ((job, _), assignments) in &mut self.assignments {
                    if *job == fact.job {
                        assignments.insert(number, None);
                    }
                }
            }
            _ => {}
        }
    }
}

#[async_trait]
impl AssignmentOracle for RecordedOracle {
    async fn check_finalized(&self, number: BlockNumber, hash: BlockHash) -> Result<(), OracleError> {
        if self.blocks.get(&hash) == Some(&number) { Ok(()) } else { Err(OracleError::NotFinalized { number, hash }) }
    }

    async fn assignment(&self, hash: BlockHash, job: &JobId, processor: &ProcessorId) -> Result<Option<AttestedAssignment>, OracleError> {
        let number = self.blocks.get(&hash).ok_or_else(|| OracleError::Unavailable(format!("the recording has no block {hash}")))?;
        let assignments = self.assignments.get(&(job.clone(), *processor));
        Ok(assignments.and_then(|assignments| assignments.range(..=*number).next_back()).and_then(|(_, assignment)| assignment.clone()))
    }
}
