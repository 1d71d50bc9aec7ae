//! Receipts, reputation and dead letters, derived from one record of a jobs partition and nothing else (PROTOCOL §8, §9).
//!
//! The same record gives the same messages with the same ids, whoever derives them and how often: they are published at
//! least once, and readers drop an id that they have.
//!
//! The pallet's own beta reputation is carried as the chain says it; a port that is checked against it is a fold over
//! `ExecutionReported` and belongs to whoever scores.

use crate::letters::{KIND_DEAD_LETTER, matter};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, EventId, JobKey, RecordHash};
use acurast_events::derived::{DeadLetter, JobReceipt, Receipt, ReceiptReversed, ReputationObserved};
use acurast_events::ids::job_key;
use acurast_events::jobs::{ExecutionEnded, JobsEvent, SettlementFinal};
use acurast_events::record::{InputRef, Record};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_events::{bytes::Genesis, wire::Message};

/// Numbers of derived messages in their ids, apart from those of the events that they derive from. That of dead letters is
/// [`KIND_DEAD_LETTER`].
const KIND_RECEIPT: u16 = 0x0100;
const KIND_REPUTATION: u16 = 0x0101;
const KIND_JOB_RECEIPT: u16 = 0x0103;
const KIND_RECEIPT_REVERSED: u16 = 0x0104;

/// One message for a derived topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// For `receipts.v1`, keyed by job.
    Receipt(Box<Receipt>),
    /// For `receipts.v1`, keyed by job.
    JobReceipt(JobReceipt),
    /// For `receipts.v1`, keyed by settlement.
    ReceiptReversed(Box<ReceiptReversed>),
    /// For `reputation.v1`, keyed by processor.
    Reputation(ReputationObserved),
    /// For `dead-letters.v1`, keyed by source topic.
    DeadLetter(DeadLetter),
}

/// What an accepted record of a jobs partition says to the derived topics.
///
/// `hash` is the record's, `events` are its decoded events, `genesis` is the Acurast chain's.
pub fn derive(at: &TopicPartition, genesis: &Genesis, hash: &RecordHash, record: &Record, events: &[JobsEvent]) -> Vec<Derived> {
    let origin =
        InputRef { topic: at.topic.as_str().to_owned(), partition: at.partition, position: Offset(record.sequence.0), id: EventId(hash.0) };
    let from = Origin { genesis, hash, record, events, origin };
    // Records of more than 2³² events don't exist: a record is one message of at most a few megabytes.
    (0u32..).zip(events).flat_map(|(n, event)| from.of(n, event)).collect()
}

struct Origin<'a> {
    genesis: &'a Genesis,
    hash: &'a RecordHash,
    record: &'a Record,
    events: &'a [JobsEvent],
    origin: InputRef,
}

impl Origin<'_> {
    fn id(&self, kind: u16, n: u32) -> EventId {
        self.record.event_id(self.hash, kind, n)
    }

    fn of(&self, n: u32, event: &JobsEvent) -> Vec<Derived> {
        let mut derived = self.told(n, event);
        derived.extend(self.dead_letter(n, event));
        derived
    }

    fn told(&self, n: u32, event: &JobsEvent) -> Vec<Derived> {
        match event {
            JobsEvent::ExecutionEnded(ended) => {
                let job = job_key(self.genesis, &ended.job);
                vec![Derived::Receipt(Box::new(self.receipt(n, job, ended))), Derived::Reputation(self.reputation(n, job, ended))]
            }
            JobsEvent::JobClosed(closed) => vec![Derived::JobReceipt(JobReceipt {
                id: self.id(KIND_JOB_RECEIPT, n),
                origin: self.origin.clone(),
                job: closed.job.clone(),
                job_key: job_key(self.genesis, &closed.job),
                executions: closed.executions,
                removed: closed.removed,
                spent: closed.spent,
                cost: closed.cost,
                at: self.record.at,
            })],
            JobsEvent::SettlementReversed(reversed) => {
                let receipt = ReceiptReversed {
                    id: self.id(KIND_RECEIPT_REVERSED, n),
                    origin: self.origin.clone(),
                    settlement_id: reversed.settlement_id,
                    escrow_id: reversed.escrow_id,
                    tx: reversed.tx,
                    was: reversed.was.clone(),
                    block: reversed.block.clone(),
                    charge: reversed.charge,
                    at: self.record.at,
                };
                vec![Derived::ReceiptReversed(Box::new(receipt))]
            }
            _ => Vec::new(),
        }
    }

    fn receipt(&self, n: u32, job_key: JobKey, ended: &ExecutionEnded) -> Receipt {
        // A delivery and its outcome are of one record, so the receipt needs no other.
        let settled: Option<&SettlementFinal> = self.events.iter().find_map(|event| match event {
            JobsEvent::SettlementFinal(settled) if Some(settled.settlement_id) == ended.settlement_id => Some(settled),
            _ => None,
        });
        let amount = |part: fn(&SettlementFinal) -> Amount| settled.map_or(Amount::ZERO, part);
        Receipt {
            id: self.id(KIND_RECEIPT, n),
            origin: self.origin.clone(),
            job: ended.job.clone(),
            job_key,
            assignment_id: ended.assignment_id,
            processor: ended.processor,
            execution: ended.execution,
            outcome: ended.outcome,
            fault: ended.fault,
            settlement_id: ended.settlement_id,
            tx: settled.and_then(|settled| settled.tx),
            block: settled.map(|settled| settled.block.clone()),
            batch: settled.and_then(|settled| settled.batch),
            late_root: settled.is_some_and(|settled| settled.late_root),
            escrow_id: settled.map(|settled| settled.escrow_id),
            charge: amount(|settled| settled.charge),
            root_share: amount(|settled| settled.root_share),
            cost: amount(|settled| settled.cost),
            attesters_needed: settled.map_or(0, |settled| settled.attesters_needed),
            attesters: settled.map_or(0, |settled| settled.attesters),
            detail: ended.detail.clone(),
            executions: ended.executions,
        }
    }

    fn reputation(&self, n: u32, job_key: JobKey, ended: &ExecutionEnded) -> ReputationObserved {
        ReputationObserved {
            id: self.id(KIND_REPUTATION, n),
            origin: self.origin.clone(),
            processor: ended.processor,
            job_key,
            assignment_id: ended.assignment_id,
            execution: ended.execution,
            outcome: ended.outcome,
            fault: ended.fault,
            latency: ended.latency,
            on_chain: ended.reputation.clone(),
            weight: ended.reward,
            at: self.record.at,
            executions: ended.executions,
        }
    }

    fn dead_letter(&self, n: u32, event: &JobsEvent) -> Option<Derived> {
        let of = matter(event, &self.record.subject)?;
        Some(Derived::DeadLetter(DeadLetter {
            id: self.id(KIND_DEAD_LETTER, n),
            origin: self.origin.clone(),
            subject: of.about,
            reason: of.reason,
            fault: of.fault,
            bytes: Bytes(event.encode()),
            at: self.record.at,
        }))
    }
}
