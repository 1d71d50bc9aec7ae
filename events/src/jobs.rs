//! Events of `jobs.v1`: the public history of jobs and escrow accounts, keyed by owner (PROTOCOL §1, §4, §5, §7).
//!
//! [`LeafPlanned`] and [`FulfillmentPlanned`] are the intents that dispatch pulls; each is bound to one lane here.

use crate::amount::Amount;
use crate::bytes::{
    AssignmentId, BlockHash, Bytes, ContentHash, DestId, EscrowId, EventId, JobKey, OwnerKey, PayloadHash, ProcessorId, SettlementId,
    SignerKey, TxHash,
};
use crate::caip::{AccountId, AssetId, ChainId};
use crate::control::{Command, CommandGiven, CommandTarget};
use crate::ids::SettlementKind;
use crate::job_id::JobId;
use crate::leaves::{JobNumber, KeyType};
use crate::record::{InputRef, Progress, StateDigest};
use crate::source::{BetaReputation, EscrowCaps, MatchedSlot, PublicKey, Registration, ReportedOutcome};
use crate::units::{Batch, BlockNumber, Count, Execution, Gas, Offset, Slot, Timestamp};

crate::wire_enum! {
    /// How a job was first heard of.
    pub enum OpenedBy {
        /// Its registration.
        1 Registered,
        /// A match that came before, or without, the registration.
        2 Matched,
        /// An acknowledgement.
        3 Acknowledged,
        /// Storage, at the first start or by reconciliation.
        4 Found,
    }

    /// Which rule of PROTOCOL §2 named the destination.
    pub enum DestinationRule {
        /// A manifest remark.
        1 Manifest,
        /// The origin's own chain.
        2 Origin,
        /// An operator's route.
        3 Route,
        /// None: the job is tracked, not settled.
        4 Unsettled,
    }

    /// What is done with an output at the destination (PROTOCOL §2).
    pub enum Mode {
        /// The target is called, each item with its processor's signature.
        1 Call,
        /// The target is called under an attester quorum.
        2 Attested,
        /// Only a root of outputs goes on chain.
        3 Anchor,
        /// The output itself is persisted.
        4 Inline,
        /// Web2.
        5 Webhook,
    }

    /// Why an assignment or an execution waits. It goes on by itself once the reason is gone.
    pub enum WaitReason {
        /// No escrow account is open at finality.
        1 EscrowMissing,
        /// The account's free balance does not cover the reservation.
        2 EscrowTooSmall,
        /// Its opener asked to close it, or it expired.
        3 EscrowClosing,
        /// It does not allow the mode, the payload or the price.
        4 EscrowCapsExceeded,
        /// Its target or owner is not the job's.
        5 EscrowForeign,
        /// The root that proves the assignment is not planned yet.
        6 RootPending,
        /// The settlement contract's chain, mode or lane is not served by this relayer any more.
        7 LaneMissing,
    }

    /// How an execution of a settling assignment ended (PROTOCOL §5); the first outcome stands.
    pub enum Outcome {
        /// Its output was delivered.
        1 Fulfilled,
        /// Its output was accepted, and delivery failed at the destination or never happened.
        2 Failed,
        /// The processor delivered it itself, verified.
        3 SelfFulfilled,
        /// The processor reported a failure on Acurast.
        4 ReportedFailure,
        /// Neither output nor report came within the window.
        5 Missed,
        /// The job was removed before either came.
        6 Cancelled,
        /// Success was reported by settlement id and no output came.
        7 NoOutput,
        /// Success was reported and can't be verified.
        8 Unverifiable,
        /// Success was reported and is contradicted.
        9 Refuted,
    }

    /// Who is to blame for an outcome.
    pub enum Fault {
        /// Nobody: it succeeded, or was cancelled by its owner.
        1 Nobody,
        /// The processor.
        2 Processor,
        /// The consumer: target or escrow.
        3 Consumer,
        /// This relayer.
        4 Relayer,
        /// A chain.
        5 Chain,
        /// It can't be told.
        6 Unknown,
    }

    /// The two books of the ledger (PROTOCOL §7).
    pub enum Book {
        /// What the contract moved.
        1 Escrow,
        /// What the signing key paid.
        2 Signer,
    }

    /// Why money moved in the ledger.
    pub enum PostingReason {
        /// The consumer locked it in an account.
        1 Locked,
        /// It was set aside for a settlement.
        2 Reserved,
        /// The contract charged it.
        3 Charged,
        /// What a settlement did not need went back.
        4 Released,
        /// The contract paid it back to the opener.
        5 Refunded,
        /// A mined transaction cost it.
        6 Cost,
        /// Charge and cost of a transaction differ.
        7 Margin,
        /// A charge is undone: finality of the destination broke.
        8 Reversed,
    }

    /// Which account of the ledger.
    pub enum LedgerAccountKind {
        /// What the consumer brought in or got back: the outside world.
        1 Consumer,
        /// Locked and free.
        2 Locked,
        /// Reserved for a settlement.
        3 Reserved,
        /// Charged by the contract.
        4 Spent,
        /// Paid by the signing key.
        5 SignerCost,
        /// Difference between what was charged and what was paid.
        6 Margin,
        /// The signing key's own money: the outside world of the signer book.
        7 Signer,
    }
}

