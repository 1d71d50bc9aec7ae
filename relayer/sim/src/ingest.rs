//! The source topics: blocks of facts, sealed, in the relayer's own chained form. Stands for the ingest loop, which reads real
//! chains and has tests of its own; here it may lose its writer at any append, and then writes the block again.

use crate::clock::MachineClock;
use crate::journal::finish;
use crate::owned::Stop;
use crate::random::Random;
use acurast_events::bytes::{BlockHash, Bytes, EventId, Genesis, WriterId};
use acurast_events::caip::ChainId;
use acurast_events::ids::chain_fact_id;
use acurast_events::jobs::BlockRef;
use acurast_events::source::{BlockSealed, FactMeta, SourceEvent, facts_root};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{BlockNumber, Count};
use acurast_events::wire::Message;
use acurast_relayer_journal::{ClaimOptions, Claiming, Draft, Frontier, PartitionWriter, SimulatedJournal};
use std::sync::Arc;
use std::time::Duration;

/// Attempts to write one block; each meets the journal's faults anew.
const TRIES_MAX: usize = 64;

/// The writer of one source topic.
pub struct Ingest {
    chain: ChainId,
    genesis: Genesis,
    at: TopicPartition,
    journal: Arc<SimulatedJournal>,
    clock: Arc<MachineClock>,
    writer: Option<PartitionWriter>,
    sealed: Option<BlockNumber>,
    random: Random,
}

/// The same writer once more, for a world that is put back.
impl Clone for Ingest {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            genesis: self.genesis,
            at: self.at.clone(),
            journal: self.journal.clone(),
            clock: self.clock.clone(),
            writer: self.writer.as_ref().map(|writer| writer.twin(&self.journal)),
            sealed: self.sealed,
            random: self.random.clone(),
        }
    }
}

impl Ingest {
    /// The writer of the topic `at` of `chain`.
    pub fn new(
        chain: ChainId,
        genesis: Genesis,
        at: TopicPartition,
        journal: Arc<SimulatedJournal>,
        clock: Arc<MachineClock>,
        random: Random,
    ) -> Self {
        Self { chain, genesis, at, journal, clock, writer: None, sealed: None, random }
    }

    /// The process is gone; the next write claims anew.
    pub fn crash(&mut self) {
        self.writer = None;
    }

    /// Writes a block with its facts, once, whatever the journal does.
    ///
    /// # Errors
    /// When the log contradicts its own rules, or never takes the block.
    pub fn write(&mut self, block: &BlockRef, parent: BlockHash, facts: &[SourceEvent]) -> Result<(), Stop> {
        for _ in 0..TRIES_MAX {
            match self.try_write(block, parent, facts) {
                Err(Stop::Lost(_)) => self.writer = None,
                known => return known,
            }
        }
        Err(Stop::Defect(format!("{}: block {} could not be written", self.at, block.number)))
    }

    fn try_write(&mut self, block: &BlockRef, parent: BlockHash, facts: &[SourceEvent]) -> Result<(), Stop> {
        if self.writer.is_none() {
            self.writer = Some(self.claim()?);
        }
        if self.sealed.is_some_and(|sealed| sealed >= block.number) {
            return Ok(());
        }
        let drafts = self.drafts(block, parent, facts);
        let Some(writer) = &mut self.writer else { return Ok(()) };
        finish(writer.append(drafts))??;
        self.sealed = Some(block.number);
        Ok(())
    }

    fn claim(&mut self) -> Result<PartitionWriter, Stop> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.random.draw().to_be_bytes());
        let options = ClaimOptions { writer: WriterId(id), lease: Duration::from_secs(5), clock: self.clock.clone() };
        let mut claiming = finish(Claiming::begin(self.journal.clone(), self.at.clone(), Frontier::START, options))??;
        while let Some(records) = finish(claiming.next_batch())?? {
            for record in records {
                for event in record.record.decode_events::<SourceEvent>().map_err(|error| Stop::Defect(error.to_string()))? {
                    if let SourceEvent::BlockSealed(seal) = event {
                        self.sealed = Some(seal.number);
                    }
                }
            }
        }
        Ok(claiming.finish()?)
    }

    /// A record of facts, then the seal: a crash between them leaves facts that never count.
    fn drafts(&self, block: &BlockRef, parent: BlockHash, facts: &[SourceEvent]) -> Vec<Draft> {
        let ids: Vec<EventId> =
            (0u32..).zip(facts).map(|(index, _)| chain_fact_id(&self.genesis, &block.hash, block.number, index, 0)).collect();
        let placed = (0u32..).zip(facts).zip(&ids).map(|((index, fact), id)| place(fact, FactMeta { id: *id, index, extrinsic: None }));
        let seal = BlockSealed {
            first: block.number,
            number: block.number,
            hash: block.hash,
            parent,
            timestamp: block.timestamp,
            fact_count: Count(ids.len() as u64),
            facts_root: facts_root(&ids),
            spec_version: None,
        };
        let at = self.writer.as_ref().map(PartitionWriter::stamp).unwrap_or_default();
        let subject = Bytes(self.chain.as_str().as_bytes().to_vec());
        let draft =
            |events: Vec<Bytes>| Draft { key: subject.0.clone(), at, input: None, subject: subject.clone(), traceparent: None, events };
        let told: Vec<Bytes> = placed.map(|fact| Bytes(fact.encode())).collect();
        let mut drafts = Vec::new();
        if !told.is_empty() {
            drafts.push(draft(told));
        }
        drafts.push(draft(vec![Bytes(SourceEvent::from(seal).encode())]));
        drafts
    }
}

/// The fact at its place.
fn place(event: &SourceEvent, meta: FactMeta) -> SourceEvent {
    let mut event = event.clone();
    match &mut event {
        SourceEvent::Registered(fact) => fact.meta = meta,
        SourceEvent::Matched(fact) => fact.meta = meta,
        SourceEvent::Acknowledged(fact) => fact.meta = meta,
        SourceEvent::Reported(fact) => fact.meta = meta,
        SourceEvent::Removed(fact) => fact.meta = meta,
        SourceEvent::EscrowOpened(fact) => fact.meta = meta,
        SourceEvent::EscrowToppedUp(fact) => fact.meta = meta,
        SourceEvent::EscrowCloseRequested(fact) => fact.meta = meta,
        SourceEvent::EscrowRefunded(fact) => fact.meta = meta,
        // No world has others.
        _ => {}
    }
    event
}
