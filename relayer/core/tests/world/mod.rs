//! A small world to tell stories in: facts, outputs and lane results go in, events come out and are folded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

pub mod operator;

use acurast_adapter_api::{DestinationRules, OutputRefusal, UsableKey};
use acurast_events::amount::Amount;
use acurast_events::bytes::*;
use acurast_events::caip::{AccountId, AssetId, ChainId};
use acurast_events::ids;
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::{BlockRef, Fault, JobsEvent, Mode, Outcome};
use acurast_events::lanes::*;
use acurast_events::leaves::KeyType;
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::record::InputRef;
use acurast_events::source::*;
use acurast_events::units::*;
use acurast_relayer_core::job::{AssignmentKey, Job};
use acurast_relayer_core::{Decision, Input, OperatorRoute, OriginRoute, Partition, Policy, Rules, SettlementPolicy, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

pub const GENESIS: Genesis = Genesis([9; 32]);
pub const START: u64 = 1_000_000;
pub const INTERVAL: u64 = 1_000_000;
pub const DURATION: u64 = 10_000;
pub const TOLERANCE: u64 = 120_000;
pub const DEADLINE: u64 = 50_000_000;
pub const MAX_CHARGE: u128 = 1_000;
/// root_share_gas · max_fee_per_gas.
pub const SHARE: u128 = 100 * 3;

pub struct FakeRules;

/// What a processor's key "signs": good enough to tell a valid signature from an invalid one.
pub fn sign(key: &SignerKey, output: &Output) -> Bytes {
    let execution = output.execution.0.to_be_bytes();
    Bytes(ids::keccak(&[&key.0, &output.assignment_id.0, &execution, &output.payload.0]).to_vec())
}

pub fn signer_key(processor: ProcessorId) -> SignerKey {
    SignerKey(ids::keccak(&[&keys(processor).iter().find(|key| key.curve == Curve::Secp256k1).unwrap().bytes.0]))
}

pub fn keys(processor: ProcessorId) -> Vec<PublicKey> {
    [Curve::P256, Curve::Secp256k1].into_iter().map(|curve| PublicKey { curve, bytes: Bytes(processor.0.to_vec()) }).collect()
}

impl DestinationRules for FakeRules {
    fn choose_key(&self, keys: &[PublicKey]) -> Option<UsableKey> {
        let key = keys.iter().find(|key| key.curve == Curve::Secp256k1)?;
        Some(UsableKey { key_type: KeyType::Secp256k1, signer_key: SignerKey(ids::keccak(&[&key.bytes.0])) })
    }
    fn verify_output(&self, _settlement: &Bytes, key: &UsableKey, output: &Output) -> Result<(), OutputRefusal> {
        if sign(&key.signer_key, output) == output.signature { Ok(()) } else { Err(OutputRefusal::Signature("other key".into())) }
    }
    fn escrow_id(&self, _settlement: &Bytes, opener: &Bytes, target: &Bytes, owner: &OwnerKey, salt: &[u8; 32]) -> Option<EscrowId> {
        Some(EscrowId(ids::keccak(&[&opener.0, &target.0, &owner.0, salt])))
    }
}

impl Rules for FakeRules {
    fn destination(&self, chain: &ChainId) -> Option<&dyn DestinationRules> {
        (chain.namespace() == "eip155").then_some(self)
    }
}

pub fn evm() -> ChainId {
    ChainId::evm(1)
}
pub fn acurast() -> ChainId {
    ChainId::substrate(&GENESIS)
}
pub fn lane() -> AccountId {
    evm().account("0x00000000000000000000000000000000000000aa").unwrap()
}
pub fn asset() -> AssetId {
    evm().asset("slip44:60").unwrap()
}
pub fn settlement() -> Bytes {
    Bytes(vec![0x5e; 20])
}
pub fn target() -> Bytes {
    Bytes(vec![0x7a; 20])
}
pub fn escrow() -> EscrowId {
    EscrowId([0xe5; 32])
}
pub fn owner_origin() -> MultiOrigin {
    MultiOrigin::Acurast([1; 32])
}
pub fn owner() -> OwnerKey {
    ids::owner_key(&GENESIS, &owner_origin())
}
pub fn processor(n: u8) -> ProcessorId {
    ProcessorId([n; 32])
}
pub fn job_id(number: u128) -> JobId {
    JobId { origin: owner_origin(), number }
}
pub fn key_of(job: &JobId) -> JobKey {
    ids::job_key(&GENESIS, job)
}

pub fn policy() -> Policy {
    let route = OriginRoute { chain: evm(), settlement: settlement() };
    Policy {
        genesis: GENESIS,
        acurast: acurast(),
        origin_routes: BTreeMap::from([("ethereum20".to_owned(), route)]),
        operator_routes: vec![OperatorRoute {
            owner: owner(),
            script: None,
            chain: evm(),
            settlement: settlement(),
            target: target(),
            escrow_id: escrow(),
            mode: Mode::Call,
            deadline: None,
        }],
        settlements: vec![SettlementPolicy {
            chain: evm(),
            settlement: settlement(),
            asset: asset(),
            lanes: vec![lane()],
            root_share_gas: Gas(100),
            attesters_needed: 1,
            attesters: 1,
        }],
        deadline: Millis(DEADLINE),
        payload_bytes_max: 4096,
    }
}

pub fn caps() -> EscrowCaps {
    EscrowCaps {
        max_fee_per_gas: Amount(3),
        max_priority_fee: Amount(1),
        call_gas_limit: Gas(50_000),
        max_payload: 1024,
        max_charge: Amount(MAX_CHARGE),
        modes: 1,
    }
}

/// A job of `slots` processors and `executions` executions, one every `INTERVAL`.
pub fn registration(slots: u32, executions: u64) -> Registration {
    Registration {
        script: Bytes(b"ipfs://script".to_vec()),
        schedule: Schedule {
            start: Timestamp(START),
            end: Timestamp(START + INTERVAL * executions),
            interval: Millis(INTERVAL),
            duration: Millis(DURATION),
            max_start_delay: Millis(5_000),
        },
        slots,
        strategy: Strategy::Single,
        reward: Amount(77),
        budget: None,
    }
}

pub fn slot(n: u8, execution: Option<u64>) -> MatchedSlot {
    MatchedSlot {
        processor: processor(n),
        slot: u32::from(n) - 1,
        start_delay: Millis(0),
        fee_per_execution: Amount(5),
        execution: execution.map(Execution),
    }
}

/// First moment past the window of execution `n`.
pub fn window_end(n: u64) -> u64 {
    START + INTERVAL * n + DURATION + TOLERANCE
}

pub fn tx(n: u8) -> TxHash {
    TxHash([n; 32])
}

/// One folded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub at: Timestamp,
    pub input: Option<InputRef>,
    pub subject: Subject,
    pub events: Vec<JobsEvent>,
}

