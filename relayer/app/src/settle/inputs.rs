//! The inputs of settle in the form that its core decides.

use super::control::{output_of, reference_of};
use super::{Settle, SettleError, event_reference};
use crate::input_end::check_end;
use acurast_events::bytes::Bytes;
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::lanes::LanesEvent;
use acurast_events::record::{InputPosition, InputRef};
use acurast_events::units::Offset;
use acurast_events::wire::Message;
use acurast_relayer_core::Input;
use acurast_relayer_journal::{LogRecord, PartitionReader, SealedBlock, SealedBlocks};

/// One input, ready to be decided.
pub struct Pending {
    /// What it says; nothing for another partition's Progress.
    pub input: Option<Input>,
    /// Its place and id; nothing for [`Input::Ready`].
    pub reference: Option<InputRef>,
    /// Where its partition stands once it was taken.
    pub position: Option<InputPosition>,
    /// Whether it is another partition's Progress: no input, only a position that is passed.
    pub is_progress: bool,
}

impl Pending {
    /// No input: what the state by itself allows.
    pub(super) fn ready() -> Self {
        Self { input: Some(Input::Ready), reference: None, position: None, is_progress: false }
    }
}

/// Events in the form of a record.
pub(super) fn encode(events: &[JobsEvent]) -> Vec<Bytes> {
    events.iter().map(|event| Bytes(event.encode())).collect()
}

pub(super) fn position_after(reference: &InputRef) -> InputPosition {
    InputPosition { topic: reference.topic.clone(), partition: reference.partition, next: Offset(reference.position.0.saturating_add(1)) }
}

/// Follows a source topic, block by block.
pub struct SourceFollower {
    /// The chain.
    pub chain: ChainId,
    /// Its topic.
    pub reader: PartitionReader,
    /// Blocks in the making.
    pub blocks: SealedBlocks,
    /// Sequences below were taken before the last Progress.
    pub next: Offset,
}

impl SourceFollower {
    /// The inputs of the next batch of records.
    ///
    /// # Errors
    /// When the topic can't be followed.
    pub(super) async fn next(&mut self) -> Result<Vec<Pending>, SettleError> {
        let mut pending = Vec::new();
        let batch = self.reader.next_batch().await?;
        check_end(&self.reader, batch.caught_up, self.next)?;
        for record in batch.records {
            for block in self.blocks.push(&record)? {
                if block.input.position >= self.next {
                    self.take(block, &mut pending);
                }
            }
        }
        Ok(pending)
    }

    fn take(&self, block: SealedBlock, pending: &mut Vec<Pending>) {
        let seal = &block.seal;
        let at = BlockRef { chain: self.chain.clone(), number: seal.number, hash: seal.hash, timestamp: seal.timestamp };
        for fact in block.facts {
            let input = Input::Fact { event: fact.event, block: at.clone() };
            // A position never passes a fact whose seal wasn't read: only the seal moves it.
            pending.push(Pending { input: Some(input), reference: Some(fact.input), position: None, is_progress: false });
        }
        pending.push(Pending {
            input: Some(Input::Seal { chain: self.chain.clone(), seal: block.seal }),
            position: Some(position_after(&block.input)),
            reference: Some(block.input),
            is_progress: false,
        });
    }
}

/// Follows one partition of `lanes.v1`.
pub struct LaneFollower {
    /// The lane.
    pub lane: AccountId,
    /// Its partition.
    pub reader: PartitionReader,
    /// Sequences below were taken before the last Progress.
    pub next: Offset,
}

impl LaneFollower {
    /// The inputs of the next batch of records.
    ///
    /// # Errors
    /// When the partition can't be followed, or an event is of a newer version.
    pub(super) async fn next(&mut self) -> Result<Vec<Pending>, SettleError> {
        let mut pending = Vec::new();
        let batch = self.reader.next_batch().await?;
        check_end(&self.reader, batch.caught_up, self.next)?;
        for record in batch.records {
            let sequence = Offset(record.record.sequence.0);
            if sequence < self.next {
                continue;
            }
            if record.record.subject.0.is_empty() {
                let at = self.reader.partition();
                let position = InputPosition { topic: at.topic.as_str().to_owned(), partition: at.partition, next: sequence.next() };
                pending.push(Pending { input: None, reference: None, position: Some(position), is_progress: true });
                continue;
            }
            let events = record.record.decode_events::<LanesEvent>().map_err(|error| SettleError::Version(error.to_string()))?;
            let at = self.reader.partition();
            for (n, event) in (0u32..).zip(events) {
                let reference = event_reference(at, &record, event.kind(), n);
                let input = Input::Lane { lane: self.lane.clone(), event };
                pending.push(Pending { input: Some(input), position: None, reference: Some(reference), is_progress: false });
            }
            if let Some(last) = pending.last_mut() {
                last.position = last.reference.as_ref().map(position_after);
            }
        }
        Ok(pending)
    }
}

impl Settle<'_> {
    /// A record of `outputs.v1`.
    pub(super) fn output_input(&self, record: &LogRecord) -> Pending {
        let reference = reference_of(self.outputs.partition(), record);
        let input = Some(output_of(&self.partition, &record.value));
        Pending { input, position: Some(position_after(&reference)), reference: Some(reference), is_progress: false }
    }
}
