//! What is true on Acurast in a world: who is assigned to what, with which key, and what processors sign. The relayer hears
//! of it through facts only; attesters and the checks at the end ask it directly.

use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{DestinationRules, OutputRefusal, UsableKey};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, Bytes, EscrowId, Genesis, OwnerKey, ProcessorId, SettlementId, SignerKey};
use acurast_events::caip::{AccountId, AssetId, ChainId};
use acurast_events::ids::{self, assignment_id, dest_id, job_key, owner_key, sha256};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::Mode;
use acurast_events::lanes::LaneOpened;
use acurast_events::leaves::{AssignmentLeaf, JobNumber, KeyType};
use acurast_events::outputs::Output;
use acurast_events::source::{Curve, EscrowCaps, MatchedSlot, PublicKey, Registration};
use acurast_events::units::{Bit, Execution, Gas, Millis, Timestamp};
use acurast_relayer_core::{OperatorRoute, Policy, Rules, SettlementPolicy};
use std::collections::{BTreeMap, BTreeSet};

use crate::chain::{GWEI, chain_id};

/// Genesis of the Acurast chain.
pub const GENESIS: Genesis = Genesis([9; 32]);
/// Most gas that a leaf is charged for as its share of a root.
pub const ROOT_SHARE_GAS: u64 = 200_000;
/// Owners of jobs, each with an account.
pub const OWNERS: u8 = 3;

/// The Acurast chain.
pub fn acurast() -> ChainId {
    ChainId::substrate(&GENESIS)
}

/// The settlement contract.
pub fn settlement() -> Bytes {
    Bytes(vec![0x5e; 20])
}

/// The target of an owner's jobs.
pub fn target(owner: u8) -> Bytes {
    Bytes(vec![0x70 | owner; 20])
}

/// The account that pays for an owner's jobs.
pub fn escrow(owner: u8) -> EscrowId {
    EscrowId([0xe0 | owner; 32])
}

/// Who owns jobs.
pub fn origin(owner: u8) -> MultiOrigin {
    MultiOrigin::Acurast([owner; 32])
}

/// An owner's key.
pub fn owner(n: u8) -> OwnerKey {
    owner_key(&GENESIS, &origin(n))
}

/// A processor.
pub fn processor(n: u8) -> ProcessorId {
    ProcessorId([n; 32])
}

/// The keys that a processor acknowledges with.
pub fn keys(processor: &ProcessorId) -> Vec<PublicKey> {
    [Curve::P256, Curve::Secp256k1].into_iter().map(|curve| PublicKey { curve, bytes: Bytes(processor.0.to_vec()) }).collect()
}

/// The key of a processor in a leaf.
pub fn signer(processor: &ProcessorId) -> SignerKey {
    SignerKey(sha256(&[b"signer", &processor.0]))
}

fn signature(signer: &SignerKey, assignment: &AssignmentId, execution: Execution, payload: &Bytes) -> Bytes {
    Bytes(sha256(&[&signer.0, &assignment.0, &execution.0.to_be_bytes(), &payload.0]).to_vec())
}

/// Whether a processor's signature over an output is its own: stands for ECDSA, which has nothing to do with what is tried here.
pub fn verifies(signer: &SignerKey, assignment: &AssignmentId, execution: Execution, payload: &Bytes, given: &Bytes) -> bool {
    signature(signer, assignment, execution, payload) == *given
}

/// The asset that accounts hold.
pub fn asset() -> Option<AssetId> {
    chain_id().asset("slip44:60").ok()
}

/// The lane.
pub fn lane_id() -> Option<AccountId> {
    chain_id().account("0x00000000000000000000000000000000000000aa").ok()
}

/// The lane's identity.
pub fn identity(lane: AccountId) -> LaneOpened {
    LaneOpened { lane, number: 7, settlement: settlement() }
}

/// What an account allows.
pub fn caps(max_fee: u128) -> EscrowCaps {
    EscrowCaps {
        max_fee_per_gas: Amount(max_fee),
        max_priority_fee: Amount(20 * GWEI),
        call_gas_limit: Gas(100_000),
        max_payload: 1_024,
        max_charge: Amount(300_000 * 200 * GWEI),
        modes: 1,
    }
}

/// What settle is configured with.
pub fn policy(lane: &AccountId, asset: &AssetId, deadline: u64) -> Policy {
    let route = |n| OperatorRoute {
        owner: owner(n),
        script: None,
        chain: chain_id(),
        settlement: settlement(),
        target: target(n),
        escrow_id: escrow(n),
        mode: Mode::Call,
        deadline: None,
    };
    Policy {
        genesis: GENESIS,
        acurast: acurast(),
        origin_routes: BTreeMap::new(),
        operator_routes: (1..=OWNERS).map(route).collect(),
        settlements: vec![SettlementPolicy {
            chain: chain_id(),
            settlement: settlement(),
            asset: asset.clone(),
            lanes: vec![lane.clone()],
            root_share_gas: Gas(ROOT_SHARE_GAS),
            attesters_needed: 1,
            attesters: 1,
        }],
        deadline: Millis(deadline),
        payload_bytes_max: 1_024,
    }
}