pub struct World {
    pub policy: Policy,
    pub partition: Partition,
    pub log: Vec<Logged>,
    pub rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    pub inputs: Vec<(Input, Option<InputRef>)>,
    positions: BTreeMap<String, u64>,
    outputs: BTreeMap<Offset, OutputSubmitted>,
    pub number: u64,
    pub now: u64,
    pub slot: u64,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

pub fn empty_partition() -> Partition {
    Partition::new(0, NonZeroU32::MIN)
}

impl World {
    pub fn new() -> Self {
        Self {
            policy: policy(),
            partition: empty_partition(),
            log: Vec::new(),
            rows: BTreeMap::new(),
            inputs: Vec::new(),
            positions: BTreeMap::new(),
            outputs: BTreeMap::new(),
            number: 1,
            now: 1_000,
            slot: 0,
        }
    }

    /// A world with a generously filled account.
    pub fn funded() -> Self {
        let mut world = Self::new();
        world.escrow_opened(1_000_000);
        world
    }

    fn reference(&mut self, topic: &str) -> InputRef {
        let next = self.positions.entry(topic.to_owned()).or_default();
        *next += 1;
        let id = EventId(ids::sha256(&[topic.as_bytes(), &next.to_be_bytes()]));
        InputRef { topic: topic.to_owned(), partition: 0, position: Offset(*next), id }
    }

