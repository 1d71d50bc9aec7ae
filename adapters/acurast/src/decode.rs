//! The pure core: a finalized block becomes facts (PROTOCOL §1).
//!
//! [`decode`] sees the block's place, its runtimes and the [`Answers`] gathered so far. It returns either what else it
//! needs to know or all facts of the block in the order of their events. It stops at nothing: what is unknown is counted
//! (and kept, where it is Acurast's own), what does not decode is quarantined with its bytes and the reason.

use crate::lifecycle::BlockFacts;
use crate::reads::{Answers, Pass, Reader};
use crate::records::{EventRecord, Undecodable, records};
use crate::runtime::Runtime;
use crate::state::{State, Trouble};
use acurast_events::bytes::{BlockHash, Bytes, Genesis};
use acurast_events::ids::chain_fact_id;
use acurast_events::source::{FactMeta, QuarantinedEvent, SourceEvent, UnknownEvent};
use acurast_events::units::{BlockNumber, Timestamp};
use std::collections::BTreeMap;

/// A block to decode.
#[derive(Debug, Clone, Copy)]
pub struct BlockInput<'a> {
    /// Genesis of the chain; part of every fact's id.
    pub genesis: Genesis,
    /// Height.
    pub number: BlockNumber,
    /// Hash.
    pub hash: BlockHash,
    /// The runtime that executed the block: the one in its parent's state.
    pub runtime: &'a Runtime,
    /// The runtime that executed its parent.
    pub parent_runtime: &'a Runtime,
    /// What is known so far.
    pub answers: &'a Answers,
}

/// A decoded block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The block's timestamp.
    pub timestamp: Timestamp,
    /// Its facts, in the order of their events.
    pub facts: Vec<SourceEvent>,
    /// What was seen beside the facts.
    pub counts: EventCounts,
}

/// How many events of which kind were seen that are no life-cycle facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Known to be of no consequence, by pallet and variant.
    pub ignored: BTreeMap<(String, String), u64>,
    /// Of a pallet or variant that this version does not know, by pallet and variant.
    pub unknown: BTreeMap<(String, String), u64>,
    /// That did not decode.
    pub quarantined: u64,
}

impl EventCounts {
    /// Adds the counts of another block.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [(&mut self.ignored, &other.ignored), (&mut self.unknown, &other.unknown)] {
            for (name, count) in theirs {
                let total = mine.entry(name.clone()).or_default();
                *total = total.saturating_add(*count);
            }
        }
        self.quarantined = self.quarantined.saturating_add(other.quarantined);
    }

    fn ignore(&mut self, record: &EventRecord<'_>) {
        count(&mut self.ignored, record);
    }
}

fn count(counts: &mut BTreeMap<(String, String), u64>, record: &EventRecord<'_>) {
    let total = counts.entry((record.pallet.to_owned(), record.variant.to_owned())).or_default();
    *total = total.saturating_add(1);
}

/// Why a block can't be decoded at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {number} {hash} can't be decoded: {reason}; upgrade the relayer")]
pub struct DecodeError {
    /// Height.
    pub number: BlockNumber,
    /// Hash.
    pub hash: BlockHash,
    /// Why.
    pub reason: String,
}

impl<'a> BlockInput<'a> {
    pub(crate) fn state(&self) -> State<'a> {
        State { reader: Reader::new(self.answers), runtime: self.runtime, parent_runtime: self.parent_runtime }
    }

    pub(crate) fn error(&self, reason: String) -> DecodeError {
        DecodeError { number: self.number, hash: self.hash, reason }
    }

    fn meta(&self, index: u32, extrinsic: Option<u32>, n: u32) -> FactMeta {
        FactMeta { id: chain_fact_id(&self.genesis, &self.hash, self.number, index, n), index, extrinsic }
    }

    /// Where the `n`th fact of an event comes from.
    pub(crate) fn meta_of(&self, record: &EventRecord<'_>, n: u32) -> FactMeta {
        self.meta(record.index, record.extrinsic, n)
    }

    pub(crate) fn quarantine(&self, record: &EventRecord<'_>, reason: String) -> SourceEvent {
        SourceEvent::QuarantinedEvent(QuarantinedEvent {
            meta: self.meta_of(record, 0),
            pallet: record.pallet.to_owned(),
            variant: record.variant.to_owned(),
            bytes: Bytes(record.fields.to_vec()),
            reason,
        })
    }

    fn quarantine_rest(&self, rest: Undecodable<'_>) -> SourceEvent {
        SourceEvent::QuarantinedEvent(QuarantinedEvent {
            meta: self.meta(rest.index, rest.extrinsic, 0),
            pallet: rest.pallet,
            variant: rest.variant,
            bytes: Bytes(rest.bytes.to_vec()),
            reason: format!("{}; the rest of the block's events is in these bytes", rest.reason),
        })
    }
}

/// What an event is to the relayer.
pub(crate) enum Verdict {
    /// These facts, in order.
    Facts(Vec<SourceEvent>),
    /// Part of a fact that another event completes.
    Held,
    /// Nothing that matters.
    Ignored,
    /// Not known to this version; kept as a fact when it is Acurast's own.
    Unknown {
        /// Whether to keep it.
        keep: bool,
    },
}

/// Decodes a block as far as the answers reach.
///
/// # Errors
/// When the runtime has no `System.Events` or `Timestamp.Now` that can be read: then nothing can be said of the block.
pub fn decode(input: &BlockInput<'_>) -> Result<Pass<Decoded>, DecodeError> {
    let state = input.state();
    let (timestamp, events) = match (state.timestamp(), state.events()) {
        (Ok(timestamp), Ok(events)) => (timestamp, events),
        (Err(Trouble::Bad(reason)), _) | (_, Err(Trouble::Bad(reason))) => return Err(input.error(reason)),
        (Err(Trouble::Missing), _) | (_, Err(Trouble::Missing)) => return Ok(Pass::Needs(state.reader.missing())),
    };
    let (records, rest) = records(input.runtime, events);
    let mut facts = Vec::new();
    let mut counts = EventCounts::default();
    let mut block = BlockFacts::new(input, &state, timestamp, &records);
    for record in &records {
        match block.verdict(record) {
            Ok(Verdict::Facts(found)) => facts.extend(found),
            Ok(Verdict::Held) => {}
            Ok(Verdict::Ignored) => counts.ignore(record),
            Ok(Verdict::Unknown { keep }) => {
                count(&mut counts.unknown, record);
                if keep {
                    facts.push(SourceEvent::UnknownEvent(UnknownEvent {
                        meta: input.meta_of(record, 0),
                        pallet: record.pallet.to_owned(),
                        variant: record.variant.to_owned(),
                        fields: Bytes(record.fields.to_vec()),
                    }));
                }
            }
            Err(Trouble::Bad(reason)) => facts.push(input.quarantine(record, reason)),
            // Noted by the reader; the other events are still asked for what they need.
            Err(Trouble::Missing) => {}
        }
    }
    facts.extend(block.unclaimed_outcomes());
    facts.extend(rest.map(|rest| input.quarantine_rest(rest)));
    facts.sort_by_key(|fact| fact.meta().map(|meta| meta.index));
    let needs = state.reader.missing();
    if !needs.is_empty() {
        return Ok(Pass::Needs(needs));
    }
    let quarantined = facts.iter().filter(|fact| matches!(fact, SourceEvent::QuarantinedEvent(_))).count();
    counts.quarantined = u64::try_from(quarantined).unwrap_or(u64::MAX);
    Ok(Pass::Done(Decoded { timestamp, facts, counts }))
}