/// The pure side of the destination.
pub struct FakeRules;

impl DestinationRules for FakeRules {
    fn choose_key(&self, keys: &[PublicKey]) -> Option<UsableKey> {
        let key = keys.iter().find(|key| key.curve == Curve::Secp256k1)?;
        let processor = ProcessorId::try_from(&key.bytes.0[..]).ok()?;
        Some(UsableKey { key_type: KeyType::Secp256k1, signer_key: signer(&processor) })
    }

    fn verify_output(&self, _settlement: &Bytes, key: &UsableKey, output: &Output) -> Result<(), OutputRefusal> {
        if verifies(&key.signer_key, &output.assignment_id, output.execution, &output.payload, &output.signature) {
            Ok(())
        } else {
            Err(OutputRefusal::Signature("another key".into()))
        }
    }
}

impl Rules for FakeRules {
    fn destination(&self, chain: &ChainId) -> Option<&dyn DestinationRules> {
        (*chain == chain_id()).then_some(self)
    }
}

/// One assignment as it is.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// The job.
    pub job: JobId,
    /// Who runs it.
    pub processor: ProcessorId,
    /// The account that pays.
    pub escrow: EscrowId,
    /// How many executions.
    pub executions: u64,
    /// Nothing is delivered after this time.
    pub not_after: Timestamp,
}

/// All that is true of assignments.
#[derive(Debug, Clone, Default)]
pub struct Assignments {
    /// Those that were acknowledged.
    pub known: BTreeMap<AssignmentId, Assigned>,
    /// What processors signed, per execution.
    pub signed: BTreeMap<SettlementId, BTreeSet<Bytes>>,
    /// The leaf that the attester signed for each, which never changes.
    leaves: BTreeMap<AssignmentId, (Bit, u64)>,
}

/// The id of the assignment of a job's processor.
pub fn assignment(job: &JobId, owner: u8, processor: &ProcessorId) -> AssignmentId {
    let destination = dest_id(&chain_id(), &settlement().0, &target(owner).0);
    assignment_id(&job_key(&GENESIS, job), processor, &destination, Execution::ALL)
}

impl Assignments {
    /// A processor acknowledged.
    pub fn acknowledge(&mut self, job: &JobId, owner: u8, registration: &Registration, slot: &MatchedSlot, deadline: u64) {
        let schedule = &registration.schedule;
        let not_after = schedule.span(None).and_then(|span| schedule.not_after(&span, slot.start_delay, Millis(deadline)));
        let assigned = Assigned {
            job: job.clone(),
            processor: slot.processor,
            escrow: escrow(owner),
            executions: schedule.executions().0,
            not_after: not_after.unwrap_or_default(),
        };
        self.known.insert(assignment(job, owner, &slot.processor), assigned);
    }

    /// An output as its processor signs it.
    pub fn sign(&mut self, id: AssignmentId, processor: &ProcessorId, execution: Execution, payload: Vec<u8>) -> Output {
        let payload = Bytes(payload);
        let settlement = ids::fulfillment_settlement_id(&id, execution);
        self.signed.entry(settlement).or_default().insert(payload.clone());
        let signature = signature(&signer(processor), &id, execution, &payload);
        Output { assignment_id: id, execution, payload, signature }
    }

    /// Why an attester refuses a leaf; nothing: it signs.
    pub fn refuses(&mut self, claim: &LeafClaim) -> Option<&'static str> {
        let leaf = &claim.leaf;
        let Some(assigned) = self.known.get(&leaf.assignment_id) else { return Some("nobody is assigned so") };
        let derived = AssignmentLeaf {
            assignment_id: leaf.assignment_id,
            escrow_id: assigned.escrow,
            job_number: JobNumber(assigned.job.number),
            key_type: KeyType::Secp256k1,
            signer_key: signer(&assigned.processor),
            first_execution: Execution(0),
            executions: acurast_events::units::Count(assigned.executions),
            not_after: assigned.not_after,
            bit: leaf.bit,
        };
        if derived != *leaf || claim.job != assigned.job || claim.processor != assigned.processor {
            return Some("the leaf is not what the assignment gives");
        }
        // One more bit than executions: the last is for the root's share.
        let bits = (leaf.bit, leaf.bit.0 + assigned.executions);
        if self.leaves.get(&leaf.assignment_id).is_some_and(|known| *known != bits) {
            return Some("another leaf of this assignment was signed");
        }
        let overlaps = |other: &(Bit, u64)| bits.0.0 <= other.1 && other.0.0 <= bits.1;
        if self.leaves.iter().any(|(id, other)| *id != leaf.assignment_id && overlaps(other)) {
            return Some("its bits are another leaf's");
        }
        self.leaves.insert(leaf.assignment_id, bits);
        None
    }
}
