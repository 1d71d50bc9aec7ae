//! Receipts: exactly one per execution of a settling assignment, and exactly those that the journal derives.

use super::{JOBS_GENESIS, Journal};
use crate::journal::finish;
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
use acurast_relayer_journal::{EventJournal, ReadLimits};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(world: &World, journal: &Journal, found: &mut Vec<Violation>) {
    let published = published(world, found);
    let mut derived = BTreeSet::new();
    let topic = at(Topic::Receipts);
    let jobs = at(Topic::Jobs);
    for (record, events) in &journal.jobs {
        for message in derive(&jobs, &JOBS_GENESIS, &record.hash, &record.record, events) {
            let (to, value) = place(message);
            if to == topic {
                derived.insert(value);
            }
        }
    }
    for value in derived.difference(&published) {
        found.push(Violation::ReceiptDiffers(format!("one of {} bytes was never published", value.len())));
    }
    for value in published.difference(&derived) {
        found.push(Violation::ReceiptDiffers(format!("one of {} bytes derives from no record", value.len())));
    }
    executions(world, &published, found);
}

/// The receipts topic as its subscribers take it: each message once.
fn published(world: &World, found: &mut Vec<Violation>) -> BTreeSet<Vec<u8>> {
    let topic = at(Topic::Receipts);
    let (mut next, mut values) = (Offset(0), BTreeSet::new());
    while let Ok(Ok(batch)) = finish(world.log.read(&topic, next, ReadLimits::default())) {
        let Some(last) = batch.records.last() else { return values };
        next = last.offset.next();
        // Somebody else's bytes are passed over.
        values.extend(batch.records.into_iter().map(|record| record.value).filter(|value| ReceiptsEvent::decode(value).is_ok()));
    }
    found.push(Violation::Journal("the receipts can't be read".into()));
    values
}

/// One receipt per execution, and an outcome that the chain confirms.
fn executions(world: &World, published: &BTreeSet<Vec<u8>>, found: &mut Vec<Violation>) {
    let mut ids: BTreeSet<EventId> = BTreeSet::new();
    let mut counts: BTreeMap<(AssignmentId, u64), usize> = BTreeMap::new();
    for value in published {
        let Ok(ReceiptsEvent::Receipt(receipt)) = ReceiptsEvent::decode(value) else { continue };
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
