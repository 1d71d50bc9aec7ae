//! Makes the memory of an attester whole from what lanes recorded, before it is asked for anything.
//!
//! *Why this is enough.* A lane asks for a root only after its leaves, with their bits, were appended and read back (R1,
//! PROTOCOL §4), also when it is a zombie's: a record that was accepted stays accepted. A successor has read all records
//! up to its claim. So whatever a key was ever asked to sign for a lane is in that lane's partition before the lane's next
//! owner asks for more, whichever host it is on and whatever was lost there. What this takes for signed although it never
//! was only makes the attester stricter: a lane never makes another leaf of an assignment, nor uses a bit twice.
//!
//! Crash argument: leaves and how far they were read are one synced batch. Crash before it: they are read again.

use crate::attester_memory::{AttesterMemory, LearnError};
use acurast_events::lanes::{LaneOpened, LanesEvent};
use acurast_events::topics::TopicPartition;
use acurast_events::wire::WireError;
use acurast_relayer_journal::{AcceptedRecord, EventJournal, FollowError, Frontier, PartitionReader};
use acurast_relayer_lane::asked_leaves;
use std::sync::Arc;

/// Why a memory can't be made whole. The attester must not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The partition can't be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A record is of a newer version.
    #[error("{at}: an event of record {sequence} can't be read: {reason}; upgrade")]
    Event {
        /// Where.
        at: TopicPartition,
        /// In which record.
        sequence: u64,
        /// Why.
        reason: WireError,
    },
    /// The memory fails, or contradicts the lane.
    #[error("{at}: {source}")]
    Learn {
        /// Where.
        at: TopicPartition,
        /// Why.
        source: LearnError,
    },
}

