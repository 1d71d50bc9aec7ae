//! Records of the derived topics: receipts, reputation, dead letters. Pure functions of authoritative records (PROTOCOL §8, §9).
//!
//! Published at least once; each names its origin, and readers drop an id that they have.

use crate::amount::Amount;
use crate::bytes::{AssignmentId, Bytes, EscrowId, EventId, JobKey, ProcessorId, SettlementId, TxHash};
use crate::job_id::JobId;
use crate::jobs::{BlockRef, Fault, Outcome};
use crate::record::InputRef;
use crate::source::BetaReputation;
use crate::units::{Batch, Count, Execution, Millis, Timestamp};

crate::message! {
    /// Says how one execution was settled, at finality only.
    pub struct Receipt {
        /// The receipt's id.
        1 id: EventId,
        /// The record that it derives from.
        2 origin: InputRef,
        /// The job.
        3 job: JobId,
        /// The job's key, the record's key.
        4 job_key: JobKey,
        /// The assignment.
        5 assignment_id: AssignmentId,
        /// The processor.
        6 processor: ProcessorId,
        /// The execution.
        7 execution: Execution,
        /// How it ended.
        8 outcome: Outcome,
        /// Whose fault.
        9 fault: Fault,
        /// The settlement, if there was one.
        10 settlement_id: Option<SettlementId>,
        /// The transaction that delivered it.
        11 tx: Option<TxHash>,
        /// Where that is final.
        12 block: Option<BlockRef>,
        /// The root that proved the assignment.
        13 batch: Option<Batch>,
        /// Whether that root landed after the first execution's start.
        14 late_root: bool,
        /// The account that paid.
        15 escrow_id: Option<EscrowId>,
        /// Charged for the item, without root share, in the account's asset.
        16 charge: Amount,
        /// Root share charged with it, in the account's asset.
        17 root_share: Amount,
        /// The item's part of what the transaction cost the signing key, in wei (or the chain's unit).
        18 cost: Amount,
        /// How many attesters the destination asks for.
        19 attesters_needed: u32,
        /// Of how many.
        20 attesters: u32,
        /// Words for people.
        21 detail: String,
        /// How many consecutive executions from `execution` on the receipt is for; above 1 only where they were missed or cancelled.
        22 executions: Count,
    }

    /// Takes a receipt back: the destination's finality broke, and the settlement has no effect any more.
    pub struct ReceiptReversed {
        /// Its id.
        1 id: EventId,
        /// The record that it derives from.
        2 origin: InputRef,
        /// The settlement that the receipt named.
        3 settlement_id: SettlementId,
        /// The account that had paid.
        4 escrow_id: EscrowId,
        /// The transaction that the receipt named.
        5 tx: TxHash,
        /// The block that it named.
        6 was: BlockRef,
        /// The final block at which the effect was absent.
        7 block: BlockRef,
        /// What the account has back, root share included, in the account's asset.
        8 charge: Amount,
        /// When.
        9 at: Timestamp,
    }

    /// Says how a job ended: one per job, settled or only tracked.
    pub struct JobReceipt {
        /// The receipt's id.
        1 id: EventId,
        /// The record that it derives from.
        2 origin: InputRef,
        /// The job.
        3 job: JobId,
        /// The job's key, the record's key.
        4 job_key: JobKey,
        /// How many executions got an outcome; none for a job that is not settled.
        5 executions: Count,
        /// Whether it was removed from Acurast before its time.
        6 removed: bool,
        /// Charged for it in total, in the account's asset.
        7 spent: Amount,
        /// What its transactions cost the signing key, in wei (or the chain's unit).
        8 cost: Amount,
        /// When.
        9 at: Timestamp,
    }

    /// One observation of a processor.
    pub struct ReputationObserved {
        /// The observation's id.
        1 id: EventId,
        /// The record that it derives from.
        2 origin: InputRef,
        /// The processor, the record's key.
        3 processor: ProcessorId,
        /// The job.
        4 job_key: JobKey,
        /// The assignment.
        5 assignment_id: AssignmentId,
        /// The execution.
        6 execution: Execution,
        /// How it ended.
        7 outcome: Outcome,
        /// Whose fault.
        8 fault: Fault,
        /// From the window's start to delivery or report.
        9 latency: Option<Millis>,
        /// On-chain reputation at the report.
        10 on_chain: Option<BetaReputation>,
        /// Acurast reward of the execution, in planck.
        11 weight: Amount,
        /// When.
        12 at: Timestamp,
        /// How many consecutive executions from `execution` on are observed alike.
        13 executions: Count,
    }

    /// Something that could not be processed: kept with the reason, for an operator.
    pub struct DeadLetter {
        /// The dead letter's id.
        1 id: EventId,
        /// The record that it derives from.
        2 origin: InputRef,
        /// What it concerns.
        3 subject: Bytes,
        /// Words for people.
        4 reason: String,
        /// Whose fault.
        5 fault: Fault,
        /// The bytes, where there are any.
        6 bytes: Bytes,
        /// When.
        7 at: Timestamp,
    }
}

crate::events! {
    /// One record of `receipts.v1`.
    pub enum ReceiptsEvent {
        1 Receipt,
        2 JobReceipt,
        3 ReceiptReversed,
    }
}
