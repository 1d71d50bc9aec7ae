//! A chain, a shell and a seeded scheduler in virtual time, to drive a lane as the relayer does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]
#![allow(unreachable_pub, reason = "shared by several test binaries")]
#![allow(dead_code, reason = "each test file uses its part of the support")]

pub mod chain;
pub mod shell;

use acurast_adapter_api::Capabilities;
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EscrowId, ProcessorId, SignerKey};
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::jobs::{BlockRef, FulfillmentPlanned, JobsEvent, LeafPlanned};
use acurast_events::lanes::LaneOpened;
use acurast_events::leaves::{JobNumber, KeyType};
use acurast_events::source::EscrowCaps;
use acurast_events::units::{BlockNumber, Count, Execution, Gas, Millis, Timestamp};
use acurast_relayer_lane::{FeePolicy, LanePolicy};

/// Virtual time starts here; the chain's clock and the relayer's are the same.
pub const START: u64 = 1_000_000;
/// One gwei.
pub const GWEI: u128 = 1_000_000_000;

pub fn lane_id() -> AccountId {
    "eip155:1337:0x00000000000000000000000000000000000000aa".parse().unwrap()
}

pub fn identity() -> LaneOpened {
    LaneOpened { lane: lane_id(), number: 7, settlement: Bytes(vec![0x5e; 20]) }
}

pub fn capabilities() -> Capabilities {
    Capabilities {
        slots_in_flight_max: 4,
        transaction_gas_max: Gas(10_000_000),
        transaction_bytes_max: 100_000,
        items_max: 16,
        attempt_ttl: None,
        block_time: Millis(1_000),
        replacement_permille_min: 1_125,
        noop_gas: Gas(21_000),
        remote_signer: false,
        attesters_needed: 1,
        attesters: 1,
    }
}

pub fn policy() -> LanePolicy {
    LanePolicy {
        root_leaves_max: 8,
        root_age_max: Millis(2_000),
        batch_items_max: 4,
        batch_age_max: Millis(500),
        expiry_margin: Millis(3_000),
        backoff_min: Millis(500),
        backoff_max: Millis(4_000),
        quiet_view_every: Millis(2_000),
        fee: FeePolicy { bump_after: Millis(5_000), rebroadcast_after: Millis(3_000), ..FeePolicy::default() },
        ..LanePolicy::default()
    }
}

pub fn block(number: u64, salt: u8, timestamp: Timestamp) -> BlockRef {
    let mut hash = [salt; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    BlockRef { chain: ChainId::evm(1337), number: BlockNumber(number), hash: BlockHash(hash), timestamp }
}

pub fn assignment(n: u8) -> AssignmentId {
    AssignmentId([n; 32])
}

pub fn leaf(n: u8, not_after: u64) -> LeafPlanned {
    LeafPlanned {
        settlement_id: root_settlement_id(&assignment(n)),
        lane: lane_id(),
        assignment_id: assignment(n),
        // Two assignments share an account.
        escrow_id: EscrowId([n / 2; 32]),
        job: JobId { origin: MultiOrigin::Ethereum20([n; 20]), number: u128::from(n) },
        job_number: JobNumber(u128::from(n)),
        key_type: KeyType::Secp256k1,
        signer_key: SignerKey([n; 32]),
        processor: ProcessorId([n; 32]),
        first_execution: Execution(0),
        executions: Count(4),
        not_after: Timestamp(not_after),
        start: Timestamp(START + 5_000),
        source: BlockRef {
            chain: "polkadot:00000000000000000000000000000000".parse().unwrap(),
            number: BlockNumber(u64::from(n)),
            hash: BlockHash([n; 32]),
            timestamp: Timestamp(START),
        },
        reserved: Amount(GWEI * 1_000_000),
        requeued: 0,
    }
}

pub fn output(n: u8, execution: u64, not_after: u64) -> FulfillmentPlanned {
    let execution = Execution(execution);
    FulfillmentPlanned {
        settlement_id: fulfillment_settlement_id(&assignment(n), execution),
        lane: lane_id(),
        assignment_id: assignment(n),
        execution,
        payload: Bytes(vec![n, execution.0 as u8]),
        signature: Bytes(vec![0; 65]),
        escrow_id: EscrowId([n / 2; 32]),
        caps: EscrowCaps {
            max_fee_per_gas: Amount(GWEI * 200),
            max_priority_fee: Amount(GWEI * 20),
            call_gas_limit: Gas(100_000),
            max_payload: 1_000,
            max_charge: Amount(GWEI * 1_000_000_000),
            modes: 1,
        },
        not_after: Timestamp(not_after),
        reserved: Amount(GWEI * 1_000_000_000),
        requeued: 0,
    }
}

/// `leaves` leaves with two outputs each, all intents valid until `not_after`.
pub fn workload(leaves: u8, not_after: u64) -> Vec<JobsEvent> {
    let all_leaves = (1..=leaves).map(|n| JobsEvent::LeafPlanned(leaf(n, not_after)));
    let outputs = (1..=leaves).flat_map(|n| (0..2).map(move |e| JobsEvent::FulfillmentPlanned(output(n, e, not_after))));
    all_leaves.chain(outputs).collect()
}

/// Whether an intent is of this leaf.
pub fn is_of(event: &JobsEvent, n: u8) -> bool {
    match event {
        JobsEvent::LeafPlanned(event) => event.assignment_id == assignment(n),
        JobsEvent::FulfillmentPlanned(event) => event.assignment_id == assignment(n),
        _ => false,
    }
}
