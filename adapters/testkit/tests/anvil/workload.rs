//! Intents for one job of the world's consumer: an assignment per processor, three executions each.

use crate::world::{CHAIN_ID, GENESIS, SOURCE_BLOCK, World, assignment, caps, job, processor_keys, relayer};
use acurast_adapter_api::oracle::LeafClaim;
use acurast_events::bytes::ProcessorId;
use acurast_events::caip::ChainId;
use acurast_events::ids::{assignment_id, dest_id, job_key, root_settlement_id};
use acurast_events::jobs::{BlockRef, FulfillmentPlanned, JobsEvent, LeafPlanned};
use acurast_events::units::{Batch, Execution, Timestamp};

fn processor(n: u8) -> ProcessorId {
    ProcessorId([n; 32])
}

/// The assignment of this processor; its bit is the lane's to allot.
pub fn claim(world: &World, n: u8) -> LeafClaim {
    let mut claim = world.claim(0);
    let dest = dest_id(&ChainId::evm(CHAIN_ID), &world.settlement.0, &world.consumer.0);
    claim.processor = processor(n);
    claim.leaf.assignment_id = assignment_id(&job_key(&GENESIS, &job(&world.consumer)), &processor(n), &dest, Execution::ALL);
    claim
}

pub fn leaf(world: &World, n: u8) -> LeafPlanned {
    let claim = claim(world, n);
    let found = assignment(processor_keys());
    LeafPlanned {
        settlement_id: root_settlement_id(&claim.leaf.assignment_id),
        lane: ChainId::evm(CHAIN_ID).account(&relayer().address().to_string()).unwrap(),
        assignment_id: claim.leaf.assignment_id,
        escrow_id: claim.leaf.escrow_id,
        job: claim.job,
        job_number: claim.leaf.job_number,
        key_type: claim.leaf.key_type,
        signer_key: claim.leaf.signer_key,
        processor: claim.processor,
        first_execution: claim.leaf.first_execution,
        executions: claim.leaf.executions,
        not_after: claim.leaf.not_after,
        start: found.registration.schedule.start,
        source: BlockRef {
            chain: "polkadot:acacacacacacacacacacacacacacacac".parse().unwrap(),
            number: SOURCE_BLOCK.0,
            hash: SOURCE_BLOCK.1,
            timestamp: Timestamp(1),
        },
        reserved: caps().max_charge,
        requeued: 0,
    }
}

pub fn output(world: &World, n: u8, execution: u64) -> FulfillmentPlanned {
    let payload = format!("output {execution} of {n}");
    world.item(&claim(world, n), Batch(0), execution, payload.as_bytes()).intent
}

/// An output whose processor signed another payload.
pub fn poison(world: &World, n: u8, execution: u64) -> FulfillmentPlanned {
    let mut output = output(world, n, execution);
    output.payload.0.push(b'!');
    output
}

/// So many leaves with all their outputs.
pub fn workload(world: &World, leaves: u8) -> Vec<JobsEvent> {
    let all = (1..=leaves).map(|n| JobsEvent::LeafPlanned(leaf(world, n)));
    let outputs = (1..=leaves).flat_map(|n| (0..3).map(move |execution| JobsEvent::FulfillmentPlanned(output(world, n, execution))));
    all.chain(outputs).collect()
}
