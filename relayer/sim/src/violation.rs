//! What a run can be found guilty of, in words that say what to look at.

use acurast_events::bytes::{AssignmentId, EscrowId, SettlementId, TxHash};
use acurast_events::units::{Execution, Slot};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The relayer's own code says that log and code disagree.
    #[error("a process stopped for good: {0}")]
    Defect(String),
    /// Things were in order for long, and something is still open.
    #[error("nothing is wrong any more, and still open: {0}")]
    Stuck(String),
    /// Bytes left that no record has (R1).
    #[error("transaction {tx} at slot {slot} was sent before the journal had it")]
    NotJournaled {
        /// The transaction.
        tx: TxHash,
        /// Its slot.
        slot: Slot,
    },
    /// A transaction was given up for lost, and no node ever said that it is missing (R4).
    #[error("transaction {0} was given up, and no node ever said that it doesn't know it")]
    GivenUp(TxHash),
    /// Bytes left although the sender knew of a block past their item's time (PROTOCOL §5).
    #[error("settlement {0} was sent after its notAfter")]
    SentLate(SettlementId),
    /// An effect exists more than once (R2).
    #[error("settlement {0} was delivered {1} times")]
    DeliveredTwice(SettlementId, usize),
    /// A settled item was carried again: nobody asked whether its effect exists (R2).
    #[error("{0} items were carried again although they were settled")]
    Resent(u64),
    /// The chain has an effect that the journal ends otherwise, or the other way round.
    #[error("settlement {settlement}: delivered on the chain: {delivered}; the journal says {told}")]
    EffectDiffers {
        /// The settlement.
        settlement: SettlementId,
        /// On the chain.
        delivered: bool,
        /// In the journal.
        told: String,
    },
    /// Something was delivered that no assignment or no processor's signature covers.
    #[error("settlement {0} was delivered, and {1}")]
    Unassigned(SettlementId, &'static str),
    /// An attester was asked for a leaf that isn't true, or isn't the one it signed before.
    #[error("assignment {0}: an attester had to refuse its leaf: {1}")]
    Refused(AssignmentId, &'static str),
    /// The lane's slots are not those of the chain.
    #[error("slots that the journal ended: {journal}; that the chain took: {chain}")]
    Slots {
        /// In the journal.
        journal: String,
        /// On the chain.
        chain: u64,
    },
    /// What transactions cost differs.
    #[error("the journal's transactions cost {journal}, the key paid {chain}")]
    Cost {
        /// In the journal.
        journal: u128,
        /// On the chain.
        chain: u128,
    },
    /// The signer book's total differs from what the key paid.
    #[error("the signer book has {book} as cost, the key paid {chain}")]
    SignerBook {
        /// In the ledger.
        book: u128,
        /// On the chain.
        chain: u128,
    },
    /// An account's book differs from its contract.
    #[error("account {escrow}: {what}: {book} in the ledger, {chain} in the contract")]
    Account {
        /// The account.
        escrow: EscrowId,
        /// Which sum.
        what: &'static str,
        /// In the ledger.
        book: u128,
        /// In the contract.
        chain: u128,
    },
    /// The ledger's own rules are broken (R10).
    #[error("ledger: {0}")]
    Ledger(String),
    /// The ledger raised an alarm although the contract charged by the rules.
    #[error("the ledger differs from the contract: {0}")]
    LedgerDiffers(String),
    /// An intent or a job has no end.
    #[error("{0}")]
    NotTerminal(String),
    /// Something ended more than once.
    #[error("{0} ended twice")]
    EndedTwice(String),
    /// A replay gives another state.
    #[error("partition {partition}: digest {live} at work, {replayed} replayed from the start")]
    Digest {
        /// The partition.
        partition: String,
        /// Of the live fold.
        live: String,
        /// Of the replay.
        replayed: String,
    },
    /// Not exactly one receipt.
    #[error("assignment {assignment} execution {execution}: {count} receipts")]
    Receipts {
        /// The assignment.
        assignment: AssignmentId,
        /// The execution.
        execution: Execution,
        /// How many, each id once.
        count: usize,
    },
    /// Published messages are not what the journal derives.
    #[error("receipts: {0}")]
    ReceiptDiffers(String),
    /// A bid above a cap (R5).
    #[error("slot {slot}: a bid of {bid} is above {cap}")]
    OverCap {
        /// The slot.
        slot: Slot,
        /// What was offered.
        bid: u128,
        /// What was allowed.
        cap: u128,
    },
    /// More is kept than the work that is open explains.
    #[error("memory: {0}")]
    Memory(String),
    /// A process that lost its term wrote a record that counts, or never stood down.
    #[error("term: {0}")]
    Term(String),
    /// The same scenario came to another end from its beginning: what its command repeats isn't what was found.
    #[error("run from its beginning it ends otherwise: {0}")]
    Unrepeated(String),
    /// A log can't be read again.
    #[error("journal: {0}")]
    Journal(String),
}
