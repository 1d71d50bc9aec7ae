//! Receipts: exactly one per execution of a settling assignment, and exactly those that the journal derives.

use super::JOBS_GENESIS;
use super::audit::{Audit, Told};
use crate::process::at;
use crate::settle::place;
use crate::violation::Violation;
use crate::world::World;
use acurast_events::bytes::{AssignmentId, EventId};
use acurast_events::derived::ReceiptsEvent;
use acurast_events::topics::Topic;
use acurast_events::units::{Execution, Offset};
use acurast_events::wire::Message;
use acurast_relayer_core::derive;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(world: &World, audit: &Audit, found: &mut Vec<Violation>) {
    let published = published(world, found);
    let mut derived = BTreeSet::new();
    let topic = at(Topic::Receipts);
    let jobs = at(Topic::Jobs);
    for Told { record, events } in audit.jobs() {
        for message in derive(&jobs, &JOBS_GENESIS, &record.hash, &record.record, events) {
            let (to, value) = place(message);
            if to == topic {
                derived.insert(value);
            }
        }
    }
    for value in derived.iter().filter(|value| !published.contains_key(*value)) {
        found.push(Violation::ReceiptDiffers(format!("one of {} bytes was never published", value.len())));
    }
    for value in published.keys().filter(|value| !derived.contains(*value)) {
        found.push(Violation::ReceiptDiffers(format!("one of {} bytes derives from no record", value.len())));
    }
    executions(world, published.values(), found);
}

/// The receipts topic as its subscribers take it: each message once.
fn published(world: &World, found: &mut Vec<Violation>) -> BTreeMap<Vec<u8>, ReceiptsEvent> {
    let Ok(raw) = world.log.raw(&at(Topic::Receipts), Offset(0)) else {
        found.push(Violation::Journal("the receipts can't be read".into()));
        return BTreeMap::new();
    };
    let mut published = BTreeMap::new();
    for record in raw {
        // Somebody else's bytes are passed over.
        if !published.contains_key(&record.value)
            && let Ok(event) = ReceiptsEvent::decode(&record.value)
        {
            published.insert(record.value.clone(), event);
        }
    }
    published
}

/// One receipt per execution, and an outcome that the chain confirms.
fn executions<'a>(world: &World, published: impl Iterator<Item = &'a ReceiptsEvent>, found: &mut Vec<Violation>) {
    let mut ids: BTreeSet<EventId> = BTreeSet::new();
    let mut counts: BTreeMap<(AssignmentId, u64), usize> = BTreeMap::new();
    for event in published {
        let ReceiptsEvent::Receipt(receipt) = event else { continue };
        if !ids.insert(receipt.id) {
            found.push(Violation::ReceiptDiffers(format!("id {} stands for two receipts", receipt.id)));
        }
        for offset in 0..receipt.executions.0.max(1) {
            *counts.entry((receipt.assignment_id, receipt.execution.0 + offset)).or_insert(0) += 1;
        }
    }
    for (id, assigned) in &world.env.assignments.known {
        for execution in 0..assigned.executions {
            let count = counts.remove(&(*id, execution)).unwrap_or(0);
            if count != 1 {
                found.push(Violation::Receipts { assignment: *id, execution: Execution(execution), count });
            }
        }
    }
    for ((assignment, execution), count) in counts {
        found.push(Violation::Receipts { assignment, execution: Execution(execution), count });
    }
}
