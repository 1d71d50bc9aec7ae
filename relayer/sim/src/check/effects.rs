//! Effects and ends: each effect once on the chain and only for what is assigned, each intent with one end, no hole, no bid
//! above a cap.

use super::audit::Audit;
use crate::violation::Violation;
use crate::world::{World, lane_policy};
use acurast_events::bytes::SettlementId;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{AttemptEnd, AttemptEnded, ItemOutcome, LanesEvent, Purpose, SlotOutcome};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(world: &World, audit: &Audit, found: &mut Vec<Violation>) {
    deliveries(world, found);
    let endings = endings(audit, found);
    intents(world, audit, &endings, found);
    slots(world, audit, found);
    bids(audit, found);
    given_up(world, audit, found);
}

/// Only what a node said is missing is given up: no answer is not *not found*.
fn given_up(world: &World, audit: &Audit, found: &mut Vec<Violation>) {
    for event in audit.lane_events() {
        if let LanesEvent::AttemptEnded(AttemptEnded { tx, end: AttemptEnd::Evicted | AttemptEnd::Expired, .. }) = event
            && !world.env.not_found.contains(tx)
        {
            found.push(Violation::GivenUp(*tx));
        }
    }
}

fn deliveries(world: &World, found: &mut Vec<Violation>) {
    for (id, count) in world.env.chain.deliveries().into_iter().filter(|(_, count)| *count > 1) {
        found.push(Violation::DeliveredTwice(id, count));
    }
    let contract = world.env.chain.contract();
    // Somebody else may settle an item while ours is on its way.
    if contract.resent > world.foreign_deliveries {
        found.push(Violation::Resent(contract.resent));
    }
    for delivery in &contract.deliveries {
        let item = &delivery.item;
        let assigned = world.env.assignments.known.get(&item.assignment);
        let fault = match assigned {
            None => Some("nobody is assigned so"),
            Some(assigned) if item.execution.0 >= assigned.executions => Some("its assignment has no such execution"),
            Some(assigned) if item.escrow != assigned.escrow => Some("another account paid"),
            Some(_) if !world.env.assignments.signed.get(&item.id).is_some_and(|signed| signed.contains(&item.payload)) => {
                Some("its processor never signed that payload")
            }
            Some(_) => None,
        };
        found.extend(fault.map(|fault| Violation::Unassigned(item.id, fault)));
    }
}

/// How the lane ended each settlement.
fn endings(audit: &Audit, found: &mut Vec<Violation>) -> BTreeMap<SettlementId, &'static str> {
    let mut endings = BTreeMap::new();
    let mut end = |id: SettlementId, how, found: &mut Vec<Violation>| {
        if endings.insert(id, how).is_some() {
            found.push(Violation::EndedTwice(format!("settlement {id}")));
        }
    };
    for event in audit.lane_events() {
        match event {
            LanesEvent::SlotFinal(slot) => {
                for item in &slot.items {
                    match item.outcome {
                        ItemOutcome::Settled | ItemOutcome::SettledFailed => {
                            end(item.settlement_id, "settled", found);
                        }
                        // What another settled is found, by a question of its own.
                        ItemOutcome::AlreadySettled | ItemOutcome::Skipped | ItemOutcome::NoEffect => {}
                    }
                }
            }
            LanesEvent::EffectFound(event) => end(event.settlement_id, "found", found),
            LanesEvent::IntentDead(event) => end(event.settlement_id, "dead", found),
            _ => {}
        }
    }
    endings
}

fn intents(world: &World, audit: &Audit, endings: &BTreeMap<SettlementId, &'static str>, found: &mut Vec<Violation>) {
    let delivered = world.env.chain.deliveries();
    let mut finals = BTreeSet::new();
    for event in audit.job_events() {
        if let JobsEvent::SettlementFinal(event) = event
            && !finals.insert(event.settlement_id)
        {
            found.push(Violation::EndedTwice(format!("settlement {} of settle", event.settlement_id)));
        }
    }
    for event in audit.job_events() {
        let (id, output) = match event {
            JobsEvent::LeafPlanned(intent) => (intent.settlement_id, false),
            JobsEvent::FulfillmentPlanned(intent) => (intent.settlement_id, true),
            _ => continue,
        };
        let ending = endings.get(&id).copied();
        // Where an operator has to act, a leaf may wait for him.
        if ending.is_none() && (output || !world.foul) {
            found.push(Violation::NotTerminal(format!("settlement {id} has no end in its lane")));
        }
        if !output {
            continue;
        }
        let (on_chain, told) = (delivered.contains_key(&id), ending.is_some_and(|how| how != "dead"));
        if on_chain != told {
            found.push(Violation::EffectDiffers { settlement: id, delivered: on_chain, told: ending.unwrap_or("nothing").to_owned() });
        }
        if on_chain != finals.contains(&id) {
            let told = if finals.contains(&id) { "final for settle" } else { "not final for settle" };
            found.push(Violation::EffectDiffers { settlement: id, delivered: on_chain, told: told.to_owned() });
        }
    }
    for id in delivered.keys().filter(|id| !endings.contains_key(id)) {
        found.push(Violation::EffectDiffers { settlement: *id, delivered: true, told: "nothing".to_owned() });
    }
}

/// Every slot that the chain took ended once, and none besides.
fn slots(world: &World, audit: &Audit, found: &mut Vec<Violation>) {
    let finals: Vec<u64> =
        audit.lane_events().filter_map(|event| if let LanesEvent::SlotFinal(slot) = event { Some(slot.slot.0) } else { None }).collect();
    let distinct: BTreeSet<u64> = finals.iter().copied().collect();
    let chain = world.env.chain.contract().next_slot;
    let foreign_after = world.foul && distinct.iter().all(|slot| *slot < chain);
    if (!foreign_after && !distinct.iter().copied().eq(0..chain)) || distinct.len() != finals.len() {
        found.push(Violation::Slots { journal: format!("{finals:?}"), chain });
    }
    let cost: u128 = audit
        .lane_events()
        .filter_map(|event| match event {
            LanesEvent::SlotFinal(slot) if slot.outcome != SlotOutcome::Foreign => Some(slot.cost.0),
            _ => None,
        })
        .sum();
    let paid = world.env.chain.contract().paid;
    if cost != paid {
        found.push(Violation::Cost { journal: cost, chain: paid });
    }
}

/// No bid is above the operator's caps, nor above what its items allow.
fn bids(audit: &Audit, found: &mut Vec<Violation>) {
    let policy = lane_policy().fee;
    let mut caps: BTreeMap<SettlementId, (u128, u128)> = BTreeMap::new();
    for event in audit.lane_events() {
        match event {
            LanesEvent::FulfillmentAccepted(accepted) => {
                let intent = &accepted.intent;
                caps.insert(intent.settlement_id, (intent.caps.max_fee_per_gas.0, intent.caps.max_priority_fee.0));
            }
            LanesEvent::AttemptPrepared(attempt) => {
                let mut cap = (policy.max_fee_cap.0, policy.priority_cap.0);
                if attempt.purpose == Purpose::Fulfill {
                    for (fee, priority) in attempt.items.iter().filter_map(|id| caps.get(id)) {
                        cap = (cap.0.min(*fee), cap.1.min(*priority));
                    }
                }
                let bid = (attempt.fee.max_fee_per_gas.0, attempt.fee.max_priority_fee.0);
                let over = [(bid.0, cap.0), (bid.1, cap.1)].into_iter().find(|(bid, cap)| bid > cap);
                found.extend(over.map(|(bid, cap)| Violation::OverCap { slot: attempt.slot, bid, cap }));
            }
            _ => {}
        }
    }
}