    /// Decides and folds all that an input causes, then what became ready; returns the events.
    pub fn feed(&mut self, input: Input, reference: Option<InputRef>) -> Vec<JobsEvent> {
        let mut events = self.decide(&input, reference.as_ref());
        self.inputs.push((input, reference));
        events.extend(self.decide(&Input::Ready, None));
        self.take_changes();
        events
    }

    pub fn take_changes(&mut self) {
        for (table, key, value) in self.partition.changes().unwrap() {
            match value {
                Some(value) => self.rows.insert((table, key), value),
                None => self.rows.remove(&(table, key)),
            };
        }
    }

    pub fn decide(&mut self, input: &Input, reference: Option<&InputRef>) -> Vec<JobsEvent> {
        let (mut answered, mut all) = (BTreeSet::new(), Vec::new());
        for _ in 0..10_000 {
            let next = self.partition.decide_next(&self.policy, &FakeRules, input, reference, &answered).unwrap();
            let again = self.partition.decide_next(&self.policy, &FakeRules, input, reference, &answered).unwrap();
            assert_eq!(next, again, "a decision is a function of its arguments");
            let Some(Decision { subject, events }) = next else { return all };
            let at = Timestamp(self.now);
            self.partition.evolve(at, reference, &subject, &events).unwrap();
            if reference.is_some() {
                answered.insert(subject.clone());
            }
            all.extend(events.clone());
            self.log.push(Logged { at, input: reference.cloned(), subject, events });
        }
        panic!("decides for ever: {input:?}");
    }

    pub fn block(&self, chain: ChainId) -> BlockRef {
        BlockRef { chain, number: BlockNumber(self.number), hash: BlockHash([2; 32]), timestamp: Timestamp(self.now) }
    }

    pub fn meta(&self) -> FactMeta {
        FactMeta { id: EventId::ZERO, index: 0, extrinsic: None }
    }

    pub fn fact(&mut self, event: impl Into<SourceEvent>) -> Vec<JobsEvent> {
        let reference = self.reference("source.acurast");
        let block = self.block(acurast());
        self.feed(Input::Fact { event: event.into(), block }, Some(reference))
    }

    pub fn dest_fact(&mut self, event: impl Into<SourceEvent>) -> Vec<JobsEvent> {
        let reference = self.reference("source.evm");
        let block = self.block(evm());
        self.feed(Input::Fact { event: event.into(), block }, Some(reference))
    }

    fn seal_of(&mut self, chain: ChainId, topic: &str) -> Vec<JobsEvent> {
        let reference = self.reference(topic);
        let seal = BlockSealed {
            first: BlockNumber(self.number),
            number: BlockNumber(self.number),
            hash: BlockHash([2; 32]),
            parent: BlockHash([1; 32]),
            timestamp: Timestamp(self.now),
            fact_count: Count(0),
            facts_root: facts_root(&[]),
            spec_version: None,
        };
        self.feed(Input::Seal { chain, seal }, Some(reference))
    }

    /// Seals an Acurast block at this time.
    pub fn seal(&mut self, now: u64) -> Vec<JobsEvent> {
        self.at(now);
        self.seal_of(acurast(), "source.acurast")
    }

    /// Seals a block of the destination at this time.
    pub fn dest_seal(&mut self, now: u64) -> Vec<JobsEvent> {
        self.at(now);
        self.seal_of(evm(), "source.evm")
    }

    /// What follows is of a new block at this time.
    pub fn at(&mut self, now: u64) -> &mut Self {
        self.number += 1;
        self.now = self.now.max(now);
        self
    }

    pub fn registered(&mut self, job: &JobId, registration: Registration) -> Vec<JobsEvent> {
        let meta = self.meta();
        self.fact(Registered { meta, job: job.clone(), registration: Some(registration) })
    }

    pub fn matched(&mut self, job: &JobId, registration: Registration, slots: Vec<MatchedSlot>) -> Vec<JobsEvent> {
        let meta = self.meta();
        let execution = slots.first().and_then(|slot| slot.execution);
        self.fact(Matched { meta, job: job.clone(), registration: Some(registration), slots, execution })
    }

    pub fn acknowledged(&mut self, job: &JobId, registration: Registration, slot: MatchedSlot) -> Vec<JobsEvent> {
        let meta = self.meta();
        let (processor, keys) = (slot.processor, keys(slot.processor));
        self.fact(Acknowledged { meta, job: job.clone(), processor, slot: Some(slot), keys, registration: Some(registration) })
    }