crate::message! {
    /// A block of a chain, as an event refers to it.
    pub struct BlockRef {
        /// The chain.
        1 chain: ChainId,
        /// Height.
        2 number: BlockNumber,
        /// Hash.
        3 hash: BlockHash,
        /// Its timestamp.
        4 timestamp: Timestamp,
    }

    /// Where a job settles and who pays.
    pub struct Destination {
        /// dest_id of the three fields that follow.
        1 dest_id: DestId,
        /// The chain.
        2 chain: ChainId,
        /// Settlement contract (or its kind's equivalent), raw bytes.
        3 settlement: Bytes,
        /// The target, raw bytes.
        4 target: Bytes,
        /// The account that pays.
        5 escrow_id: EscrowId,
        /// What is done with an output.
        6 mode: Mode,
        /// How long after the last window delivery may happen, milliseconds.
        7 deadline: crate::units::Millis,
    }

    /// A job is known from here on: OPEN.
    pub struct JobOpened {
        /// Its id.
        1 job: JobId,
        /// Its owner.
        2 owner: OwnerKey,
        /// Its registration; absent: details lost, the job is tracked and never settled.
        3 registration: Option<Registration>,
        /// How it was first heard of.
        4 opened_by: OpenedBy,
        /// At which block.
        5 block: BlockRef,
    }

    /// The destination was chosen, once and for all unless a later manifest replaces it.
    pub struct DestinationChosen {
        /// By which rule.
        1 rule: DestinationRule,
        /// The destination; absent when the job is not settled.
        2 destination: Option<Destination>,
        /// Why there is none, or why a manifest was passed over.
        3 reason: String,
    }

    /// Processors were matched: MATCHED.
    pub struct JobMatched {
        /// Those that are new.
        1 slots: Vec<MatchedSlot>,
        /// At which block.
        2 block: BlockRef,
    }

    /// A processor acknowledged: its assignment begins.
    pub struct AssignmentStarted {
        /// The assignment; absent when the job is not settled.
        1 assignment_id: Option<AssignmentId>,
        /// The match.
        2 slot: MatchedSlot,
        /// The keys that it showed.
        3 keys: Vec<PublicKey>,
        /// First execution of the assignment.
        4 first_execution: Execution,
        /// How many executions it has.
        5 executions: Count,
        /// Nothing is sent after this time.
        6 not_after: Timestamp,
        /// At which block.
        7 block: BlockRef,
        /// Kind of the key that signs its outputs; absent when none is usable or the job is not settled.
        8 key_type: Option<KeyType>,
        /// That key, in the form of its kind.
        9 signer_key: Option<SignerKey>,
        /// The first execution that is watched: those before had ended when the job was found in storage.
        10 watched_from: Execution,
        /// The pallet's running report index at this block.
        11 next_index: Execution,
    }

    /// None of the processor's keys can sign for the destination: the assignment is tracked, not settled.
    pub struct NoUsableKey {
        /// The processor.
        1 processor: ProcessorId,
        /// The destination.
        2 dest_id: DestId,
    }

    /// The last slot acknowledged: ASSIGNED.
    pub struct JobAssigned {
        /// At which block.
        1 block: BlockRef,
    }

    /// An assignment's root or an execution's fulfilment waits; emitted when the reason changes.
    pub struct SettlementWaiting {
        /// What waits.
        1 settlement_id: SettlementId,
        /// Its assignment.
        2 assignment_id: AssignmentId,
        /// Its execution; 2⁶⁴ − 1 for a root.
        3 execution: Execution,
        /// Why.
        4 reason: WaitReason,
        /// What the account has to have free for it to go on, in the account's asset; zero where that is not known.
        5 needs: Amount,
    }

    /// Intent: prove this assignment on its destination. All of the leaf but its bit, which the lane allots.
    pub struct LeafPlanned {
        /// The settlement (kind root).
        1 settlement_id: SettlementId,
        /// The lane that it is bound to.
        2 lane: AccountId,
        /// The assignment.
        3 assignment_id: AssignmentId,
        /// The account that pays.
        4 escrow_id: EscrowId,
        /// The job.
        5 job: JobId,
        /// The leaf's job number.
        6 job_number: JobNumber,
        /// Kind of the signing key.
        7 key_type: KeyType,
        /// The signing key.
        8 signer_key: SignerKey,
        /// The processor.
        9 processor: ProcessorId,
        /// First execution covered.
        10 first_execution: Execution,
        /// How many are covered.
        11 executions: Count,
        /// Nothing is sent after this time.
        12 not_after: Timestamp,
        /// Start of the first execution: the root should be there by then.
        13 start: Timestamp,
        /// Finalized Acurast block by which the leaf can be derived.
        14 source: BlockRef,
        /// Reserved for the leaf's share of its root, in the account's asset.
        15 reserved: Amount,
        /// How often an operator had it planned anew after its lane had given it up.
        16 requeued: u32,
    }

    /// An output was accepted: first valid one of its execution.
    pub struct OutputAccepted {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The execution.
        2 execution: Execution,
        /// The settlement (kind fulfilment), what the API answers.
        3 settlement_id: SettlementId,
        /// What the target gets.
        4 payload: Bytes,
        /// Its keccak.
        5 payload_hash: PayloadHash,
        /// The processor's signature.
        6 signature: Bytes,
        /// Where its record stands in the partition of `outputs.v1` with this partition's number.
        7 offset: Option<Offset>,
    }

    /// An output was refused when settle decided it (the API may have known less).
    pub struct OutputRefused {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The execution.
        2 execution: Execution,
        /// keccak of the payload.
        3 payload_hash: PayloadHash,
        /// Why.
        4 reason: String,
    }

    /// A second, different, validly signed output of one execution.
    pub struct Equivocated {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The execution.
        2 execution: Execution,
        /// The accepted payload's hash.
        3 accepted: PayloadHash,
        /// The other payload's hash.
        4 other: PayloadHash,
        /// Its signature.
        5 signature: Bytes,
    }

    /// Intent: deliver this output.
    pub struct FulfillmentPlanned {
        /// The settlement (kind fulfilment).
        1 settlement_id: SettlementId,
        /// The lane that it is bound to: that of its root.
        2 lane: AccountId,
        /// The assignment.
        3 assignment_id: AssignmentId,
        /// The execution.
        4 execution: Execution,
        /// What the target gets.
        5 payload: Bytes,
        /// The processor's signature.
        6 signature: Bytes,
        /// The account that pays.
        7 escrow_id: EscrowId,
        /// What the account allows.
        8 caps: EscrowCaps,
        /// Nothing is sent after this time.
        9 not_after: Timestamp,
        /// Reserved: one `max_charge`, in the account's asset.
        10 reserved: Amount,
        /// How often an operator had it planned anew after its lane had given it up.
        11 requeued: u32,
    }

    /// A report was attributed to an execution.
    pub struct ExecutionReported {
        /// The processor.
        1 processor: ProcessorId,
        /// The execution that the report belongs to.
        2 execution: Execution,
        /// What was reported.
        3 outcome: ReportedOutcome,
        /// Operation hash or message.
        4 data: Bytes,
        /// Whether the report named the settlement or its transaction; else the pallet's index rule was used.
        5 named: bool,
        /// The pallet's running index before the report, as we count it.
        6 pallet_index: Execution,
        /// The processor's on-chain reputation after it.
        7 reputation: Option<BetaReputation>,
        /// At which block.
        8 block: BlockRef,
        /// The pallet's running index after the report.
        9 next_index: Execution,
    }

    /// Our count of the pallet's report index differs from storage: an alarm, and storage wins.
    pub struct ReportIndexDiffers {
        /// The processor.
        1 processor: ProcessorId,
        /// Our count.
        2 ours: Execution,
        /// Storage's.
        3 chain: Execution,
    }

    /// A settlement's transaction is in a block; not final.
    pub struct SettlementIncluded {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// The transaction.
        2 tx: TxHash,
        /// Where.
        3 block: BlockRef,
    }

    /// A reorg took the transaction's block away.
    pub struct SettlementRewound {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// The transaction.
        2 tx: TxHash,
    }

    /// A settlement's slot is final with its effect.
    pub struct SettlementFinal {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// Root or fulfilment.
        2 kind: SettlementKind,
        /// The assignment.
        3 assignment_id: AssignmentId,
        /// The execution; 2⁶⁴ − 1 for a root.
        4 execution: Execution,
        /// Whether the target's call succeeded; true for a root.
        5 success: bool,
        /// The transaction; absent when the effect was found on the chain and the chain doesn't tell.
        6 tx: Option<TxHash>,
        /// Where.
        7 block: BlockRef,
        /// The lane's slot; absent when the effect was found on the chain.
        8 slot: Option<Slot>,
        /// The root's number; absent when the effect was found on the chain.
        9 batch: Option<Batch>,
        /// Charged to the account for this item, without root share, in the account's asset.
        10 charge: Amount,
        /// Root share charged with this item, in the account's asset.
        11 root_share: Amount,
        /// This item's part of what the transaction cost the signing key, in wei (or the chain's unit).
        12 cost: Amount,
        /// Gas that the whole transaction used.
        13 gas_used: Gas,
        /// Whether the root landed after the first execution's start.
        14 late_root: bool,
        /// The account that pays.
        15 escrow_id: EscrowId,
        /// How many attesters the destination asks for.
        16 attesters_needed: u32,
        /// Of how many.
        17 attesters: u32,
    }

    /// Finality of the destination broke, and a settlement that was final has no effect any more: compensates its
    /// `SettlementFinal` and its receipt (R7). What the account was charged is posted back with it.
    pub struct SettlementReversed {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// The account.
        2 escrow_id: EscrowId,
        /// The transaction that had been final.
        3 tx: TxHash,
        /// Where it had been.
        4 was: BlockRef,
        /// The final block at which the effect was absent.
        5 block: BlockRef,
        /// What had been charged, root share included, in the account's asset.
        6 charge: Amount,
    }

    /// A lane gave a settlement up: a dead letter. Until the time of its assignment is over an operator may have it planned anew.
    pub struct SettlementDead {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// Why.
        2 reason: String,
        /// Whose fault.
        3 fault: Fault,
    }

    /// An execution, or a run of them that ended alike, has its outcome.
    pub struct ExecutionEnded {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// The processor.
        2 processor: ProcessorId,
        /// The execution.
        3 execution: Execution,
        /// How it ended.
        4 outcome: Outcome,
        /// Whose fault.
        5 fault: Fault,
        /// From the window's start to delivery or report, milliseconds; absent without either.
        6 latency: Option<crate::units::Millis>,
        /// On-chain reputation at the report, if there was one.
        7 reputation: Option<BetaReputation>,
        /// Words for people, such as the reported failure message.
        8 detail: String,
        /// The job.
        9 job: JobId,
        /// How many consecutive executions from `execution` on ended alike; above 1 only where they were missed or cancelled.
        10 executions: Count,
        /// The settlement of the accepted output, if there was one.
        11 settlement_id: Option<SettlementId>,
        /// Acurast reward of one execution, in planck.
        12 reward: Amount,
    }

    /// The opener of the account revoked an assignment: nothing more is delivered or charged for it.
    pub struct RevokedByOpener {
        /// The assignment.
        1 assignment_id: AssignmentId,
        /// At which block of the destination.
        2 block: BlockRef,
    }

    /// The job was removed from Acurast.
    pub struct JobRemoved {
        /// At which block.
        1 block: BlockRef,
    }

    /// Acurast says DONE: last report of every slot, time, or removal. Ends nothing here.
    pub struct JobDone {
        /// At which block.
        1 block: BlockRef,
    }

    /// Every execution of every assignment has its outcome, every settlement its end, and the job is DONE.
    pub struct JobClosed {
        /// The job.
        1 job: JobId,
        /// Charged in total, in the account's asset.
        2 spent: Amount,
        /// What its transactions cost the signing key, in wei (or the chain's unit).
        3 cost: Amount,
        /// How many executions got an outcome.
        4 executions: Count,
        /// Whether it was removed from Acurast before its time.
        5 removed: bool,
    }

    /// An escrow account exists at finality.
    pub struct AccountOpened {
        /// The account.
        1 escrow_id: EscrowId,
        /// Its owner.
        2 owner: OwnerKey,
        /// Chain of the contract.
        3 chain: ChainId,
        /// The contract.
        4 settlement: Bytes,
        /// The target.
        5 target: Bytes,
        /// Who opened it.
        6 opener: Bytes,
        /// What it allows.
        7 caps: EscrowCaps,
        /// When it begins to close by itself.
        8 expiry: Timestamp,
        /// The asset.
        9 asset: AssetId,
    }

    /// The account's opener asked to close it, or it expired: nothing new is planned for it.
    pub struct AccountClosing {
        /// The account.
        1 escrow_id: EscrowId,
        /// From when on the rest can be refunded; absent at expiry, which starts the contract's own delay.
        2 refundable_at: Option<Timestamp>,
    }

    /// The contract paid the rest of an account back.
    pub struct AccountRefunded {
        /// The account.
        1 escrow_id: EscrowId,
        /// Who got it.
        2 to: Bytes,
        /// How much, in the account's asset. What is still reserved in the ledger is posted when its settlements end.
        3 amount: Amount,
    }

    /// An account of the ledger.
    pub struct LedgerAccount {
        /// Its kind.
        1 kind: LedgerAccountKind,
        /// The escrow account, for the kinds that have one.
        2 escrow_id: Option<EscrowId>,
        /// The job's sub-account, for the kinds that have one.
        3 job: Option<JobKey>,
    }

    /// One double entry: `amount` leaves `credit` and reaches `debit`.
    pub struct Posting {
        /// The book.
        1 book: Book,
        /// Where it goes to.
        2 debit: LedgerAccount,
        /// Where it comes from.
        3 credit: LedgerAccount,
        /// How much, of `asset`.
        4 amount: Amount,
        /// The asset.
        5 asset: AssetId,
    }

    /// Money moved in the ledger. Integers only; debits equal credits by form.
    pub struct Posted {
        /// Why.
        1 reason: PostingReason,
        /// The settlement that it is for, if any.
        2 settlement_id: Option<SettlementId>,
        /// The entries.
        3 entries: Vec<Posting>,
    }

    /// Contract and ledger differ: an alarm (PROTOCOL §7).
    pub struct LedgerDiffers {
        /// The account.
        1 escrow_id: EscrowId,
        /// By the ledger, in the account's asset.
        2 ledger: Amount,
        /// By the contract, in the account's asset.
        3 contract: Amount,
        /// What was compared.
        4 what: String,
    }

    /// A record of an input topic can't be decided, and is kept for an operator: a dead letter.
    pub struct InputQuarantined {
        /// The record's topic, partition, offset and id.
        1 input: InputRef,
        /// Hash of its value. The topic keeps the value for ever.
        2 hash: ContentHash,
        /// Length of its value, in bytes.
        3 length: u32,
        /// The first bytes of its value.
        4 front: Bytes,
        /// Why it can't be decided.
        5 reason: String,
    }

    /// An operator had a dead letter tried again; what that caused follows in the same record.
    pub struct DeadLetterRequeued {
        /// The dead letter.
        1 dead_letter: EventId,
        /// The command.
        2 given: CommandGiven,
        /// The settlement that is planned anew; absent for a record of an input topic.
        3 settlement_id: Option<SettlementId>,
    }

    /// An operator looked at a dead letter, and nothing more is to be done.
    pub struct DeadLetterResolved {
        /// The dead letter.
        1 dead_letter: EventId,
        /// The command.
        2 given: CommandGiven,
    }

    /// An operator's command was refused, and changed nothing.
    pub struct CommandRefused {
        /// The command.
        1 given: CommandGiven,
        /// What it was about.
        2 target: CommandTarget,
        /// What was to be done.
        3 command: Command,
        /// Why it was refused.
        4 reason: String,
    }
}

crate::events! {
    /// An event of the jobs topic.
    pub enum JobsEvent {
        1 Progress,
        2 JobOpened,
        3 DestinationChosen,
        4 JobMatched,
        5 AssignmentStarted,
        6 NoUsableKey,
        7 JobAssigned,
        8 SettlementWaiting,
        9 LeafPlanned,
        10 OutputAccepted,
        11 OutputRefused,
        12 Equivocated,
        13 FulfillmentPlanned,
        14 ExecutionReported,
        15 ReportIndexDiffers,
        16 SettlementIncluded,
        17 SettlementRewound,
        18 SettlementFinal,
        19 SettlementDead,
        20 ExecutionEnded,
        21 JobRemoved,
        22 JobDone,
        23 JobClosed,
        24 RevokedByOpener,
        25 SettlementReversed,
        40 AccountOpened,
        41 AccountClosing,
        42 Posted,
        43 LedgerDiffers,
        44 AccountRefunded,
        50 InputQuarantined,
        51 DeadLetterRequeued,
        52 DeadLetterResolved,
        53 CommandRefused,
        64 StateDigest,
    }
}
