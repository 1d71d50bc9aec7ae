//! Acurast's own types, decoded by field and variant name, and what becomes of them.
//!
//! Fields that the relayer has no use for are left out; the decoder skips them by name.

use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, ProcessorId};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::source::{BetaReputation, Curve, MatchedSlot, PublicKey, Registration, Schedule, Strategy};
use acurast_events::units::{Execution, Millis, Timestamp};
use scale_decode::DecodeAsType;

/// `MultiOrigin`.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) enum RawOrigin {
    Acurast([u8; 32]),
    Tezos(Vec<u8>),
    Ethereum(Vec<u8>),
    AlephZero([u8; 32]),
    Vara([u8; 32]),
    Ethereum20([u8; 20]),
    Solana([u8; 32]),
    AcurastCanary([u8; 32]),
}

/// `JobId`.
pub(crate) type RawJobId = (RawOrigin, u128);

/// Turns the chain's job id into ours.
pub(crate) fn job_id((origin, number): RawJobId) -> JobId {
    let origin = match origin {
        RawOrigin::Acurast(account) => MultiOrigin::Acurast(account),
        RawOrigin::Tezos(bytes) => MultiOrigin::Tezos(bytes),
        RawOrigin::Ethereum(bytes) => MultiOrigin::Ethereum(bytes),
        RawOrigin::AlephZero(account) => MultiOrigin::AlephZero(account),
        RawOrigin::Vara(account) => MultiOrigin::Vara(account),
        RawOrigin::Ethereum20(address) => MultiOrigin::Ethereum20(address),
        RawOrigin::Solana(account) => MultiOrigin::Solana(account),
        RawOrigin::AcurastCanary(account) => MultiOrigin::AcurastCanary(account),
    };
    JobId { origin, number }
}

/// `PlannedExecution`: one source of a match.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawPlanned {
    #[allow(dead_code, reason = "named so that the decoder checks the shape of the event")]
    source: [u8; 32],
    #[allow(dead_code, reason = "named so that the decoder checks the shape of the event")]
    start_delay: u64,
}

/// `AssignmentStrategy`.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) enum RawStrategy {
    Single(#[allow(dead_code, reason = "an instant match is announced by its own event")] Option<Vec<RawPlanned>>),
    Competing,
}

#[derive(Debug, Clone, DecodeAsType)]
struct RawRequirements {
    assignment_strategy: RawStrategy,
    slots: u8,
    reward: u128,
}

#[derive(Debug, Clone, DecodeAsType)]
struct RawExtra {
    requirements: RawRequirements,
}

#[derive(Debug, Clone, DecodeAsType)]
struct RawSchedule {
    duration: u64,
    start_time: u64,
    end_time: u64,
    interval: u64,
    max_start_delay: u64,
}

/// `JobRegistration`.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawRegistration {
    script: Vec<u8>,
    schedule: RawSchedule,
    extra: RawExtra,
}

impl RawRegistration {
    /// Our form of it, with the budget of `JobBudgets`.
    pub(crate) fn with_budget(self, budget: Option<u128>) -> Registration {
        let Self { script, schedule, extra: RawExtra { requirements } } = self;
        Registration {
            script: Bytes(script),
            schedule: Schedule {
                start: Timestamp(schedule.start_time),
                end: Timestamp(schedule.end_time),
                interval: Millis(schedule.interval),
                duration: Millis(schedule.duration),
                max_start_delay: Millis(schedule.max_start_delay),
            },
            slots: u32::from(requirements.slots),
            strategy: match requirements.assignment_strategy {
                RawStrategy::Single(_) => Strategy::Single,
                RawStrategy::Competing => Strategy::Competing,
            },
            reward: Amount(requirements.reward),
            budget: budget.map(Amount),
        }
    }
}

/// `PubKey`.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) enum RawPubKey {
    SECP256r1(Vec<u8>),
    SECP256k1(Vec<u8>),
    ED25519(Vec<u8>),
    SECP256r1Encryption(Vec<u8>),
    SECP256k1Encryption(Vec<u8>),
}

impl RawPubKey {
    fn public_key(self) -> PublicKey {
        let (curve, bytes) = match self {
            Self::SECP256r1(bytes) => (Curve::P256, bytes),
            Self::SECP256k1(bytes) => (Curve::Secp256k1, bytes),
            Self::ED25519(bytes) => (Curve::Ed25519, bytes),
            Self::SECP256r1Encryption(bytes) => (Curve::P256Encryption, bytes),
            Self::SECP256k1Encryption(bytes) => (Curve::Secp256k1Encryption, bytes),
        };
        PublicKey { curve, bytes: Bytes(bytes) }
    }
}

/// `ExecutionSpecifier`.
#[derive(Debug, Clone, Copy, DecodeAsType)]
pub(crate) enum RawExecution {
    All,
    Index(u64),
}

#[derive(Debug, Clone, DecodeAsType)]
struct RawSla {
    total: u64,
}

/// `Assignment`: a match, acknowledged or not.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawAssignment {
    slot: u8,
    start_delay: u64,
    fee_per_execution: u128,
    acknowledged: bool,
    sla: RawSla,
    pub_keys: Vec<RawPubKey>,
    execution: RawExecution,
}

impl RawAssignment {
    /// Whether the processor acknowledged it.
    pub(crate) fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// How many reports the pallet expects.
    pub(crate) fn reports_expected(&self) -> u64 {
        self.sla.total
    }

    /// The one execution, for a match of a competing job.
    pub(crate) fn execution(&self) -> Option<Execution> {
        match self.execution {
            RawExecution::All => None,
            RawExecution::Index(index) => Some(Execution(index)),
        }
    }

    /// The match as a fact carries it.
    pub(crate) fn slot(&self, processor: ProcessorId) -> MatchedSlot {
        MatchedSlot {
            processor,
            slot: u32::from(self.slot),
            start_delay: Millis(self.start_delay),
            fee_per_execution: Amount(self.fee_per_execution),
            execution: self.execution(),
        }
    }

    /// The processor's keys, in its order.
    pub(crate) fn keys(&self) -> Vec<PublicKey> {
        self.pub_keys.iter().cloned().map(RawPubKey::public_key).collect()
    }
}

/// `BetaParameters`.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawReputation {
    r: u128,
    s: u128,
}

impl From<RawReputation> for BetaReputation {
    fn from(raw: RawReputation) -> Self {
        Self { r: Amount(raw.r), s: Amount(raw.s) }
    }
}

/// `Match` of the first form of JobRegistrationMatched.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawMatch {
    pub(crate) job_id: RawJobId,
}

/// `ExecutionMatch` of the first form of JobExecutionMatched.
#[derive(Debug, Clone, DecodeAsType)]
pub(crate) struct RawExecutionMatch {
    pub(crate) job_id: RawJobId,
    pub(crate) execution_index: u64,
}
