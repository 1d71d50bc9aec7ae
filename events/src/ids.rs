//! Every derived identifier of PROTOCOL §3. Same input, same id; all hashing of ids happens here.

use crate::bytes::{
    AssignmentId, BlockHash, ContentHash, DestId, EventId, Genesis, JobKey, OwnerKey, PayloadHash, ProcessorId, SettlementId,
};
use crate::caip::ChainId;
use crate::job_id::{JobId, MultiOrigin};
use crate::topics::TopicPartition;
use crate::units::{BlockNumber, Execution, Offset};
use sha2::{Digest, Sha256};
use sha3::Keccak256;

/// keccak-256 of the parts, joined.
pub fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 of the parts, joined.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

crate::wire_enum! {
    /// What a settlement settles.
    pub enum SettlementKind {
        /// The assignment's share of a root; byte 0 in ids.
        1 Root,
        /// One execution's output; byte 1 in ids.
        2 Fulfillment,
    }
}

impl SettlementKind {
    fn id_byte(self) -> u8 {
        match self {
            Self::Root => 0,
            Self::Fulfillment => 1,
        }
    }
}

/// keccak(genesis ‖ SCALE(JobId)).
pub fn job_key(genesis: &Genesis, job: &JobId) -> JobKey {
    JobKey(keccak(&[&genesis.0, &job.scale()]))
}

/// keccak(genesis ‖ SCALE(MultiOrigin)).
pub fn owner_key(genesis: &Genesis, origin: &MultiOrigin) -> OwnerKey {
    OwnerKey(keccak(&[&genesis.0, &origin.scale()]))
}

/// keccak("acurast/destination/1" ‖ keccak(CAIP-2) ‖ keccak(settlement) ‖ keccak(target)).
pub fn dest_id(chain: &ChainId, settlement: &[u8], target: &[u8]) -> DestId {
    DestId(keccak(&[b"acurast/destination/1", &keccak(&[chain.as_str().as_bytes()]), &keccak(&[settlement]), &keccak(&[target])]))
}

/// keccak("acurast/assignment/1" ‖ job_key ‖ processor ‖ dest_id ‖ execution); [`Execution::ALL`] unless the job competes.
pub fn assignment_id(job: &JobKey, processor: &ProcessorId, dest: &DestId, execution: Execution) -> AssignmentId {
    AssignmentId(keccak(&[b"acurast/assignment/1", &job.0, &processor.0, &dest.0, &execution.0.to_be_bytes()]))
}

/// keccak("acurast/settlement/1" ‖ assignment_id ‖ execution ‖ kind).
pub fn settlement_id(assignment: &AssignmentId, execution: Execution, kind: SettlementKind) -> SettlementId {
    SettlementId(keccak(&[b"acurast/settlement/1", &assignment.0, &execution.0.to_be_bytes(), &[kind.id_byte()]]))
}

/// The settlement of an assignment's share of a root.
pub fn root_settlement_id(assignment: &AssignmentId) -> SettlementId {
    settlement_id(assignment, Execution::ALL, SettlementKind::Root)
}

/// The settlement of one execution's output.
pub fn fulfillment_settlement_id(assignment: &AssignmentId, execution: Execution) -> SettlementId {
    settlement_id(assignment, execution, SettlementKind::Fulfillment)
}

/// Id of fact `n` of the event at `index` of a block.
pub fn chain_fact_id(genesis: &Genesis, block: &BlockHash, number: BlockNumber, index: u32, n: u32) -> EventId {
    EventId(sha256(&[b"acurast/event/1", &genesis.0, &block.0, &number.0.to_be_bytes(), &index.to_be_bytes(), &n.to_be_bytes()]))
}

/// Id of a fact read from storage at a block.
pub fn storage_fact_id(genesis: &Genesis, block: &BlockHash, number: BlockNumber, storage_key: &[u8]) -> EventId {
    EventId(sha256(&[b"acurast/storage/1", &genesis.0, &block.0, &number.0.to_be_bytes(), storage_key]))
}

/// Id of derived event `n` of this kind that an input caused for an aggregate.
pub fn derived_id(input: &EventId, aggregate: &[u8], kind: u16, n: u32) -> EventId {
    EventId(sha256(&[b"acurast/derived/1", &input.0, aggregate, &kind.to_be_bytes(), &n.to_be_bytes()]))
}

/// sha256 of a value as it stands on a topic.
pub fn content_hash(value: &[u8]) -> ContentHash {
    ContentHash(sha256(&[value]))
}

/// Id of a record of an input topic: sha256(topic ‖ 0x00 ‖ partition ‖ offset). The same place, the same id.
pub fn input_record_id(at: &TopicPartition, offset: Offset) -> EventId {
    EventId(sha256(&[at.topic.as_str().as_bytes(), &[0], &at.partition.to_be_bytes(), &offset.0.to_be_bytes()]))
}

/// keccak-256 of a payload.
pub fn payload_hash(payload: &[u8]) -> PayloadHash {
    PayloadHash(keccak(&[payload]))
}

/// The people's form of a chain fact: `acurast:<first 8 hex digits of genesis>/<block>-<index>`.
pub fn fact_name(genesis: &Genesis, number: BlockNumber, index: u32) -> String {
    let genesis = hex::encode(genesis.0.split_at(4).0);
    format!("acurast:{genesis}/{number}-{index}")
}
