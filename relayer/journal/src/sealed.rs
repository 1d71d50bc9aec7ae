//! Complete blocks of a source topic: a block's facts count only once its seal of the same term was read (PROTOCOL §8).
//!
//! Facts that no seal of their term follows count as never seen: the source's next owner reads that block again. So a
//! consumer's position never passes a fact whose seal wasn't read; [`SealedBlocks::resume`] is such a position.

use crate::acceptance::AcceptedRecord;
use crate::frontier::Frontier;
use acurast_events::bytes::EventId;
use acurast_events::record::InputRef;
use acurast_events::source::{BlockSealed, SourceEvent, facts_root};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{BlockNumber, Count, Offset, Sequence, Term};
use acurast_events::wire::WireError;

/// Most facts that one seal may cover; a bound on memory, far above what a block can hold.
const FACTS_MAX: usize = 1_000_000;

/// A fact whose seal was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFact {
    /// What a record that answers the fact names.
    pub input: InputRef,
    /// The fact.
    pub event: SourceEvent,
}

/// A block, or a range of quiet ones, with all of its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBlock {
    /// Its facts, in order.
    pub facts: Vec<SealedFact>,
    /// The seal that closed it.
    pub seal: BlockSealed,
    /// What a record that answers the seal itself names.
    pub input: InputRef,
}

/// Why records of a source topic make no blocks. The consumer halts: its source's writer broke its own rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// An event doesn't decode, also because a newer version wrote it.
    #[error("{at}: an event of record {sequence} can't be read: {error}")]
    Event {
        /// Where.
        at: TopicPartition,
        /// In which record.
        sequence: Sequence,
        /// Why.
        error: WireError,
    },
    /// The seal doesn't cover exactly the facts before it.
    #[error("{at}: the seal of block {number} in record {sequence} covers {sealed} facts, {found} came, or their ids differ")]
    Mismatch {
        /// Where.
        at: TopicPartition,
        /// In which record.
        sequence: Sequence,
        /// The sealed block.
        number: BlockNumber,
        /// Facts that the seal says.
        sealed: Count,
        /// Facts that were read.
        found: usize,
    },
    /// Too many facts without a seal.
    #[error("{0}: more than {FACTS_MAX} facts without a seal")]
    Unbounded(TopicPartition),
}

/// Collects accepted records of one source partition into sealed blocks.
#[derive(Debug, Clone)]
pub struct SealedBlocks {
    at: TopicPartition,
    term: Term,
    open: Vec<SealedFact>,
    resume: Frontier,
}

impl SealedBlocks {
    /// Begins at `resume`, where no block is open: the start, or what [`resume`](Self::resume) once returned.
    pub fn new(at: TopicPartition, resume: Frontier) -> Self {
        Self { at, term: resume.owner.map_or(Term(0), |owner| owner.term), open: Vec::new(), resume }
    }

    /// Takes the next accepted record, and returns the blocks that it closes.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn push(&mut self, accepted: &AcceptedRecord) -> Result<Vec<SealedBlock>, SealError> {
        let record = &accepted.record;
        if record.term != self.term {
            self.term = record.term;
            self.open.clear();
        }
        let events = record.decode_events::<SourceEvent>().map_err(|error| SealError::Event {
            at: self.at.clone(),
            sequence: record.sequence,
            error,
        })?;
        let mut blocks = Vec::new();
        for event in events {
            match event {
                SourceEvent::BlockSealed(seal) => blocks.push(self.close(seal, accepted)?),
                SourceEvent::Progress(_) | SourceEvent::StateDigest(_) => {}
                fact => self.collect(fact, record.sequence)?,
            }
        }
        if self.open.is_empty() {
            self.resume = accepted.frontier();
        }
        Ok(blocks)
    }

    /// Where a consumer may resume: no fact before it is unsealed. Its `next_sequence` is the consumer's position for
    /// `Progress`, once it took all blocks that were returned.
    pub fn resume(&self) -> Frontier {
        self.resume
    }

    fn collect(&mut self, fact: SourceEvent, sequence: Sequence) -> Result<(), SealError> {
        if self.open.len() >= FACTS_MAX {
            return Err(SealError::Unbounded(self.at.clone()));
        }
        if let Some(meta) = fact.meta() {
            let input = self.input(sequence, meta.id);
            self.open.push(SealedFact { input, event: fact });
        }
        Ok(())
    }

    fn close(&mut self, seal: BlockSealed, accepted: &AcceptedRecord) -> Result<SealedBlock, SealError> {
        let facts = std::mem::take(&mut self.open);
        let ids: Vec<EventId> = facts.iter().map(|fact| fact.input.id).collect();
        let sequence = accepted.record.sequence;
        if u64::try_from(ids.len()) != Ok(seal.fact_count.0) || facts_root(&ids) != seal.facts_root {
            let (number, sealed) = (seal.number, seal.fact_count);
            return Err(SealError::Mismatch { at: self.at.clone(), sequence, number, sealed, found: ids.len() });
        }
        // A seal has no id of its own; its block's hash identifies it.
        let input = self.input(sequence, EventId(seal.hash.0));
        Ok(SealedBlock { facts, seal, input })
    }

    fn input(&self, sequence: Sequence, id: EventId) -> InputRef {
        InputRef { topic: self.at.topic.as_str().to_owned(), partition: self.at.partition, position: Offset(sequence.0), id }
    }
}