    /// Registers, matches and acknowledges a job with processors 1..=slots.
    pub fn assigned(&mut self, job: &JobId, slots: u8, executions: u64) -> Registration {
        let registration = registration(u32::from(slots), executions);
        self.registered(job, registration.clone());
        let all: Vec<_> = (1..=slots).map(|n| slot(n, None)).collect();
        self.matched(job, registration.clone(), all.clone());
        for slot in all {
            self.acknowledged(job, registration.clone(), slot);
        }
        registration
    }

    pub fn report(&mut self, job: &JobId, n: u8, outcome: ReportedOutcome, data: &[u8]) -> Vec<JobsEvent> {
        let meta = self.meta();
        let reputation = Some(BetaReputation { r: Amount(11), s: Amount(1) });
        let data = Bytes(data.to_vec());
        self.fact(Reported { meta, job: job.clone(), processor: processor(n), outcome, data, next_index: None, reputation })
    }

    pub fn removed(&mut self, job: &JobId) -> Vec<JobsEvent> {
        let meta = self.meta();
        self.fact(Removed { meta, job: job.clone(), registration: None })
    }

    pub fn escrow_opened(&mut self, amount: u128) -> Vec<JobsEvent> {
        self.escrow_opened_as(escrow(), target(), caps(), amount)
    }

    pub fn escrow_opened_as(&mut self, id: EscrowId, to: Bytes, caps: EscrowCaps, amount: u128) -> Vec<JobsEvent> {
        let meta = self.meta();
        self.dest_fact(EscrowOpened {
            meta,
            settlement: settlement(),
            escrow_id: id,
            owner: owner(),
            target: to,
            opener: Bytes(vec![3; 20]),
            caps,
            expiry: Timestamp(u64::MAX / 2),
            asset: asset(),
            amount: Amount(amount),
        })
    }

    pub fn topped_up(&mut self, amount: u128) -> Vec<JobsEvent> {
        let meta = self.meta();
        self.dest_fact(EscrowToppedUp { meta, escrow_id: escrow(), owner: owner(), amount: Amount(amount) })
    }

    pub fn close_requested(&mut self) -> Vec<JobsEvent> {
        let meta = self.meta();
        self.dest_fact(EscrowCloseRequested { meta, escrow_id: escrow(), owner: owner(), refundable_at: Timestamp(u64::MAX / 2) })
    }

    pub fn refunded(&mut self, amount: u128) -> Vec<JobsEvent> {
        let meta = self.meta();
        let to = Bytes(vec![3; 20]);
        self.dest_fact(EscrowRefunded { meta, escrow_id: escrow(), owner: owner(), to, amount: Amount(amount) })
    }

    pub fn assignment_id(&self, job: &JobId, n: u8, only: Option<u64>) -> AssignmentId {
        let key = AssignmentKey { processor: processor(n), only: only.map(Execution) };
        self.job(job).assignments[&key].settling.as_ref().unwrap().id
    }

    pub fn signed(&self, job: &JobId, n: u8, execution: u64, payload: &[u8]) -> Output {
        let assignment_id = self.assignment_id(job, n, None);
        let unsigned =
            Output { assignment_id, execution: Execution(execution), payload: Bytes(payload.to_vec()), signature: Bytes(vec![]) };
        Output { signature: sign(&signer_key(processor(n)), &unsigned), ..unsigned }
    }

    pub fn submit(&mut self, output: Output) -> Vec<JobsEvent> {
        let reference = self.reference("outputs");
        let submitted = OutputSubmitted { owner: owner(), output, at: Timestamp(self.now) };
        self.outputs.insert(reference.position, submitted.clone());
        self.feed(Input::Output(submitted), Some(reference))
    }

    /// A processor's output, validly signed.
    pub fn output(&mut self, job: &JobId, n: u8, execution: u64, payload: &[u8]) -> Vec<JobsEvent> {
        let output = self.signed(job, n, execution, payload);
        self.submit(output)
    }