/// Takes all leaves of the partition `at` of `lanes.v1`, up to its end, into each memory that they concern. To be called after
/// the partition was claimed and read up to the claim, and before anything is asked; may be called whenever else.
///
/// # Errors
/// See [`RecallError`].
pub async fn recall(memories: &[Arc<AttesterMemory>], journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Result<(), RecallError> {
    for memory in memories {
        recall_one(memory, journal, at).await?;
    }
    Ok(())
}

async fn recall_one(memory: &AttesterMemory, journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Result<(), RecallError> {
    let learn = |source: LearnError| RecallError::Learn { at: at.clone(), source };
    let from = memory.recalled(at).map_err(|error| learn(error.into()))?;
    let mut reader = match PartitionReader::open(journal.clone(), at.clone(), from).await {
        Err(FollowError::Halt(halt)) => {
            // Another journal than before: what the memory knows stays, and must not contradict it.
            tracing::warn!(%halt, "an attester's memory was recalled from another journal; it is compared with this one from its start");
            PartitionReader::open(journal.clone(), at.clone(), Frontier::START).await?
        }
        opened => opened?,
    };
    // What was recalled before concerned this memory; otherwise the first record says whether it does.
    let mut concerns = (reader.frontier() != Frontier::START).then_some(true);
    let mut recalled = 0usize;
    loop {
        let batch = reader.next_batch().await?;
        let mut leaves = Vec::new();
        for record in &batch.records {
            let events = events_of(at, record)?;
            if concerns.is_none() {
                concerns = opened(&events).map(|lane| memory.concerns(lane));
            }
            leaves.extend(asked_leaves(&events));
        }
        if concerns == Some(false) {
            return Ok(());
        }
        if !batch.records.is_empty() && concerns == Some(true) {
            recalled = recalled.saturating_add(leaves.len());
            memory.learn(at, &leaves, reader.frontier()).map_err(learn)?;
        }
        if batch.caught_up {
            if recalled > 0 {
                tracing::info!(partition = %at, leaves = recalled, "an attester's memory has what the lane may have asked for");
            }
            return Ok(());
        }
    }
}

fn events_of(at: &TopicPartition, record: &AcceptedRecord) -> Result<Vec<LanesEvent>, RecallError> {
    let sequence = record.record.sequence.0;
    record.record.decode_events().map_err(|reason| RecallError::Event { at: at.clone(), sequence, reason })
}

fn opened(events: &[LanesEvent]) -> Option<&LaneOpened> {
    events.iter().find_map(|event| match event {
        LanesEvent::LaneOpened(opened) => Some(opened),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use acurast_adapter_evm::attester::SignedLeaves;
    use acurast_events::amount::Amount;
    use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EscrowId, ProcessorId, SettlementId, SignerKey, WriterId};
    use acurast_events::caip::ChainId;
    use acurast_events::job_id::{JobId, MultiOrigin};
    use acurast_events::jobs::{BlockRef, LeafPlanned};
    use acurast_events::lanes::RootAccepted;
    use acurast_events::leaves::{AssignmentLeaf, JobNumber, KeyType};
    use acurast_events::topics::TopicName;
    use acurast_events::units::{Bit, BlockNumber, Count, Execution, Timestamp};
    use acurast_events::wire::Message;
    use acurast_relayer_journal::{ClaimOptions, Claiming, Draft, PartitionWriter, SimulatedJournal};
    use acurast_relayer_lane::leaf_of;
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::time::Duration;

    const CONTRACT: [u8; 20] = [5; 20];

    fn at(partition: u32) -> TopicPartition {
        TopicName::new("acurast.lanes.v1").partition(partition)
    }

    async fn journal() -> Arc<dyn EventJournal> {
        let journal: Arc<dyn EventJournal> = Arc::new(SimulatedJournal::faultless());
        journal.create(&at(0).topic, NonZeroU32::new(3).unwrap()).await.unwrap();
        journal
    }

    fn memory(path: &Path) -> Arc<AttesterMemory> {
        Arc::new(AttesterMemory::open(path, ChainId::evm(31_337), Bytes(CONTRACT.to_vec())).unwrap())
    }

    fn intent(assignment: u8) -> LeafPlanned {
        let chain = ChainId::evm(1);
        LeafPlanned {
            settlement_id: SettlementId([assignment; 32]),
            lane: chain.account("0x01").unwrap(),
            assignment_id: AssignmentId([assignment; 32]),
            escrow_id: EscrowId([2; 32]),
            job: JobId { origin: MultiOrigin::Acurast([7; 32]), number: 1 },
            job_number: JobNumber(1),
            key_type: KeyType::Secp256k1,
            signer_key: SignerKey([3; 32]),
            processor: ProcessorId([4; 32]),
            first_execution: Execution(0),
            executions: Count(3),
            not_after: Timestamp(10),
            start: Timestamp(1),
            source: BlockRef { chain, number: BlockNumber(1), hash: BlockHash([1; 32]), timestamp: Timestamp(1) },
            reserved: Amount(1),
            requeued: 0,
        }
    }

    fn leaf(assignment: u8, bit: u64) -> AssignmentLeaf {
        leaf_of(&intent(assignment), Bit(bit))
    }

    fn accepted(assignment: u8, bit: u64) -> LanesEvent {
        RootAccepted { intent: intent(assignment), bit: Bit(bit) }.into()
    }

    fn opening(contract: [u8; 20]) -> LanesEvent {
        LaneOpened { lane: ChainId::evm(31_337).account("0x02").unwrap(), number: 1, settlement: Bytes(contract.to_vec()) }.into()
    }

    async fn lane(journal: &Arc<dyn EventJournal>, partition: u32, writer: u8) -> PartitionWriter {
        let options = ClaimOptions { writer: WriterId([writer; 16]), ..ClaimOptions::new(Duration::from_secs(30)) };
        let mut claiming = Claiming::begin(journal.clone(), at(partition), Frontier::START, options).await.unwrap();
        while claiming.next_batch().await.unwrap().is_some() {}
        claiming.finish().unwrap()
    }

    async fn record(writer: &mut PartitionWriter, events: &[LanesEvent]) {
        let events = events.iter().map(|event| Bytes(event.encode())).collect();
        let subject = Bytes(b"lane".to_vec());
        let draft = Draft { key: subject.0.clone(), at: writer.stamp(), input: None, subject, traceparent: None, events };
        writer.append(vec![draft]).await.unwrap();
    }

    #[tokio::test]
    async fn a_memory_that_was_lost_knows_again_all_that_the_lane_may_have_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal().await;
        let mut writer = lane(&journal, 0, 1).await;
        record(&mut writer, &[opening(CONTRACT)]).await;
        record(&mut writer, &[accepted(1, 0), accepted(2, 4)]).await;
        let kept = memory(&folder.path().join("kept"));
        kept.insert(&[leaf(1, 0)]).unwrap();
        let lost = memory(&folder.path().join("lost"));
        recall(&[kept.clone(), lost.clone()], &journal, &at(0)).await.unwrap();
        for memory in [&kept, &lost] {
            assert_eq!(memory.of_assignment(&AssignmentId([1; 32])).unwrap(), Some(leaf(1, 0)));
            assert_eq!(memory.last_from(Bit(7)).unwrap(), Some(leaf(2, 4)));
        }
        // What another host's owner accepts afterwards is added, from where it was.
        let mut successor = lane(&journal, 0, 2).await;
        record(&mut successor, &[accepted(3, 8)]).await;
        let before = lost.recalled(&at(0)).unwrap();
        recall(std::slice::from_ref(&lost), &journal, &at(0)).await.unwrap();
        assert_eq!(lost.of_assignment(&AssignmentId([3; 32])).unwrap(), Some(leaf(3, 8)));
        assert!(lost.recalled(&at(0)).unwrap().next_sequence > before.next_sequence);
        recall(std::slice::from_ref(&lost), &journal, &at(0)).await.unwrap();
    }

    #[tokio::test]
    async fn lanes_of_other_contracts_and_lanes_that_were_never_opened_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal().await;
        let mut writer = lane(&journal, 1, 1).await;
        record(&mut writer, &[opening([6; 20]), accepted(1, 0)]).await;
        let memory = memory(folder.path());
        for partition in 0..3 {
            recall(std::slice::from_ref(&memory), &journal, &at(partition)).await.unwrap();
        }
        assert_eq!(memory.last_from(Bit(u64::MAX)).unwrap(), None);
    }

    #[tokio::test]
    async fn a_lane_that_contradicts_what_the_key_signed_refuses_the_attester() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal().await;
        let mut writer = lane(&journal, 0, 1).await;
        record(&mut writer, &[opening(CONTRACT), accepted(1, 100)]).await;
        let memory = memory(folder.path());
        memory.insert(&[leaf(1, 0)]).unwrap();
        let error = recall(std::slice::from_ref(&memory), &journal, &at(0)).await.unwrap_err();
        assert!(error.to_string().contains("new attester key"), "{error}");
        assert_eq!(memory.recalled(&at(0)).unwrap(), Frontier::START, "and it is found again");
    }
}
