//! What the shell tells the lane, and what the lane asks the shell to do. Each action has a key; the shell runs at most
//! one action of a key at a time and brings its result, or its failure, back as an input.

use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{Call, Effect, FinalReport, FulfillItem, LaneView, Observation, SendOutcome, SignedAttempt, Simulation};
use acurast_events::bytes::{Bytes, SettlementId, TxHash};
use acurast_events::eip712::RootStatement;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{FeeBid, Purpose};
use acurast_events::units::{Batch, Slot};

/// A call, named by what it does: two calls of one name are equal as long as none of its items ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey {
    /// What it does.
    pub purpose: Purpose,
    /// The root that it posts.
    pub batch: Option<Batch>,
    /// Its items, in order.
    pub items: Vec<SettlementId>,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignRequest {
    /// The slot.
    pub slot: Slot,
    /// Which attempt of the slot it will be.
    pub attempt: u32,
    /// The call.
    pub call: CallKey,
    /// What it offers.
    pub fee: FeeBid,
}

/// Whose effect is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectOf {
    /// A root's.
    Root(Batch),
    /// An output's.
    Fulfillment(SettlementId),
}

/// Something that the lane has to take into account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneInput {
    /// An accepted event of `jobs.v1`: intents of this lane are taken, of others the source's newest block is noted.
    Jobs(JobsEvent),
    /// The chain now.
    View(LaneView),
    /// Result of [`Action::Simulate`].
    Simulated {
        /// The call.
        call: CallKey,
        /// What it would do.
        result: Simulation,
    },
    /// A quorum signed: result of [`Action::Attest`].
    Attested {
        /// The root.
        batch: Batch,
        /// Signatures in ascending order of their signers, as many as the contract asks for or more.
        signatures: Vec<Bytes>,
    },
    /// An attester refused the root for good: other result of [`Action::Attest`].
    AttestRefused {
        /// The root.
        batch: Batch,
        /// Index of the leaf at fault.
        leaf: usize,
        /// Why.
        reason: String,
    },
    /// Result of [`Action::Reserve`], which needs nobody's answer.
    Reserved(SignRequest),
    /// Result of [`Action::Sign`].
    Signed {
        /// What was asked for.
        request: SignRequest,
        /// The signed transaction.
        signed: SignedAttempt,
    },
    /// Result of [`Action::Broadcast`].
    Sent {
        /// The transaction.
        tx: TxHash,
        /// How it ended.
        outcome: SendOutcome,
    },
    /// Result of [`Action::Observe`].
    Observed {
        /// The transaction.
        tx: TxHash,
        /// Where it is.
        observation: Observation,
    },
    /// Result of [`Action::Report`].
    Reported {
        /// The transaction.
        tx: TxHash,
        /// What it did.
        report: FinalReport,
    },
    /// Result of [`Action::AskEffect`].
    EffectAnswer {
        /// Whose effect.
        of: EffectOf,
        /// Whether it exists.
        effect: Effect,
    },
    /// Result of [`Action::AskSlotOwner`].
    SlotOwner {
        /// The slot.
        slot: Slot,
        /// The transaction that took it, where the chain can tell.
        tx: Option<TxHash>,
    },
    /// An action had no usable result; says nothing about any transaction.
    Failed {
        /// The action.
        key: ActionKey,
        /// Why, for people.
        reason: String,
    },
    /// Time passed.
    Tick,
}

/// Names an action; the shell runs at most one of a key at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKey {
    /// [`Action::View`].
    View,
    /// [`Action::Simulate`].
    Simulate(CallKey),
    /// [`Action::Attest`].
    Attest(Batch),
    /// [`Action::Reserve`].
    Reserve(Slot),
    /// [`Action::Sign`].
    Sign(Slot),
    /// [`Action::Broadcast`].
    Broadcast(TxHash),
    /// [`Action::Observe`].
    Observe(TxHash),
    /// [`Action::Report`].
    Report(TxHash),
    /// [`Action::AskEffect`].
    AskEffect(EffectOf),
    /// [`Action::AskSlotOwner`].
    AskSlotOwner(Slot),
}

/// Something that the shell should do now. All but `Broadcast` only read, and may be repeated or dropped at will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look at the chain.
    View,
    /// Ask what a call would do.
    Simulate {
        /// Its name.
        key: CallKey,
        /// The call.
        call: Call,
    },
    /// Ask attesters for their signatures.
    Attest {
        /// What they sign.
        statement: RootStatement,
        /// The leaves, in tree order, with what is needed to derive them.
        leaves: Vec<LeafClaim>,
    },
    /// Write down what the key is about to be asked to sign, where it is elsewhere: the shell gives the request back as
    /// [`LaneInput::Reserved`] at once, and asks the key when the record was read back.
    Reserve(SignRequest),
    /// Sign. What is signed stays inside until its `AttemptPrepared` was read back.
    Sign {
        /// Slot, fee and name of the call.
        request: SignRequest,
        /// The call.
        call: Call,
    },
    /// Send bytes that the journal has. The shell holds it back unless R12 lets it send: the writer's own term is
    /// current, and it last read back a record of its own no longer than the lease ago.
    Broadcast {
        /// The transaction.
        tx: TxHash,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Ask where a transaction is.
    Observe(TxHash),
    /// Read what a final transaction did.
    Report {
        /// The transaction.
        tx: TxHash,
        /// Its outputs, in order; none for a root or a no-op.
        items: Vec<FulfillItem>,
        /// The root that it posts.
        root: Option<Batch>,
    },
    /// Ask whether an effect exists at finality (R2).
    AskEffect {
        /// Whose.
        of: EffectOf,
        /// The question.
        query: EffectQuery,
    },
    /// Ask which transaction took a final slot that none of ours is known to have taken.
    AskSlotOwner(Slot),
}

impl Action {
    /// The action's key.
    pub fn key(&self) -> ActionKey {
        match self {
            Self::View => ActionKey::View,
            Self::Simulate { key, .. } => ActionKey::Simulate(key.clone()),
            Self::Attest { statement, .. } => ActionKey::Attest(statement.batch),
            Self::Reserve(request) => ActionKey::Reserve(request.slot),
            Self::Sign { request, .. } => ActionKey::Sign(request.slot),
            Self::Broadcast { tx, .. } => ActionKey::Broadcast(*tx),
            Self::Observe(tx) => ActionKey::Observe(*tx),
            Self::Report { tx, .. } => ActionKey::Report(*tx),
            Self::AskEffect { of, .. } => ActionKey::AskEffect(*of),
            Self::AskSlotOwner(slot) => ActionKey::AskSlotOwner(*slot),
        }
    }
}