    pub fn lane(&mut self, event: impl Into<LanesEvent>) -> Vec<JobsEvent> {
        let reference = self.reference("lanes");
        self.feed(Input::Lane { lane: lane(), event: event.into() }, Some(reference))
    }

    pub fn root_id(&self, job: &JobId, n: u8) -> SettlementId {
        ids::root_settlement_id(&self.assignment_id(job, n, None))
    }

    pub fn fulfillment_id(&self, job: &JobId, n: u8, execution: u64) -> SettlementId {
        ids::fulfillment_settlement_id(&self.assignment_id(job, n, None), Execution(execution))
    }

    pub fn included(&mut self, n: u8, items: Vec<SettlementId>) -> Vec<JobsEvent> {
        let block = self.block(evm());
        self.lane(AttemptIncluded { slot: Slot(self.slot), tx: tx(n), block, success: true, items })
    }

    /// A final slot that took these items, with honest sums for the account.
    pub fn slot_final(&mut self, n: u8, purpose: Purpose, items: Vec<ItemFinal>) -> Vec<JobsEvent> {
        let sum = |part: fn(&ItemFinal) -> Amount| Amount::checked_sum(items.iter().map(part)).unwrap();
        let (charged, shares) = (sum(|item| item.charge), sum(|item| item.root_share));
        let charges = if charged.0 + shares.0 > 0 {
            vec![AccountCharge { escrow_id: escrow(), items: charged, root_shares: shares }]
        } else {
            Vec::new()
        };
        let event = self.slot_event(n, purpose, items, charges);
        self.lane(event)
    }

    pub fn slot_event(&mut self, n: u8, purpose: Purpose, items: Vec<ItemFinal>, charges: Vec<AccountCharge>) -> SlotFinal {
        self.slot += 1;
        SlotFinal {
            slot: Slot(self.slot),
            tx: tx(n),
            block: self.block(evm()),
            outcome: SlotOutcome::Success,
            purpose: Some(purpose),
            gas_used: Gas(100_000),
            gas_price: Amount(2),
            cost: Amount::checked_sum(items.iter().map(|item| item.cost)).unwrap(),
            items,
            charges,
        }
    }

    /// The root of processor `n`'s assignment becomes final.
    pub fn root_final(&mut self, job: &JobId, n: u8) -> Vec<JobsEvent> {
        let id = self.root_id(job, n);
        self.slot_final(100 + n, Purpose::Root, vec![item(id, ItemOutcome::Settled, 0, 0, 50)])
    }

    pub fn job(&self, job: &JobId) -> &Job {
        self.partition.job(&key_of(job)).expect("the job is open")
    }

    pub fn is_open(&self, job: &JobId) -> bool {
        self.partition.job(&key_of(job)).is_some()
    }

    pub fn free(&self) -> u128 {
        self.partition.account(&escrow()).unwrap().free().0
    }

    pub fn reserved(&self) -> u128 {
        self.partition.account(&escrow()).unwrap().reserved().0
    }
}

pub fn item(id: SettlementId, outcome: ItemOutcome, charge: u128, root_share: u128, cost: u128) -> ItemFinal {
    ItemFinal {
        settlement_id: id,
        outcome,
        charge: Amount(charge),
        root_share: Amount(root_share),
        cost: Amount(cost),
        skip_reason: None,
        batch: Batch(7),
    }
}

/// Names of events, in order, without postings.
pub fn names(events: &[JobsEvent]) -> Vec<&'static str> {
    events.iter().map(JobsEvent::name).filter(|name| *name != "Posted").collect()
}

/// Every outcome in these events: processor, first execution, count, outcome, fault.
pub fn outcomes(events: &[JobsEvent]) -> Vec<(u8, u64, u64, Outcome, Fault)> {
    events
        .iter()
        .filter_map(|event| match event {
            JobsEvent::ExecutionEnded(it) => Some((it.processor.0[0], it.execution.0, it.executions.0, it.outcome, it.fault)),
            _ => None,
        })
        .collect()
}

/// Every reason to wait in these events.
pub fn waits(events: &[JobsEvent]) -> Vec<acurast_events::jobs::WaitReason> {
    events.iter().filter_map(|event| if let JobsEvent::SettlementWaiting(it) = event { Some(it.reason) } else { None }).collect()
}
